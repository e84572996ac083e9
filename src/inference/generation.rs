//! The report of a generation.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ChatMessage, FinishReason, FunctionCall, SamplingParams};
use crate::emotion::{Coefficients, Mood, Quadrant};
use crate::steering::{Expressed, Place};
use elpis_emotion::SessionId;

/// The number of a generation within its runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The emotion behind a text: everything that determined its sampling and steering, so that the
/// text can be traced and reproduced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppliedModulation {
    /// Valence when the modulation was taken.
    pub valence: f64,
    /// Arousal when the modulation was taken.
    pub arousal: f64,
    /// Quadrant of that state.
    pub quadrant: Quadrant,
    /// The mood of that state: its quadrant, or neutral near the baseline.
    #[serde(default)]
    pub mood: Mood,
    /// Index of the first generated token under this modulation, from 0.
    pub from_token: u32,
    /// Index of the first generated token whose logits were steered by it: one more than
    /// [`from_token`](Self::from_token) if the event arrived while that token was being evaluated.
    #[serde(default)]
    pub steering_from_token: u32,
    /// Sampling parameters in force, including the seed.
    pub sampling: SamplingParams,
    /// Steering coefficients by emotion, including the strength.
    pub coefficients: Coefficients,
    /// What the expression control (`model.expression_feedback`) added to valence and arousal before
    /// the coefficients were computed; `None` if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression_offset: Option<Place>,
    /// Factor on the coefficients, in [0, 1]: below 1 after the repetition guard
    /// (`model.repetition_guard`) has lowered the steering of a reply that began to loop.
    #[serde(default = "whole")]
    pub steering_factor: f64,
    /// Content hash of the steering library in force.
    pub library_version: String,
    /// The vectors added to the residual stream.
    pub steering: Vec<AppliedSteering>,
}

/// The factor of reports that were written without one.
const fn whole() -> f64 {
    1.0
}

/// A vector that was added at one layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppliedSteering {
    /// The decoder layer at whose output it was added, counted from 0.
    pub layer: usize,
    /// The vector's Euclidean norm.
    pub norm: f32,
    /// That norm in units of the median norm of the residual stream there.
    pub residual_fraction: Option<f32>,
    /// Whether the norm was cut to the allowed fraction.
    pub clamped: bool,
}

/// The report of a finished generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GenerationReport {
    /// The generation.
    pub id: RequestId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The model's name.
    pub model: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were not evaluated because the cache held them.
    #[serde(default)]
    pub cached_prompt_tokens: u32,
    /// Tokens among them that had been evaluated under steering other than the one this generation
    /// started with.
    #[serde(default)]
    pub cached_under_other_steering: u32,
    /// Generated tokens, without the end token.
    pub completion_tokens: u32,
    /// Number of times that it was resumed in a new engine after a failure.
    #[serde(default)]
    pub resumes: u32,
    /// The modulations in force, in order; more than one only when events
    /// reached the running generation ([`super::ModulationTiming::Live`]).
    /// At most [`MODULATIONS_KEPT`]; the first and the latest are kept.
    pub modulations: Vec<AppliedModulation>,
    /// The model's thinking, if there was any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<ThinkingSpan>,
    /// The part of the reply that was constrained, if any was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constrained: Option<ConstrainedSpan>,
    /// What the reply expresses, read from the residual stream while it was generated; `None` if the
    /// steering library has no axes (`[reading]` in `vectors.toml`) or no token was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expressed: Option<Expressed>,
    /// Time from submission until the generation got a slot; this and the next two are serialised
    /// as numbers of seconds (`queue_seconds`, `first_token_seconds`, `total_seconds`).
    #[serde(rename = "queue_seconds", with = "elpis_emotion::seconds")]
    pub queue_time: Duration,
    /// Time from submission to the first token.
    #[serde(rename = "first_token_seconds", with = "elpis_emotion::seconds")]
    pub time_to_first_token: Duration,
    /// Time from submission to the end.
    #[serde(rename = "total_seconds", with = "elpis_emotion::seconds")]
    pub total_time: Duration,
}

/// The model's thinking in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ThinkingSpan {
    /// Number of its tokens, including its marks.
    pub tokens: u32,
    /// Whether it was steered (`model.steer_thinking`); if not, the modulations of the report only
    /// affected its sampling.
    pub steered: bool,
}

/// The constrained end of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConstrainedSpan {
    /// Index of its first generated token, from 0.
    pub from_token: u32,
    /// Whether it was steered (`model.steer_constrained`); if not, the modulations of the report
    /// only affected its sampling.
    pub steered: bool,
}

/// Maximum number of modulations that a report lists.
pub const MODULATIONS_KEPT: usize = 64;

impl GenerationReport {
    /// Creates the report of a generation without any counts or measurements, for custom engines.
    pub fn new(
        id: RequestId,
        session: SessionId,
        model: impl Into<String>,
        finish_reason: FinishReason,
    ) -> Self {
        Self {
            id,
            session,
            model: model.into(),
            finish_reason,
            prompt_tokens: 0,
            cached_prompt_tokens: 0,
            cached_under_other_steering: 0,
            completion_tokens: 0,
            resumes: 0,
            modulations: Vec::new(),
            thinking: None,
            constrained: None,
            expressed: None,
            queue_time: Duration::ZERO,
            time_to_first_token: Duration::ZERO,
            total_time: Duration::ZERO,
        }
    }

    /// The modulation that the generation started with.
    pub fn modulation(&self) -> Option<&AppliedModulation> {
        self.modulations.first()
    }
}

/// A finished reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Completion {
    /// The reply's text, without tool calls.
    pub text: String,
    /// The model's thinking before a constrained answer. In all other replies, thinking is part of
    /// the text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The tools that the model calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<FunctionCall>,
    /// The report of the generation.
    pub report: GenerationReport,
}

/// Converts the reply to a message, with its tool calls.
impl From<&Completion> for ChatMessage {
    fn from(reply: &Completion) -> Self {
        if reply.tool_calls.is_empty() {
            Self::assistant(reply.text.as_str())
        } else {
            Self::assistant_calls(reply.text.as_str(), &reply.tool_calls)
        }
    }
}
