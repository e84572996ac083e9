//! The input of the scheduler: a generation that is ready to run.

use crate::backend::Token;
use crate::emotion::Modulation;
use crate::error::EngineError;
use crate::inference::{
    AppliedModulation, ControlToken, GenerationOptions, GenerationReport, Guide, ModulationTiming,
    RequestId, SamplingParams, SessionId, ThinkingTracker,
};
use crate::steering::SteeringLibrary;

/// A session's emotion, read at a token boundary.
pub trait MoodSource: Send {
    /// Returns the modulation at time `now` (seconds) and marks all events so far as seen.
    fn modulation(&mut self, now: f64) -> Modulation;

    /// Whether an event has arrived since the modulation was last read.
    fn has_changed(&self) -> bool;
}

/// How a generation ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It finished normally.
    Done(Box<GenerationReport>),
    /// It ended with an error.
    Failed(EngineError),
    /// Its caller dropped the stream.
    Cancelled,
}

/// How a prompt was evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PromptAccount {
    /// Number of its tokens.
    pub tokens: u32,
    /// How many of them were in the cache.
    pub cached: u32,
    /// How many of the cached ones had been evaluated under different steering.
    pub under_other_steering: u32,
}

/// Receives a generation's text.
pub trait TokenSink: Send {
    /// Called when the generation gets a slot.
    fn started(&mut self);

    /// Called when a modulation made with this library takes effect; at least once after the start.
    fn modulated(&mut self, _: &AppliedModulation, _: &SteeringLibrary) {}

    /// Called when the prompt is evaluated and the first token sampled.
    fn first_token(&mut self, _: PromptAccount) {}

    /// Whether there is room for the text of one more token.
    fn has_room(&self) -> bool;

    /// Whether the caller is gone.
    fn is_closed(&self) -> bool;

    /// Receives text. Called only if [`has_room`](Self::has_room) has returned `true`.
    fn text(&mut self, text: &str);

    /// Receives the number of generated tokens just before the end. Not called if the engine failed
    /// or was abandoned.
    fn generated(&mut self, _: u32) {}

    /// Receives the outcome. Nothing follows.
    fn finish(&mut self, outcome: Outcome);
}

/// A validated generation, ready to run.
pub struct Task {
    /// The generation's id.
    pub id: RequestId,
    /// Its session.
    pub session: SessionId,
    /// The prompt, `1 ..= context_length - 1` tokens.
    pub prompt: Vec<Token>,
    /// Maximum number of tokens to generate.
    pub max_tokens: u32,
    /// The caller's options, validated.
    pub options: GenerationOptions,
    /// Sampling parameters that the options and the emotion build on. Their seed is the
    /// generation's seed.
    pub sampling: SamplingParams,
    /// When events reach the generation.
    pub timing: ModulationTiming,
    /// Constrains the reply; `None` allows any text.
    pub guide: Option<Guide>,
    /// Control tokens whose texts are part of the reply even without a guide.
    pub visible: Vec<ControlToken>,
    /// Follows the reply through the model's thinking; `None` takes all of it for the answer.
    pub thinking: Option<ThinkingTracker>,
    /// The session's emotion; `None` means no modulation.
    pub mood: Option<Box<dyn MoodSource>>,
    /// Time of submission, in seconds of the scheduler's clock.
    pub submitted: f64,
    /// Receives its text.
    pub sink: Box<dyn TokenSink>,
}

impl Task {
    /// The outcome if the caller is gone or the time has run out at `now`.
    pub fn ended_early(&self, now: f64) -> Option<Outcome> {
        if self.sink.is_closed() {
            return Some(Outcome::Cancelled);
        }
        let timeout = self.options.timeout?;
        (now >= self.submitted + timeout.as_secs_f64())
            .then_some(Outcome::Failed(EngineError::Timeout { timeout }))
    }

    /// When its time runs out, in seconds of the scheduler's clock.
    pub fn deadline(&self) -> Option<f64> {
        Some(self.submitted + self.options.timeout?.as_secs_f64())
    }

    /// Ends it if its caller is gone or its time has run out at `now`, and tells whether it did.
    pub fn retire(&mut self, now: f64) -> bool {
        let Some(outcome) = self.ended_early(now) else {
            return false;
        };
        self.sink.finish(outcome);
        true
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id)
            .field("session", &self.session)
            .field("prompt_tokens", &self.prompt.len())
            .finish_non_exhaustive()
    }
}
