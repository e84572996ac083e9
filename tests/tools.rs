//! Tool definitions, tool formats and the reading of calls, without a model.

use elpis::inference::{
    ChatFormat, ChatMessage, ChatTemplate, FunctionCall, GenerationOptions, MAX_TOOLS,
    RequestError, ResponseFormat, Role, SpecialTokens, TextStream, ToolChoice, ToolError,
    ToolEvent, ToolFormat, ToolParseError, ToolParser, ToolSet, with_tools,
};
use serde_json::{Value, json};

fn weather() -> Value {
    json!([{
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}},
                "required": ["place"],
            },
        },
    }])
}

/// A reply as models of its family write it: format, reply, text outside of calls, calls.
type Reply = (
    ToolFormat,
    &'static str,
    &'static str,
    Vec<(&'static str, Value)>,
);

#[expect(clippy::too_many_lines, reason = "a table")]
fn replies() -> Vec<Reply> {
    use ToolFormat::{FunctionGemma, Gemma, Hermes, Json, Llama3, Mistral, MistralV11, Qwen3Coder};
    let paris = || ("get_weather", json!({"place": "Paris"}));
    vec![
        (
            Hermes,
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}\n</tool_call>",
            "",
            vec![paris()],
        ),
        (
            Hermes,
            "Let me look – <b>now</b>.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Zürich \\\"HB\\\" {1}\"}}\n</tool_call>\n<tool_call>\n{\"arguments\": {}, \"name\": \"now\"}\n</tool_call>",
            "Let me look – <b>now</b>.\n",
            vec![
                ("get_weather", json!({"place": "Zürich \"HB\" {1}"})),
                ("now", json!({})),
            ],
        ),
        (
            Hermes,
            "<think>\nShould I <tool_call>? Yes.\n</think>\n\n<tool_call>\n{\"name\": \"now\"}\n</tool_call>\nDone, 5 < 6.",
            "<think>\nShould I <tool_call>? Yes.\n</think>\n\nDone, 5 < 6.",
            vec![("now", json!({}))],
        ),
        (
            Hermes,
            "No call: <tool_box> and 1 < 2 <",
            "No call: <tool_box> and 1 < 2 <",
            vec![],
        ),
        (
            Llama3,
            "{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "{\"type\": \"function\", \"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}; {\"name\": \"add\", \"parameters\": {\"of\": [1, 2.5, [true, null]]}}",
            "",
            vec![paris(), ("add", json!({"of": [1, 2.5, [true, null]]}))],
        ),
        (
            Llama3,
            "The call would be {\"name\": \"get_weather\"}.",
            "The call would be {\"name\": \"get_weather\"}.",
            vec![],
        ),
        (
            Mistral,
            "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}, \"id\": \"VvvODy9mT\"}]",
            "",
            vec![paris()],
        ),
        (
            Mistral,
            "I see [TOOLS].[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}, {\"name\": \"now\", \"arguments\": {}}]",
            "I see [TOOLS].",
            vec![paris(), ("now", json!({}))],
        ),
        (
            Gemma,
            "```json\n{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}\n```",
            "",
            vec![paris()],
        ),
        (
            Gemma,
            "```tool_code\n{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}\n```",
            "",
            vec![paris()],
        ),
        (
            Gemma,
            "```json\n{\"answer\": 42}\n```",
            "```json\n{\"answer\": 42}\n```",
            vec![],
        ),
        (
            Json,
            "[{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}, {\"name\": \"get_weather\", \"arguments\": \"{\\\"place\\\": \\\"Paris\\\"}\"}]",
            "",
            vec![paris(), paris()],
        ),
        (Json, "[1, 2]", "[1, 2]", vec![]),
        (
            Llama3,
            "{\"name\":\"get_weather\",\"parameters\":{\"place\":\"Paris\"}}",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "<|python_tag|>{\"type\" : \"function\",\n \"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "Let me see: <|python_tag|>{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}; {\"name\": \"now\"}",
            "Let me see: ",
            vec![paris(), ("now", json!({}))],
        ),
        (
            Llama3,
            "```json\n{\n  \"name\": \"get_weather\",\n  \"parameters\": {\n    \"place\": \"Paris\"\n  }\n}\n```",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "<|python_tag >, {\"names\": 1}",
            "<|python_tag >, {\"names\": 1}",
            vec![],
        ),
        (
            Gemma,
            "```json\n[\n    {\n        \"name\": \"get_weather\",\n        \"parameters\": {\"place\": \"Paris\"}\n    }\n]\n```",
            "",
            vec![paris()],
        ),
        (
            Gemma,
            "\n```\n{\"name\":\t\"get_weather\",\"parameters\":{\"place\":\"Paris\"}}\n```",
            "\n",
            vec![paris()],
        ),
        (
            Json,
            "{\r\n  \"name\" : \"get_weather\",\r\n  \"arguments\" : {\"place\": \"Paris\"}\r\n}",
            "",
            vec![paris()],
        ),
        (
            Json,
            "<think>Which one?</think>\n```json\n[{\"name\":\"get_weather\",\"arguments\":{\"place\":\"Paris\"}},{\"name\":\"now\"}]\n```",
            "<think>Which one?</think>\n",
            vec![paris(), ("now", json!({}))],
        ),
        (
            Json,
            "{                 \"name\": \"too far\"}",
            "{                 \"name\": \"too far\"}",
            vec![],
        ),
        (
            Json,
            "```json\n{\"answer\":\"name\"}\n```",
            "```json\n{\"answer\":\"name\"}\n```",
            vec![],
        ),
        (Json, "{\"name\"", "{\"name\"", vec![]),
        (
            MistralV11,
            "[TOOL_CALLS]get_weather[ARGS]{\"place\": \"Paris\"}",
            "",
            vec![paris()],
        ),
        (
            MistralV11,
            "One moment.[TOOL_CALLS]get_weather[CALL_ID]a1B2c3D4e[ARGS]{\"place\": \"Zürich \\\"[ARGS]\\\" }{\"}[TOOL_CALLS]a.b-c[ARGS] {}[TOOL_CALLS]now{\"of\": [{}, 1]}",
            "One moment.",
            vec![
                ("get_weather", json!({"place": "Zürich \"[ARGS]\" }{"})),
                ("a.b-c", json!({})),
                ("now", json!({"of": [{}, 1]})),
            ],
        ),
        (
            MistralV11,
            "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}]",
            "",
            vec![paris()],
        ),
        (
            MistralV11,
            "[TOOL_CALLS]none of them[TOOLS]",
            "none of them[TOOLS]",
            vec![],
        ),
        (
            FunctionGemma,
            "<start_function_call>call:get_weather{place:<escape>Paris<escape>}<end_function_call>",
            "",
            vec![paris()],
        ),
        (
            FunctionGemma,
            "Sure.<start_function_call>call:add{of:[1,-2.5e3,[true,null]],to:{größe:<escape>}, \"x\"\n<esc<escape>,x y:{}},last:[]}<end_function_call><start_function_call>call:now{}<end_function_call>",
            "Sure.",
            vec![
                (
                    "add",
                    json!({"of": [1, -2500.0, [true, null]], "to": {"größe": "}, \"x\"\n<esc", "x y": {}}, "last": []}),
                ),
                ("now", json!({})),
            ],
        ),
        (
            FunctionGemma,
            "<start_function_call>call:f{\"a,b\": {\"c\": \"d \\\" <escape>\", \"e\": [1, 2]}, unit: celsius, <escape>k<escape>:1}<end_function_call>",
            "",
            vec![(
                "f",
                json!({"a,b": {"c": "d \" <escape>", "e": [1, 2]}, "unit": "celsius", "k": 1}),
            )],
        ),
        (
            FunctionGemma,
            "<start_function_call>calling you {back}",
            "calling you {back}",
            vec![],
        ),
        (
            Qwen3Coder,
            "<tool_call>\n<function=get_weather>\n<parameter=place>\nParis\n</parameter>\n</function>\n</tool_call>",
            "",
            vec![paris()],
        ),
        (
            Qwen3Coder,
            "I write it:\n<tool_call>\n<function=save>\n<parameter=text>\n\n<b>\"x\" </b>\n</param\n\n</parameter>\n<parameter=lines>\n[1, {\"a\": null}]\n</parameter>\n<parameter=empty>\n\n</parameter>\n<parameter=inline>7.5</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
            "I write it:\n",
            vec![
                (
                    "save",
                    json!({"text": "\n<b>\"x\" </b>\n</param\n", "lines": [1, {"a": null}], "empty": "", "inline": 7.5}),
                ),
                ("now", json!({})),
            ],
        ),
        (
            Qwen3Coder,
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}\n</tool_call>",
            "",
            vec![paris()],
        ),
        (
            Qwen3Coder,
            "<tool_call> <functional> and <function=x y>",
            "<functional> and <function=x y>",
            vec![],
        ),
    ]
}

/// Joins neighbouring texts and pieces of arguments.
fn joined(events: impl IntoIterator<Item = ToolEvent>) -> Vec<ToolEvent> {
    let mut out: Vec<ToolEvent> = Vec::new();
    for event in events {
        match (out.last_mut(), event) {
            (Some(ToolEvent::Text(before)), ToolEvent::Text(text)) => before.push_str(&text),
            (
                Some(ToolEvent::Arguments {
                    index,
                    json: before,
                }),
                ToolEvent::Arguments { index: next, json },
            ) if *index == next => before.push_str(&json),
            (_, event) => out.push(event),
        }
    }
    out
}

/// Reads a reply whose bytes come in the given pieces.
fn read<'a>(
    format: ToolFormat,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<ToolEvent>, ToolParseError> {
    let mut text = TextStream::new(&[]).unwrap();
    let mut parser = ToolParser::new(format, 7, false);
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.push(text.push(piece).text)?);
    }
    events.extend(parser.push(text.finish().text)?);
    events.extend(parser.finish()?);
    Ok(joined(events))
}

