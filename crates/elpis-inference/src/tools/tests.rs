//! Every family with every kind of call: what is written is read, however it is cut, and the
//! grammar takes it.

use serde_json::{Value, json};

use super::family::{Family, Part};
use super::name::ToolFormat;
use super::parser::{ToolEvent, ToolParseError, ToolParser};
use super::set::ToolSet;

/// Tools with every kind of argument.
fn tools() -> ToolSet {
    let any = |kind: &str| json!({"type": kind});
    ToolSet::from_json(&json!([
        {"name": "get_weather", "parameters": {
            "type": "object",
            "properties": {
                "city": any("string"),
                "days": any("integer"),
                "factor": any("number"),
                "flag": any("boolean"),
                "none": {"type": ["string", "null"]},
                "list": {"type": "array", "items": {"type": "string"}},
                "rows": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
                "place": {"type": "object", "properties": {
                    "name": any("string"),
                    "at": {"type": "array", "items": {"type": "number"}},
                    "inner": {"type": "object", "properties": {"deep": any("boolean")}},
                }},
            },
            "required": ["city"],
            "additionalProperties": false,
        }},
        {"name": "now"},
        {"name": "now.in-zone_2", "parameters": {
            "type": "object",
            "properties": {"zone": any("string")},
            "additionalProperties": false,
        }},
    ]))
    .unwrap()
}

/// Arguments of `get_weather`, in the order of the schema.
fn arguments() -> Vec<Value> {
    let mut all = vec![
        json!({"city": "Paris", "days": 2}),
        json!({"city": ""}),
        json!({"city": "Zürich 😀 – 日本, \"quoted\" 'single' \\ back"}),
        json!({"city": "def f(a):\n\treturn {\"x\": [a]}\n\n# end"}),
        json!({"city": "  spaces  ", "days": -7, "factor": 2.5, "flag": true}),
        json!({"city": "a", "factor": -1e-7, "flag": false, "none": "text"}),
        json!({"city": "a", "none": null, "list": ["x", "y, z", ""], "rows": [[1, 2], [], [3]]}),
        json!({"city": "a", "list": [], "rows": []}),
        json!({"city": "a", "days": u64::MAX}),
        json!({"city": "a", "days": i64::MIN}),
        json!({"city": "a", "place": {"name": "b", "at": [1.5, -2], "inner": {"deep": true}}}),
        json!({"city": "a", "place": {}}),
        json!({"city": "<b>&amp;</b> {} [] () : , ; = > < / </ \" '"}),
        json!({"city": "null"}),
        json!({"city": "007"}),
        json!({"city": "{\"name\": \"get_weather\", \"arguments\": {}}"}),
        json!({"city": "get_weather(city=\"x\")"}),
    ];
    // What ends a call in some family is text in all others.
    for mark in [
        "</tool_call>",
        "</function>",
        "<tool_call>",
        "```",
        "]",
        ">>>all\n",
        "<think>",
    ] {
        all.push(json!({"city": format!("say {mark} here")}));
    }
    all
}

/// Whether a family can write these arguments: elements tell texts from nothing by what is in
/// them, and a text cannot have in it what ends it.
fn can_write(format: ToolFormat, arguments: &Value) -> bool {
    let fields = arguments.as_object().unwrap();
    let city = fields["city"].as_str().unwrap();
    match format {
        ToolFormat::MiniMaxM3 => !fields.values().any(|value| value == &json!([""])),
        _ => !city.contains('\0'),
    }
}

fn call(name: &str, arguments: &Value) -> Value {
    json!({"type": "function", "id": "abcdefghi",
        "function": {"name": name, "arguments": arguments}})
}

type Read = Result<(String, Vec<(String, Value)>), ToolParseError>;

fn read_by<'r>(mut parser: ToolParser, pieces: impl IntoIterator<Item = &'r str>) -> Read {
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.push(piece)?);
    }
    events.extend(parser.finish()?);
    let (mut text, mut calls) = (String::new(), Vec::new());
    let mut json = String::new();
    for event in events {
        match event {
            ToolEvent::Text(piece) => text.push_str(&piece),
            ToolEvent::Started { .. } => json.clear(),
            ToolEvent::Arguments { json: piece, .. } => json.push_str(&piece),
            ToolEvent::Finished { call, .. } => {
                let told = serde_json::from_str(&json).unwrap_or_else(|_| json!({}));
                assert!(call.arguments == told || told.is_string(), "{json}");
                calls.push((call.name, call.arguments));
            }
        }
    }
    Ok((text, calls))
}

