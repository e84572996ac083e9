//! The events of the bus.

use std::sync::Arc;

use crate::emotion::{EmotionEvent, EmotionalState, SafetyLimit};

pub use crate::emotion::EventSource;
use crate::inference::{GenerationReport, RequestId, SessionId};

/// An actor, as named in events and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ActorName {
    /// Reports the devices.
    Hardware,
    /// Owns the steering library.
    Steering,
    /// Owns the emotional states.
    Emotion,
    /// Owns the engine thread.
    Engine,
}

impl ActorName {
    /// The name used in metric labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How an actor failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// It panicked while it handled a message.
    Panic,
    /// It returned an error.
    Error,
    /// The thread that it owns panicked.
    ThreadPanic,
    /// The thread that it owns hangs.
    Hung,
    /// The model's worker process died.
    WorkerDied,
    /// It could not be restarted.
    Start,
    /// It stopped without being asked to.
    Stopped,
}

impl FailureKind {
    /// The name used in metric labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An event of a runtime.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// An emotion event changed a session's state.
    Felt {
        /// The session.
        session: SessionId,
        /// The event. If it was appraised from text, it holds the words that expressed it
        /// ([`EmotionEvent::words`]).
        event: EmotionEvent,
        /// Where it comes from.
        source: EventSource,
        /// The state before the event.
        before: EmotionalState,
        /// The state after the event.
        after: EmotionalState,
    },
    /// A safety limit reduced the effect of an event or call.
    LimitActed {
        /// The session.
        session: SessionId,
        /// The limit.
        limit: SafetyLimit,
        /// What it limited: the event's name, or `set_strength`.
        asked: String,
    },
    /// A text could not be appraised. No event was applied.
    AppraisalFailed {
        /// The session.
        session: SessionId,
        /// Origin of the text.
        source: EventSource,
        /// Short name of the error.
        kind: &'static str,
        /// The error's words.
        reason: String,
    },
    /// A session's state was reset to its baseline.
    EmotionReset {
        /// The session.
        session: SessionId,
    },
    /// A generation got a slot.
    GenerationStarted {
        /// The generation.
        id: RequestId,
        /// Its session.
        session: SessionId,
    },
    /// A generation ended.
    GenerationFinished(Arc<GenerationReport>),
    /// A generation ended without a reply.
    GenerationFailed {
        /// The generation.
        id: RequestId,
        /// Its session.
        session: SessionId,
        /// The error's short name.
        kind: &'static str,
        /// The error's words.
        reason: String,
    },
    /// A generation was cancelled by its caller.
    GenerationCancelled {
        /// The generation.
        id: RequestId,
        /// Its session.
        session: SessionId,
    },
    /// A new steering library is in force.
    SteeringReloaded {
        /// Its content hash.
        version: String,
        /// Its emotions.
        emotions: Vec<String>,
    },
    /// Steering vectors were refused; the previous library stays in force.
    SteeringRefused {
        /// Short name of the error.
        kind: &'static str,
        /// The file or folder that caused the error, if there is one.
        file: Option<String>,
        /// File and reason.
        reason: String,
    },
    /// An actor failed and is being restarted.
    ActorRestarting {
        /// The actor.
        actor: ActorName,
        /// How it failed.
        kind: FailureKind,
        /// Why it stopped.
        cause: String,
        /// Number of restarts within the current window, including this one.
        attempt: u32,
    },
    /// An actor failed more often than it may be restarted, so the runtime stops.
    ActorGivenUp {
        /// The actor.
        actor: ActorName,
        /// How it failed the last time.
        kind: FailureKind,
        /// Why it failed the last time.
        cause: String,
    },
    /// A failed actor works again.
    ActorRestarted {
        /// The actor.
        actor: ActorName,
    },
    /// The store cannot be written. Depending on its durability, the write is retried, or the
    /// callers received an error.
    StoreFailing {
        /// Why.
        reason: String,
    },
    /// The store works again.
    StoreRecovered,
    /// The runtime is stopped.
    Stopped {
        /// Why.
        reason: String,
    },
}