#[test]
fn replies_in_every_format_are_read_and_cuts_change_nothing() {
    for (format, reply, text, calls) in replies() {
        let bytes = reply.as_bytes();
        let whole = read(format, [bytes]).unwrap();
        let said: String = whole
            .iter()
            .filter_map(|event| match event {
                ToolEvent::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(said, text, "{format}: {reply}");
        let made: Vec<_> = whole
            .iter()
            .filter_map(|event| match event {
                ToolEvent::Finished { call, .. } => {
                    Some((call.name.as_str(), call.arguments.clone()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(made, calls, "{format}: {reply}");
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(
                read(format, [first, second]).unwrap(),
                whole,
                "{format}: {reply} at {cut}"
            );
        }
        assert_eq!(
            read(format, bytes.chunks(1)).unwrap(),
            whole,
            "{format}: {reply}"
        );
    }
}

#[test]
fn events_of_a_call_come_in_their_order_and_say_the_same() {
    for (format, reply, _, calls) in replies() {
        let events = read(format, reply.as_bytes().chunks(3)).unwrap();
        let mut open: Option<(usize, String, String, String)> = None;
        let mut seen = Vec::new();
        for event in events {
            match event {
                ToolEvent::Started { index, id, name } => {
                    assert!(open.is_none());
                    assert_eq!(id.len(), 9);
                    open = Some((index, id, name, String::new()));
                }
                ToolEvent::Arguments { index, json } => {
                    let open = open.as_mut().unwrap();
                    assert_eq!(open.0, index);
                    open.3.push_str(&json);
                }
                ToolEvent::Finished { index, call } => {
                    let (at, id, name, json) = open.take().unwrap();
                    assert_eq!((index, &call.id, &call.name), (at, &id, &name));
                    let arguments = if json.is_empty() {
                        json!({})
                    } else {
                        serde_json::from_str(&json).unwrap()
                    };
                    assert!(arguments == call.arguments || arguments.is_string());
                    seen.push(call.id);
                }
                _ => {}
            }
        }
        assert_eq!(seen.len(), calls.len());
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), calls.len(), "ids differ");
    }
}

#[test]
fn replies_that_break_off_end_with_a_typed_error_or_as_text() {
    let reply = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1";
    assert_eq!(
        read(ToolFormat::Hermes, [reply.as_bytes()]),
        Err(ToolParseError::Unfinished { name: "f".into() })
    );
    let broken = "<tool_call>\n{\"name\": \"f\", \"arguments\": 1, 2}\n</tool_call>";
    assert!(matches!(
        read(ToolFormat::Hermes, [broken.as_bytes()]),
        Err(ToolParseError::Arguments { .. })
    ));
    let huge = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1e999}}\n</tool_call>";
    assert!(matches!(
        read(ToolFormat::Hermes, [huge.as_bytes()]),
        Err(ToolParseError::Arguments { .. })
    ));
    for (reply, text) in [
        ("<tool_call>\n{\"name\": \"f", "{\"name\": \"f"),
        ("<tool_call>\nno JSON", "no JSON"),
        ("<tool_call>{\"a\" 1}</tool_call>", "{\"a\" 1}</tool_call>"),
        ("a<tool", "a<tool"),
    ] {
        let events = read(ToolFormat::Hermes, reply.as_bytes().chunks(1)).unwrap();
        assert_eq!(events, [ToolEvent::Text(text.to_owned())], "{reply}");
    }
}

#[test]
fn broken_calls_in_the_newer_notations_end_with_a_typed_error() {
    use ToolFormat::{FunctionGemma, MistralV11, Qwen3Coder};
    let named = |reply: &str| ("f".to_owned(), reply.to_owned());
    for (format, reply) in [
        (MistralV11, "[TOOL_CALLS]f[ARGS]{\"a\": 1"),
        (FunctionGemma, "<start_function_call>call:f{a:<escape>1}"),
        (
            Qwen3Coder,
            "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n",
        ),
    ] {
        let (name, reply) = named(reply);
        let unfinished = Err(ToolParseError::Unfinished { name });
        assert_eq!(read(format, reply.as_bytes().chunks(1)), unfinished);
    }
    for (format, reply) in [
        (MistralV11, "[TOOL_CALLS]f[ARGS]7"),
        (MistralV11, "[TOOL_CALLS]f[ARGS]{\"a\": 1e999}"),
        (MistralV11, "[TOOL_CALLS]f[ARGS]{\"a\" 1}"),
        (FunctionGemma, "<start_function_call>call:f{a}"),
        (FunctionGemma, "<start_function_call>call:f{a:1]}"),
        (FunctionGemma, "<start_function_call>call:f{a:,}"),
        (FunctionGemma, "<start_function_call>call:f{a:1,}"),
        (FunctionGemma, "<start_function_call>call:f{a:\"\n\"}"),
        (Qwen3Coder, "<tool_call>\n<function=f>\nno parameter"),
        (Qwen3Coder, "<tool_call>\n<function=f>\n<parameter=a\n>"),
    ] {
        let got = read(format, reply.as_bytes().chunks(1));
        let broken = matches!(&got, Err(ToolParseError::Arguments { name, .. }) if name == "f");
        assert!(broken, "{format}: {reply}: {got:?}");
    }
    for (format, reply, text) in [
        (MistralV11, "[TOOL_CALLS]f[ARG", "f[ARG"),
        (
            MistralV11,
            "[TOOL_CALLS]f[CALL_ID]x y[ARGS]{}",
            "f[CALL_ID]x y[ARGS]{}",
        ),
        (FunctionGemma, "<start_function_call>call:f", "call:f"),
        (
            FunctionGemma,
            "<start_function_call>{\"name\": \"f\"}",
            "{\"name\": \"f\"}",
        ),
        (Qwen3Coder, "<tool_call>\n<function=f", "<function=f"),
        (Qwen3Coder, "<tool_call>\n<function=>", "<function=>"),
    ] {
        let events = read(format, reply.as_bytes().chunks(1)).unwrap();
        assert_eq!(events, [ToolEvent::Text(text.to_owned())], "{reply}");
    }
}

#[test]
fn ids_that_a_model_writes_are_kept_unless_they_repeat() {
    let reply = "[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{}[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{}[TOOL_CALLS]f[CALL_ID]short[ARGS]{}";
    let events = read(ToolFormat::MistralV11, reply.as_bytes().chunks(1)).unwrap();
    let ids: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ToolEvent::Finished { call, .. } => Some(call.id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!((ids.len(), ids[0]), (3, "abcdefghi"));
    assert!(ids[1] != ids[0] && ids[1].len() == 9 && ids[2].len() == 9);
}

#[test]
fn schemas_tell_texts_from_other_values() {
    let tools = ToolSet::from_json(&json!([{"name": "f", "parameters": {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "none": {"type": ["string", "null"]},
            "choice": {"enum": ["1", "2"]},
            "date": {"type": "string", "format": "date"},
            "n": {"type": "integer"},
        },
    }}]))
    .unwrap();
    let parameter =
        |(key, value): (&str, &str)| format!("<parameter={key}>\n{value}\n</parameter>\n");
    let call = |values: &[(&str, &str)]| {
        let values: String = values.iter().copied().map(parameter).collect();
        format!("<tool_call>\n<function=f>\n{values}</function>\n</tool_call>")
    };
    let read = |reply: &str| {
        let mut events = Vec::new();
        let mut parser = ToolParser::new(ToolFormat::Qwen3Coder, 1, false).with_tools(&tools);
        for piece in reply.split_inclusive(|_| true) {
            events.extend(parser.push(piece)?);
        }
        events.extend(parser.finish()?);
        Ok::<_, ToolParseError>(joined(events))
    };
    let reply = call(&[
        ("text", "12"),
        ("either", "null"),
        ("none", "\"x\""),
        ("choice", "1"),
        ("date", "\"2020-01-02\""),
        ("n", "12"),
    ]);
    let events = read(&reply).unwrap();
    let [
        ToolEvent::Started { .. },
        ToolEvent::Arguments { json, .. },
        ToolEvent::Finished { call: made, .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    let expected = json!({"text": "12", "either": null, "none": "\"x\"", "choice": "1",
        "date": "2020-01-02", "n": 12});
    assert_eq!(made.arguments, expected);
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), expected);
    for wrong in [
        ("n", "twelve"),
        ("n", "1, \"m\": 2"),
        ("date", "2020-01-02"),
    ] {
        let refused = read(&call(&[wrong]));
        assert!(
            matches!(refused, Err(ToolParseError::Arguments { .. })),
            "{wrong:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_parser(
        reply in "(<tool_call>|</tool_call>|\\[TOOL_CALLS\\]|\\[ARGS\\]|\\[CALL_ID\\]|<start_function_call>|call:|<escape>|<function=|<parameter=|</parameter>|</function>|<think>|\\{\"name\": |\\{\"name\":|<\\|python_tag\\|>|  |\\n|\"f\"|, \"arguments\": |[\\[\\]{}\",:; \\\\a1<`é]|```json\n){0,24}",
        cut in 0_usize..64,
    ) {
        for format in ToolFormat::ALL {
            let bytes = reply.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let whole = read(format, [bytes]);
            proptest::prop_assert_eq!(&read(format, [first, second]), &whole);
            proptest::prop_assert_eq!(&read(format, bytes.chunks(1)), &whole);
        }
    }
}

#[test]
fn tools_are_read_from_either_form_and_given_defaults() {
    let tools = ToolSet::from_json(&json!([
        weather()[0],
        {"name": "now"},
        {"type": "function", "function": {"name": "a.b-c", "parameters": null, "strict": true}},
    ]))
    .unwrap();
    let names: Vec<_> = tools
        .tools()
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!(names, ["get_weather", "now", "a.b-c"]);
    assert_eq!(
        tools.tools()[1].parameters,
        json!({"properties": {}, "additionalProperties": false, "type": "object"})
    );
    assert_eq!(tools.to_json()[0], weather()[0]);
    assert_eq!(ToolSet::from_json(&tools.to_json()).unwrap(), tools);
}

#[test]
fn bad_tools_are_refused_with_field_value_and_limit() {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let cases = [
        (json!({}), "list"),
        (json!([]), "list"),
        (json!([1]), "not an object"),
        (
            json!([{"type": "retrieval", "function": {"name": "f"}}]),
            "type",
        ),
        (json!([{"function": 1}]), "function"),
        (json!([{"type": "function"}]), "name"),
        (json!([{"name": "with space"}]), "with space"),
        (json!([{"name": "x".repeat(65)}]), "1 to 64"),
        (json!([{"name": "f", "description": 1}]), "description"),
        (json!([{"name": "f", "parameters": []}]), "JSON schema"),
        (
            json!([{"name": "f", "parameters": {"type": "string"}}]),
            "object",
        ),
        (json!([{"name": "f"}, {"name": "f"}]), "taken"),
        (
            json!([{"name": "f", "description": "x".repeat(300_000)}]),
            "262144",
        ),
        (
            json!([{"name": "f", "parameters": {"x": deep}}]),
            "67 levels",
        ),
        (json!(vec![json!({"name": "f"}); MAX_TOOLS + 1]), "128"),
    ];
    for (tools, expected) in cases {
        let error = ToolSet::from_json(&tools).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error} lacks {expected}"
        );
        assert!(!error.kind().is_empty());
    }
}

#[test]
fn choices_are_checked_against_the_tools() {
    let options = |tools: Option<Value>, choice: Option<ToolChoice>| GenerationOptions {
        tools,
        tool_choice: choice,
        ..GenerationOptions::default()
    };
    assert!(options(None, Some(ToolChoice::None)).validate().is_ok());
    assert!(options(Some(weather()), None).validate().is_ok());
    let named = |name: &str| Some(ToolChoice::Named(name.to_owned()));
    assert!(
        options(Some(weather()), named("get_weather"))
            .validate()
            .is_ok()
    );
    assert_eq!(
        options(Some(weather()), named("x")).validate(),
        Err(RequestError::Tools(ToolError::UnknownChoice {
            name: "x".into()
        }))
    );
    assert!(matches!(
        options(None, Some(ToolChoice::Required)).validate(),
        Err(RequestError::Tools(ToolError::ChoiceWithoutTools { .. }))
    ));
    let both = GenerationOptions {
        response_format: Some(ResponseFormat::JsonObject),
        ..options(Some(weather()), None)
    };
    assert_eq!(
        both.validate(),
        Err(RequestError::Tools(ToolError::WithResponseFormat))
    );
    assert!(both.tool_set().unwrap().is_some());
    let none = options(Some(weather()), Some(ToolChoice::None));
    assert!(none.tool_set().unwrap().is_none());
}

#[test]
fn requests_are_read_from_json() {
    let options: GenerationOptions = serde_json::from_value(json!({
        "tools": weather(),
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": false,
    }))
    .unwrap();
    assert_eq!(
        options.tool_choice,
        Some(ToolChoice::Named("get_weather".into()))
    );
    let again: GenerationOptions =
        serde_json::from_value(serde_json::to_value(&options).unwrap()).unwrap();
    assert_eq!(again, options);
    for choice in ["auto", "none", "required"] {
        let read: ToolChoice = serde_json::from_value(json!(choice)).unwrap();
        assert_eq!(read.to_string(), choice);
        assert_eq!(serde_json::to_value(&read).unwrap(), json!(choice));
    }
    assert!(serde_json::from_value::<ToolChoice>(json!("any")).is_err());
    for format in [
        json!({"type": "text"}),
        json!({"type": "json_object"}),
        json!({"type": "json_schema", "json_schema": {"schema": {"type": "integer"}}}),
        json!({"type": "regex", "regex": "a+"}),
        json!({"type": "choice", "choice": ["a", "b"]}),
        json!({"type": "lark", "lark": "start: \"a\""}),
    ] {
        let read: ResponseFormat = serde_json::from_value(format.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), format);
    }
    let named =
        json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": {}}});
    assert!(serde_json::from_value::<ResponseFormat>(named).is_ok());
}

