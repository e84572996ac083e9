//! Chat messages and their roles.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::tools::FunctionCall;

/// Why messages were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum MessageError {
    /// A role is not one of [`Role::ALL`].
    #[error("unknown role {name:?}, known roles: system, user, assistant, tool")]
    UnknownRole {
        /// The given role, shortened to 64 characters.
        name: String,
    },
    /// The conversation has no message.
    #[error("the conversation has no messages")]
    #[strum(to_string = "empty_conversation")]
    Empty,
    /// A user message has no text.
    #[error("user message {index} has no content")]
    EmptyUserMessage {
        /// Its index in the conversation, from 0.
        index: usize,
    },
}

impl MessageError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// The role of a message's author.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    strum::IntoStaticStr,
    strum::Display,
    strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The human, or agent code in place of one.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns the role's name in chat templates.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Role {
    type Err = MessageError;

    /// Parses a role's exact name.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut known = Self::ALL.iter().copied();
        known
            .find(|role| role.as_str() == name)
            .ok_or_else(|| MessageError::UnknownRole {
                name: name.chars().take(64).collect(),
            })
    }
}

impl Serialize for Role {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One message of a conversation, in the form that chat templates read.
///
/// Fields that are `None` are absent to a template (undefined), not null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    /// The role of the author.
    pub role: Role,
    /// The text. JSON null and a missing field are read as the empty text, because assistant
    /// messages with tool calls often have these.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub content: String,
    /// The model's reasoning before its answer, for templates of reasoning models. Templates see
    /// it as `reasoning_content` and as `thinking`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The tool calls of an assistant message: a list of `{"type": "function", "id": …, "function":
    /// {"name": …, "arguments": {…}}}`. Most templates expect `arguments` as an object, not as
    /// text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
    /// The name of the tool whose result this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The id of the tool call that this message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    /// Creates a message with a role and a text, and nothing else.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning_content: None,
            tool_calls: None,
            name: None,
            tool_call_id: None,
        }
    }

    /// Creates a system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// Creates a user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// Creates an assistant message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Creates a tool message.
    pub fn tool(content: impl Into<String>) -> Self {
        Self::new(Role::Tool, content)
    }

    /// Creates the assistant message with these calls and some text.
    pub fn assistant_calls(content: impl Into<String>, calls: &[FunctionCall]) -> Self {
        let calls = calls.iter().map(FunctionCall::to_message_json).collect();
        Self {
            tool_calls: Some(calls),
            ..Self::assistant(content)
        }
    }

    /// The message as chat templates see it: missing fields are undefined, and the reasoning is
    /// available under both common names, as in transformers.
    pub fn to_template_json(&self) -> Value {
        let Self {
            role,
            content,
            reasoning_content,
            tool_calls,
            name,
            tool_call_id,
        } = self;
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let fields = [
            ("thinking", text(reasoning_content)),
            ("role", Some(Value::from(role.as_str()))),
            ("content", Some(Value::from(content.as_str()))),
            ("reasoning_content", text(reasoning_content)),
            ("tool_calls", tool_calls.clone()),
            ("name", text(name)),
            ("tool_call_id", text(tool_call_id)),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Creates the message that answers a call.
    pub fn tool_result(call: &FunctionCall, content: impl Into<String>) -> Self {
        Self {
            name: Some(call.name.clone()),
            tool_call_id: Some(call.id.clone()),
            ..Self::tool(content)
        }
    }
}

/// Checks a conversation before it is rendered.
///
/// # Errors
/// [`MessageError::Empty`] without a message, [`MessageError::EmptyUserMessage`] if a user message
/// is empty. White space counts as content.
pub fn validate_messages(messages: &[ChatMessage]) -> Result<(), MessageError> {
    if messages.is_empty() {
        return Err(MessageError::Empty);
    }
    let empty = |message: &ChatMessage| message.role == Role::User && message.content.is_empty();
    match messages.iter().position(empty) {
        Some(index) => Err(MessageError::EmptyUserMessage { index }),
        None => Ok(()),
    }
}

fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}
