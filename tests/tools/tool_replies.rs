//! Replies of models with tool calls, and the reading of them: whole, in pieces and broken.

use crate::replies::replies;
use elpis::inference::{TextStream, ToolEvent, ToolFormat, ToolParseError, ToolParser, ToolSet};
use elpis_testkit::schemas;
use serde_json::{Value, json};

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
    read_by(ToolParser::new(format, 7, false), pieces)
}

fn read_by<'a>(
    mut parser: ToolParser,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<ToolEvent>, ToolParseError> {
    let mut text = TextStream::new(&[]).unwrap();
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.push(text.push(piece).text)?);
    }
    events.extend(parser.push(text.finish().text)?);
    events.extend(parser.finish()?);
    Ok(joined(events))
}

/// Reads a reply whole, cut in two at every byte and byte by byte, which must come to the same.
fn read_every_way(parser: impl Fn() -> ToolParser, reply: &str) -> Vec<ToolEvent> {
    let bytes = reply.as_bytes();
    let whole = read_by(parser(), [bytes]).unwrap_or_else(|error| panic!("{error}: {reply}"));
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let halves = read_by(parser(), [first, second]).unwrap();
        assert_eq!(halves, whole, "{reply} at {cut}");
    }
    assert_eq!(
        read_by(parser(), bytes.chunks(1)).unwrap(),
        whole,
        "{reply}"
    );
    whole
}

fn made(events: &[ToolEvent]) -> Vec<(&str, &Value)> {
    let calls = events.iter().filter_map(|event| match event {
        ToolEvent::Finished { call, .. } => Some((call.name.as_str(), &call.arguments)),
        _ => None,
    });
    calls.collect()
}

