//! JSON schemas of requests: their validation and their grammars.

use serde_json::{Map, Value};

use super::ConstraintError;
use super::bounds::{FIELD, check_repetitions, limit, repetitions};
use crate::schema::{Holds, holds};
use crate::tools::{MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, Measured, ToolDefinition, measure};

/// Keywords of JSON Schema, at least one of which any nontrivial schema has.
const KEYWORDS: [&str; 24] = [
    "type",
    "properties",
    "patternProperties",
    "additionalProperties",
    "required",
    "items",
    "prefixItems",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "$ref",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "propertyNames",
];

/// The schema of a response format, given alone or in the wrapper of `OpenAI`'s API: `{"type":
/// "json_schema", "json_schema": {"schema": …}}`, `{"name": …, "schema": …}` or an API's wrapper
/// around these (`response_format`, `format`).
pub(super) fn unwrapped(given: &Value) -> &Value {
    let mut schema = given;
    // Within `json_schema` a schema needs no name.
    let mut inside_format = false;
    // Each form is nested in the previous one.
    for _ in 0..3 {
        let Value::Object(fields) = schema else {
            return schema;
        };
        let inner = |key: &str| fields.get(key).filter(|inner| inner.is_object());
        let is_format = fields.get("type").is_some_and(|kind| kind == "json_schema");
        let says = KEYWORDS.iter().any(|key| match fields.get(*key) {
            None => false,
            Some(_) if *key == "type" => !is_format,
            // The format of a string is a name.
            Some(value) => *key != "format" || value.is_string(),
        });
        let named = || {
            let name = fields.get("name").is_some_and(Value::is_string);
            let strict = fields.get("strict").is_some_and(Value::is_boolean);
            let schema = fields.get("schema");
            schema.filter(|schema| {
                (schema.is_object() || schema.is_boolean())
                    && (name || strict || is_format || inside_format)
            })
        };
        let wrapped = if says {
            None
        } else {
            let inside = inner("json_schema").filter(|_| is_format || fields.len() == 1);
            let wrapped = inside.or_else(named);
            inside_format = inside.is_some();
            wrapped
                .or_else(|| inner("response_format").filter(|_| fields.len() == 1))
                .or_else(|| inner("format").filter(|_| fields.len() == 1))
        };
        match wrapped {
            Some(inner) => schema = inner,
            None => return schema,
        }
    }
    schema
}

/// The grammar of JSON that conforms to a schema.
///
/// # Errors
/// [`ConstraintError::Limit`] if the value is not a schema, too long or too deep,
/// [`ConstraintError::Refused`] if it cannot be enforced, [`ConstraintError::NotBuilt`].
pub(super) fn json_grammar(schema: &Value) -> Result<String, ConstraintError> {
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
    check_repeated(FIELD, schema)?;
    written(FIELD, schema, false)
}

/// Checks that the schemas of tools can be enforced.
///
/// # Errors
/// [`ConstraintError::Limit`], [`ConstraintError::Refused`] with the tool and the place.
pub fn check_tools(tools: &[ToolDefinition]) -> Result<(), ConstraintError> {
    for tool in tools {
        check_repeated("tools", &tool.parameters)?;
        if cfg!(feature = "tools") {
            let checked = written("tools", &tool.parameters, true);
            checked.map_err(|error| error.of_tool(&tool.name))?;
        }
    }
    Ok(())
}

#[cfg(feature = "tools")]
fn written(field: &'static str, schema: &Value, kept: bool) -> Result<String, ConstraintError> {
    use crate::schema::{Document, Lark, Style, Writer};

    let document = Document::new(schema);
    let mut lark = Lark::default();
    let mut writer = Writer::new(&mut lark, &document, Style::Json, kept);
    let start = writer.value(&[document.root()]);
    let refused = |path, reason| ConstraintError::refused(field, reason).at(path);
    writer
        .finish()
        .map_err(|error| refused(error.path, error.reason))?;
    let text = lark.text(&[start]);
    text.ok_or_else(|| refused("#".to_owned(), "nothing fulfils it".to_owned()))
}

#[cfg(not(feature = "tools"))]
fn written(field: &'static str, _: &Value, _: bool) -> Result<String, ConstraintError> {
    Err(ConstraintError::NotBuilt { field })
}

/// Bounds the repetitions in all patterns of a schema.
fn check_repeated(field: &'static str, schema: &Value) -> Result<(), ConstraintError> {
    let mut count = 0;
    let mut open = vec![(schema, Holds::Schemas)];
    while let Some((value, kind)) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, kind))),
            Value::Object(fields) => {
                let names = kind == Holds::Names;
                if !names {
                    let pattern = fields.get("pattern").and_then(Value::as_str);
                    count += pattern.map_or(0, repetitions);
                    let keys = fields.get("patternProperties").and_then(Value::as_object);
                    let keys = keys.into_iter().flat_map(Map::keys);
                    count += keys.map(|key| repetitions(key)).sum::<usize>();
                }
                for (key, value) in fields {
                    let inside = holds(key, names);
                    if inside != Holds::Data {
                        open.push((value, inside));
                    }
                }
            }
            _ => {}
        }
    }
    check_repetitions(field, count)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_wrapping_of_a_response_format_is_recognised() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        for wrapped in [
            json!({"name": "city", "strict": true, "schema": schema}),
            json!({"name": "city", "description": "d", "schema": schema}),
            json!({"strict": true, "schema": schema}),
            json!({"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}),
            json!({"type": "json_schema", "json_schema": {"schema": schema}}),
            json!({"type": "json_schema", "name": "city", "schema": schema, "strict": false}),
            json!({"json_schema": {"name": "city", "schema": schema}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": schema}}}),
            json!({"format": {"type": "json_schema", "name": "city", "schema": schema}}),
        ] {
            assert_eq!(*unwrapped(&wrapped), schema, "{wrapped}");
        }
        for bare in [
            schema,
            json!({"properties": {"name": {"type": "string"}, "schema": {"type": "object"}}}),
            json!({"type": "object", "name": "x", "schema": {}}),
            json!({"title": "x", "schema": {"type": "object"}}),
            json!({"name": "x"}),
            json!({}),
            json!(true),
        ] {
            assert_eq!(*unwrapped(&bare), bare);
        }
    }
}
