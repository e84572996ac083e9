//! Jinja2's filters and tests for which minijinja's differ or could walk a large value.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value};

use super::arguments::{AnyArguments, Arguments, plain};
use super::arithmetic::escape;
use super::bounds::{check_size, invalid, pay_for};
use super::lexer::is_space;
use super::methods;
use super::number::Number;
use super::{formatting, python, strings};

/// Registers the filters and tests with an environment.
pub(super) fn register(env: &mut Environment<'_>) {
    env.remove_filter("pprint");
    env.add_filter("tojson", python::tojson);
    env.add_filter("string", |state: &State, value: &Value| {
        if value.is_safe() {
            return Ok(value.clone());
        }
        python::text(state, value).map(Value::from)
    });
    for (name, method) in [
        ("upper", "upper"),
        ("lower", "lower"),
        ("capitalize", "capitalize"),
    ] {
        text_filter(env, name, move |state, text, arguments| {
            strings::method(state, text, method, arguments)
        });
    }
    text_filter(env, "title", |_, text, _| Ok(Value::from(title(text))));
    text_filter(env, "trim", |_, text, arguments| {
        let letters = arguments.text_or_none(0, "chars")?;
        Ok(Value::from(strings::strip(
            text,
            "strip",
            letters.as_deref(),
        )))
    });
    text_filter(env, "replace", |state, text, arguments| {
        let part = |index, name| python::text(state, &arguments.needed(index, name)?);
        let (old, new) = (part(0, "old")?, part(1, "new")?);
        strings::replace(state, text, &old, &new, arguments.int(2, "count", -1)?)
    });
    text_filter(env, "center", |state, text, arguments| {
        strings::pad(state, text, "center", arguments.int(0, "width", 80)?, " ")
    });
    text_filter(env, "wordcount", |_, text, _| {
        Ok(Value::from(word_count(text)))
    });
    text_filter(env, "indent", indent);
    text_filter(env, "truncate", truncate);
    env.add_filter("urlencode", url_encode);
    for name in ["escape", "e", "forceescape"] {
        env.add_filter(name, move |state: &State, value: &Value| {
            if value.is_safe() && name != "forceescape" {
                return Ok(value.clone());
            }
            let text = python::text(state, value)?;
            pay_for(state, text.len() * 6)?;
            Ok::<_, Error>(Value::from_safe_string(escape(&text)))
        });
    }
    env.add_filter(
        "format",
        |state: &State, text: &Value, rest: AnyArguments| {
            let text = python::text(state, text)?;
            let arguments = match &plain(rest)[..] {
                [named] if named.is_kwargs() => Value::from_pairs(pairs_of(named)?),
                many => Value::from(minijinja::value::Tuple::from(many.to_vec())),
            };
            formatting::percent(state, &text, &arguments)
        },
    );
    env.add_filter("join", join);
    env.add_filter("int", int);
    env.add_filter("float", |value: &Value, rest: AnyArguments| {
        let rest = plain(rest);
        let arguments = Arguments::new("float", &rest)?;
        let read = match value.as_str() {
            Some(text) => python_float(text),
            None => Number::of(value).map(Number::float),
        };
        match read {
            Some(number) => Ok::<_, Error>(Value::from(number)),
            None => Ok(arguments.get(0, "default")?.unwrap_or(Value::from(0.0))),
        }
    });
    env.add_filter("round", round);
    tests(env);
}

fn tests(env: &mut Environment<'_>) {
    // In Jinja a text, a mapping and undefined are iterable, and sequences.
    let iterable = |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::Undefined
                | ValueKind::String
                | ValueKind::Seq
                | ValueKind::Map
                | ValueKind::Iterable
        )
    };
    env.add_test("iterable", iterable);
    env.add_test("sequence", move |value: &Value| {
        iterable(value) && (value.len().is_some() || value.is_undefined())
    });
    env.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    // A boolean is a number in Python, but not an integer in Jinja2.
    env.add_test("number", |value: &Value| {
        matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
    });
    env.add_test("integer", |value: &Value| value.is_integer());
    env.add_test("float", |value: &Value| python::float_of(value).is_some());
}

