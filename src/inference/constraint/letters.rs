//! Characters that a schema asks for and llguidance spells as `\uXXXX`, which is not written (see
//! [`canonical_schema`](super::canonical_schema)). It leaves them out of texts, which then break
//! their schema.

#[cfg(feature = "tools")]
use regex_syntax::ast::parse::Parser;
#[cfg(feature = "tools")]
use regex_syntax::ast::{Ast, ClassSet, ClassSetItem};
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
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let patterns = patterns.and_then(|all| all.keys().find_map(|key| in_pattern(key)));
    let found = [
        ("enum", values("enum")),
        ("const", values("const")),
        ("required", values("required")),
        ("properties", names),
        ("patternProperties", patterns),
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

/// One that a part of the pattern consists of; what a class has beside others it can do without.
/// What does not parse here is left to llguidance, which translates other dialects.
#[cfg(feature = "tools")]
fn in_pattern(pattern: &str) -> Option<char> {
    let letter = in_text(pattern);
    let spelled = ["\\x", "\\u", "\\U", "\\a", "\\v", "\\0"];
    if letter.is_none() && !spelled.iter().any(|spelling| pattern.contains(spelling)) {
        return None;
    }
    // The syntax alone: classes are not spelled out.
    let whole = Parser::new().parse(pattern).ok()?;
    let mut open = vec![&whole];
    while let Some(part) = open.pop() {
        let literal = match part {
            Ast::Literal(literal) => Some(literal.c),
            Ast::ClassBracketed(class) if !class.negated => match &class.kind {
                ClassSet::Item(ClassSetItem::Literal(literal)) => Some(literal.c),
                ClassSet::Item(ClassSetItem::Range(range)) => {
                    let all = (range.start.c..=range.end.c).all(unwritable);
                    all.then_some(range.end.c)
                }
                _ => None,
            },
            Ast::Group(group) => {
                open.push(&group.ast);
                None
            }
            Ast::Repetition(repetition) => {
                open.push(&repetition.ast);
                None
            }
            Ast::Concat(concat) => {
                open.extend(&concat.asts);
                None
            }
            Ast::Alternation(alternation) => {
                open.extend(&alternation.asts);
                None
            }
            _ => None,
        };
        if let Some(letter) = literal.filter(|&letter| unwritable(letter)) {
            return Some(letter);
        }
    }
    None
}

#[cfg(not(feature = "tools"))]
fn in_pattern(pattern: &str) -> Option<char> {
    in_text(pattern)
}
