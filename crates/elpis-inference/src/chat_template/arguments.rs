//! The arguments of a call.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs};
use minijinja::{Error, Value};

use super::bounds::invalid;
use super::number::Number;

/// All arguments of a call.
pub(super) type AnyArguments = Rest<ValueOrKwargs>;

pub(super) fn plain(arguments: AnyArguments) -> Vec<Value> {
    arguments.0.into_iter().map(Value::from).collect()
}

/// The arguments of a method call.
pub(super) struct Arguments<'a> {
    method: &'a str,
    pub positional: &'a [Value],
    named: Option<Kwargs>,
}

impl<'a> Arguments<'a> {
    pub fn new(method: &'a str, arguments: &'a [Value]) -> Result<Self, Error> {
        let (positional, named) = match arguments.split_last() {
            Some((last, before)) if last.is_kwargs() => {
                (before, Some(Kwargs::try_from(last.clone())?))
            }
            _ => (arguments, None),
        };
        Ok(Self {
            method,
            positional,
            named,
        })
    }

    /// The argument at `index` or with that name; `None` if it is missing or none.
    pub fn get(&self, index: usize, name: &str) -> Result<Option<Value>, Error> {
        let value = match (self.positional.get(index), &self.named) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(named)) if named.has(name) => Some(named.get::<Value>(name)?),
            _ => None,
        };
        Ok(value.filter(|value| !value.is_none()))
    }

    pub fn needed(&self, index: usize, name: &str) -> Result<Value, Error> {
        let missing = || invalid(format!("{}: argument {name:?} is missing", self.method));
        self.get(index, name)?.ok_or_else(missing)
    }

    pub fn text(&self, index: usize, name: &str) -> Result<String, Error> {
        let value = self.needed(index, name)?;
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| self.wrong(name, "a text"))
    }

    pub fn text_or_none(&self, index: usize, name: &str) -> Result<Option<String>, Error> {
        match self.get(index, name)? {
            None => Ok(None),
            Some(_) => self.text(index, name).map(Some),
        }
    }

    pub fn int(&self, index: usize, name: &str, default: i64) -> Result<i64, Error> {
        match self.get(index, name)? {
            None => Ok(default),
            Some(value) => {
                match Number::of(&value) {
                    Some(Number::Int(number)) => Ok(i64::try_from(number)
                        .unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })),
                    _ => Err(self.wrong(name, "an integer")),
                }
            }
        }
    }

    pub fn flag(&self, index: usize, name: &str) -> Result<bool, Error> {
        Ok(self.get(index, name)?.is_some_and(|value| value.is_true()))
    }

    fn wrong(&self, name: &str, what: &str) -> Error {
        invalid(format!("{}: argument {name:?} is not {what}", self.method))
    }
}