/// Adds a filter of texts. Other values are converted to text first.
fn text_filter<F>(env: &mut Environment<'_>, name: &'static str, filter: F)
where
    F: Fn(&State, &str, &Arguments<'_>) -> Result<Value, Error> + Send + Sync + 'static,
{
    env.add_filter(
        name,
        move |state: &State, value: &Value, rest: AnyArguments| {
            let rest = plain(rest);
            let arguments = Arguments::new(name, &rest)?;
            let text = python::text(state, value)?;
            pay_for(state, text.len())?;
            filter(state, &text, &arguments)
        },
    );
}

fn pairs_of(named: &Value) -> Result<Vec<(Value, Value)>, Error> {
    named
        .try_iter()?
        .map(|key| Ok((key.clone(), named.get_item(&key)?)))
        .collect()
}

/// Title case as in Jinja2: words begin after white space and after `-([{<`.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for letter in text.chars() {
        if begins {
            out.extend(letter.to_uppercase());
        } else {
            out.extend(letter.to_lowercase());
        }
        begins = is_space(letter) || "-([{<".contains(letter);
    }
    out
}

fn word_count(text: &str) -> usize {
    let part_of_word = |letter: char| letter == '_' || letter.is_alphanumeric();
    text.split(|letter| !part_of_word(letter))
        .filter(|word| !word.is_empty())
        .count()
}

fn indent(state: &State, text: &str, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let width = arguments.get(0, "width")?.unwrap_or(Value::from(4));
    let margin = match (width.as_str(), width.as_i64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(width)) => " ".repeat(width.clamp(0, 256) as usize),
        (None, None) => return Err(invalid("indent: the width is neither a number nor a text")),
    };
    let first = arguments.flag(1, "first")?;
    let blank = arguments.flag(2, "blank")?;
    // Jinja2 adds a line end before it splits, which keeps an empty last line.
    let ended = format!("{text}\n");
    let lines: Vec<&str> = strings::split_lines(&ended).map(|(line, _)| line).collect();
    check_size(text.len() + lines.len().saturating_mul(margin.len()))?;
    pay_for(state, lines.len() * margin.len())?;
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let margin_here = if index == 0 {
            first
        } else {
            blank || !line.is_empty()
        };
        if margin_here {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn truncate(_: &State, text: &str, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let length = arguments.int(0, "length", 255)?.max(0) as usize;
    let kill_words = arguments.flag(1, "killwords")?;
    let end = arguments.text_or_none(2, "end")?;
    let end = end.as_deref().unwrap_or("...");
    let leeway = arguments.int(3, "leeway", 5)?.max(0) as usize;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(text));
    }
    let kept = length.saturating_sub(end.chars().count());
    let cut: String = text.chars().take(kept).collect();
    let cut = match cut.rsplit_once(' ') {
        Some((before, _)) if !kill_words => before,
        _ => &cut,
    };
    Ok(Value::from(format!("{cut}{end}")))
}

/// Percent-encodes the UTF-8 bytes of a text, except letters, digits, `_.-~` and `safe`.
fn quote(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let kept = byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte);
        if kept || safe.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn url_encode(state: &State, value: &Value) -> Result<Value, Error> {
    let query = |value: &Value| -> Result<String, Error> {
        let text = python::text(state, value)?;
        pay_for(state, text.len() * 3)?;
        Ok(quote(&text, "").replace("%20", "+"))
    };
    let pairs = match value.kind() {
        ValueKind::Map => pairs_of(value)?,
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()?
            .map(|pair| Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?)))
            .collect::<Result<_, Error>>()?,
        _ => {
            let text = python::text(state, value)?;
            pay_for(state, text.len() * 3)?;
            return Ok(Value::from(quote(&text, "/")));
        }
    };
    let encoded: Result<Vec<String>, Error> = pairs
        .iter()
        .map(|(key, value)| Ok(format!("{}={}", query(key)?, query(value)?)))
        .collect();
    Ok(Value::from(encoded?.join("&")))
}

