//! Methods of Python's `str`.

mod split;

use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::Arguments;
use super::bounds::{check_size, invalid, pay_for, pay_for_items};
use super::lexer::is_space;
pub(super) use split::split_lines;
use split::{lines, partition, split};

/// Calls a method of a string, other than `format` and `join`.
///
/// # Errors
/// An error if the method is unknown, its arguments are wrong, or the fuel is used up.
pub(super) fn method(
    state: &State,
    text: &str,
    name: &str,
    arguments: &Arguments<'_>,
) -> Result<Value, Error> {
    pay_for(state, text.len() + 64)?;
    Ok(match name {
        "lower" => Value::from(text.to_lowercase()),
        "casefold" => Value::from(text.replace('ß', "ss").to_lowercase()),
        "upper" => Value::from(text.to_uppercase()),
        "capitalize" => Value::from(capitalize(text)),
        "title" => Value::from(title(text)),
        "swapcase" => Value::from(swapcase(text)),
        "strip" | "lstrip" | "rstrip" => {
            let letters = arguments.text_or_none(0, "chars")?;
            Value::from(strip(text, name, letters.as_deref()))
        }
        "removeprefix" => {
            let prefix = arguments.text(0, "prefix")?;
            Value::from(text.strip_prefix(&*prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let suffix = arguments.text(0, "suffix")?;
            Value::from(text.strip_suffix(&*suffix).unwrap_or(text))
        }
        "split" | "rsplit" => Value::from(split(state, text, name == "rsplit", arguments)?),
        "splitlines" => {
            pay_for_items(state, split_lines(text).count())?;
            lines(text, arguments.flag(0, "keepends")?)
        }
        "partition" | "rpartition" => partition(text, name, &arguments.text(0, "sep")?)?,
        "replace" => {
            let (old, new) = (arguments.text(0, "old")?, arguments.text(1, "new")?);
            replace(state, text, &old, &new, arguments.int(2, "count", -1)?)?
        }
        "center" | "ljust" | "rjust" => {
            let width = arguments.int(0, "width", 0)?;
            let fill = arguments.text_or_none(1, "fillchar")?;
            pad(state, text, name, width, fill.as_deref().unwrap_or(" "))?
        }
        "zfill" => zfill(state, text, arguments.int(0, "width", 0)?)?,
        "expandtabs" => {
            let size = arguments.int(0, "tabsize", 8)?.clamp(0, 64);
            expand_tabs(state, text, size as usize)?
        }
        "count" | "find" | "rfind" | "index" | "rindex" => {
            let part = arguments.text(0, "sub")?;
            let (inside, before) = span(text, arguments, 1)?;
            look_for(inside, before, name, &part)?
        }
        "startswith" | "endswith" => {
            let affix = arguments.needed(0, "prefix")?;
            let (inside, _) = span(text, arguments, 1)?;
            Value::from(has_affix(state, inside, name == "startswith", &affix)?)
        }
        _ => match predicate(text, name) {
            Some(answer) => Value::from(answer),
            None => return Err(Error::from(ErrorKind::UnknownMethod)),
        },
    })
}

pub(super) fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first
            .to_uppercase()
            .chain(letters.as_str().to_lowercase().chars())
            .collect(),
        None => String::new(),
    }
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for letter in text.chars() {
        if inside {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
        inside = letter.is_alphabetic();
    }
    out
}

fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_uppercase() {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
    }
    out
}

pub(super) fn strip<'a>(text: &'a str, name: &str, letters: Option<&str>) -> &'a str {
    let goes = |letter: char| match letters {
        Some(letters) => letters.contains(letter),
        None => is_space(letter),
    };
    match name {
        "lstrip" => text.trim_start_matches(goes),
        "rstrip" => text.trim_end_matches(goes),
        _ => text.trim_matches(goes),
    }
}

/// `text.replace(old, new, count)`. A negative count replaces all occurrences.
pub(super) fn replace(
    state: &State,
    text: &str,
    old: &str,
    new: &str,
    count: i64,
) -> Result<Value, Error> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let times = if old.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(old).count()
    };
    let times = times.min(most);
    let size = times.saturating_mul(new.len()).saturating_add(text.len());
    check_size(size)?;
    pay_for(state, size)?;
    Ok(Value::from(text.replacen(old, new, times)))
}

pub(super) fn pad(
    state: &State,
    text: &str,
    name: &str,
    width: i64,
    fill: &str,
) -> Result<Value, Error> {
    let mut letters = fill.chars();
    let (Some(fill), None) = (letters.next(), letters.next()) else {
        return Err(invalid(format!("{name}: the fill must be one character")));
    };
    let length = text.chars().count();
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(length);
    check_size(missing.saturating_mul(fill.len_utf8()))?;
    pay_for(state, missing * fill.len_utf8())?;
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        // If the padding cannot be halved, Python puts the extra character on the left for an odd
        // width.
        _ => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
    };
    let fills = |count: usize| std::iter::repeat_n(fill, count);
    Ok(Value::from(
        fills(left)
            .chain(text.chars())
            .chain(fills(missing - left))
            .collect::<String>(),
    ))
}

