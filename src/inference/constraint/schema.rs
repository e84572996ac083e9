//! JSON schemas: what is refused of them, and how they are put to the compiler of grammars.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::format::{FIELD, check_repetitions, limit, repetitions};
use super::letters::check_letters;
use super::{ConstraintError, formats};
use crate::inference::tools::{MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, Measured, measure};

/// The schema with JSON's spacing fixed to one space after `:` and `,`. Free white space would
/// let a model write it for ever, and this is how Python writes what models have read.
///
/// Letters are written as they are, never as `\uXXXX`: an object that may have further properties
/// is kept from repeating a declared name in that one spelling only.
///
/// Strings of a `format` keep to it by the letter, down to the 29th of February.
pub fn canonical_schema(schema: &Value) -> Value {
    let fields = match schema {
        Value::Object(fields) => fields.clone(),
        // The other two schemas: everything and nothing.
        Value::Bool(false) => Map::from_iter([("not".to_owned(), json!({}))]),
        _ => Map::new(),
    };
    let writing = json!({
        "item_separator": ", ",
        "key_separator": ": ",
        "whitespace_flexible": false,
        "json_allowed_escapes": "nrbtf\\\"",
    });
    let mut schema = Value::Object(fields);
    let mut open = vec![(&mut schema, false)];
    while let Some((value, names)) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items.iter_mut().map(|item| (item, false))),
            Value::Object(fields) => {
                if !names {
                    formats::tighten(fields);
                }
                open.extend(
                    fields
                        .iter_mut()
                        .filter_map(|(key, value)| Some((value, holds(key, names)?))),
                );
            }
            _ => {}
        }
    }
    schema["x-guidance"] = writing;
    schema
}

pub(super) fn check_schema(schema: &Value) -> Result<(), ConstraintError> {
    let Measured { bytes, depth } = measure(schema);
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        let value = "no schema".to_owned();
        return Err(limit(FIELD, value, "a JSON schema: an object or a boolean"));
    }
    if bytes > MAX_SCHEMA_BYTES {
        let value = format!("{bytes} bytes long");
        return Err(limit(FIELD, value, "at most 262144 bytes"));
    }
    if depth > MAX_SCHEMA_DEPTH {
        let value = format!("{depth} levels deep");
        return Err(limit(FIELD, value, "at most 64 levels"));
    }
    check_patterns(FIELD, schema)
}

/// Keywords whose values are data and no schemas.
const DATA: [&str; 4] = ["enum", "const", "default", "examples"];

/// Keywords whose values are schemas by names of the caller's choice.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
];

/// Whether the value of a key is schemas by name; `None` if it is data. `names` tells that the
/// key is such a name itself.
fn holds(key: &str, names: bool) -> Option<bool> {
    let data = !names && DATA.contains(&key);
    (!data).then(|| !names && NAMED.contains(&key))
}

/// Bounds the repetitions in all patterns of a schema, and refuses what the masks would let be
/// broken.
///
/// # Errors
/// [`ConstraintError::Limit`], [`ConstraintError::Refused`].
pub(crate) fn check_patterns(field: &'static str, schema: &Value) -> Result<(), ConstraintError> {
    let mut count = 0;
    // Each with whether its keys are names and no keywords.
    let mut open = vec![(schema, false)];
    while let Some((value, names)) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, false))),
            Value::Object(fields) => {
                if !names {
                    let pattern = fields.get("pattern").and_then(Value::as_str);
                    count += pattern.map_or(0, repetitions);
                    let keys = fields.get("patternProperties").and_then(Value::as_object);
                    let keys = keys.into_iter().flat_map(Map::keys);
                    count += keys.map(|key| repetitions(key)).sum::<usize>();
                    check_least(field, fields)?;
                    check_letters(field, fields)?;
                }
                let parts = fields.iter();
                open.extend(parts.filter_map(|(key, value)| Some((value, holds(key, names)?))));
            }
            _ => {}
        }
    }
    check_repetitions(field, count)
}

/// Nothing keeps two free properties from having the same name, so no more than one of them can
/// be asked for.
fn check_least(field: &'static str, schema: &Map<String, Value>) -> Result<(), ConstraintError> {
    let least = schema.get("minProperties").and_then(Value::as_u64);
    let required = schema.get("required").and_then(Value::as_array);
    let required: HashSet<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match least {
        Some(least) if least > required.len() as u64 + 1 => Err(ConstraintError::Refused {
            field,
            reason: format!(
                "minProperties is {least} and {} are required: of the others only one can be \
                 asked for, since names may repeat",
                required.len()
            ),
        }),
        _ => Ok(()),
    }
}
