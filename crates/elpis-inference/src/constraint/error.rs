//! Errors of constraints.

use thiserror::Error;

use crate::finish::FinishReason;
use crate::sampling::SamplingError;
use crate::tools::ToolParseError;

/// Why a constraint was refused or could not be enforced.
#[derive(
    Debug, Clone, PartialEq, Error, strum::IntoStaticStr, strum::VariantNames, strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case", prefix = "constraint_")]
#[non_exhaustive]
pub enum ConstraintError {
    /// A value exceeds its limit.
    #[error("{field} is {value}, but must be {limit}")]
    Limit {
        /// The field.
        field: &'static str,
        /// The value, as text.
        value: String,
        /// The limit, as text.
        limit: &'static str,
    },
    /// A schema, regular expression or grammar cannot be enforced.
    #[error("{field} cannot be enforced: {}{}{reason}", of_tool(tool.as_ref()), at(path.as_ref()))]
    #[strum(props(hint = "remove that from the schema; docs/tools.md lists what can be enforced"))]
    Refused {
        /// The field.
        field: &'static str,
        /// The tool that has the schema.
        tool: Option<String>,
        /// The place in the schema: a URI fragment with a JSON pointer, as in `$ref`.
        path: Option<String>,
        /// The whole reason.
        reason: String,
    },
    /// The build cannot enforce anything.
    #[error("{field} needs a build with the cargo feature `tools`")]
    NotBuilt {
        /// The field.
        field: &'static str,
    },
    /// The vocabulary cannot be used for masks.
    #[error("the model's vocabulary cannot be constrained: {reason}")]
    Vocabulary {
        /// Why.
        reason: String,
    },
    /// The reply ended before it was complete, usually because of the token limit.
    #[error(
        "the reply ended ({}) after {tokens} tokens, before the required content was complete",
        finish_reason.as_str()
    )]
    #[strum(props(hint = "raise --max-tokens or model.max_tokens, or make the schema smaller"))]
    Unfinished {
        /// Why it ended.
        finish_reason: FinishReason,
        /// Tokens generated.
        tokens: u32,
    },
    /// No mask could be computed, for example because a grammar needs too much work for a token.
    #[error("the constraint failed after {tokens} tokens: {reason}")]
    Failed {
        /// Tokens generated.
        tokens: u32,
        /// Why.
        reason: String,
    },
    /// The model assigns no probability to any allowed token.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A generated call cannot be parsed.
    #[error(transparent)]
    #[strum(transparent)]
    Call(#[from] ToolParseError),
}

fn of_tool(tool: Option<&String>) -> String {
    tool.map_or_else(String::new, |tool| format!("tool {tool:?}: "))
}

fn at(path: Option<&String>) -> String {
    path.map_or_else(String::new, |path| format!("{path}: "))
}

impl ConstraintError {
    /// Creates the error for a constraint that cannot be enforced.
    pub fn refused(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused {
            field,
            tool: None,
            path: None,
            reason: reason.into(),
        }
    }

    /// Adds the place in the schema.
    #[cfg(feature = "tools")]
    pub(crate) fn at(mut self, place: String) -> Self {
        if let Self::Refused { path, .. } = &mut self {
            *path = Some(place);
        }
        self
    }

    /// Adds the tool whose schema is refused.
    #[must_use]
    pub fn of_tool(mut self, name: &str) -> Self {
        if let Self::Refused { tool, .. } = &mut self {
            *tool = Some(name.to_owned());
        }
        self
    }

    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}