#[test]
fn formats_follow_from_templates() {
    let file = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/templates/");
        let source = std::fs::read_to_string(format!("{folder}{name}.jinja")).unwrap();
        ChatTemplate::from_source(name, &source, SpecialTokens::new("<s>", "</s>")).unwrap()
    };
    for (name, format, native) in [
        ("hermes_macros", ToolFormat::Hermes, true),
        ("llama_tools", ToolFormat::Llama3, true),
        ("mistral_tools", ToolFormat::Mistral, true),
        ("gemma_style", ToolFormat::Gemma, false),
        ("phi_style", ToolFormat::Json, false),
    ] {
        let template = file(name);
        assert_eq!(
            (template.tool_format(), template.takes_tools()),
            (format, native),
            "{name}"
        );
    }
    let marks = [
        (
            "{{ '[TOOL_CALLS]' + name + '[ARGS]' }}",
            ToolFormat::MistralV11,
        ),
        (
            "<start_of_turn><start_function_call>",
            ToolFormat::FunctionGemma,
        ),
        (
            "<|im_start|><tool_call><function=f><parameter=p>",
            ToolFormat::Qwen3Coder,
        ),
        ("<|im_start|><tool_call><function=f>{}", ToolFormat::Hermes),
    ];
    for (source, format) in marks {
        assert_eq!(ToolFormat::of_template(source), format, "{source}");
    }
    for (named, format) in [
        (ChatFormat::Llama3, ToolFormat::Llama3),
        (ChatFormat::ChatMl, ToolFormat::Hermes),
        (ChatFormat::Gemma, ToolFormat::Gemma),
        (ChatFormat::Phi3, ToolFormat::Json),
    ] {
        let template = ChatTemplate::named(named).unwrap();
        assert_eq!(
            (template.tool_format(), template.takes_tools()),
            (format, false),
            "{named}"
        );
    }
}

