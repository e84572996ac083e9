//! The input of a request: items of a conversation.

use elpis::{ChatMessage, Role};
use serde::Deserialize;
use serde_json::Value;

use crate::calls;
use crate::content::Content;
use crate::error::ApiError;
use crate::extract::field;

/// A text, or items.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Input {
    Text(String),
    Items(Vec<Item>),
}

/// An item; which fields it has depends on its type.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    output: Option<Content>,
}

impl Input {
    /// Adds the input to a conversation.
    pub(super) fn add_to(self, messages: &mut Vec<ChatMessage>) -> Result<(), ApiError> {
        match self {
            Self::Text(text) => messages.push(ChatMessage::user(text)),
            Self::Items(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    item.add_to(&format!("input[{index}]"), messages)?;
                }
            }
        }
        Ok(())
    }
}

impl Item {
    fn add_to(self, place: &str, messages: &mut Vec<ChatMessage>) -> Result<(), ApiError> {
        match self.kind.as_deref() {
            None | Some("message") => {
                let role = self.role.unwrap_or_default();
                let role = match role.as_str() {
                    "developer" => Role::System,
                    role => role.parse().map_err(|_| {
                        let known = "user, assistant, system or developer";
                        field(
                            format!("{place}.role"),
                            &format!("is {role:?}, but must be {known}"),
                        )
                    })?,
                };
                let text = text_of(self.content, &format!("{place}.content"))?;
                messages.push(ChatMessage::new(role, text));
            }
            Some("function_call") => {
                let Some(name) = self.name else {
                    return Err(field(format!("{place}.name"), "is missing"));
                };
                let arguments = Value::String(self.arguments.unwrap_or_default());
                add_call(messages, calls::call(self.call_id, &name, arguments));
            }
            Some("function_call_output") => {
                let output = text_of(self.output, &format!("{place}.output"))?;
                messages.push(calls::result(messages, self.call_id, output));
            }
            // The model's own earlier thinking, which templates leave out.
            Some("reasoning") => {}
            Some(kind) => {
                let reason = format!("is {kind:?}, which this server does not have");
                return Err(field(format!("{place}.type"), &reason));
            }
        }
        Ok(())
    }
}

/// Calls follow the text of the same reply, or each other.
fn add_call(messages: &mut Vec<ChatMessage>, call: Value) {
    if !messages
        .last()
        .is_some_and(|last| last.role == Role::Assistant)
    {
        messages.push(ChatMessage::assistant(""));
    }
    let Some(last) = messages.last_mut() else {
        return;
    };
    match &mut last.tool_calls {
        Some(Value::Array(calls)) => calls.push(call),
        calls => *calls = Some(Value::Array(vec![call])),
    }
}

fn text_of(content: Option<Content>, place: &str) -> Result<String, ApiError> {
    let text = content.map(|content| content.text(place));
    Ok(text.transpose()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(input: Value) -> Result<Vec<ChatMessage>, ApiError> {
        let mut messages = Vec::new();
        serde_json::from_value::<Input>(input)
            .unwrap()
            .add_to(&mut messages)?;
        Ok(messages)
    }

    #[test]
    fn items_become_messages() {
        assert_eq!(read(json!("hi")).unwrap(), [ChatMessage::user("hi")]);
        let messages = read(json!([
            {"role": "developer", "content": "Be kind."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\": \"Rome\"}"},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c2", "output": "sunny"},
        ]))
        .unwrap();
        let roles: Vec<_> = messages.iter().map(|message| message.role).collect();
        assert_eq!(
            roles,
            [Role::System, Role::User, Role::Assistant, Role::Tool]
        );
        let calls = messages[2].tool_calls.as_ref().unwrap();
        assert_eq!(calls[0]["function"]["arguments"], json!({"city": "Rome"}));
        assert_eq!(calls.as_array().unwrap().len(), 2);
        assert_eq!(messages[3].name.as_deref(), Some("weather"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let param = |input| read(input).unwrap_err().param.unwrap();
        assert_eq!(
            param(json!([{"role": "robot", "content": ""}])),
            "input[0].role"
        );
        assert_eq!(
            param(json!([{"type": "item_reference", "id": "x"}])),
            "input[0].type"
        );
        let image =
            json!([{"role": "user", "content": [{"type": "input_image", "image_url": ""}]}]);
        assert_eq!(param(image), "input[0].content[0].type");
        assert_eq!(
            param(json!([{"type": "function_call", "call_id": "x"}])),
            "input[0].name"
        );
    }
}
