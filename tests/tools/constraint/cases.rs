//! Schemas as generators and servers write them, and numbers to the digit.

mod combinations;
mod numbers;

use std::sync::{Arc, LazyLock};

use elpis::inference::{
    ConstraintError, GenerationOptions, RequestError, ResponseFormat, Scope, Vocabulary,
};
use serde_json::{Value, json};

use crate::random_model::{self, takes};

static VOCABULARY: LazyLock<Arc<Vocabulary>> = LazyLock::new(random_model::vocabulary);

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
