//! Why a generation ends.

use serde::{Deserialize, Serialize};

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended its reply.
    Stop,
    /// A stop string was reached.
    StopString,
    /// The model called tools.
    ToolCalls,
    /// `max_tokens` were generated.
    Length,
    /// The context is full.
    ContextFull,
}

impl FinishReason {
    /// The name used in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::StopString => "stop_string",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::ContextFull => "context_full",
        }
    }
}