fn conversation() -> (Vec<ChatMessage>, FunctionCall) {
    let call = FunctionCall {
        id: "abcdefghi".into(),
        name: "get_weather".into(),
        arguments: json!({"place": "Paris", "days": [1, 2]}),
    };
    let messages = vec![
        ChatMessage::system("Be brief."),
        ChatMessage::user("Weather in Paris?"),
        ChatMessage::assistant_calls("", std::slice::from_ref(&call)),
        ChatMessage::tool_result(&call, "sunny"),
    ];
    (messages, call)
}

#[test]
fn templates_without_tools_get_them_as_text() {
    let tools = ToolSet::from_json(&weather()).unwrap();
    let (messages, _) = conversation();
    for format in ToolFormat::ALL {
        let plain = with_tools(&messages, Some(&tools), format, false);
        let roles: Vec<_> = plain.iter().map(|message| message.role).collect();
        assert_eq!(
            roles,
            [Role::System, Role::User, Role::Assistant, Role::User],
            "{format}"
        );
        assert!(plain[0].content.starts_with("Be brief.\n\n"), "{format}");
        assert!(plain[0].content.contains("\"get_weather\""), "{format}");
        assert!(plain[3].content.contains("sunny"), "{format}");
        assert!(plain.iter().all(|message| message.tool_calls.is_none()));
        // What is written down for the model is what would be read from it.
        let read = read(format, [plain[2].content.as_bytes()]).unwrap();
        assert!(
            matches!(read.last(), Some(ToolEvent::Finished { call, .. })
                if call.arguments == json!({"place": "Paris", "days": [1, 2]})),
            "{format}: {read:?}"
        );
    }
    let two = [ChatMessage::user("a"), ChatMessage::tool("b")];
    let joined = with_tools(&two, Some(&tools), ToolFormat::Hermes, false);
    assert_eq!(joined.len(), 2);
    assert!(joined[1].content.starts_with("a\n\n<tool_response>"));
    assert_eq!(*with_tools(&two, None, ToolFormat::Hermes, false), two);
}

