//! Schemas as generators and servers write them, and numbers to the digit.

use std::sync::{Arc, LazyLock};

use elpis::inference::{
    ConstraintError, GenerationOptions, RequestError, ResponseFormat, Scope, Vocabulary,
};
use serde_json::{Value, json};

use crate::random_model::{self, takes};

static VOCABULARY: LazyLock<Arc<Vocabulary>> = LazyLock::new(random_model::vocabulary);

/// Whether the program's JSON keeps numbers of any size, as `serde_json` can be asked to.
fn keeps_digits() -> bool {
    let number = "123456789012345678901234567890";
    let written = serde_json::from_str::<Value>(number).unwrap().to_string();
    written == number
}

/// What a schema takes of these texts; the error if it is refused.
fn taken(schema: &Value, texts: &[&str]) -> Result<Vec<bool>, ConstraintError> {
    let grammar = ResponseFormat::json_schema(schema.clone())
        .grammar()?
        .unwrap();
    let mut all = Vec::new();
    for text in texts {
        let mut guide = VOCABULARY.compile(&grammar, Scope::Answer)?;
        all.push(takes(&mut guide, &[], text));
    }
    Ok(all)
}

fn check(schema: &Value, yes: &[&str], no: &[&str]) {
    let told = |texts| taken(schema, texts).unwrap_or_else(|error| panic!("{error}: {schema}"));
    for (text, is) in yes.iter().zip(told(yes)) {
        assert!(is, "{text} {schema}");
    }
    for (text, is) in no.iter().zip(told(no)) {
        assert!(!is, "{text} {schema}");
    }
}

fn refused(schema: &Value) -> (String, String) {
    match taken(schema, &[]).and_then(|_| {
        let grammar = ResponseFormat::json_schema(schema.clone())
            .grammar()?
            .unwrap();
        VOCABULARY.compile(&grammar, Scope::Answer)
    }) {
        Err(ConstraintError::Refused { path, reason, .. }) => (path.unwrap_or_default(), reason),
        other => panic!("{other:?}: {schema}"),
    }
}