/// Reads a reply as a whole, cut in two everywhere and letter by letter.
fn read(format: ToolFormat, reply: &str) -> Read {
    read_in(format, &tools(), reply, 1)
}

/// Reads a reply in ever so many cuts, and letter by letter.
fn read_in(format: ToolFormat, tools: &ToolSet, reply: &str, every: usize) -> Read {
    let parser = || ToolParser::new(format, 7, false).with_tools(tools);
    let whole = read_by(parser(), [reply]);
    for (cut, _) in reply.char_indices().step_by(every) {
        let (first, second) = reply.split_at(cut);
        assert_eq!(
            read_by(parser(), [first, second]),
            whole,
            "{format}: {reply} at {cut}"
        );
    }
    let letters = reply.split_inclusive(|_| true);
    assert_eq!(read_by(parser(), letters), whole, "{format}: {reply}");
    whole
}

fn expected(calls: &[(&str, Value)]) -> Vec<(String, Value)> {
    let calls = calls.iter();
    calls
        .map(|(name, arguments)| ((*name).to_owned(), arguments.clone()))
        .collect()
}

#[test]
fn what_is_written_is_what_is_read() {
    let tools = tools();
    for &format in ToolFormat::ALL {
        for (round, arguments) in arguments().into_iter().enumerate() {
            if !can_write(format, &arguments) {
                continue;
            }
            let reply = format.write_calls(&[call("get_weather", &arguments)]);
            let calls = expected(&[("get_weather", arguments)]);
            let every = if round < 2 { 1 } else { 17 };
            let found = read_in(format, &tools, &reply, every);
            assert_eq!(found, Ok((String::new(), calls)), "{format}: {reply}");
        }
        for name in ["now", "now.in-zone_2"] {
            let reply = format.write_calls(&[call(name, &json!({}))]);
            let calls = expected(&[(name, json!({}))]);
            assert_eq!(
                read(format, &reply),
                Ok((String::new(), calls)),
                "{format}: {reply}"
            );
        }
    }
}

/// Whether one reply can have several calls.
fn is_parallel(format: ToolFormat) -> bool {
    let around = Family::of(format).layouts[0].around;
    around.iter().any(|around| around.between.is_some())
}

#[test]
fn parallel_calls_are_read_in_their_order() {
    for &format in ToolFormat::ALL
        .iter()
        .filter(|format| is_parallel(**format))
    {
        let calls = [
            ("get_weather", json!({"city": "Paris"})),
            ("now", json!({})),
            ("get_weather", json!({"city": "Rome", "days": 3})),
        ];
        let written: Vec<_> = calls
            .iter()
            .map(|(name, value)| call(name, value))
            .collect();
        let reply = format.write_calls(&written);
        assert_eq!(
            read(format, &reply),
            Ok((String::new(), expected(&calls))),
            "{format}: {reply}"
        );
    }
}

#[test]
fn text_and_thinking_around_calls_are_kept() {
    let arguments = json!({"city": "Paris", "days": 2});
    for &format in ToolFormat::ALL {
        let written = format.write_calls(&[call("get_weather", &arguments)]);
        let calls = expected(&[("get_weather", arguments.clone())]);
        let family = Family::of(format);
        let anchored = family.layouts[0].anchored;
        // A draft of a call in the thinking is none, but for families that call there.
        let draft = if family.calls_while_thinking || family.framed {
            ""
        } else {
            written.as_str()
        };
        let thought = format!("<think>I could write {draft} now.</think>\n\n");
        let reply = format!("{thought}{written}");
        // White space before a call may be a part of it.
        let (text, found) = read(format, &reply).unwrap();
        assert_eq!(text.trim_end(), thought.trim_end(), "{format}: {reply}");
        assert_eq!(found, calls, "{format}: {reply}");
        if !anchored {
            let reply = format!("Let me look – 1 < 2.\n{written}");
            let text = "Let me look – 1 < 2.\n".to_owned();
            assert_eq!(
                read(format, &reply),
                Ok((text, calls.clone())),
                "{format}: {reply}"
            );
        }
        let reply = format!("{written}\nIt is done.");
        let (text, found) = read(format, &reply).unwrap();
        assert_eq!(
            (text.trim_start(), found),
            ("It is done.", calls),
            "{format}: {reply}"
        );
    }
}

