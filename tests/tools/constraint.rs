//! Answers under a constraint, of a random model.

mod cases;
mod strings;

use elpis_testkit::schemas;
use std::time::Instant;

use crate::random_model::{Model, is_refused, takes, vocabulary};
use elpis::inference::{
    ConstraintError, GenerationOptions, ResponseFormat, SamplingParams, Scope, Vocabulary,
};
use elpis_testkit::schemas::Schemas;
use serde_json::json;

#[test]
fn answers_keep_to_their_form() {
    let vocabulary = vocabulary();
    let write = |format: &ResponseFormat, seed: u64| {
        let grammar = format.grammar().unwrap().unwrap();
        let mut guide = vocabulary.compile(&grammar, Scope::Answer).unwrap();
        assert!(guide.is_active() && !guide.writes_calls());
        Model::hot(seed).write(&mut guide, 5000).unwrap()
    };
    let seed = schemas::seed();
    let mut schemas = Schemas::new(seed, 3);
    let mut wild = Schemas::wild(seed, 3);
    let mut checked = 0;
    for round in 0..50 {
        let seed = seed.wrapping_add(round);
        let schema = schemas.schema(3);
        let text = write(&ResponseFormat::json_schema(schema.clone()), seed);
        schemas::check(&schema, &serde_json::from_str(&text).unwrap());
        let schema = wild.schema(3);
        if let Ok(grammar) = ResponseFormat::json_schema(schema.clone()).grammar()
            && let Ok(mut guide) = vocabulary.compile(&grammar.unwrap(), Scope::Answer)
        {
            let mut model = Model::hot(seed);
            let text = model.write(&mut guide, 2000).unwrap();
            if model.whole {
                // But for numbers that no double holds.
                if let Ok(value) = serde_json::from_str(&text) {
                    schemas::check(&schema, &value);
                    checked += 1;
                }
            }
        }
        let text = write(&ResponseFormat::regex("[a-c]{2,5}(\\d|é)+x"), seed);
        assert!(
            text.ends_with('x')
                && text
                    .chars()
                    .all(|c| "abcé0123456789x".contains(c) || c.is_numeric())
        );
        let text = write(&ResponseFormat::choice(["yes", "no", "ja \"\n\\"]), seed);
        assert!(
            ["yes", "no", "ja \"\n\\"].contains(&text.as_str()),
            "{text}"
        );
        let lark = "start: item (\",\" item){0,3}\nitem: /[0-9]{1,2}/ | \"(\" item \")\"";
        let text = write(&ResponseFormat::lark(lark), seed);
        assert_eq!(
            text.matches('(').count(),
            text.matches(')').count(),
            "{text}"
        );
    }
    assert!(checked >= 25, "{checked} of 50");
}