#[test]
fn templates_with_tools_get_messages_with_objects() {
    let (mut messages, call) = conversation();
    let text = json!([{"type": "function", "id": call.id, "function": {
        "name": call.name, "arguments": call.arguments.to_string(),
    }}]);
    messages[2].tool_calls = Some(text);
    let native = with_tools(&messages, None, ToolFormat::Mistral, true);
    assert_eq!(native[2].tool_calls, Some(json!([call.to_message_json()])));
    assert_eq!(native[3], messages[3]);
}

#[test]
fn grammars_name_every_tool_and_no_white_space_is_free() {
    let tools = ToolSet::from_json(&json!([{"name": "f"}, {"name": "g"}])).unwrap();
    for format in ToolFormat::ALL {
        let one = format.grammar(tools.tools(), false, &[]);
        let names = match format {
            ToolFormat::Qwen3Coder => ["<function=f>", "<function=g>"],
            ToolFormat::MistralV11 | ToolFormat::FunctionGemma => ["\"f\"", "\"g\""],
            _ => ["\\\"f\\\"", "\\\"g\\\""],
        };
        assert!(names.iter().all(|name| one.contains(name)), "{one}");
        let schemas = one.matches("%json").count();
        let fixed = one.matches("\"whitespace_flexible\":false").count();
        assert_eq!(schemas, fixed, "{one}");
        assert!(
            !one.contains("{0,15}") && format.grammar(tools.tools(), true, &[]).contains("{0,15}")
        );
    }
}
