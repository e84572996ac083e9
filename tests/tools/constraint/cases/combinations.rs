//! Combinations of schemas.

use serde_json::json;

use super::{check, refused};

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn combinations_are_taken_apart_exactly() {
    for (schema, yes, no) in [
        (
            json!({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"a": {"minimum": 3}}}], "type": "object", "additionalProperties": false, "properties": {"a": {}}}),
            &[r#"{"a": 3}"#][..],
            &[r#"{"a": 2}"#, "{}", r#"{"a": 3, "b": 1}"#][..],
        ),
        (
            json!({"oneOf": [{"properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind", "x"]}, {"properties": {"kind": {"const": "b"}}, "required": ["kind"]}], "type": "object"}),
            &[r#"{"kind": "a", "x": 1}"#, r#"{"kind": "b"}"#],
            &[r#"{"kind": "a"}"#, r#"{"kind": "c"}"#],
        ),
        (
            // Nothing but the value of a property tells these apart, so that it has to be there.
            json!({"type": "object", "oneOf": [{"properties": {"kind": {"const": "a"}}}, {"properties": {"kind": {"const": "b"}}}]}),
            &[r#"{"kind": "a"}"#, r#"{"kind": "b"}"#],
            &["{}", r#"{"kind": "c"}"#],
        ),
        (
            json!({"type": "object", "properties": {"a": {}, "b": {"type": "null"}}, "dependentRequired": {"a": ["b"]}, "additionalProperties": false}),
            &["{}", r#"{"b": null}"#, r#"{"a": 1, "b": null}"#],
            &[r#"{"a": 1}"#],
        ),
        (
            json!({"enum": [1, "1", null, [1], {"a": 1}], "not": {"type": ["array", "null"]}}),
            &["1", "\"1\"", "{\"a\": 1}"],
            &["null", "[1]"],
        ),
        (
            json!({"type": ["string", "integer"], "not": {"enum": ["x", 3]}}),
            &["\"y\"", "4"],
            &["\"x\"", "3"],
        ),
        (
            json!({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2, "maxProperties": 2, "additionalProperties": false}),
            &[r#"{"a": 1, "b": 2}"#, r#"{"b": 1, "c": 2}"#],
            &[r#"{"a": 1}"#, r#"{"a": 1, "b": 1, "c": 1}"#, "{}"],
        ),
        (
            json!({"type": "object", "patternProperties": {"^a": {"type": "integer"}, "z$": {"type": "null"}}, "additionalProperties": false}),
            &[r#"{"a": 1, "bz": null}"#],
            &[r#"{"az": 1}"#, r#"{"az": null}"#, r#"{"c": 1}"#],
        ),
        (
            json!({"type": "object", "propertyNames": {"pattern": "^[a-z]+$", "maxLength": 3}, "additionalProperties": {"type": "integer"}}),
            &["{}", r#"{"abc": 1}"#],
            &[r#"{"A": 1}"#, r#"{"abcd": 1}"#],
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}, "minItems": 1, "maxItems": 3}),
            &["[1]", "[1, \"a\"]", "[1, \"a\", null]"],
            &["[]", "[\"a\"]", "[1, \"a\", null, null]", "[1, null]"],
        ),
        (
            json!({"type": "array", "items": [{"type": "integer"}], "additionalItems": {"type": "null"}}),
            &["[]", "[1]", "[1, null]"],
            &["[1, 1]"],
        ),
        (
            json!({"type": "object", "properties": {"a": false, "b": {"type": "integer"}}}),
            &[r#"{"b": 1}"#],
            &[r#"{"a": 1}"#],
        ),
    ] {
        check(&schema, yes, no);
    }
    for (schema, place, words) in [
        (
            json!({"properties": {"a": {"uniqueItems": true}}}),
            "#/properties/a/uniqueItems",
            "compare",
        ),
        (
            json!({"if": {"type": "object"}, "then": {"required": ["a"]}}),
            "#/if",
            "enforced",
        ),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "#/oneOf",
            "option 0 and option 1",
        ),
        (
            json!({"not": {"minimum": 3, "type": "integer"}}),
            "#/not",
            "enforced",
        ),
        (
            json!({"type": "string", "pattern": "(a)\\1"}),
            "#/pattern",
            "\"(a)\\\\1\" cannot be enforced: references to groups",
        ),
        (json!({"type": "text"}), "#/type", "\"text\" is no type"),
        (json!({"items": [1]}), "#/items/0", "no schema"),
        (json!({"minLength": -1}), "#/minLength", "-1"),
        (json!({"maxItems": 1.5}), "#/maxItems", "1.5"),
        (json!({"multipleOf": 0}), "#/multipleOf", "above 0"),
        (json!({"required": [1]}), "#/required", "name"),
        (json!({"anyOf": {}}), "#/anyOf", "list"),
        (json!({"minimum": "3"}), "#/minimum", "number"),
        (json!({"enum": 1}), "#/enum", "list"),
    ] {
        let (path, reason) = refused(&schema);
        assert!(
            path == place && reason.contains(words),
            "{schema}: {path}: {reason}"
        );
    }
}