#[test]
fn answers_under_the_schema_of_a_type_are_read_into_it() {
    use elpis::inference::schemars::{self, JsonSchema};

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only read into")]
    struct Visit {
        kind: Kind,
        #[schemars(length(max = 6))]
        notes: Vec<Note>,
        places: (u32, i64),
        left: Option<u64>,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Note {
        #[schemars(length(max = 9))]
        text: String,
        within: Option<Box<Note>>,
        sign: char,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    #[expect(dead_code, reason = "only read into")]
    enum Kind {
        Short,
        Long { minutes: u16, sure: bool },
    }

    let vocabulary = vocabulary();
    let grammar = ResponseFormat::of::<Visit>().grammar().unwrap().unwrap();
    let mut read = 0;
    for seed in 0..60 {
        let mut guide = vocabulary.compile(&grammar, Scope::Answer).unwrap();
        let mut model = Model::hot(seed);
        let text = model.write(&mut guide, 3000).unwrap();
        if model.whole {
            let visit = serde_json::from_str(&text);
            let visit = visit.and_then(elpis::inference::read_typed::<Visit>);
            visit.unwrap_or_else(|error| panic!("{error}: {text}"));
            read += 1;
        }
    }
    assert!(read > 30, "{read}");
}

#[test]
fn no_spelling_of_a_declared_name_gets_round_its_schema() {
    let vocabulary = vocabulary();
    let schema = json!({"type": "object", "properties": {
        "place": {"type": "string"},
        "größe": {"type": "integer"},
        "a\"b\n": {"type": "null"},
    }, "required": ["place"]});
    let mut pattern = schema.clone();
    pattern["patternProperties"] = json!({"^x": {"type": "boolean"}});
    let takes_all = |format: &ResponseFormat, reply: &str| {
        let grammar = format.grammar().unwrap().unwrap();
        let mut guide = vocabulary.compile(&grammar, Scope::Answer).unwrap();
        takes(&mut guide, &[], reply)
    };
    for schema in [schema, pattern] {
        let format = ResponseFormat::json_schema(schema);
        for reply in [
            r#"{"place": "x"}"#,
            r#"{"place": "Zürich – 東京 🚄 \"\n\\"}"#,
            r#"{"place": "x", "größe": 5, "placé": [5, "é"]}"#,
            r#"{"place": "x", "größe": 5, "a\"b\n": null, "a\"b": 1}"#,
            r#"{"place": "x", "Place": 5, "plac": {"place": 7}}"#,
        ] {
            assert!(takes_all(&format, reply), "{reply}");
        }
        for reply in [
            r#"{"place": "x", "place": 5}"#,
            r#"{"place": "x", "\u0070lace": 5}"#,
            r#"{"place": "x", "pl\u0061ce": 5}"#,
            r#"{"place": "x", "gr\u00f6\u00dfe": "x"}"#,
            r#"{"place": "x", "gr\u00F6ße": "x"}"#,
            r#"{"place": "x", "a\u0022b\n": 1}"#,
            r#"{"place": "x", "a\"b\u000a": 1}"#,
            r#"{"place": "x", "a\"b\n": 1}"#,
            r#"{"\u0070lace": "x"}"#,
        ] {
            assert!(!takes_all(&format, reply), "{reply}");
        }
    }
    let any = ResponseFormat::JsonObject;
    assert!(takes_all(&any, r#"{"größe": "– 🚄", "x": {"é": [1.5e3]}}"#));
}

#[test]
fn more_free_properties_than_names_can_be_told_apart_are_refused() {
    let one =
        json!({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1});
    let required = json!({"type": "object", "properties": {"a": {"type": "null"}},
        "required": ["a", "a"], "minProperties": 2});
    // Names of properties and data are no keywords.
    let names = json!({"type": "object", "properties": {"minProperties": {"enum": [
        {"minProperties": 9}]}, "enum": {"type": "null"}}, "additionalProperties": false});
    let validate = |schema: &serde_json::Value| {
        let answer = ResponseFormat::json_schema(schema.clone());
        let tools =
            GenerationOptions::default().tools(json!([{"name": "f", "parameters": schema}]));
        let refused = matches!(answer.grammar(), Err(ConstraintError::Refused { .. }));
        let of_tools = tools.validate();
        assert_eq!(
            of_tools.as_ref().is_err_and(is_refused),
            refused,
            "{schema}"
        );
        assert_eq!(of_tools.is_err(), refused, "{schema}");
        !refused
    };
    // What nothing refers to says nothing.
    let unused = json!({"type": "object", "properties": {}, "$defs": {"two":
        {"type": "object", "additionalProperties": true, "minProperties": 2}}});
    for schema in [&one, &required, &names, &unused] {
        assert!(validate(schema), "{schema}");
    }
    let two = json!({"type": "object", "additionalProperties": true, "minProperties": 2});
    for schema in [
        two.clone(),
        json!({"type": "object", "required": ["a"], "minProperties": 3}),
        json!({"type": "object", "properties": {"enum": two}}),
        json!({"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, two]}}}),
        json!({"type": "object", "$defs": {"default": two}, "properties": {"x": {"$ref": "#/$defs/default"}}}),
    ] {
        assert!(!validate(&schema), "{schema}");
    }
}

#[test]
fn truncating_samplers_choose_among_what_is_allowed() {
    let vocabulary = vocabulary();
    let grammar = ResponseFormat::choice(["yes", "no"])
        .grammar()
        .unwrap()
        .unwrap();
    for params in [
        SamplingParams {
            top_k: 1,
            ..SamplingParams::default()
        },
        SamplingParams {
            top_k: 0,
            top_p: 0.01,
            ..SamplingParams::default()
        },
        SamplingParams {
            top_k: 0,
            top_p: 1.0,
            min_p: 0.9,
            ..SamplingParams::default()
        },
        SamplingParams {
            repetition_penalty: 5.0,
            ..SamplingParams::default()
        },
        SamplingParams::greedy(),
    ] {
        let mut guide = vocabulary.compile(&grammar, Scope::Answer).unwrap();
        let mut model = Model::new(3, params);
        model.logits[usize::from(b'x')] = 30.0;
        model.logits[usize::from(b'n')] = 1.0;
        let token = guide.choose(&mut model.sampler, &model.logits).unwrap();
        assert!([u32::from(b'n'), u32::from(b'y')].contains(&token));
    }
    // Not even a model that rules out all that is allowed gets its way.
    let mut guide = vocabulary.compile(&grammar, Scope::Answer).unwrap();
    let mut model = Model::hot(1);
    model.logits.fill(f32::NEG_INFINITY);
    model.logits[usize::from(b'x')] = 1.0;
    let refused = guide.choose(&mut model.sampler, &model.logits);
    assert!(
        matches!(refused, Err(ConstraintError::Sampling(_))),
        "{refused:?}"
    );
}

#[test]
fn what_cannot_be_enforced_is_refused_in_time() {
    let vocabulary = vocabulary();
    let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    let many: Vec<_> = (0..2000)
        .map(|n| json!({"type": "object", "properties": {format!("p{n}"): {"type": "string"}}}))
        .collect();
    let formats = [
        ResponseFormat::regex(""),
        ResponseFormat::regex("("),
        ResponseFormat::regex(deep(100)),
        ResponseFormat::regex("((a{1,1000}){1,1000}){1,1000}"),
        ResponseFormat::regex("a".repeat(70_000)),
        ResponseFormat::regex("a?".repeat(900)),
        ResponseFormat::regex("a?".repeat(4_000)),
        ResponseFormat::regex(format!("a{}", "*".repeat(60_000))),
        ResponseFormat::regex("(?=a)b"),
        ResponseFormat::lark("start:"),
        ResponseFormat::lark("start: start"),
        ResponseFormat::lark("start: missing"),
        ResponseFormat::lark(format!("start: \"a\"{}", "?".repeat(60_000))),
        ResponseFormat::lark(format!("start: {}\"a\"", "!".repeat(60_000))),
        ResponseFormat::lark("start: /é\\x/ \u{0}"),
        ResponseFormat::choice(Vec::<String>::new()),
        ResponseFormat::choice([""]),
        ResponseFormat::choice(vec!["a"; 2000]),
        ResponseFormat::json_schema(json!(false)),
        ResponseFormat::json_schema(json!(7)),
        ResponseFormat::json_schema(json!({"type": "no such type"})),
        ResponseFormat::json_schema(json!({"type": "string", "pattern": "("})),
        ResponseFormat::json_schema(json!({"type": "array", "uniqueItems": true})),
        ResponseFormat::json_schema(json!({"$ref": "#/missing"})),
        ResponseFormat::json_schema(json!({"$ref": "http://example.com/x"})),
        ResponseFormat::json_schema(json!({"$ref": "#"})),
        ResponseFormat::json_schema(json!({"allOf": [{"$ref": "#"}]})),
        ResponseFormat::json_schema(json!({"allOf": many})),
        ResponseFormat::json_schema(
            json!({"oneOf": [{"type": "object"}, {"minProperties": 1, "type": "object"}]}),
        ),
        ResponseFormat::json_schema(json!({"type": "integer", "minimum": 3, "maximum": 1})),
        ResponseFormat::json_schema((0..100).fold(json!({}), |inner, _| json!({"items": inner}))),
        ResponseFormat::json_schema(json!({"description": "x".repeat(300_000)})),
        ResponseFormat::json_schema(json!({"é".repeat(60): 1})),
        ResponseFormat::json_schema(json!({"enum": ["bell\u{7}"]})),
        ResponseFormat::json_schema(json!({"items": {"const": {"a": ["\u{1f}"]}}})),
        ResponseFormat::json_schema(json!({"properties": {"a\u{7f}": {}}})),
        ResponseFormat::json_schema(json!({"type": "string", "pattern": "^a\u{7}b$"})),
        ResponseFormat::json_schema(json!({"type": "string", "pattern": "^(x|a\\x00+)$"})),
        ResponseFormat::json_schema(json!({"patternProperties": {"^\\u0007": {}}})),
        ResponseFormat::json_schema(json!({"type": "string", "pattern": "[\\x07]$"})),
        ResponseFormat::json_schema(json!({"type": "string", "pattern": "^[\\x00-\\x07]$"})),
    ];
    let mut through = Vec::new();
    for format in formats {
        let shown: String = format!("{format:?}").chars().take(120).collect();
        let start = Instant::now();
        let compiled = format
            .grammar()
            .and_then(|grammar| vocabulary.compile(&grammar.unwrap(), Scope::Answer));
        let took = start.elapsed();
        assert!(took.as_secs() < 15, "{shown}: {took:?}");
        if let Ok(mut guide) = compiled {
            // What is let through must not hang either.
            through.push(shown);
            let _ = Model::hot(1).write(&mut guide, 50);
        }
    }
    assert_eq!(through.len(), 6, "{through:#?}");
}

#[test]
fn a_vocabulary_without_an_end_is_refused() {
    for size in [0, 4] {
        let refused = Vocabulary::new(size, |_, out| out.push(b'a'), |_| false);
        assert!(matches!(refused, Err(ConstraintError::Vocabulary { .. })));
    }
}
