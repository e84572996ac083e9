//! Methods of Python's texts, lists and dicts.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use super::arithmetic::{Number, pay_for};
use super::cost::{is_container, weigh};
use super::operators::{equal, invalid};
use super::{MAX_RENDERED_BYTES, python, strings};

/// The longest number, in digits, in a format string: a width pads to that many characters.
const MAX_FORMAT_DIGITS: usize = 3;

/// Whatever arguments a call has.
pub(super) type AnyArguments = Rest<ValueOrKwargs>;

pub(super) fn plain(arguments: AnyArguments) -> Vec<Value> {
    arguments.0.into_iter().map(Value::from).collect()
}

/// The arguments of a method call.
pub(super) struct Arguments<'a> {
    method: &'a str,
    positional: &'a [Value],
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

    /// The argument at `index` or of that name; `None` where it is missing or none.
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

/// Calls a method of a value.
///
/// # Errors
/// An unknown method, wrong arguments, or out of fuel.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        weigh(state, value)?;
        return match name {
            "format" => str_format(state, text, arguments),
            "join" => {
                let arguments = Arguments::new(name, arguments)?;
                join(state, text, &arguments.needed(0, "iterable")?)
            }
            _ => {
                let arguments = Arguments::new(name, arguments)?;
                strings::method(state, text, name, &arguments)
            }
        };
    }
    let found = match value.kind() {
        ValueKind::Map => dict(value, name, arguments)?,
        ValueKind::Seq => list(state, value, name, arguments)?,
        _ => None,
    };
    match found {
        Some(result) => Ok(result),
        None => value.call_method(state, name, arguments),
    }
}

fn dict(value: &Value, name: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    let Some(object) = value.as_object() else {
        return Ok(None);
    };
    let pairs = || object.try_iter_pairs().into_iter().flatten();
    Ok(Some(match name {
        "keys" => Value::from(pairs().map(|(key, _)| key).collect::<Vec<_>>()),
        "values" => Value::from(pairs().map(|(_, value)| value).collect::<Vec<_>>()),
        "items" => {
            let pair = |(key, value)| Value::from(Tuple::from([key, value]));
            Value::from(pairs().map(pair).collect::<Vec<_>>())
        }
        "copy" => Value::from_pairs(pairs()),
        "get" => {
            let arguments = Arguments::new(name, arguments)?;
            let key = arguments.positional.first();
            let key = key.ok_or_else(|| invalid("get: argument \"key\" is missing"))?;
            if is_container(key) && !key.is_tuple() {
                return Err(invalid(format!("get: a {} is no key", key.kind())));
            }
            let found = object.get_value(key).filter(|value| !value.is_undefined());
            match found {
                Some(value) => value,
                None => arguments.get(1, "default")?.unwrap_or(Value::from(())),
            }
        }
        "clear" | "pop" | "popitem" | "setdefault" | "update" => {
            return Err(invalid(format!("{name}: a template cannot change a dict")));
        }
        _ => return Ok(None),
    }))
}

fn list(
    state: &State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Option<Value>, Error> {
    match name {
        "copy" => Ok(Some(value.clone())),
        "count" | "index" => {
            let arguments = Arguments::new(name, arguments)?;
            let needle = arguments.positional.first();
            let needle = needle.ok_or_else(|| invalid(format!("{name}: nothing to look for")))?;
            let mut count = 0;
            for (index, item) in value.try_iter()?.enumerate() {
                state.consume_fuel(1)?;
                if equal(state, &item, needle)? {
                    if name == "index" {
                        return Ok(Some(Value::from(index)));
                    }
                    count += 1;
                }
            }
            if name == "index" {
                return Err(invalid("index: the item is not in the list"));
            }
            Ok(Some(Value::from(count)))
        }
        "append" | "clear" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort" => {
            Err(invalid(format!("{name}: a template cannot change a list")))
        }
        _ => Ok(None),
    }
}

/// `separator.join(items)`.
pub(super) fn join(state: &State, separator: &str, items: &Value) -> Result<Value, Error> {
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        let text = item
            .as_str()
            .ok_or_else(|| invalid(format!("join: item {index} is not a text")))?;
        pay_for(state, separator.len() + text.len() + 64)?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(text);
    }
    Ok(Value::from(out))
}

