//! Methods that split strings: `split`, `splitlines`, `partition` and their variants.

use minijinja::value::Tuple;
use minijinja::{Error, State, Value};

use crate::chat_template::arguments::Arguments;
use crate::chat_template::bounds::{invalid, pay_for_items};
use crate::chat_template::lexer::is_space;

pub(super) fn split(
    state: &State,
    text: &str,
    from_right: bool,
    arguments: &Arguments<'_>,
) -> Result<Vec<Value>, Error> {
    let separator = arguments.text_or_none(0, "sep")?;
    let most = arguments.int(1, "maxsplit", -1)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX - 1);
    let pieces = match &separator {
        Some(separator) if !separator.is_empty() => text.matches(separator.as_str()).count(),
        _ => text.split(is_space).count(),
    };
    pay_for_items(state, pieces.min(most))?;
    let parts: Vec<&str> = match &separator {
        Some(separator) if separator.is_empty() => {
            return Err(invalid("split: the separator is empty"));
        }
        Some(separator) if from_right => {
            let mut parts: Vec<&str> = text.rsplitn(most + 1, separator.as_str()).collect();
            parts.reverse();
            parts
        }
        Some(separator) => text.splitn(most + 1, separator.as_str()).collect(),
        None if from_right => {
            let mut parts = Vec::new();
            let mut rest = text.trim_end_matches(is_space);
            while parts.len() < most && !rest.is_empty() {
                let at = rest.rfind(is_space);
                let letter = at.and_then(|at| rest[at..].chars().next());
                let start = at.map_or(0, |at| at + letter.map_or(0, char::len_utf8));
                parts.push(&rest[start..]);
                rest = rest[..at.unwrap_or(0)].trim_end_matches(is_space);
            }
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
            parts.reverse();
            parts
        }
        None => {
            let mut parts = Vec::new();
            let mut rest = text.trim_start_matches(is_space);
            while parts.len() < most && !rest.is_empty() {
                let end = rest.find(is_space).unwrap_or(rest.len());
                parts.push(&rest[..end]);
                rest = rest[end..].trim_start_matches(is_space);
            }
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
            parts
        }
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The lines of a string, each with its line ending.
pub(in crate::chat_template) fn split_lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let ends = |letter: char| {
        matches!(
            letter,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.find(ends).unwrap_or(rest.len());
        let (line, after) = rest.split_at(at);
        let length = if after.starts_with("\r\n") {
            2
        } else {
            after.chars().next().map_or(0, char::len_utf8)
        };
        let (end, after) = after.split_at(length);
        rest = after;
        Some((line, end))
    })
}

pub(super) fn lines(text: &str, keep_ends: bool) -> Value {
    let line = |(line, end): (&str, &str)| {
        if keep_ends {
            Value::from(format!("{line}{end}"))
        } else {
            Value::from(line)
        }
    };
    Value::from(split_lines(text).map(line).collect::<Vec<_>>())
}

pub(super) fn partition(text: &str, name: &str, separator: &str) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(invalid(format!("{name}: the separator is empty")));
    }
    let parts = if name == "partition" {
        text.split_once(separator)
            .map_or([text, "", ""], |(head, tail)| [head, separator, tail])
    } else {
        text.rsplit_once(separator)
            .map_or(["", "", text], |(head, tail)| [head, separator, tail])
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}
