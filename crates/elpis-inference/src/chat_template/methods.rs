//! Methods of Python's texts, lists and dicts.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, State, Value};

use super::arguments::Arguments;
use super::bounds::{invalid, pay_for};
use super::compare::equal;
use super::cost::{is_container, weigh};
use super::{formatting, strings};

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
            "format" => formatting::str_format(state, text, arguments),
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
                return Err(invalid(format!("get: a {} cannot be a key", key.kind())));
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