fn check_widths(text: &str) -> Result<(), Error> {
    let mut digits = 0;
    for byte in text.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if digits > MAX_FORMAT_DIGITS {
            return Err(invalid("format: a width is too large"));
        }
    }
    Ok(())
}

/// `text.format(…)`.
fn str_format(state: &State, text: &str, arguments: &[Value]) -> Result<Value, Error> {
    check_widths(text)?;
    let mut longest = 10_usize.pow(MAX_FORMAT_DIGITS as u32);
    let plain = !text.contains(':') && !text.contains('!') && !text.contains('[');
    let mut positional = Vec::with_capacity(arguments.len());
    for argument in arguments {
        if argument.is_kwargs() {
            let mut named = Vec::new();
            for key in argument.try_iter()? {
                let value = printable(state, &argument.get_item(&key)?, plain)?;
                longest = longest.max(value.as_str().map_or(0, str::len));
                named.push((key.as_str().unwrap_or_default().to_owned(), value));
            }
            positional.push(Kwargs::from_iter(named).into());
        } else {
            let value = printable(state, argument, plain)?;
            longest = longest.max(value.as_str().map_or(0, str::len));
            positional.push(value);
        }
    }
    let fields = text.bytes().filter(|&byte| byte == b'{').count();
    check_size(fields.saturating_mul(longest).saturating_add(text.len()))?;
    format(FormatStyle::StrFormat, text, &positional).map(Value::from)
}

/// What the engine's formatting would print in another spelling than Python, as a text.
fn printable(state: &State, value: &Value, plain: bool) -> Result<Value, Error> {
    let differs = is_container(value)
        || plain && (python::float_of(value).is_some() || value.kind() == ValueKind::None);
    if differs {
        python::text(state, value).map(Value::from)
    } else {
        Ok(value.clone())
    }
}

/// `text % arguments`.
pub(super) fn percent(state: &State, text: &str, arguments: &Value) -> Result<Value, Error> {
    check_widths(text)?;
    let mut given: Vec<Value> = if arguments.is_tuple() {
        arguments.try_iter()?.collect()
    } else {
        vec![arguments.clone()]
    };
    let fields = text.bytes().filter(|&byte| byte == b'%').count();
    let named = arguments.kind() == ValueKind::Map;
    let mut longest = 10_usize.pow(MAX_FORMAT_DIGITS as u32);
    if named {
        let mut converted = Vec::new();
        for key in arguments.try_iter()? {
            let value = arguments.get_item(&key)?;
            let value = printable(state, &value, false)?;
            longest = longest.max(value.as_str().map_or(0, str::len));
            converted.push((key, value));
        }
        given = vec![Value::from_pairs(converted)];
    } else {
        for (value, conversion) in given.iter_mut().zip(conversions(text)) {
            match conversion {
                's' => *value = Value::from(python::text(state, value)?),
                'r' | 'a' => *value = Value::from(python::repr(state, value)?),
                _ if is_container(value) => {
                    return Err(invalid(format!("%{conversion} needs a number")));
                }
                _ => {}
            }
            longest = longest.max(value.as_str().map_or(0, str::len));
        }
    }
    check_size(fields.saturating_mul(longest).saturating_add(text.len()))?;
    let text = text.replace("%r", "%s").replace("%a", "%s");
    pay_for(state, fields.saturating_mul(longest) / 8)?;
    format(FormatStyle::Printf, &text, &given).map(Value::from)
}

/// The types of the conversions in a format string, in their order.
fn conversions(text: &str) -> impl Iterator<Item = char> + '_ {
    let mut letters = text.chars();
    std::iter::from_fn(move || {
        loop {
            letters.find(|&letter| letter == '%')?;
            let kind = letters.find(|&letter| letter == '%' || letter.is_ascii_alphabetic())?;
            if kind != '%' {
                return Some(kind);
            }
        }
    })
}

pub(super) fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_RENDERED_BYTES {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    Ok(())
}
