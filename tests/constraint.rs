//! Constraints on a random model: every token as likely as any other, but for the mask.

#[path = "support/schemas.rs"]
mod schemas;

use std::sync::Arc;
use std::time::Instant;

use elpis::inference::{
    ConstraintError, ControlToken, Extent, GenerationOptions, Grammar, Guide, RequestError,
    ResponseFormat, Sampler, SamplingParams, ToolEvent, ToolFormat, ToolParseError, ToolParser,
    ToolSet, Vocabulary,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use schemas::Schemas;
use serde_json::{Value, json};

const CONTROL: [&str; 9] = [
    "[TOOL_CALLS]",
    "<tool_call>",
    "</tool_call>",
    "[CALL_ID]",
    "[ARGS]",
    "<start_function_call>",
    "<end_function_call>",
    "<escape>",
    "<|python_tag|>",
];
const PIECES: [&str; 22] = [
    "{\"",
    "\": \"",
    "\"}",
    "}}",
    "\", \"",
    "name",
    " the",
    "[{",
    "}]",
    "é",
    "tool",
    "\n{\"",
    "<tool_call>\n{",
    "{\"name\": \"",
    "<tool_call> no",
    "null",
    "<escape>",
    "<escape>}",
    "</parameter>",
    "\n</parameter>\n",
    "</parameter>\n<parameter=",
    ":<escape>",
];

/// All bytes, some longer pieces, control tokens and two ends.
fn tokens() -> Vec<Vec<u8>> {
    let bytes = (0..=255).map(|byte| vec![byte]);
    let pieces = PIECES.iter().map(|piece| piece.as_bytes().to_vec());
    let rest = std::iter::repeat_n(Vec::new(), CONTROL.len() + 2);
    bytes.chain(pieces).chain(rest).collect()
}

fn is_end(token: u32) -> bool {
    token as usize >= 256 + PIECES.len() + CONTROL.len()
}

fn control() -> Vec<ControlToken> {
    let first = (256 + PIECES.len()) as u32;
    (first..)
        .zip(CONTROL)
        .map(|(id, text)| ControlToken { text, id })
        .collect()
}

fn vocabulary() -> Arc<Vocabulary> {
    let tokens = tokens();
    let piece = |token: u32, out: &mut Vec<u8>| out.extend(&tokens[token as usize]);
    Arc::new(Vocabulary::new(tokens.len(), piece, is_end).unwrap())
}

struct Model {
    random: ChaCha8Rng,
    sampler: Sampler,
    logits: Vec<f32>,
    tokens: Vec<Vec<u8>>,
    /// Whether the last reply came to its end.
    whole: bool,
}

impl Model {
    fn new(seed: u64, params: SamplingParams) -> Self {
        let tokens = tokens();
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            sampler: Sampler::new(params, tokens.len()).unwrap(),
            logits: vec![0.0; tokens.len()],
            tokens,
            whole: false,
        }
    }

    fn hot(seed: u64) -> Self {
        Self::new(
            seed,
            SamplingParams {
                temperature: 1.5,
                top_p: 1.0,
                top_k: 0,
                seed,
                ..SamplingParams::default()
            },
        )
    }

    /// Writes until nothing can follow, an end was chosen or the tokens are used up.
    fn write(&mut self, guide: &mut Guide, most: usize) -> Result<String, ConstraintError> {
        let mut text = Vec::new();
        self.whole = true;
        for _ in 0..most {
            for logit in &mut self.logits {
                *logit = (self.random.next_u32() % 1000) as f32 / 100.0;
            }
            let token = guide.choose(&mut self.sampler, &self.logits)?;
            self.sampler.accept(token).unwrap();
            if is_end(token) {
                assert!(guide.is_accepting());
                return Ok(String::from_utf8(text).unwrap());
            }
            let mut piece = self.tokens[token as usize].clone();
            let progress = guide.accept(token, &mut piece)?;
            text.extend(piece);
            if progress.complete {
                assert!(guide.is_accepting());
                return Ok(String::from_utf8(text).unwrap());
            }
        }
        self.whole = false;
        if guide.is_active() {
            assert!(!guide.is_accepting() || serde_json::from_slice::<Value>(&text).is_ok());
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The calls in a reply; `None` if one has a number that no double holds.
fn readable(format: ToolFormat, tools: &ToolSet, text: &str) -> Option<Vec<(String, Value)>> {
    let mut parser = ToolParser::new(format, 1, false).with_tools(tools);
    let mut events = match parser.push(text) {
        Err(ToolParseError::Arguments { reason, .. }) if reason.contains("out of range") => {
            return None;
        }
        read => read.unwrap_or_else(|error| panic!("{error}: {text}")),
    };
    events.extend(parser.finish().unwrap());
    let call = |event| match event {
        ToolEvent::Finished { call, .. } => Some((call.name, call.arguments)),
        ToolEvent::Text(text) => panic!("text beside the calls: {text:?}"),
        _ => None,
    };
    Some(events.into_iter().filter_map(call).collect())
}

fn calls(format: ToolFormat, tools: &ToolSet, text: &str) -> Vec<(String, Value)> {
    readable(format, tools, text).unwrap_or_else(|| panic!("out of range: {text}"))
}

#[test]
fn calls_of_random_tools_are_valid_whatever_the_model() {
    let seed = schemas::seed();
    let vocabulary = vocabulary();
    let mut bounded = Schemas::new(seed, 2);
    let mut wild = Schemas::wild(seed, 2);
    let start = Instant::now();
    let (mut made, mut unfinished, mut unreadable, mut refused) = (0, 0, 0, 0);
    for round in 0..500 {
        let format = ToolFormat::ALL[round % ToolFormat::ALL.len()];
        let schemas = if round % 16 < 8 {
            &mut bounded
        } else {
            &mut wild
        };
        let mut list = json!([schemas.tool("first")]);
        if round % 5 == 0 {
            list = json!([list[0], schemas.tool("second"), schemas.tool("third")]);
        }
        let wild = schemas.wild;
        let options = GenerationOptions {
            tools: Some(list.clone()),
            ..GenerationOptions::default()
        };
        if let Err(error) = options.validate() {
            assert!(wild && is_refused(&error), "{error}\n{list}");
            refused += 1;
            continue;
        }
        let tools = ToolSet::from_json(&list).unwrap();
        let control = if round % 2 == 0 {
            control()
        } else {
            Vec::new()
        };
        let parallel = round % 3 != 0;
        let lark = format.grammar(tools.tools(), parallel, &control);
        let compiled = vocabulary.compile(&Grammar::of_tools(lark.clone()), Extent::Calls(control));
        let mut guide = match compiled {
            Ok(guide) => guide,
            Err(ConstraintError::Refused { .. }) if wild => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{error}\n{lark}"),
        };
        let mut model = Model::hot(seed ^ round as u64);
        let most = if wild { 2_000 } else { 20_000 };
        let text = model.write(&mut guide, most).unwrap();
        if !model.whole {
            assert!(wild, "{text}");
            unfinished += 1;
            continue;
        }
        let Some(calls) = readable(format, &tools, &text) else {
            assert!(wild, "{text}");
            unreadable += 1;
            continue;
        };
        assert!(
            !calls.is_empty() && (parallel || calls.len() == 1),
            "{text}"
        );
        for (name, arguments) in calls {
            let tool = tools.tools().iter().find(|tool| tool.name == name).unwrap();
            schemas::check(&tool.parameters, &arguments);
            made += 1;
        }
    }
    let took = start.elapsed();
    let told = format!(
        "{made} calls, {unfinished} unfinished, {unreadable} unreadable, {refused} refused"
    );
    println!("{told} in {took:?}");
    let bounded = unfinished <= 75 && unreadable <= 25 && (1..=100).contains(&refused);
    assert!(made >= 300 && bounded, "{told}");
}

/// Whether a request is refused because its schemas cannot be enforced.
fn is_refused(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Constraint(ConstraintError::Refused { .. })
    )
}

/// Whether a grammar takes a reply, token by token, and would let it end there.
fn takes(guide: &mut Guide, control: &[ControlToken], reply: &str) -> bool {
    let mut rest = reply;
    while let Some(byte) = rest.bytes().next() {
        let own = control.iter().find(|token| rest.starts_with(token.text));
        let (token, length) = own.map_or((u32::from(byte), 1), |own| (own.id, own.text.len()));
        if guide.accept(token, &mut Vec::new()).is_err() {
            return false;
        }
        let mut at = length;
        while !rest.is_char_boundary(at) {
            if guide
                .accept(u32::from(rest.as_bytes()[at]), &mut Vec::new())
                .is_err()
            {
                return false;
            }
            at += 1;
        }
        rest = &rest[at..];
    }
    guide.is_accepting()
}

#[test]
fn grammars_take_what_a_format_writes_and_nothing_else() {
    let tools = ToolSet::from_json(&json!([
        {"name": "f", "parameters": {"type": "object", "properties": {
            "text": {"type": "string", "maxLength": 12},
            "n": {"type": "integer", "minimum": 0, "maximum": 9},
            "unit": {"enum": ["c", "cm"]},
            "of": {"type": "array", "items": {"type": ["boolean", "null"]}, "maxItems": 2},
            "date": {"type": ["string", "null"], "pattern": "^[0-9]{2}$"},
        }, "required": ["n"]}},
        {"name": "now"},
    ]))
    .unwrap();
    let gemma = |call: &str| format!("<start_function_call>call:{call}<end_function_call>");
    let qwen = |call: &str| format!("<tool_call>\n<function={call}</function>\n</tool_call>");
    let value = |key: &str, value: &str| format!("<parameter={key}>\n{value}\n</parameter>\n");
    let cases: [(ToolFormat, Vec<String>, Vec<String>); 3] = [
        (
            ToolFormat::MistralV11,
            vec![
                "[TOOL_CALLS]f[ARGS]{\"n\": 1}".to_owned(),
                "[TOOL_CALLS]now[CALL_ID]a1b2c3d4e[ARGS]{}[TOOL_CALLS]f[ARGS]{\"text\": \"é\", \"n\": 1}".to_owned(),
            ],
            vec![
                "[TOOL_CALLS]f[ARGS]{\"n\": 10}".to_owned(),
                "[TOOL_CALLS]now[CALL_ID]short[ARGS]{}".to_owned(),
                "[TOOL_CALLS]now{}".to_owned(),
                "[TOOL_CALLS] [{\"name\": \"now\", \"arguments\": {}}]".to_owned(),
            ],
        ),
        (
            ToolFormat::FunctionGemma,
            vec![
                gemma("now{}"),
                gemma("f{n:1}"),
                gemma("f{text:<escape>a<b>, \"}é<escape>,n:1,unit:<escape>cm<escape>,of:[true,null],date:\"12\"}"),
                gemma("f{text:<escape><escape>,n:1,of:[],date:null}") + &gemma("now{}"),
            ],
            vec![
                gemma("f{}"),
                gemma("f{n:10}"),
                gemma("f{n:1,text:<escape>x<escape>}"),
                gemma("f{text:<escape>1234567890123<escape>,n:1}"),
                gemma("f{text:\"x\",n:1}"),
                gemma("f{n:1,unit:<escape>m<escape>}"),
                gemma("f{n:1,of:[true,true,true]}"),
                gemma("f{n:1,}"),
                gemma("f{n:1,date:<escape>12<escape>}"),
                gemma("now{a:1}"),
            ],
        ),
        (
            ToolFormat::Qwen3Coder,
            vec![
                qwen("now>\n"),
                qwen(&format!("f>\n{}", value("n", "1"))),
                qwen(&format!(
                    "f>\n{}{}{}{}{}",
                    value("text", "\n</p> \"é\n"),
                    value("n", "1"),
                    value("unit", "c"),
                    value("of", "[true, null]"),
                    value("date", "\"12\"")
                )),
                qwen(&format!("f>\n{}{}", value("text", ""), value("n", "1"))) + "\n" + &qwen("now>\n"),
            ],
            vec![
                qwen("f>\n"),
                qwen(&format!("f>\n{}", value("n", "\"1\""))),
                qwen(&format!("f>\n{}{}", value("n", "1"), value("text", "x"))),
                qwen(&format!("f>\n{}{}", value("text", "1234567890123"), value("n", "1"))),
                qwen(&format!("f>\n{}{}", value("text", "</parameter>"), value("n", "1"))),
                qwen(&format!("f>\n{}{}", value("n", "1"), value("unit", "m"))),
                qwen(&format!("f>\n{}{}", value("n", "1"), value("date", "12"))),
            ],
        ),
    ];
    let vocabulary = vocabulary();
    for (format, good, bad) in cases {
        for control in [Vec::new(), control()] {
            let lark = format.grammar(tools.tools(), true, &control);
            let check = |reply: &str| {
                let extent = Extent::Calls(control.clone());
                let grammar = Grammar::of_tools(lark.clone());
                let mut guide = vocabulary.compile(&grammar, extent).unwrap();
                takes(&mut guide, &control, reply)
            };
            for reply in &good {
                assert!(check(reply), "{format} refuses {reply}\n{lark}");
                assert!(!calls(format, &tools, reply).is_empty());
            }
            for reply in &bad {
                assert!(!check(reply), "{format} takes {reply}\n{lark}");
            }
        }
    }
}

#[test]
fn what_a_notation_cannot_say_is_written_as_json() {
    let parameters = [
        json!({"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "null"}}, "required": ["a"]}),
        json!({"type": "object", "properties": {"<a>": {"type": "boolean"}}, "required": ["<a>"]}),
        json!({"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2}),
        json!({"type": "object", "properties": {"a": {"enum": ["</parameter>", "<escape>"]}}, "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {"enum": ["null", null, [1, {"b": "c"}]]}}, "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {"allOf": [{"type": "string"}, {"maxLength": 3}]}}, "required": ["a"]}),
    ];
    let vocabulary = vocabulary();
    for (round, parameters) in parameters.into_iter().enumerate() {
        let tools = ToolSet::from_json(&json!([{"name": "f", "parameters": parameters}])).unwrap();
        for format in [ToolFormat::FunctionGemma, ToolFormat::Qwen3Coder] {
            for control in [Vec::new(), control()] {
                let grammar = Grammar::of_tools(format.grammar(tools.tools(), false, &control));
                let extent = Extent::Calls(control);
                let mut guide = vocabulary.compile(&grammar, extent).unwrap();
                let text = Model::hot(round as u64).write(&mut guide, 20_000).unwrap();
                let calls = calls(format, &tools, &text);
                assert_eq!(calls.len(), 1, "{text}");
                schemas::check(&tools.tools()[0].parameters, &calls[0].1);
            }
        }
    }
}

#[test]
fn answers_keep_to_their_form() {
    let vocabulary = vocabulary();
    let write = |format: &ResponseFormat, seed: u64| {
        let grammar = format.grammar().unwrap().unwrap();
        let mut guide = vocabulary.compile(&grammar, Extent::Answer).unwrap();
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
            && let Ok(mut guide) = vocabulary.compile(&grammar.unwrap(), Extent::Answer)
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
fn strings_keep_to_their_format_by_the_letter() {
    let vocabulary = vocabulary();
    let guide = |schema: &Value| {
        let grammar = ResponseFormat::json_schema(schema.clone()).grammar();
        let grammar = grammar.unwrap().unwrap();
        vocabulary.compile(&grammar, Extent::Answer).unwrap()
    };
    let formats = [
        "date",
        "time",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
        "uri",
    ];
    let seed = schemas::seed();
    for format in formats {
        let schema = json!({"type": "string", "format": format});
        let mut whole = 0;
        for round in 0..25 {
            let mut model = Model::hot(seed.wrapping_add(round));
            let text = model.write(&mut guide(&schema), 3000).unwrap();
            if model.whole {
                schemas::check(&schema, &serde_json::from_str(&text).unwrap());
                whole += 1;
            }
        }
        assert!(whole >= 20, "{whole} of 25 for {format}");
    }
    let label = "a".repeat(63);
    let cases = [
        ("date", "2024-02-29", true),
        ("date", "2000-02-29", true),
        ("date", "0000-02-29", true),
        ("date", "1900-02-29", false),
        ("date", "1122-02-29", false),
        ("date", "2023-02-28", true),
        ("date", "2023-04-31", false),
        ("date-time", "2023-02-29T10:00:00Z", false),
        ("date-time", "2024-02-29t10:00:00.5+01:30", true),
        ("time", "12:30:60Z", false),
        ("time", "23:59:59Z", true),
        ("hostname", "ab--c.example", false),
        ("hostname", "xn--a", false),
        ("hostname", "a-b.c--d.example", true),
        (
            "hostname",
            &format!("{label}.{label}.{label}.{}", &label[2..]),
            true,
        ),
        (
            "hostname",
            &format!("{label}.{label}.{label}.{}", &label[1..]),
            false,
        ),
        ("hostname", &format!("{label}a"), false),
        ("email", "first.last+tag@mail.example", true),
        ("email", "me@[127.0.0.1]", true),
        ("email", &format!("{}@a.example", &label[..62]), true),
        ("email", &format!("{label}aa@a.example"), false),
        ("email", &format!("me@{label}a.example"), false),
        ("email", "me@ab--c.example", false),
    ];
    for (format, text, valid) in cases {
        // An older pattern holds as well.
        for further in [json!({}), json!({"pattern": "^[^!]*$"})] {
            let mut schema = json!({"type": ["string", "null"], "format": format});
            schema
                .as_object_mut()
                .unwrap()
                .extend(further.as_object().unwrap().clone());
            let takes = takes(&mut guide(&schema), &[], &json!(text).to_string());
            assert_eq!(takes, valid, "{format} {text}");
            if takes {
                schemas::check(&schema, &json!(text));
            }
        }
    }
    let schema = json!({"format": "email", "maxLength": 8, "pattern": "^x"});
    for (text, valid) in [("x@y.zz", true), ("y@y.zz", false), ("xxxxx@yyy", false)] {
        assert_eq!(
            takes(&mut guide(&schema), &[], &json!(text).to_string()),
            valid,
            "{text}"
        );
    }
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
        let mut guide = vocabulary.compile(&grammar, Extent::Answer).unwrap();
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
        let tools = GenerationOptions {
            tools: Some(json!([{"name": "f", "parameters": schema}])),
            ..GenerationOptions::default()
        };
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
    for schema in [&one, &required, &names] {
        assert!(validate(schema), "{schema}");
    }
    let two = json!({"type": "object", "additionalProperties": true, "minProperties": 2});
    for schema in [
        two.clone(),
        json!({"type": "object", "required": ["a"], "minProperties": 3}),
        json!({"type": "object", "properties": {"enum": two}}),
        json!({"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, two]}}}),
        json!({"type": "object", "$defs": {"default": two}, "properties": {}}),
    ] {
        assert!(!validate(&schema), "{schema}");
    }
}

#[test]
fn free_text_is_left_alone_until_a_call_opens() {
    let vocabulary = vocabulary();
    let tools = ToolSet::from_json(&json!([{"name": "f"}])).unwrap();
    let control = control();
    let ids = |text: &str| -> Vec<u32> {
        let own = |t: &ControlToken| (t.text == text).then_some(t.id);
        match control.iter().find_map(own) {
            Some(id) => vec![id],
            None => text.bytes().map(u32::from).collect(),
        }
    };
    let call = "{\"name\": \"f\", \"arguments\": {}}";
    for (format, control, reply) in [
        (
            ToolFormat::Hermes,
            vec![],
            vec!["a <tool_call>\n", call, "\n</tool_call>"],
        ),
        (
            ToolFormat::Mistral,
            control.clone(),
            vec!["a ", "[TOOL_CALLS]", "[", call, "]"],
        ),
        (ToolFormat::Json, vec![], vec![call]),
        (
            ToolFormat::Json,
            vec![],
            vec!["\n", "{\"name\":\"f\", \"arguments\": {}}"],
        ),
        (
            ToolFormat::Json,
            vec![],
            vec!["```json\n[\n  {\n\t\"name\" : \"f\", \"arguments\": {}}]\n```"],
        ),
        (
            ToolFormat::Gemma,
            vec![],
            vec!["```tool_code\n{\n  \"name\":\n  \"f\", \"parameters\": {}}\n```"],
        ),
        (
            ToolFormat::Llama3,
            vec![],
            vec!["{\"type\":\"function\",\"name\":\"f\", \"parameters\": {}}"],
        ),
        (
            ToolFormat::Llama3,
            vec![],
            vec!["Well: <|python_tag|>{\"name\":\"f\", \"parameters\": {}}"],
        ),
        (
            ToolFormat::Llama3,
            control.clone(),
            vec![
                "Well: ",
                "<|python_tag|>",
                "{ \"name\": \"f\", \"parameters\": {}}; {\"name\": \"f\", \"parameters\": {}}",
            ],
        ),
        (
            ToolFormat::Llama3,
            control.clone(),
            vec!["```json\n{\"name\": \"f\", \"parameters\": {}}\n```"],
        ),
    ] {
        let grammar = Grammar::of_tools(format.grammar(tools.tools(), true, &control));
        let extent = Extent::FromOpening {
            format,
            control,
            thinking: false,
        };
        let mut guide = vocabulary.compile(&grammar, extent).unwrap();
        let mut entered = 0;
        for token in reply.iter().flat_map(|part| ids(part)) {
            assert!(!is_end(token));
            let mut piece = tokens()[token as usize].clone();
            entered += usize::from(guide.accept(token, &mut piece).unwrap().entered);
        }
        assert_eq!(
            (entered, guide.is_active(), guide.is_accepting()),
            (1, true, true),
            "{format}"
        );
    }
}

#[test]
fn a_token_that_opens_a_call_wrongly_is_drawn_anew() {
    let vocabulary = vocabulary();
    let tools = ToolSet::from_json(&json!([{"name": "f"}])).unwrap();
    let grammar = Grammar::of_tools(ToolFormat::Hermes.grammar(tools.tools(), true, &[]));
    let bad = 256
        + PIECES
            .iter()
            .position(|piece| *piece == "<tool_call> no")
            .unwrap();
    let good = 256
        + PIECES
            .iter()
            .position(|piece| *piece == "<tool_call>\n{")
            .unwrap();
    for (favourite, second, expected) in [(bad, 97, 97), (good, 97, good), (bad, good, good)] {
        let extent = Extent::FromOpening {
            format: ToolFormat::Hermes,
            control: Vec::new(),
            thinking: false,
        };
        let mut guide = vocabulary.compile(&grammar, extent).unwrap();
        let mut model = Model::new(1, SamplingParams::greedy());
        model.logits[favourite] = 9.0;
        model.logits[second] = 5.0;
        let token = guide.choose(&mut model.sampler, &model.logits).unwrap();
        assert_eq!(token as usize, expected);
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
        let mut guide = vocabulary.compile(&grammar, Extent::Answer).unwrap();
        let mut model = Model::new(3, params);
        model.logits[usize::from(b'x')] = 30.0;
        model.logits[usize::from(b'n')] = 1.0;
        let token = guide.choose(&mut model.sampler, &model.logits).unwrap();
        assert!([u32::from(b'n'), u32::from(b'y')].contains(&token));
    }
    // Not even a model that rules out all that is allowed gets its way.
    let mut guide = vocabulary.compile(&grammar, Extent::Answer).unwrap();
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
    ];
    let mut through = Vec::new();
    for format in formats {
        let shown: String = format!("{format:?}").chars().take(120).collect();
        let start = Instant::now();
        let compiled = format
            .grammar()
            .and_then(|grammar| vocabulary.compile(&grammar.unwrap(), Extent::Answer));
        let took = start.elapsed();
        assert!(took.as_secs() < 15, "{shown}: {took:?}");
        if let Ok(mut guide) = compiled {
            // What is let through must not hang either.
            through.push(shown);
            let _ = Model::hot(1).write(&mut guide, 50);
        }
    }
    assert_eq!(through.len(), 4, "{through:#?}");
}

#[test]
fn a_vocabulary_without_an_end_is_refused() {
    for size in [0, 4] {
        let refused = Vocabulary::new(size, |_, out| out.push(b'a'), |_| false);
        assert!(matches!(refused, Err(ConstraintError::Vocabulary { .. })));
    }
}
