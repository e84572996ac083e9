//! Tool calls under a constraint, of a random model.

mod free;

use elpis_testkit::schemas;
use std::time::Instant;

use crate::random_model::{Model, control, is_refused, takes, vocabulary};
use elpis::inference::{
    ChatTemplate, ConstraintError, GenerationOptions, Grammar, Scope, SpecialTokens, ToolEvent,
    ToolFormat, ToolParseError, ToolParser, ToolSet,
};
use elpis_testkit::schemas::Schemas;
use serde_json::{Value, json};

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
        let options = GenerationOptions::default().tools(list.clone());
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
        let lark = match format.grammar(tools.tools(), parallel, &control) {
            Ok(lark) => lark,
            // No element has a space in its name.
            Err(ConstraintError::Refused { .. }) if wild || format == ToolFormat::MiniMaxM3 => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{error}\n{list}"),
        };
        let compiled = vocabulary.compile(&Grammar::of_tools(lark.clone()), Scope::Calls(control));
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
                gemma("f{text:<escape>a<b>, \"}é<escape>,n:1,unit:<escape>cm<escape>,of:[true,null],date:<escape>12<escape>}"),
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
                gemma("f{n:1,date:<escape>123<escape>}"),
                gemma("f{n:1,date:\"12\"}"),
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
                    value("date", "12")
                )),
                qwen(&format!("f>\n{}{}", value("n", "1"), value("date", "null"))),
                qwen(&format!("f>\n{}{}", value("text", ""), value("n", "1"))) + "\n" + &qwen("now>\n"),
                // In any order, each once.
                qwen(&format!("f>\n{}{}", value("n", "1"), value("text", "x"))),
                qwen(&format!("f>\n{}{}{}", value("date", "12"), value("n", "1"), value("of", "[]"))),
            ],
            vec![
                qwen("f>\n"),
                qwen(&format!("f>\n{}", value("n", "\"1\""))),
                qwen(&format!("f>\n{}", value("text", "x"))),
                qwen(&format!("f>\n{}{}", value("n", "1"), value("n", "1"))),
                qwen(&format!("f>\n{}{}{}", value("text", "x"), value("n", "1"), value("text", "y"))),
                qwen(&format!("f>\n{}{}", value("text", "1234567890123"), value("n", "1"))),
                qwen(&format!("f>\n{}{}", value("text", "</parameter>"), value("n", "1"))),
                qwen(&format!("f>\n{}{}", value("n", "1"), value("unit", "m"))),
                qwen(&format!("f>\n{}{}", value("n", "1"), value("date", "\"12\""))),
            ],
        ),
    ];
    let vocabulary = vocabulary();
    for (format, good, bad) in cases {
        for control in [Vec::new(), control()] {
            let lark = format.grammar(tools.tools(), true, &control).unwrap();
            let check = |reply: &str| {
                let scope = Scope::Calls(control.clone());
                let grammar = Grammar::of_tools(lark.clone());
                let mut guide = vocabulary.compile(&grammar, scope).unwrap();
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

/// Whatever a schema says, it is enforced in the notation of the family, or refused with its place.
#[test]
fn what_a_notation_cannot_say_is_refused_with_its_place() {
    let cannot = [
        (
            json!({"type": "object", "properties": {"<a>": {"type": "boolean"}}, "required": ["<a>"]}),
            "#/properties",
        ),
        (
            json!({"type": "object", "properties": {"a": {"enum": ["b", "</parameter>\n</function>"]}}}),
            "#/properties/a/enum",
        ),
    ];
    for (parameters, place) in cannot {
        let tools = ToolSet::from_json(&json!([{"name": "f", "parameters": parameters}])).unwrap();
        let refused = ToolFormat::Qwen3Coder.grammar(tools.tools(), false, &[]);
        let Err(ConstraintError::Refused { tool, path, .. }) = refused else {
            panic!("{parameters}");
        };
        assert_eq!((tool.as_deref(), path.as_deref()), (Some("f"), Some(place)));
        assert!(
            ToolFormat::FunctionGemma
                .grammar(tools.tools(), false, &[])
                .is_ok()
        );
    }
    let parameters = [
        json!({"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "null"}}, "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {"type": ["integer", "string", "array"], "maxItems": 1, "items": {"type": "null"}}}, "required": ["a"]}),
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
                let lark = format.grammar(tools.tools(), false, &control).unwrap();
                let grammar = Grammar::of_tools(lark);
                let scope = Scope::Calls(control);
                let mut guide = vocabulary.compile(&grammar, scope).unwrap();
                let text = Model::hot(round as u64).write(&mut guide, 20_000).unwrap();
                let calls = calls(format, &tools, &text);
                assert_eq!(calls.len(), 1, "{text}");
                schemas::check(&tools.tools()[0].parameters, &calls[0].1);
            }
        }
    }
}

