//! `text.format(…)` and `text % arguments`.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, State, Value};

use super::bounds::{check_size, invalid, pay_for};
use super::cost::is_container;
use super::python;

/// Maximum number of digits of a number in a format string, because a width pads to that many
/// characters.
const MAX_FORMAT_DIGITS: usize = 3;

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
pub(super) fn str_format(state: &State, text: &str, arguments: &[Value]) -> Result<Value, Error> {
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

/// Converts values that the engine would format differently from Python to text.
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