fn join(state: &State, value: &Value, rest: AnyArguments) -> Result<Value, Error> {
    let rest = plain(rest);
    let arguments = Arguments::new("join", &rest)?;
    let separator = match arguments.get(0, "d")? {
        Some(separator) => python::text(state, &separator)?,
        None => String::new(),
    };
    let attribute = arguments.get(1, "attribute")?;
    let mut items: Vec<Value> = if let Some(text) = value.as_str() {
        text.chars()
            .map(|letter| Value::from(letter.to_string()))
            .collect()
    } else {
        value.try_iter()?.collect()
    };
    pay_for(state, items.len() * 64)?;
    for item in &mut items {
        if let Some(attribute) = &attribute {
            *item = item.get_item(attribute)?;
        }
        if item.as_str().is_none() {
            *item = Value::from(python::text(state, item)?);
        }
    }
    methods::join(state, &separator, &Value::from(items))
}

fn python_float(text: &str) -> Option<f64> {
    text.trim_matches(is_space).replace('_', "").parse().ok()
}

fn int(value: &Value, rest: AnyArguments) -> Result<Value, Error> {
    let rest = plain(rest);
    let arguments = Arguments::new("int", &rest)?;
    let base = arguments.int(1, "base", 10)?;
    let read = match value.as_str() {
        Some(text) => {
            let text = text.trim_matches(is_space).replace('_', "");
            let digits = match base {
                16 => text.trim_start_matches("0x").trim_start_matches("0X"),
                8 => text.trim_start_matches("0o"),
                2 => text.trim_start_matches("0b"),
                _ => text.as_str(),
            };
            let base = u32::try_from(base)
                .ok()
                .filter(|base| (2..=36).contains(base));
            let whole = base.and_then(|base| i128::from_str_radix(digits, base).ok());
            whole
                .map(Number::Int)
                .or_else(|| python_float(&text).map(Number::Float))
        }
        None => Number::of(value),
    };
    let whole = match read {
        Some(Number::Int(number)) => Some(number),
        Some(Number::Float(number)) if number.is_finite() => Some(number.trunc() as i128),
        _ => None,
    };
    match whole {
        Some(number) => Ok(Number::Int(number).into()),
        None => Ok(arguments.get(0, "default")?.unwrap_or(Value::from(0))),
    }
}

/// Rounds as Python does: halves to the even neighbour.
fn round(value: &Value, rest: AnyArguments) -> Result<Value, Error> {
    let rest = plain(rest);
    let arguments = Arguments::new("round", &rest)?;
    let precision = arguments.int(0, "precision", 0)?.clamp(-300, 300);
    let method = arguments.text_or_none(1, "method")?;
    let Some(number) = Number::of(value) else {
        return Err(invalid("round: not a number"));
    };
    if let (Number::Int(whole), None | Some("common"), 0..) = (number, method.as_deref(), precision)
    {
        return Ok(Number::Int(whole).into());
    }
    let number = number.float();
    #[allow(clippy::disallowed_methods, reason = "no state depends on it")]
    let scale = 10_f64.powi(precision as i32);
    Ok(Value::from(match method.as_deref() {
        Some("ceil") => (number * scale).ceil() / scale,
        Some("floor") => (number * scale).floor() / scale,
        _ if precision > 0 => {
            // The decimal digits are rounded exactly, as Python does.
            format!("{number:.*}", precision as usize)
                .parse()
                .unwrap_or(number)
        }
        _ => (number * scale).round_ties_even() / scale,
    }))
}