/// The native replies of the cases: the family's grammar takes them, from the first byte on or
/// behind what comes before the call, and its template is recognised where it is at hand.
#[test]
fn native_replies_are_taken_and_their_templates_recognised() {
    let vocabulary = vocabulary();
    let templates = std::env::var_os("ELPIS_TEST_TEMPLATES").map(std::path::PathBuf::from);
    let mut wrong = Vec::new();
    for line in include_str!("../data/reply_cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let Some(template) = case["template"].as_str() else {
            continue;
        };
        let named = |format: &ToolFormat| case["format"] == format.as_str();
        let format = ToolFormat::ALL.iter().copied().find(named).unwrap();
        if let Some(folder) = &templates {
            let source = std::fs::read_to_string(folder.join(template)).unwrap();
            let special = SpecialTokens::new("<s>", "</s>");
            let known = ChatTemplate::from_source(template, &source, special).unwrap();
            if known.tool_format() != format {
                wrong.push(format!("{template} is {}", known.tool_format()));
            }
        }
        let tools = ToolSet::from_json(&case["tools"]).unwrap();
        let lark = format.grammar(tools.tools(), true, &[]).unwrap();
        let scope = Scope::FromOpening {
            format,
            names: tools.names().map(str::to_owned).collect(),
            control: Vec::new(),
            thinking: false,
        };
        let mut guide = vocabulary.compile(&Grammar::of_tools(lark), scope).unwrap();
        let reply = case["reply"].as_str().unwrap();
        // Some models write on behind their calls; under the grammar, these end the reply.
        let mut complete = false;
        for (at, byte) in reply.bytes().enumerate() {
            match guide.accept(u32::from(byte), &mut vec![byte]) {
                Ok(progress) => complete |= progress.complete,
                Err(error) => {
                    wrong.push(format!("{} at {at}: {error}: {reply}", case["id"]));
                    break;
                }
            }
            if complete {
                break;
            }
        }
        if !(complete || guide.is_active() && guide.is_accepting()) {
            wrong.push(format!("{} is not complete: {reply}", case["id"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever may stand in a text, a choice of such texts is written and read as it is.
#[test]
fn enumerated_texts_come_through_every_notation() {
    let vocabulary = vocabulary();
    let texts = [
        "two\nlines",
        "a\ttab",
        "\"quoted\"",
        "back\\slash",
        "null",
        "7",
        "",
        " ",
        "{\"a\": 1}",
        "é – 日",
        "</parameter>",
        "<escape>",
        "</tool_call>",
        "\u{8}\u{c}\r",
        "\u{2028}",
    ];
    for &format in ToolFormat::ALL {
        for (round, text) in texts.iter().enumerate() {
            for (round, schema) in [
                (2 * round, json!({"enum": [text]})),
                (
                    2 * round + 1,
                    json!({"type": ["string", "null"], "enum": [text, null]}),
                ),
            ] {
                let tools = ToolSet::from_json(&json!([{"name": "f", "parameters": {
                    "type": "object", "properties": {"x": schema}, "required": ["x"],
                    "additionalProperties": false}}]))
                .unwrap();
                let lark = format.grammar(tools.tools(), false, &[]).unwrap();
                let grammar = Grammar::of_tools(lark);
                let guide = vocabulary.compile(&grammar, Scope::Calls(Vec::new()));
                let mut guide = guide.unwrap_or_else(|error| panic!("{error} {format} {text:?}"));
                let mut model = Model::hot(round as u64);
                let reply = model.write(&mut guide, 500).unwrap();
                let x = &calls(format, &tools, &reply)[0].1["x"];
                let null = round % 2 == 1 && x.is_null();
                assert!(null || x == text, "{format} {text:?}: {reply}");
            }
        }
    }
}