#[test]
fn numbers_beyond_doubles_are_taken_exactly_if_they_are_valid() {
    for line in include_str!("../../data/schema_numbers.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let texts: Vec<&str> = case["instances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap())
            .collect();
        let valid: Vec<bool> = serde_json::from_value(case["valid"].clone()).unwrap();
        if case["id"] == "const-huge" && !keeps_digits() {
            // Rounded before it came here.
            let (path, reason) = refused(&case["schema"]);
            assert!(
                path == "#/const" && reason.contains("64 bits"),
                "{path}: {reason}"
            );
            continue;
        }
        assert_eq!(taken(&case["schema"], &texts).unwrap(), valid, "{case}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn numbers_of_every_spelling_are_read_to_the_digit() {
    let schema = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (text, yes, no) in [
        (
            r#"{"type": "integer", "minimum": 1e3, "maximum": 1.5e4}"#,
            &["1000", "15000"][..],
            &["999", "15001"][..],
        ),
        (
            r#"{"type": "integer", "minimum": 0.5, "exclusiveMaximum": 2.0}"#,
            &["1"],
            &["0", "2"],
        ),
        (
            r#"{"type": "integer", "minimum": -0, "maximum": 0}"#,
            &["0", "-0"],
            &["1", "-1"],
        ),
        (
            r#"{"type": "number", "minimum": -1e-7, "maximum": 1e-7}"#,
            &["0", "0.0000001", "-0.0000001", "1e-7", "-1e-8"],
            &["0.00000011", "1e-6"],
        ),
        (
            r#"{"type": "number", "exclusiveMinimum": 0, "maximum": 1.7976931348623157e308}"#,
            &["0.1", "1e99", "123456789012345678901234567890"],
            &["0", "-1", "0.0"],
        ),
        (
            r#"{"type": "integer", "minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308}"#,
            &["0", "123456789012345678901234567890"],
            &["1.5"],
        ),
        (
            r#"{"type": "number", "minimum": 0.1, "maximum": 0.3}"#,
            &["0.1", "0.10", "0.2", "0.3", "0.30"],
            &["0.09999", "0.30000000000000001", "0.31"],
        ),
        (
            r#"{"type": "number", "multipleOf": 0.01}"#,
            &["1", "0.07", "1.1", "12.30"],
            &["0.001", "1.234"],
        ),
        (
            r#"{"type": "number", "multipleOf": 0.07, "minimum": 0, "maximum": 1}"#,
            &["0.07", "0.7"],
            &["0.08"],
        ),
        (
            r#"{"type": "integer", "multipleOf": 1.0}"#,
            &["7"],
            &["7.5"],
        ),
        (
            r#"{"type": "integer", "multipleOf": 7, "minimum": 0}"#,
            &["0", "21"],
            &["22"],
        ),
        (r#"{"const": 1.5e3}"#, &["1500", "1500.0"], &["1501"]),
        (
            r#"{"enum": [1e2, -2.5, 0.1]}"#,
            &["100", "-2.5", "0.1"],
            &["2.5", "0.10000001"],
        ),
        (
            r#"{"enum": [1, 2.0, 3], "type": "integer"}"#,
            &["1", "2", "3"],
            &["4"],
        ),
        (
            r#"{"minimum": 5, "exclusiveMinimum": true, "type": "integer"}"#,
            &["6"],
            &["5"],
        ),
        (
            r#"{"maximum": 5, "exclusiveMaximum": false, "type": "integer"}"#,
            &["5"],
            &["6"],
        ),
        (
            r#"{"type": ["integer", "null"], "minimum": 9007199254740993}"#,
            &["null", "9007199254740993"],
            &["9007199254740992"],
        ),
        (
            r#"{"allOf": [{"minimum": 9007199254740993}, {"maximum": 9007199254740993}, {"type": "integer"}]}"#,
            &["9007199254740993"],
            &["9007199254740992", "9007199254740994"],
        ),
        (
            r#"{"not": {"const": 9007199254740993}, "type": "integer"}"#,
            &["9007199254740992"],
            &["9007199254740993"],
        ),
    ] {
        check(&schema(text), yes, no);
    }
    if keeps_digits() {
        check(
            &schema(r#"{"type": "integer", "maximum": 1e400}"#),
            &["1"],
            &["1.0"],
        );
        check(
            &schema(r#"{"type": "integer", "minimum": 123456789012345678901234567890}"#),
            &["123456789012345678901234567890"],
            &["123456789012345678901234567889"],
        );
        return;
    }
    for (text, place) in [
        (
            r#"{"type": "object", "properties": {"a/b": {"enum": [1, 123456789012345678901234567890]}}}"#,
            "#/properties/a~1b/enum/1",
        ),
        (
            r#"{"items": {"const": {"x": [18446744073709551617001]}}}"#,
            "#/items/const/x/0",
        ),
        (
            r#"{"type": "integer", "minimum": 123456789012345678901234567890}"#,
            "#/minimum",
        ),
        (
            r#"{"type": "number", "exclusiveMaximum": -98765432109876543210987}"#,
            "#/exclusiveMaximum",
        ),
        (
            r#"{"type": "integer", "multipleOf": 12345678901234567890123}"#,
            "#/multipleOf",
        ),
    ] {
        let (path, reason) = refused(&schema(text));
        assert!(
            path == place && reason.contains("64 bits"),
            "{text}: {path}: {reason}"
        );
    }
}

#[test]
fn schemas_of_servers_and_generators_are_taken() {
    let mut seen = Vec::new();
    for line in include_str!("../../data/schema_cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (schema, id) = (&case["schema"], case["id"].as_str().unwrap().to_owned());
        match id.as_str() {
            "int64-bounds" => check(
                schema,
                &[
                    r#"{"seed": 9223372036854775807}"#,
                    r#"{"seed": -9223372036854775808}"#,
                ],
                &[r#"{"seed": 9223372036854775808}"#],
            ),
            "format-json" => check(
                schema,
                &[r#"{"children": ["no JSON", ""]}"#],
                &[r#"{"children": [1]}"#],
            ),
            "decimal-lookahead" => check(
                schema,
                &[
                    r#"{"amount": "1.5"}"#,
                    r#"{"amount": 2}"#,
                    r#"{"amount": "-007"}"#,
                ],
                &[
                    r#"{"amount": ""}"#,
                    r#"{"amount": "-"}"#,
                    r#"{"amount": "1.5.2"}"#,
                ],
            ),
            "email-lookahead" => check(
                schema,
                &[r#"{"to": "a.b@example.org"}"#],
                &[
                    r#"{"to": ".a@example.org"}"#,
                    r#"{"to": "a..b@example.org"}"#,
                    r#"{"to": "a@b"}"#,
                ],
            ),
            "property-names" => check(
                schema,
                &[r#"{"m": {"any name": "x"}}"#],
                &[r#"{"m": {"x": 1}}"#],
            ),
            "float-length" => check(
                schema,
                &[r#"{"v": "0123456789"}"#],
                &[r#"{"v": "0123456789a"}"#],
            ),
            "wrapped" => check(
                schema,
                &[r#"{"city": "Paris"}"#],
                &[r#"{"name": "x"}"#, "1"],
            ),
            other => panic!("{other}"),
        }
        seen.push(id);
    }
    assert_eq!(seen.len(), 7);
}

#[test]
fn what_says_nothing_is_taken() {
    let plain =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    for (key, value) in [
        ("title", json!("T")),
        ("description", json!(7)),
        ("default", json!({"minProperties": 9})),
        ("examples", json!([{"$ref": "#/nowhere"}])),
        ("example", json!(1)),
        ("deprecated", json!(true)),
        ("readOnly", json!(true)),
        ("writeOnly", json!("x")),
        ("nullable", json!(true)),
        ("discriminator", json!({"propertyName": "a"})),
        ("$comment", json!("c")),
        ("$schema", json!("http://json-schema.org/draft-03/schema#")),
        ("$schema", json!("https://example.com/of-our-own")),
        ("$id", json!("https://example.com/a.json")),
        ("id", json!("a")),
        ("id", json!({"type": "no such type"})),
        ("$anchor", json!("here")),
        ("$vocabulary", json!({})),
        ("definitions", json!({"x": {"type": "no such type"}})),
        ("$defs", json!({"x": {"$ref": "#/nowhere"}})),
        ("contentMediaType", json!("application/json")),
        ("contentEncoding", json!("base64")),
        ("contentSchema", json!({"type": "no such type"})),
        ("format", json!("no such format")),
        ("x-order", json!(3)),
        ("x-guidance", json!({"whitespace_flexible": true})),
        ("é", json!(1)),
        ("propertyNames", json!({"type": "string"})),
        ("propertyNames", json!(true)),
        ("propertyNames", json!({"minLength": 1})),
        ("uniqueItems", json!(false)),
        ("unevaluatedProperties", json!(true)),
        ("additionalItems", json!(false)),
        ("then", json!(false)),
        ("minContains", json!(3)),
        ("not", json!(false)),
        ("dependentRequired", json!({})),
        ("allOf", json!([])),
        ("allOf", json!([true, {}])),
        ("if", json!(false)),
        ("minLength", json!(3)),
        ("multipleOf", json!(3)),
        ("items", json!(false)),
    ] {
        let mut schema = plain.clone();
        schema[key] = value;
        check(
            &schema,
            &[r#"{"a": "x"}"#, r#"{"a": "", "b": 1}"#],
            &[r#"{"a": 1}"#, "{}", "null"],
        );
    }
    for format in [
        "json",
        "int64",
        "uri-template",
        "regex",
        "binary",
        "password",
        "",
        "color-hex",
        "decimal",
    ] {
        check(
            &json!({"type": "string", "format": format}),
            &["\"any text\""],
            &["1"],
        );
        check(
            &json!({"type": "integer", "format": format}),
            &["1"],
            &["\"1\""],
        );
    }
    for length in [json!(3), json!(3.0), json!(3e0), json!(30e-1)] {
        check(
            &json!({"type": "string", "minLength": length, "maxLength": length}),
            &["\"abc\""],
            &["\"ab\"", "\"abcd\""],
        );
        check(
            &json!({"type": "array", "minItems": length, "maxItems": length}),
            &["[1, 2, 3]"],
            &["[1, 2]", "[1, 2, 3, 4]"],
        );
    }
}

#[test]
fn references_are_followed_in_every_spelling() {
    let definitions = json!({"a/b": {"type": "integer"}, "a~b": {"type": "integer"}, "é x%": {"type": "integer"},
        "Foo<Bar>": {"type": "integer"}, "named": {"$anchor": "here", "type": "integer"}});
    for reference in [
        "#/$defs/a~1b",
        "#/%24defs/a~1b",
        "#/$defs/a%7E1b",
        "#/$defs/a~0b",
        "#/$defs/%C3%A9%20x%25",
        "#/$defs/é x%25",
        "#/$defs/Foo%3CBar%3E",
        "#/$defs/Foo<Bar>",
        "#here",
        "#/properties/n/items/0",
        "root.json#/$defs/a~1b",
        "https://example.com/root.json#here",
    ] {
        let schema = json!({"$id": "https://example.com/root.json", "$defs": definitions, "type": "object",
            "properties": {"n": {"items": [{"type": "integer"}]}, "v": {"$ref": reference}}, "required": ["v"]});
        check(&schema, &[r#"{"v": 5}"#], &[r#"{"v": "5"}"#]);
    }
    // Recursion, by the root and by a definition.
    let tree = json!({"type": "object", "properties": {"of": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["of"], "additionalProperties": false});
    check(
        &tree,
        &[r#"{"of": 1, "children": [{"of": 2, "children": []}]}"#],
        &[r#"{"of": 1, "children": [{}]}"#],
    );
    let list = json!({"$ref": "#/definitions/list", "definitions": {"list": {"anyOf": [{"type": "null"},
        {"type": "array", "prefixItems": [{"type": "integer"}, {"$ref": "#/definitions/list"}], "items": false, "minItems": 2}]}}});
    check(&list, &["null", "[1, [2, null]]"], &["[1]", "[1, 2]"]);
    // Until draft 7 what is beside a reference says nothing.
    let beside = |draft: &str| json!({"$schema": draft, "$ref": "#/definitions/n", "maximum": 3, "definitions": {"n": {"type": "integer"}}});
    check(
        &beside("http://json-schema.org/draft-07/schema#"),
        &["5"],
        &["\"5\""],
    );
    check(
        &beside("https://json-schema.org/draft/2020-12/schema"),
        &["3"],
        &["5"],
    );
    for (schema, place, words) in [
        (
            json!({"properties": {"a": {"$ref": "#/nowhere"}}}),
            "#/properties/a/$ref",
            "nothing",
        ),
        (
            json!({"items": {"$ref": "https://example.com/other.json"}}),
            "#/items/$ref",
            "another document",
        ),
        (json!({"$ref": "#"}), "#/$ref", "itself"),
        (json!({"$ref": 7}), "#/$ref", "string"),
    ] {
        let (path, reason) = refused(&schema);
        assert!(path == place && reason.contains(words), "{path}: {reason}");
    }
    let endless =
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]});
    assert!(refused(&endless).1.contains("nothing fulfils it"));
}

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
            "\"(a)\\\\1\" cannot be enforced: a reference",
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

#[test]
fn a_tool_that_is_refused_is_named_with_the_place() {
    let tools = |schema: Value| {
        GenerationOptions::default().tools(
            json!([{"name": "fine", "inputSchema": {"type": "object"}}, {"name": "send_mail", "inputSchema": schema}]),
        )
    };
    let pattern = "^(?:(?!ab)[a-z]+)*$";
    let error = tools(
        json!({"type": "object", "properties": {"to": {"type": "string", "pattern": pattern}}}),
    )
    .validate()
    .unwrap_err();
    let text = error.to_string();
    for words in [
        "tools",
        "tool \"send_mail\"",
        "#/properties/to/pattern",
        pattern,
        "look-around",
        "16",
    ] {
        assert!(text.contains(words), "{text} lacks {words}");
    }
    let RequestError::Constraint(ConstraintError::Refused { tool, path, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (tool.as_deref(), path.as_deref()),
        (Some("send_mail"), Some("#/properties/to/pattern"))
    );
    let error = tools(
        json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 1}}, "required": ["n"]}),
    );
    assert!(
        error
            .validate()
            .unwrap_err()
            .to_string()
            .contains("tool \"send_mail\": #: nothing fulfils it")
    );
}
