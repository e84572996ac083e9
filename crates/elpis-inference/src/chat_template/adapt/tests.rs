use serde_json::json;

use super::*;
use crate::tools::{FunctionCall, ToolEvent, ToolParser};

/// A template that shows the plain turns of a system, a user and an assistant.
const PLAIN: TemplateCapabilities = TemplateCapabilities {
    system: true,
    ..TemplateCapabilities::UNKNOWN
};
/// A template that shows everything.
const WHOLE: TemplateCapabilities = TemplateCapabilities {
    system: true,
    several_systems: true,
    late_system: true,
    repeated_roles: true,
    tools: true,
    bare_tools: true,
    tool_calls: Some(ArgumentsForm::Object),
    text_beside_calls: true,
    text_before_calls: true,
    parallel_calls: true,
    tool_results: true,
    call_ids: true,
    reasoning: true,
    ..TemplateCapabilities::UNKNOWN
};

fn tools() -> ToolSet {
    ToolSet::from_json(&json!([{"type": "function", "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string"}, "days": {"type": "array"},
        }},
    }}]))
    .expect("tools")
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

/// Role and content of each message.
fn turns(adapted: &Adapted) -> Vec<(String, String)> {
    let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
    let messages = adapted.messages.iter();
    messages
        .map(|message| (text(message, "role"), text(message, "content")))
        .collect()
}

#[test]
fn templates_without_tools_get_them_as_text() {
    let tools = tools();
    let (messages, _) = conversation();
    for &format in ToolFormat::ALL {
        let plain = adapt(&messages, Some(&tools), format, &PLAIN);
        let plain = turns(&plain);
        let roles: Vec<_> = plain.iter().map(|(role, _)| role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "user"], "{format}");
        assert!(plain[0].1.starts_with("Be brief.\n\n"), "{format}");
        assert!(plain[0].1.contains("\"get_weather\""), "{format}");
        assert!(plain[3].1.contains("sunny"), "{format}");
        // What is written down for the model is what would be read from it.
        let mut parser = ToolParser::new(format, 7, false);
        let mut read = parser.push(&plain[2].1).unwrap();
        read.extend(parser.finish().unwrap());
        assert!(
            matches!(read.last(), Some(ToolEvent::Finished { call, .. })
                if call.arguments == json!({"place": "Paris", "days": [1, 2]})),
            "{format}: {read:?}"
        );
    }
    let two = [ChatMessage::user("a"), ChatMessage::tool("b")];
    let joined = turns(&adapt(&two, Some(&tools), ToolFormat::Hermes, &PLAIN));
    assert_eq!(joined.len(), 2);
    assert!(joined[1].1.starts_with("a\n\n<tool_response>"));
}

#[test]
fn templates_with_tools_get_messages_in_their_form() {
    let (mut messages, call) = conversation();
    let text = json!([{"type": "function", "id": call.id, "function": {
        "name": call.name, "arguments": call.arguments.to_string(),
    }}]);
    messages[2].tool_calls = Some(text.clone());
    let native = adapt(&messages, None, ToolFormat::Mistral, &WHOLE);
    assert_eq!(
        native.messages[2]["tool_calls"],
        json!([call.to_message_json()])
    );
    assert_eq!(native.messages[3], messages[3].to_template_json());
    let texts = TemplateCapabilities {
        tool_calls: Some(ArgumentsForm::Text),
        ..WHOLE
    };
    messages[2] = ChatMessage::assistant_calls("", &[call]);
    let native = adapt(&messages, None, ToolFormat::Mistral, &texts);
    assert_eq!(native.messages[2]["tool_calls"], text);
}

#[test]
fn missing_and_empty_arguments_are_an_empty_object() {
    let calls =
        |arguments: Value| json!([{"id": null, "function": {"name": "f", "arguments": arguments}}]);
    let mut bare = calls(json!(1));
    bare[0]["function"]
        .as_object_mut()
        .unwrap()
        .remove("arguments");
    for calls in [
        calls(json!("")),
        calls(json!(" ")),
        calls(Value::Null),
        calls(json!("{}")),
        bare,
    ] {
        let message = ChatMessage {
            tool_calls: Some(calls),
            ..ChatMessage::assistant("")
        };
        let adapted = adapt(&[message], None, ToolFormat::Hermes, &WHOLE);
        let expected = json!([{"function": {"name": "f", "arguments": {}}}]);
        assert_eq!(adapted.messages[0]["tool_calls"], expected);
    }
    let message = ChatMessage {
        tool_calls: Some(json!([])),
        ..ChatMessage::assistant("text")
    };
    let adapted = adapt(&[message], None, ToolFormat::Hermes, &WHOLE);
    assert_eq!(adapted.messages[0].get("tool_calls"), None);
}

#[test]
fn system_messages_go_where_they_are_shown() {
    let talk = [
        ChatMessage::system("s"),
        ChatMessage::system("t"),
        ChatMessage::user("a"),
        ChatMessage::assistant("b"),
        ChatMessage::system("late"),
        ChatMessage::user("c"),
        ChatMessage::system("end"),
    ];
    let of = |can: &TemplateCapabilities| {
        let texts = turns(&adapt(&talk, None, ToolFormat::Json, can));
        let texts = texts
            .iter()
            .map(|(role, text)| format!("{}:{}", &role[..1], text.replace("\n\n", "+")));
        texts.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(&WHOLE), "s:s s:t u:a a:b s:late u:c s:end");
    assert_eq!(of(&PLAIN), "s:s+t u:a a:b u:late+c+end");
    let none = TemplateCapabilities::UNKNOWN;
    assert_eq!(of(&none), "u:s+t+a a:b u:late+c+end");
}

#[test]
fn parallel_calls_are_taken_apart_where_only_one_is_shown() {
    let call = |id: &str| FunctionCall {
        id: id.into(),
        name: "f".into(),
        arguments: json!({}),
    };
    let talk = [
        ChatMessage::user("a"),
        ChatMessage::assistant_calls("", &[call("1"), call("2")]),
        ChatMessage::tool_result(&call("2"), "two"),
        ChatMessage::tool_result(&call("1"), "one"),
    ];
    let can = TemplateCapabilities {
        parallel_calls: false,
        ..WHOLE
    };
    let adapted = adapt(&talk, None, ToolFormat::Llama3, &can);
    let shown: Vec<_> = adapted.messages[1..]
        .iter()
        .map(|message| match message.get("tool_calls") {
            Some(calls) => calls[0]["id"].as_str().unwrap_or_default().to_owned(),
            None => message["content"].as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    assert_eq!(shown, ["1", "one", "2", "two"]);
}