fn zfill(state: &State, text: &str, width: i64) -> Result<Value, Error> {
    let sign = text.chars().next().filter(|first| "+-".contains(*first));
    let digits = &text[usize::from(sign.is_some())..];
    let width = width - i64::from(sign.is_some());
    let padded = pad(state, digits, "rjust", width, "0")?;
    let sign = sign.map(String::from).unwrap_or_default();
    Ok(Value::from(sign + padded.as_str().unwrap_or_default()))
}

fn expand_tabs(state: &State, text: &str, size: usize) -> Result<Value, Error> {
    let tabs = text.matches('\t').count();
    check_size(text.len() + tabs * size)?;
    pay_for(state, tabs * size)?;
    let mut out = String::new();
    let mut column = 0;
    for letter in text.chars() {
        match letter {
            '\t' if size > 0 => {
                let missing = size - column % size;
                out.extend(std::iter::repeat_n(' ', missing));
                column += missing;
            }
            '\t' => {}
            letter => {
                out.push(letter);
                column = if matches!(letter, '\n' | '\r') {
                    0
                } else {
                    column + 1
                };
            }
        }
    }
    Ok(Value::from(out))
}

/// The part of a string between the arguments `start` and `end`, and the number of characters before
/// it.
fn span<'a>(
    text: &'a str,
    arguments: &Arguments<'_>,
    first: usize,
) -> Result<(&'a str, usize), Error> {
    let start = arguments.int(first, "start", 0)?;
    let end = arguments.int(first + 1, "end", i64::MAX)?;
    if start == 0 && end == i64::MAX {
        return Ok((text, 0));
    }
    let length = text.chars().count() as i64;
    let place = |at: i64| {
        if at < 0 {
            (at + length).max(0)
        } else {
            at.min(length)
        }
    };
    let (start, end) = (place(start), place(end));
    let byte = |at: i64| {
        let nth = text.char_indices().nth(at as usize);
        nth.map_or(text.len(), |(byte, _)| byte)
    };
    let inside = text.get(byte(start)..byte(end)).unwrap_or_default();
    Ok((inside, start as usize))
}

fn look_for(inside: &str, before: usize, name: &str, part: &str) -> Result<Value, Error> {
    if name == "count" {
        return Ok(Value::from(if part.is_empty() {
            inside.chars().count() + 1
        } else {
            inside.matches(part).count()
        }));
    }
    let found = if name.starts_with('r') {
        inside.rfind(part)
    } else {
        inside.find(part)
    };
    match found {
        Some(byte) => Ok(Value::from(before + inside[..byte].chars().count())),
        None if name.ends_with("find") => Ok(Value::from(-1)),
        None => Err(invalid(format!("{name}: substring {part:?} not found"))),
    }
}

fn has_affix(state: &State, text: &str, start: bool, affix: &Value) -> Result<bool, Error> {
    let has = |affix: &str| {
        if start {
            text.starts_with(affix)
        } else {
            text.ends_with(affix)
        }
    };
    if let Some(affix) = affix.as_str() {
        return Ok(has(affix));
    }
    if !affix.is_tuple() {
        let kind = affix.kind();
        return Err(invalid(format!(
            "an affix must be a string or a tuple of strings, not a {kind}"
        )));
    }
    for one in affix.try_iter()? {
        state.consume_fuel(1)?;
        match one.as_str() {
            Some(one) if has(one) => return Ok(true),
            Some(_) => {}
            None => return Err(invalid("a tuple of affixes must hold only strings")),
        }
    }
    Ok(false)
}

/// The methods that test the characters of a string, such as `isdigit`.
fn predicate(text: &str, name: &str) -> Option<bool> {
    let all = |holds: fn(char) -> bool| !text.is_empty() && text.chars().all(holds);
    let cased = text
        .chars()
        .any(|letter| letter.is_lowercase() || letter.is_uppercase());
    Some(match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => text.is_ascii(),
        "isdecimal" | "isdigit" | "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "islower" => cased && !text.chars().any(char::is_uppercase),
        "isupper" => cased && !text.chars().any(char::is_lowercase),
        "istitle" => cased && title(text) == text,
        "isidentifier" => {
            let start = |letter: char| letter == '_' || letter.is_alphabetic();
            text.starts_with(start)
                && text
                    .chars()
                    .all(|letter| start(letter) || letter.is_numeric())
        }
        _ => return None,
    })
}
