//! Tool calls in conversations.

use elpis::ChatMessage;
use serde_json::{Map, Value, json};

/// A call as chat templates read it. Arguments that are JSON within a text become the object.
pub(crate) fn call(id: Option<String>, name: &str, arguments: Value) -> Value {
    let arguments = match arguments {
        Value::String(text) if text.trim().is_empty() => Value::Object(Map::new()),
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Value::Null => Value::Object(Map::new()),
        other => other,
    };
    let mut call = json!({
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    });
    if let Some(id) = id {
        call["id"] = id.into();
    }
    call
}

/// The message with the result of a call. Templates want the tool's name, which clients leave out.
pub(crate) fn result(
    before: &[ChatMessage],
    call_id: Option<String>,
    content: String,
) -> ChatMessage {
    let mut result = ChatMessage::tool(content);
    result.name = call_id.as_deref().and_then(|id| name_of(before, id));
    result.tool_call_id = call_id;
    result
}

/// The name of the tool that was called with this id.
pub(crate) fn name_of(messages: &[ChatMessage], id: &str) -> Option<String> {
    let calls = messages.iter().rev();
    let calls = calls.filter_map(|message| message.tool_calls.as_ref());
    let mut calls = calls.filter_map(Value::as_array).flatten();
    let call = calls.find(|call| call["id"].as_str() == Some(id))?;
    call["function"]["name"].as_str().map(str::to_owned)
}
