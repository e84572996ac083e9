//! The messages of a request, in every form that clients send.

use elpis::{ChatMessage, Role};
use serde::Deserialize;
use serde_json::Value;

use crate::calls;
use crate::content::Content;
use crate::error::ApiError;

/// A message. Fields that only describe earlier replies (`refusal`, `annotations`, `audio`) are
/// not read.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

/// A call that an earlier reply made.
#[derive(Debug, Deserialize)]
struct Call {
    #[serde(default)]
    id: Option<String>,
    function: CalledFunction,
}

impl Call {
    fn convert(self) -> Value {
        calls::call(self.id, &self.function.name, self.function.arguments)
    }
}

#[derive(Debug, Deserialize)]
struct CalledFunction {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// Converts the messages of a request.
pub(super) fn convert(messages: Vec<Message>) -> Result<Vec<ChatMessage>, ApiError> {
    let mut converted: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        let mut message = convert_one(index, message)?;
        if message.role == Role::Tool && message.name.is_none() {
            // Templates want the tool's name, clients send the call's id alone.
            let id = message.tool_call_id.as_deref();
            message.name = id.and_then(|id| calls::name_of(&converted, id));
        }
        converted.push(message);
    }
    Ok(converted)
}

fn convert_one(index: usize, message: Message) -> Result<ChatMessage, ApiError> {
    let role = match message.role.as_str() {
        "developer" => Role::System,
        "function" => Role::Tool,
        role => role.parse().map_err(|_| {
            let known = "system, developer, user, assistant, tool";
            ApiError::invalid(
                format!("messages[{index}].role"),
                format!("messages[{index}].role is {role:?}, but must be one of {known}"),
            )
        })?,
    };
    let place = format!("messages[{index}].content");
    let content = message.content.map(|content| content.text(&place));
    let content = content.transpose()?.unwrap_or_default();
    let calls = message.tool_calls.filter(|calls| !calls.is_empty());
    let calls = calls.map(|calls| calls.into_iter().map(Call::convert).collect());
    // A name of a tool is for its result; other names have no place in chat templates.
    let name = message.name.filter(|_| role == Role::Tool);
    let mut converted = ChatMessage::new(role, content);
    converted.reasoning_content = message.reasoning_content;
    converted.tool_calls = calls;
    converted.name = name;
    converted.tool_call_id = message.tool_call_id;
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(json: Value) -> Result<Vec<ChatMessage>, ApiError> {
        convert(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn every_form_of_a_message_is_read() {
        let messages = read(json!([
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "text", "text": " up x."}], "name": "ada"},
            {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
                {"id": "c1", "type": "function", "index": 0, "function": {"name": "look", "arguments": "{\"x\": 1}"}},
                {"id": null, "type": "function", "function": {"name": "look", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "tool", "tool_call_id": null, "content": "nothing"},
            {"role": "assistant", "reasoning_content": "hm", "content": "It is there."},
        ]))
        .unwrap();
        assert_eq!(messages[0], ChatMessage::system("Be kind."));
        assert_eq!(messages[1], ChatMessage::user("Look up x."));
        let calls = messages[2].tool_calls.as_ref().unwrap();
        assert_eq!(calls[0]["function"]["arguments"], json!({"x": 1}));
        assert_eq!(calls[1]["function"]["arguments"], json!({}));
        assert!(calls[1].get("id").is_none());
        assert_eq!(messages[3].name.as_deref(), Some("look"));
        assert_eq!(messages[4].name, None);
        assert_eq!(messages[5].reasoning_content.as_deref(), Some("hm"));
    }

    #[test]
    fn what_the_model_cannot_read_is_named() {
        let error = read(
            json!([{"role": "user", "content": [{"type": "text", "text": "x"},
            {"type": "image_url", "image_url": {"url": "data:"}}]}]),
        )
        .unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[0].content[1].type"));
        let error = read(json!([{"role": "robot", "content": "x"}])).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[0].role"));
        let error = read(json!([{"role": "user", "content": [{"type": "text"}]}])).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[0].content[0].text"));
    }
}
