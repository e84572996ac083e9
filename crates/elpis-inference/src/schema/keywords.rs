//! The keywords of JSON Schema, from draft 4 to 2020-12.

use serde_json::{Map, Value};

/// Annotations, which do not affect validity. Unknown keywords do not either.
pub(crate) const ANNOTATIONS: [&str; 20] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "nullable",
    "discriminator",
    "externalDocs",
    "xml",
    "contentMediaType",
    "contentEncoding",
    "contentSchema",
    "$comment",
    "$schema",
    "$vocabulary",
    "definitions",
    "$defs",
];

/// Keywords whose values are data instead of schemas.
const DATA: [&str; 6] = [
    "enum", "const", "default", "examples", "example", "required",
];

/// Keywords whose values are schemas by arbitrary names.
const NAMED: [&str; 6] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependencies",
];

/// The contents of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A schema, or a list of schemas.
    Schemas,
    /// Schemas by name.
    Names,
    /// No schema.
    Data,
}

/// The contents of a key's value, if the key is a keyword or, with `names`, a name.
pub(crate) fn holds(key: &str, names: bool) -> Holds {
    match key {
        _ if names => Holds::Schemas,
        key if DATA.contains(&key) => Holds::Data,
        key if NAMED.contains(&key) => Holds::Names,
        _ => Holds::Schemas,
    }
}

/// The draft that a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Draft {
    /// Whether siblings of `$ref` are ignored (until draft 7).
    pub lone_ref: bool,
    /// Whether `id` names a schema, like `$id` in later drafts (draft 4).
    pub plain_id: bool,
}

impl Draft {
    pub fn of(root: &Value) -> Self {
        let uri = root.get("$schema").and_then(Value::as_str).unwrap_or("");
        let early = |number: &str| uri.contains(&format!("draft-0{number}"));
        Self {
            lone_ref: ["3", "4", "5", "6", "7"].into_iter().any(early),
            plain_id: ["3", "4"].into_iter().any(early),
        }
    }
}

/// A keyword of this schema that matters but cannot be enforced, with the reason. `not` is handled
/// elsewhere.
pub(super) fn unsupported(schema: &Map<String, Value>) -> Option<(&str, &'static str)> {
    let is_true =
        |value: &Value| *value == Value::Bool(true) || value.as_object().is_some_and(Map::is_empty);
    let in_place = || {
        let applies = [
            "allOf",
            "anyOf",
            "oneOf",
            "$ref",
            "$dynamicRef",
            "if",
            "dependentSchemas",
        ];
        applies.iter().any(|key| schema.contains_key(*key))
    };
    let says = |key: &str, value: &Value| match key {
        "contains" => true,
        "if" => schema.contains_key("then") || schema.contains_key("else"),
        "uniqueItems" => *value != Value::Bool(false),
        "unevaluatedProperties" | "unevaluatedItems" => !is_true(value) && in_place(),
        _ => false,
    };
    let (key, _) = schema.iter().find(|(key, value)| says(key, value))?;
    let reason = match key.as_str() {
        "uniqueItems" => "cannot be enforced: a mask cannot compare the items of a list",
        "unevaluatedProperties" => {
            "cannot be enforced beside schemas for the same object: use additionalProperties"
        }
        "unevaluatedItems" => "cannot be enforced beside schemas for the same list: use items",
        _ => "cannot be enforced",
    };
    Some((key, reason))
}
