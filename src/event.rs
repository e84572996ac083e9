//! What travels on the bus.

use std::sync::Arc;

use crate::emotion::{EmotionEvent, EmotionalState, SafetyLimit};

pub use crate::emotion::EventSource;
use crate::inference::{GenerationReport, RequestId, SessionId};

/// Names an actor in events and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ActorName {
    /// Knows the devices.
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
    /// It could not handle a message and said why.
    Error,
    /// The thread that it owns panicked.
    ThreadPanic,
    /// The thread that it owns does not come to the end of its work.
    Hung,
    /// The process that the model ran in is gone.
    WorkerDied,
    /// It could not be started again.
    Start,
    /// It stopped, though nobody had asked it to.
    Stopped,
}

impl FailureKind {
    /// The name used in metric labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Something that happened in a runtime.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// An emotion event changed a session's state.
    Felt {
        /// The session.
        session: SessionId,
        /// The event; where text was read, with the words in it
        /// ([`EmotionEvent::words`]).
        event: EmotionEvent,
        /// Where it comes from.
        source: EventSource,
        /// The state before the event.
        before: EmotionalState,
        /// The state after the event.
        after: EmotionalState,
    },
    /// A safety limit bounded what an event or a caller asked for.
    LimitActed {
        /// The session.
        session: SessionId,
        /// The limit.
        limit: SafetyLimit,
        /// What it bounded: the event's name, or `set_strength`.
        asked: String,
    },
    /// A text could not be read for feelings; nothing was felt.
    AppraisalFailed {
        /// The session.
        session: SessionId,
        /// What was to be read.
        source: EventSource,
        /// Short name of the error.
        kind: &'static str,
        /// The error's words.
        reason: String,
    },
    /// A session's state was set back to its baseline.
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
        /// The file or folder that is to blame, if one is.
        file: Option<String>,
        /// File and reason.
        reason: String,
    },
    /// An actor stopped working and is restarted.
    ActorRestarting {
        /// The actor.
        actor: ActorName,
        /// How it failed.
        kind: FailureKind,
        /// Why it stopped.
        cause: String,
        /// Restarts within the current window, this one included.
        attempt: u32,
    },
    /// An actor stopped working more often than it may be restarted: the
    /// runtime stops.
    ActorGivenUp {
        /// The actor.
        actor: ActorName,
        /// How it failed at last.
        kind: FailureKind,
        /// Why it stopped at last.
        cause: String,
    },
    /// An actor that had stopped works again.
    ActorRestarted {
        /// The actor.
        actor: ActorName,
    },
    /// The store does not take what happened; it is tried again, or the
    /// callers were told, by its durability.
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
