//! Tool definitions and their errors.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use thiserror::Error;

/// Maximum number of tools of one request.
pub const MAX_TOOLS: usize = 128;

/// Maximum length of a tool's name in bytes, as in MCP.
pub const MAX_TOOL_NAME: usize = 128;

/// Maximum size of one JSON schema, and of all tools of a request together, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Maximum nesting of a JSON schema.
pub const MAX_SCHEMA_DEPTH: usize = 64;

/// Why tools were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ToolError {
    /// The value is not a list, or an empty one.
    #[error("tools must be a list of at least one function")]
    NoList,
    /// There are more than [`MAX_TOOLS`] tools.
    #[error("{count} tools, at most {MAX_TOOLS} are allowed")]
    #[strum(to_string = "too_many_tools")]
    TooMany {
        /// The number given.
        count: usize,
    },
    /// The definitions are too long or nested too deeply.
    #[error("the tools are {what}, but must be {limit}")]
    #[strum(to_string = "tools_too_large")]
    TooLarge {
        /// The value, in words.
        what: String,
        /// The limit, in words.
        limit: &'static str,
    },
    /// A definition does not have a known form.
    #[error("tool {index}: {field} {reason}")]
    #[strum(to_string = "tool_field")]
    Field {
        /// Its place in the list, from 0.
        index: usize,
        /// The field.
        field: &'static str,
        /// The reason.
        reason: String,
    },
    /// Two tools have the same name.
    #[error("tool {index}: the name {name:?} is taken by an earlier tool")]
    #[strum(to_string = "duplicate_tool")]
    Duplicate {
        /// Its place in the list, from 0.
        index: usize,
        /// The name.
        name: String,
    },
    /// `tool_choice` names a tool that is not offered.
    #[error("tool_choice names {name:?}, which is not among the tools")]
    #[strum(to_string = "unknown_tool")]
    UnknownChoice {
        /// The name, cut to 64 characters.
        name: String,
    },
    /// `tool_choice` requires a call, but there are no tools.
    #[error("tool_choice is {choice}, but no tools are given")]
    ChoiceWithoutTools {
        /// The choice.
        choice: String,
    },
    /// Tools are combined with a response format.
    #[error("tools and response_format cannot be combined in one request")]
    #[strum(to_string = "tools_with_response_format")]
    WithResponseFormat,
}

impl ToolError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// Whether the model may, must or must not call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// The reply is text.
    None,
    /// The reply is at least one call.
    Required,
    /// The reply is one call of this tool.
    Named(String),
}

impl fmt::Display for ToolChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Required => f.write_str("required"),
            Self::Named(name) => write!(f, "the function {name:?}"),
        }
    }
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => {
                json!({"type": "function", "function": {"name": name}}).serialize(serializer)
            }
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for ToolChoice {
    /// Reads `auto`, `none`, `required` or `{"type": "function", "function": {"name": …}}`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let named = || value.get("function")?.get("name")?.as_str();
        match (value.as_str(), named()) {
            (Some("auto"), _) => Ok(Self::Auto),
            (Some("none"), _) => Ok(Self::None),
            (Some("required"), _) => Ok(Self::Required),
            (None, Some(name)) => Ok(Self::Named(name.to_owned())),
            _ => Err(serde::de::Error::custom(
                "tool_choice must be auto, none, required or a named function",
            )),
        }
    }
}

/// One tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// Its name: letters, digits, `_`, `-` and `.`, at most [`MAX_TOOL_NAME`].
    pub name: String,
    /// Its description, for the model.
    pub description: String,
    /// The JSON schema of its arguments, of type object.
    pub parameters: Value,
}
