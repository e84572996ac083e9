//! Why a generation ends.

use serde::{Deserialize, Serialize};

/// Why a generation ended.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
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
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