fn said(events: &[ToolEvent]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        ToolEvent::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn replies_in_every_format_are_read_and_cuts_change_nothing() {
    for (format, reply, text, calls) in replies() {
        let events = read_every_way(|| ToolParser::new(format, 7, false), reply);
        assert_eq!(said(&events), text, "{format}: {reply}");
        let calls: Vec<_> = calls.iter().map(|(name, value)| (*name, value)).collect();
        assert_eq!(made(&events), calls, "{format}: {reply}");
    }
}

/// Each line is a reply that other readers get wrong, with the tools and what it says.
#[test]
fn odd_replies_say_what_their_families_mean() {
    let mut wrong = Vec::new();
    for line in include_str!("../data/reply_cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let named = |format: &ToolFormat| case["format"] == format.as_str();
        let format = ToolFormat::ALL.iter().copied().find(named).unwrap();
        let tools = ToolSet::from_json(&case["tools"]).unwrap();
        let parser = || ToolParser::new(format, 7, false).with_tools(&tools);
        let reply = case["reply"].as_str().unwrap();
        let events = read_by(parser(), [reply.as_bytes()]);
        let found = events.map(|events| {
            let calls: Vec<Value> = made(&events)
                .into_iter()
                .map(|(name, arguments)| json!({"name": name, "arguments": arguments}))
                .collect();
            (json!(calls), said(&events))
        });
        if found
            != Ok((
                case["calls"].clone(),
                case["text"].as_str().unwrap().to_owned(),
            ))
        {
            wrong.push(format!("{}: {found:?}", case["id"]));
            continue;
        }
        read_every_way(parser, reply);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each line of the records is a reply of the bundled model, and the calls in it.
#[test]
fn recorded_replies_are_read_and_cuts_change_nothing() {
    let tools = recorded_tools();
    let mut seen = std::collections::HashMap::new();
    for line in include_str!("../data/tool_replies.jsonl").lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let named = |format: &ToolFormat| record["format"] == format.as_str();
        let format = ToolFormat::ALL.iter().copied().find(named).unwrap();
        let parser = || ToolParser::new(format, 7, false).with_tools(&tools);
        let events = read_every_way(parser, record["reply"].as_str().unwrap());
        assert_eq!(said(&events), "", "{record}");
        let calls: Vec<Value> = made(&events)
            .into_iter()
            .map(|(name, arguments)| json!({"name": name, "arguments": arguments}))
            .collect();
        assert_eq!(record["calls"], json!(calls), "{record}");
        if let Some(plain) = read_plainly(format, record["reply"].as_str().unwrap()) {
            assert_eq!(calls, plain, "{record}");
        }
        for (name, arguments) in made(&events) {
            let tool = tools.tools().iter().find(|tool| tool.name == name);
            schemas::check(&tool.unwrap().parameters, arguments);
        }
        *seen.entry(format).or_insert(0) += 1;
    }
    assert!(seen.len() >= 8 && seen.values().all(|&replies| replies >= 8));
}

/// What a reply says to one who knows that nothing stands between the calls; `None` for notations
/// that are not JSON.
fn read_plainly(format: ToolFormat, reply: &str) -> Option<Vec<Value>> {
    let call = |name: &Value, arguments: Option<&Value>| {
        let arguments = arguments.cloned().unwrap_or_else(|| json!({}));
        json!({"name": name, "arguments": arguments})
    };
    match format {
        ToolFormat::Qwen3Coder | ToolFormat::FunctionGemma => None,
        ToolFormat::MistralV11 => {
            let calls = reply.split("[TOOL_CALLS]").skip(1);
            let read = |one: &str| {
                let (name, arguments) = one.split_once("[ARGS]").unwrap();
                let arguments = serde_json::from_str(arguments).unwrap();
                call(&json!(name), Some(&arguments))
            };
            Some(calls.map(read).collect())
        }
        _ => {
            let mut calls = Vec::new();
            let mut rest = reply.strip_prefix("[TOOL_CALLS]").unwrap_or(reply);
            while let Some(start) = rest.find(['{', '[']) {
                let mut values = serde_json::Deserializer::from_str(&rest[start..]).into_iter();
                let value: Value = values.next().unwrap().unwrap();
                rest = &rest[start + values.byte_offset()..];
                let list = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                calls.extend(
                    list.iter().map(|one| {
                        call(&one["name"], one.get("arguments").or(one.get("parameters")))
                    }),
                );
            }
            Some(calls)
        }
    }
}

/// Tools with every kind of value.
fn recorded_tools() -> ToolSet {
    ToolSet::from_json(&json!([
        {"name": "get_weather", "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "minLength": 1, "maxLength": 24},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "day": {"type": "string", "format": "date"},
            },
            "required": ["place"],
            "additionalProperties": false,
        }},
        {"name": "save_note", "parameters": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "maxLength": 60},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 3},
                "weight": {"type": "number", "minimum": -2.5, "maximum": 2.5, "multipleOf": 0.25},
                "about": {
                    "type": "object",
                    "properties": {"page": {"type": "integer", "minimum": 1, "maximum": 900},
                        "author": {"type": ["string", "null"], "maxLength": 12}},
                    "required": ["page", "author"],
                    "additionalProperties": false,
                },
                "pinned": {"type": "boolean"},
            },
            "required": ["text", "tags", "about"],
            "additionalProperties": false,
        }},
        {"name": "now"},
    ]))
    .unwrap()
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
                ToolEvent::Text(_) => {}
            }
        }
        assert_eq!(seen.len(), calls.len());
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), calls.len(), "ids differ");
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
        ToolEvent::Finished { call: whole, .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    let expected = json!({"text": "12", "either": null, "none": "\"x\"", "choice": "1",
        "date": "\"2020-01-02\"", "n": 12});
    assert_eq!(whole.arguments, expected);
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), expected);
    // What the schema does not allow is told as it is.
    for (key, value, expected) in [
        ("n", "twelve", json!("twelve")),
        ("n", "1, \"m\": 2", json!("1, \"m\": 2")),
        ("n", "007", json!(7)),
        ("date", "2020-01-02", json!("2020-01-02")),
    ] {
        let events = read(&call(&[(key, value)])).unwrap();
        assert_eq!(made(&events), [("f", &json!({key: expected}))]);
    }
    // Numbers are kept to the digit or refused.
    let large = read(&call(&[("n", "18446744073709551615")])).unwrap();
    assert_eq!(made(&large)[0].1["n"], json!(u64::MAX));
    let Err(ToolParseError::Arguments { reason, .. }) =
        read(&call(&[("n", "18446744073709551616")]))
    else {
        panic!("a number was rounded");
    };
    assert!(
        reason.contains("/n") && reason.contains("64 bits"),
        "{reason}"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_parser(
        reply in "(<tool_call>|</tool_call>|\\[TOOL_CALLS\\]|\\[ARGS\\]|\\[CALL_ID\\]|<start_function_call>|call:|<escape>|<function=|<parameter=|</parameter>|</function>|<think>|\\{\"name\": |\\{\"name\":|<\\|python_tag\\|>|  |\\n|\"f\"|, \"arguments\": |[\\[\\]{}\",:; \\\\a1<`é]|```json\n){0,24}",
        cut in 0_usize..64,
    ) {
        for &format in ToolFormat::ALL {
            let bytes = reply.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let whole = read(format, [bytes]);
            proptest::prop_assert_eq!(&read(format, [first, second]), &whole);
            proptest::prop_assert_eq!(&read(format, bytes.chunks(1)), &whole);
        }
    }
}

mod broken;
#[cfg(all(feature = "tools", feature = "llama-cpp", feature = "bundled-model"))]
mod recording;
