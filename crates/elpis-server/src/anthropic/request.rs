//! The request of a message, as Anthropic's clients send it.

use elpis::{ChatMessage, GenerationOptions, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::calls;
use crate::error::ApiError;
use crate::extension::RequestExtension;
use crate::extract::{field, unknown_fields};

/// Fields that cannot change the answer of this server.
const WITHOUT_EFFECT: [&str; 4] = ["service_tier", "container", "context_management", "betas"];

#[derive(Debug, Deserialize)]
pub(crate) struct MessageRequest {
    pub(super) model: String,
    #[serde(default)]
    max_tokens: Option<u32>,
    messages: Vec<Message>,
    #[serde(default)]
    system: Option<Content>,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    top_k: Option<u32>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Option<Choice>,
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) elpis: Option<RequestExtension>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

/// A part of a content; which fields it has depends on its type.
#[derive(Debug, Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    is_error: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

impl MessageRequest {
    pub(super) fn ignored(&self) -> Vec<String> {
        unknown_fields(&self.rest, &WITHOUT_EFFECT)
    }

    /// The texts that end the reply.
    pub(super) fn stops(&self) -> &[String] {
        self.stop_sequences.as_deref().unwrap_or_default()
    }

    /// Who the request is for, in Anthropic's words.
    pub(super) fn user(&self) -> Option<&str> {
        self.metadata.as_ref()?.get("user_id")?.as_str()
    }

    pub(super) fn options(&mut self) -> Result<GenerationOptions, ApiError> {
        let Some(max_tokens) = self.max_tokens else {
            return Err(field("max_tokens", "is missing"));
        };
        let mut options = GenerationOptions::default()
            .max_tokens(max_tokens)
            .allow_unfinished(true)
            .stop(self.stops().to_vec());
        options.temperature = self.temperature;
        options.top_p = self.top_p;
        options.top_k = self.top_k;
        let tools = self.tools.take().unwrap_or_default();
        if let Some(choice) = &self.tool_choice {
            options.tool_choice = Some(choice.read()?);
            let single = choice.disable_parallel_tool_use == Some(true);
            options.parallel_tool_calls = single.then_some(false);
        }
        if tools.is_empty() {
            options.tool_choice = None;
        } else {
            let tools: Result<_, _> = tools.into_iter().enumerate().map(Tool::convert).collect();
            options.tools = Some(Value::Array(tools?));
        }
        Ok(options)
    }

    /// The conversation.
    pub(super) fn conversation(&mut self) -> Result<Vec<ChatMessage>, ApiError> {
        let mut messages = Vec::new();
        if let Some(system) = self.system.take() {
            messages.push(ChatMessage::system(text_of(system, "system")?));
        }
        for (index, message) in std::mem::take(&mut self.messages).into_iter().enumerate() {
            let place = format!("messages[{index}]");
            match message.role.as_str() {
                "user" => user(message.content, &place, &mut messages)?,
                "assistant" => messages.push(assistant(message.content, &place)?),
                "system" => messages.push(ChatMessage::system(text_of(message.content, &place)?)),
                role => {
                    let reason = format!("is {role:?}, but must be user or assistant");
                    return Err(field(format!("{place}.role"), &reason));
                }
            }
        }
        Ok(messages)
    }
}

impl Tool {
    fn convert((index, tool): (usize, Self)) -> Result<Value, ApiError> {
        let Some(schema) = tool.input_schema else {
            let reason = "is missing: this server runs no tools of its own";
            return Err(field(format!("tools[{index}].input_schema"), reason));
        };
        let mut function = json!({"name": tool.name, "parameters": schema});
        if let Some(description) = tool.description {
            function["description"] = description.into();
        }
        Ok(json!({"type": "function", "function": function}))
    }
}

impl Choice {
    fn read(&self) -> Result<ToolChoice, ApiError> {
        Ok(match (self.kind.as_str(), &self.name) {
            ("auto", _) => ToolChoice::Auto,
            ("any", _) => ToolChoice::Required,
            ("none", _) => ToolChoice::None,
            ("tool", Some(name)) => ToolChoice::Named(name.clone()),
            ("tool", None) => return Err(field("tool_choice.name", "is missing")),
            (kind, _) => {
                let reason = format!("is {kind:?}, but must be auto, any, tool or none");
                return Err(field("tool_choice.type", &reason));
            }
        })
    }
}

/// The text of a content that can hold nothing else.
fn text_of(content: Content, place: &str) -> Result<String, ApiError> {
    let blocks = match content {
        Content::Text(text) => return Ok(text),
        Content::Blocks(blocks) => blocks,
    };
    let mut whole = String::new();
    for (index, block) in blocks.into_iter().enumerate() {
        match (block.kind.as_str(), block.text) {
            ("text", Some(text)) => whole.push_str(&text),
            (kind, _) => return Err(unreadable(kind, &format!("{place}.content[{index}]"))),
        }
    }
    Ok(whole)
}

fn unreadable(kind: &str, place: &str) -> ApiError {
    let reason = format!("is {kind:?}, but this model reads text only");
    field(format!("{place}.type"), &reason)
}

/// A user's message may hold the results of tools, which are messages of their own here.
fn user(content: Content, place: &str, messages: &mut Vec<ChatMessage>) -> Result<(), ApiError> {
    let blocks = match content {
        Content::Text(text) => {
            messages.push(ChatMessage::user(text));
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut text = String::new();
    for (index, block) in blocks.into_iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        match block.kind.as_str() {
            "text" => text.push_str(&block.text.unwrap_or_default()),
            "tool_result" => {
                let content = block.content.map(|content| text_of(content, &place));
                let mut content = content.transpose()?.unwrap_or_default();
                if block.is_error == Some(true) {
                    content.insert_str(0, "Error: ");
                }
                messages.push(calls::result(messages, block.tool_use_id, content));
            }
            kind => return Err(unreadable(kind, &place)),
        }
    }
    if !text.is_empty() {
        messages.push(ChatMessage::user(text));
    }
    Ok(())
}

fn assistant(content: Content, place: &str) -> Result<ChatMessage, ApiError> {
    let blocks = match content {
        Content::Text(text) => return Ok(ChatMessage::assistant(text)),
        Content::Blocks(blocks) => blocks,
    };
    let (mut text, mut thinking, mut made) = (String::new(), String::new(), Vec::new());
    for (index, block) in blocks.into_iter().enumerate() {
        match block.kind.as_str() {
            "text" => text.push_str(&block.text.unwrap_or_default()),
            "thinking" => thinking.push_str(&block.thinking.unwrap_or_default()),
            // Encrypted, for its maker alone.
            "redacted_thinking" => {}
            "tool_use" => {
                let name = block.name.unwrap_or_default();
                made.push(calls::call(
                    block.id,
                    &name,
                    block.input.unwrap_or_default(),
                ));
            }
            kind => return Err(unreadable(kind, &format!("{place}.content[{index}]"))),
        }
    }
    let mut message = ChatMessage::assistant(text);
    message.reasoning_content = Some(thinking).filter(|text| !text.is_empty());
    message.tool_calls = (!made.is_empty()).then_some(Value::Array(made));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis::Role;

    fn request(mut fields: Value) -> MessageRequest {
        fields["model"] = "m".into();
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn a_conversation_with_tools_is_read() {
        let mut request = request(json!({
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true,
                    "content": [{"type": "text", "text": "no net"}]},
                {"type": "text", "text": "Well?"}]},
        ]}));
        let messages = request.conversation().unwrap();
        let roles: Vec<_> = messages.iter().map(|message| message.role).collect();
        assert_eq!(
            roles,
            [
                Role::System,
                Role::User,
                Role::Assistant,
                Role::Tool,
                Role::User
            ]
        );
        assert_eq!(messages[2].reasoning_content.as_deref(), Some("hm"));
        assert_eq!(
            messages[2].tool_calls.as_ref().unwrap()[0]["function"]["arguments"],
            json!({"city": "Rome"})
        );
        assert_eq!(
            (messages[3].name.as_deref(), messages[3].content.as_str()),
            (Some("weather"), "Error: no net")
        );
    }

    #[test]
    fn tools_and_their_choice_are_read() {
        let tool = json!({"name": "f", "description": "d", "input_schema": {"type": "object"}});
        let mut request = request(json!({"max_tokens": 9, "messages": [], "tools": [tool],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true}}));
        let options = request.options().unwrap();
        assert_eq!(options.tool_choice, Some(ToolChoice::Required));
        assert_eq!(options.parallel_tool_calls, Some(false));
        assert_eq!(
            options.tools.unwrap()[0]["function"]["parameters"],
            json!({"type": "object"})
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let param = |fields: Value| {
            let mut request = request(fields);
            let error = request
                .options()
                .map(drop)
                .and_then(|()| request.conversation().map(drop));
            error.unwrap_err().param.unwrap()
        };
        assert_eq!(param(json!({"messages": []})), "max_tokens");
        let image = json!([{"role": "user", "content": [{"type": "image", "source": {}}]}]);
        assert_eq!(
            param(json!({"max_tokens": 1, "messages": image})),
            "messages[0].content[0].type"
        );
        let robot = json!([{"role": "robot", "content": "x"}]);
        assert_eq!(
            param(json!({"max_tokens": 1, "messages": robot})),
            "messages[0].role"
        );
        let search = json!([{"type": "web_search_20260101", "name": "web_search"}]);
        assert_eq!(
            param(json!({"max_tokens": 1, "messages": [], "tools": search})),
            "tools[0].input_schema"
        );
    }
}
