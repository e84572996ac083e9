//! Characters that a schema asks for and JSON cannot spell without `\\uXXXX`, which is not
//! written (see [`canonical_schema`](super::canonical_schema)).
//!
//! llguidance leaves them out of texts, which then break their schema.

#[cfg(feature = "tools")]
use regex_syntax::hir::{Hir, HirKind};
use serde_json::{Map, Value};

use super::ConstraintError;

/// Refuses such characters in enumerated texts, in names of properties and in patterns.
pub(super) fn check_letters(
    field: &'static str,
    schema: &Map<String, Value>,
) -> Result<(), ConstraintError> {
    let values = |key| schema.get(key).and_then(in_value);
    let names = schema.get("properties").and_then(Value::as_object);
    let names = names.and_then(|names| names.keys().find_map(|name| in_text(name)));
    let found = [
        ("enum", values("enum")),
        ("const", values("const")),
        ("required", values("required")),
        ("properties", names),
        (
            "pattern",
            schema
                .get("pattern")
                .and_then(Value::as_str)
                .and_then(in_pattern),
        ),
    ];
    for (key, letter) in found {
        if let Some(letter) = letter {
            let reason = format!(
                "{key} asks for the control character U+{:04X}, which is not written",
                u32::from(letter)
            );
            return Err(ConstraintError::Refused { field, reason });
        }
    }
    Ok(())
}

fn unwritable(letter: char) -> bool {
    let spelled = matches!(letter, '\u{8}' | '\t' | '\n' | '\u{c}' | '\r');
    letter.is_ascii_control() && !spelled
}

fn in_text(text: &str) -> Option<char> {
    text.chars().find(|&letter| unwritable(letter))
}

fn in_value(value: &Value) -> Option<char> {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        let found = match value {
            Value::String(text) => in_text(text),
            Value::Array(items) => {
                open.extend(items);
                None
            }
            Value::Object(fields) => {
                open.extend(fields.values());
                fields.keys().find_map(|name| in_text(name))
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// One that every text of a part of the pattern has. What does not parse here is left to
/// llguidance, which translates other dialects.
#[cfg(feature = "tools")]
fn in_pattern(pattern: &str) -> Option<char> {
    let whole = regex_syntax::parse(pattern).ok()?;
    let mut open: Vec<&Hir> = vec![&whole];
    while let Some(part) = open.pop() {
        match part.kind() {
            HirKind::Literal(literal) => {
                let bytes = literal.0.iter();
                let letter = bytes
                    .map(|&byte| char::from(byte))
                    .find(|&letter| unwritable(letter));
                if letter.is_some() {
                    return letter;
                }
            }
            HirKind::Capture(capture) => open.push(&capture.sub),
            HirKind::Repetition(repetition) => open.push(&repetition.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => open.extend(parts),
            HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => {}
        }
    }
    None
}

#[cfg(not(feature = "tools"))]
fn in_pattern(pattern: &str) -> Option<char> {
    in_text(pattern)
}