#[test]
fn white_space_where_a_call_begins_may_be_any() {
    let arguments = json!({"city": "Paris"});
    for &format in ToolFormat::ALL {
        for space in ["", " ", "\n", "\r\n\t  "] {
            for layout in Family::of(format)
                .layouts
                .iter()
                .filter(|layout| !layout.read_only)
            {
                for around in layout.around {
                    let parts = [around.before, layout.calls[0]].concat();
                    let mut reply = String::new();
                    for part in &parts {
                        match part {
                            Part::Text(text) => reply.push_str(text),
                            Part::Gap(_) => reply.push_str(space),
                            Part::Name => reply.push_str("get_weather"),
                            Part::Index(number) => reply.push_str(&number.to_string()),
                            Part::Id(_) => reply.push_str("a1b2c3d4e"),
                            Part::Arguments => {
                                reply.push_str(&super::write::arguments_in(layout, &arguments));
                            }
                            Part::Maybe(_) | Part::Here | Part::Ahead(_) => {}
                        }
                    }
                    reply.push_str(around.after);
                    let calls = expected(&[("get_weather", arguments.clone())]);
                    assert_eq!(
                        read(format, &reply),
                        Ok((String::new(), calls)),
                        "{format}: {reply:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn calls_that_break_off_are_never_half_read() {
    let arguments = json!({"city": "Paris </x> 1", "days": 12, "list": ["a", "b"]});
    let tools = tools();
    for &format in ToolFormat::ALL {
        let reply = format.write_calls(&[call("get_weather", &arguments)]);
        let parser = || ToolParser::new(format, 7, false).with_tools(&tools);
        let mut whole_from = None;
        for (cut, _) in reply.char_indices() {
            match read_by(parser(), [&reply[..cut]]) {
                Err(error) => {
                    let name = "get_weather".to_owned();
                    assert_eq!(
                        error,
                        ToolParseError::Unfinished { name },
                        "{format}: {cut}"
                    );
                    assert!(whole_from.is_none(), "{format}: {cut}");
                }
                Ok((text, calls)) if calls.is_empty() => {
                    let frame = Family::of(format).marks.iter().any(|mark| {
                        matches!(mark.parts.first(), Some(Part::Text(text)) if reply.starts_with(text))
                    });
                    assert!(frame || text == reply[..cut], "{format}: {text:?}");
                    assert!(whole_from.is_none(), "{format}: {cut}");
                }
                Ok((text, calls)) => {
                    assert_eq!(
                        calls,
                        expected(&[("get_weather", arguments.clone())]),
                        "{format}"
                    );
                    assert_eq!(text, "", "{format}: {}", &reply[..cut]);
                    whole_from.get_or_insert(cut);
                }
            }
        }
    }
}

/// What announces a call says nothing in a sentence about it.
#[test]
fn prose_that_names_a_marker_stays_as_it_is() {
    for &format in ToolFormat::ALL {
        let family = Family::of(format);
        let lists = [family.openers, family.closers, family.control];
        for marker in lists.into_iter().flatten() {
            let tells = |part: &Part| matches!(part, Part::Text(text) if text.contains(marker));
            let is_mark = family.marks.iter().any(|mark| mark.parts.iter().any(tells));
            if is_mark || [">>>", "<｜tool▁call▁begin｜>", "<|tool_call_begin|>"].contains(marker)
            {
                continue;
            }
            for sentence in [
                format!("You can use the {marker} tag to call tools."),
                format!("Write `{marker}` first."),
                format!("First {marker}, then get_weather: {marker}"),
                format!("{marker}\n\nis what they write."),
            ] {
                assert_eq!(
                    read(format, &sentence),
                    Ok((sentence.clone(), Vec::new())),
                    "{format}"
                );
            }
        }
        for sentence in [
            "No call: f(x) = {\"a\": [1, 2]}; 1 < 2 > 0 <",
            "{\"answer\": 42}",
            "[1, 2, 3]",
            "[see below](https://example.org)",
            "```json\n{\"answer\": {\"name\": 1}}\n```",
            "```python\nget_weather(city=\"x\")\n```",
            "<html><body>{}</body></html>",
            "unknown\n{\"a\": 1}",
            "unknown(city=\"x\")",
        ] {
            assert_eq!(
                read(format, sentence),
                Ok((sentence.to_owned(), Vec::new())),
                "{format}"
            );
        }
    }
}

#[cfg(feature = "tools")]
mod grammar;
mod recognition;
