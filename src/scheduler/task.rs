//! A generation as the scheduler takes it.

use crate::backend::Token;
use crate::emotion::Modulation;
use crate::error::EngineError;
use crate::inference::{
    AppliedModulation, ControlToken, GenerationOptions, GenerationReport, Guide, ModulationTiming,
    RequestId, SamplingParams, SessionId,
};
use crate::steering::SteeringLibrary;

/// A session's emotion, read at a token boundary.
pub trait MoodSource: Send {
    /// The modulation at time `now` (seconds); marks all events up to now as
    /// seen.
    fn modulation(&mut self, now: f64) -> Modulation;

    /// Whether an event has come since the modulation was last read.
    fn has_changed(&self) -> bool;
}

/// How a generation ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It ran to its end.
    Done(Box<GenerationReport>),
    /// It ended with an error.
    Failed(EngineError),
    /// Its caller dropped the stream.
    Cancelled,
}

/// What became of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PromptAccount {
    /// Its tokens.
    pub tokens: u32,
    /// Those among them that the cache held.
    pub cached: u32,
    /// Those among these that had been evaluated under another steering.
    pub under_other_steering: u32,
}

/// Where a generation's text goes.
pub trait TokenSink: Send {
    /// Tells that the generation got a slot.
    fn started(&mut self);

    /// Tells that a modulation is in force from now on, made with this library;
    /// at least one follows the start.
    fn modulated(&mut self, _: &AppliedModulation, _: &SteeringLibrary) {}

    /// Tells that the prompt was evaluated and the first token sampled.
    fn first_token(&mut self, _: PromptAccount) {}

    /// Whether there is room for the text of one more token.
    fn has_room(&self) -> bool;

    /// Whether the caller is gone.
    fn is_closed(&self) -> bool;

    /// Hands on text; called only after [`has_room`](Self::has_room).
    fn text(&mut self, text: &str);

    /// Tells how many tokens were generated, just before the end; not told if
    /// the engine broke or was given up.
    fn generated(&mut self, _: u32) {}

    /// Hands on the end; nothing follows.
    fn finish(&mut self, outcome: Outcome);
}

/// A validated generation, ready to run.
pub struct Task {
    /// Names the generation.
    pub id: RequestId,
    /// Its session.
    pub session: SessionId,
    /// The prompt, `1 ..= context_length - 1` tokens.
    pub prompt: Vec<Token>,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// The caller's options, validated.
    pub options: GenerationOptions,
    /// Sampling parameters that the options and the emotion build on; its seed
    /// is the generation's seed.
    pub sampling: SamplingParams,
    /// When events reach the generation.
    pub timing: ModulationTiming,
    /// Keeps the reply to a form; `None`: any text.
    pub guide: Option<Guide>,
    /// Control tokens whose texts are a part of the reply where no guide says so.
    pub visible: Vec<ControlToken>,
    /// The session's emotion; `None`: no modulation.
    pub mood: Option<Box<dyn MoodSource>>,
    /// When it was submitted, in seconds of the scheduler's clock.
    pub submitted: f64,
    /// Where its text goes.
    pub sink: Box<dyn TokenSink>,
}

impl Task {
    /// Whether the caller is gone or the time has run out at `now`; then how
    /// the generation ends.
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
