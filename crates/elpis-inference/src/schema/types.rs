//! A quick superset of the types that a schema allows.

use serde_json::Value;

use super::document::{Document, NodeId};

/// Maximum nesting of schemas that are examined.
const MAX_DEPTH: usize = 16;

/// The types that a value may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Types(u8);

impl Types {
    pub const NONE: Self = Self(0);
    pub const NULL: Self = Self(1);
    pub const BOOLEAN: Self = Self(2);
    pub const NUMBER: Self = Self(4);
    pub const STRING: Self = Self(8);
    pub const ARRAY: Self = Self(16);
    pub const OBJECT: Self = Self(32);
    pub const ALL: Self = Self(63);

    /// The type with this name in a schema; integers are numbers.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "number" | "integer" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => return None,
        })
    }

    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A superset of the types of the values that a schema allows.
pub(crate) fn types(document: &Document<'_>, node: NodeId) -> Types {
    at_depth(document, node, 0)
}

fn at_depth(document: &Document<'_>, node: NodeId, depth: usize) -> Types {
    let schema = match document.value(node) {
        Value::Bool(false) => return Types::NONE,
        Value::Object(schema) if depth < MAX_DEPTH => schema,
        _ => return Types::ALL,
    };
    let mut all = Types::ALL;
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
        && let Ok(target) = document.resolve(node, reference)
    {
        all = all.and(at_depth(document, target, depth + 1));
    }
    let named = |name: &Value| name.as_str().and_then(Types::named).unwrap_or(Types::NONE);
    let union = |types: Types, other| types.or(other);
    match schema.get("type") {
        Some(Value::Array(names)) => {
            all = all.and(names.iter().map(named).fold(Types::NONE, union));
        }
        Some(name) => all = all.and(named(name)),
        None => {}
    }
    match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(values)), _) => {
            all = all.and(values.iter().map(Types::of).fold(Types::NONE, union));
        }
        (None, Some(value)) => all = all.and(Types::of(value)),
        _ => {}
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        let Some(options) = schema.get(key).and_then(Value::as_array) else {
            continue;
        };
        let options = (0..options.len()).map(|at| {
            let option = document.child(node, &[key, &at.to_string()]);
            option.map_or(Types::ALL, |option| at_depth(document, option, depth + 1))
        });
        all = all.and(if key == "allOf" {
            options.fold(Types::ALL, Types::and)
        } else {
            options.fold(Types::NONE, Types::or)
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_told_through_choices_and_references() {
        let text = Types::STRING;
        let either = text.or(Types::NULL);
        for (schema, expected) in [
            (json!({"type": "string"}), text),
            (json!({"type": ["string", "null"]}), either),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
                either,
            ),
            (
                json!({"oneOf": [{"const": "a"}, {"enum": ["b", null]}]}),
                either,
            ),
            (
                json!({"allOf": [{"type": ["string", "null", "integer"]}, {"$ref": "#/$defs/e"}]}),
                either,
            ),
            (json!({"$ref": "#/$defs/e"}), either),
            (json!({"$ref": "#/$defs/own"}), Types::ALL),
            (json!({}), Types::ALL),
            (json!(true), Types::ALL),
            (json!(false), Types::NONE),
            (json!({"type": "integer"}), Types::NUMBER),
        ] {
            let whole = json!({"properties": {"a": schema}, "$defs": {"e": {"type": ["string", "null"]},
                "own": {"$ref": "#/$defs/own"}}});
            let document = Document::new(&whole);
            let a = document.child(document.root(), &["properties", "a"]);
            assert_eq!(types(&document, a.unwrap()), expected, "{schema}");
        }
    }
}
