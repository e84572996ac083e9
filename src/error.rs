//! Errors that reach a caller.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::BackendError;
use crate::emotion::EmotionError;
use crate::hub::HubError;
use crate::inference::{
    ConstraintError, KvSnapshotError, RequestError, SamplingError, SessionIdError, TemplateError,
};
use crate::settings::SettingsError;
use crate::steering::LibraryError;
use crate::store::StoreError;
use elpis_files::printable::printable;

/// Why a generation did not come about or ended early.
#[derive(
    Debug,
    Clone,
    PartialEq,
    thiserror::Error,
    strum::IntoStaticStr,
    strum::VariantNames,
    strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum EngineError {
    /// The request is not valid.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The chat template could not be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Slots and queue are full; try again later.
    #[error("overloaded: {limit} generations are running or queued already")]
    #[strum(props(hint = "try again later, or raise runtime.n_parallel or runtime.queue_limit"))]
    Overloaded {
        /// Generations that may run or wait at once.
        limit: usize,
    },
    /// The request's time ran out.
    #[error("the generation did not end within its timeout of {} s", timeout.as_secs_f64())]
    #[strum(props(hint = "raise runtime.request_timeout_seconds, or ask for fewer tokens"))]
    Timeout {
        /// The timeout.
        timeout: Duration,
    },
    /// The model could not evaluate the generation.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A snapshot of a conversation cannot be restored.
    #[error(transparent)]
    KvSnapshot(#[from] KvSnapshotError),
    /// The reply could not be given the form that it must have.
    #[error(transparent)]
    #[strum(transparent)]
    Constraint(#[from] ConstraintError),
    /// The logits could not be sampled.
    #[error("sampling failed: {0}")]
    Sampling(#[from] SamplingError),
    /// The engine stopped in the middle of the generation and was restarted.
    #[error("the engine was restarted in the middle of the generation")]
    #[strum(props(
        hint = "ask again; with runtime.resume_generations = true a reply goes on by itself"
    ))]
    EngineRestarted,
    /// The engine does not offer this.
    #[error("{what} is not supported by this engine")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
    /// The runtime has shut down or given up.
    #[error("the runtime is stopped: {reason}")]
    Stopped {
        /// Why it stopped.
        reason: String,
    },
}

impl EngineError {
    /// A short name for metric labels.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// Why a set of steering vectors is not taken over.
#[derive(
    Debug,
    Clone,
    PartialEq,
    thiserror::Error,
    strum::IntoStaticStr,
    strum::VariantNames,
    strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum SteeringError {
    /// The set is not valid for the loaded model.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// There is no such folder (yet).
    #[error("there is no vectors folder {}", printable(folder))]
    FolderMissing {
        /// The folder.
        folder: String,
    },
    /// A file or the folder cannot be read.
    #[error("cannot read {}: {reason}", printable(file))]
    #[strum(props(hint = "check the path, and who may read it"))]
    Unreadable {
        /// The file or folder.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file, or the folder's files together, are longer than any vectors; nothing was read.
    #[error("{} has {bytes} bytes, must have at most {limit}", printable(file))]
    #[strum(props(hint = "it is no file of vectors: take it out of the folder, or name another"))]
    TooLarge {
        /// The file or folder.
        file: String,
        /// Its length in bytes.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
}

impl SteeringError {
    /// The file that is to blame, where one is.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Library(error) => error.file(),
            Self::FolderMissing { folder } => Some(folder),
            Self::Unreadable { file, .. } | Self::TooLarge { file, .. } => Some(file),
        }
    }

    /// A short name for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Library(error) => error.kind(),
            _ => self.into(),
        }
    }
}

/// What keeps the metrics from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumProperty)]
#[non_exhaustive]
pub enum MetricsFault {
    /// Another program listens on the port.
    #[strum(props(
        hint = "another program listens there, perhaps another elpis: choose another port, or unset metrics.listen"
    ))]
    InUse,
    /// The machine does not have the address.
    #[strum(props(
        hint = "this machine does not have the address: a port alone listens on this machine, 0.0.0.0:PORT everywhere"
    ))]
    NotThere,
    /// The process may not listen on the port.
    #[strum(props(hint = "ports below 1024 are for the system: choose one above, such as 9464"))]
    Forbidden,
    /// The build has no exporter.
    NotBuilt,
    /// This process listens elsewhere already, or has a recorder of its own.
    Taken,
    /// Anything else.
    #[strum(props(hint = "choose another metrics.listen, or unset it"))]
    Other,
}

/// Any error of the runtime.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::EnumProperty)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Error {
    /// Settings.
    #[error(transparent)]
    #[strum(transparent)]
    Settings(#[from] SettingsError),
    /// Emotion events and states.
    #[error(transparent)]
    Emotion(#[from] EmotionError),
    /// Generations.
    #[error(transparent)]
    #[strum(transparent)]
    Engine(#[from] EngineError),
    /// Models and devices.
    #[error(transparent)]
    #[strum(transparent)]
    Backend(#[from] BackendError),
    /// Steering vectors.
    #[error(transparent)]
    Steering(#[from] SteeringError),
    /// A model that is named on the hub.
    #[error(transparent)]
    #[strum(transparent)]
    Hub(#[from] HubError),
    /// Hardware that was asked for is not there.
    #[error(
        "hardware backend `{asked}` is not available; this build and machine offer: {available}"
    )]
    Hardware {
        /// What the settings ask for.
        asked: String,
        /// What is there.
        available: String,
    },
    /// The setting `model.chat_format`.
    #[error("model.chat_format: {source}")]
    ChatFormat {
        /// What is wrong with it.
        source: Cause,
    },
    /// A session sends events faster than it may.
    #[error("session {session} sends more than {per_minute} events per minute")]
    #[strum(props(hint = "send fewer, or raise emotion.events_per_minute"))]
    TooManyEvents {
        /// The session.
        session: String,
        /// The setting `emotion.events_per_minute`.
        per_minute: u32,
    },
    /// The metrics cannot be made readable.
    #[error("metrics.listen {listen}: {source}")]
    Metrics {
        /// The address.
        listen: String,
        /// What is in the way.
        fault: MetricsFault,
        /// Why.
        source: Cause,
    },
    /// The store of emotional states.
    #[error(transparent)]
    #[strum(transparent)]
    Store(#[from] StoreError),
    /// Too many sessions.
    #[error("no room for session {session}: {limit} sessions are held already")]
    #[strum(props(
        hint = "set store.path, so that unused sessions leave memory, or raise runtime.max_sessions"
    ))]
    TooManySessions {
        /// The session refused.
        session: String,
        /// The setting `runtime.max_sessions`.
        limit: usize,
    },
    /// An actor failed in the middle of this very call and is started again.
    #[error(
        "the {actor} actor crashed while handling this call; the change may or may not have been applied"
    )]
    #[strum(props(hint = "look at the state, and send it again if it is missing"))]
    Uncertain {
        /// The actor.
        actor: &'static str,
    },
    /// A reply that keeps to the schema of a type, but is none of its values.
    #[error("the reply cannot be read as {type_name}: {source}")]
    Reply {
        /// The Rust type.
        type_name: &'static str,
        /// The reply.
        text: String,
        /// Why it cannot be read.
        source: Cause,
    },
    /// A part of the runtime failed, which has nothing to do with what it was asked.
    #[error("{part} failed: {source}")]
    Failed {
        /// The part, such as `the engine`.
        part: &'static str,
        /// Why.
        source: Cause,
    },
    /// The runtime has shut down or given up.
    #[error("the runtime is stopped: {reason}")]
    Stopped {
        /// Why it stopped.
        reason: String,
        /// The failure that made it give up; none after a shutdown.
        source: Option<Cause>,
    },
}

/// An error that others share. What it leads to as a source is the error itself.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(error.into().into())
    }
}

impl std::ops::Deref for Cause {
    type Target = dyn StdError + Send + Sync;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Error {
    /// Makes the error of a part of the runtime that failed.
    #[doc(hidden)]
    pub fn failed(part: &'static str, source: impl Into<Cause>) -> Self {
        let source = source.into();
        Self::Failed { part, source }
    }

    /// A short name for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Emotion(error) => error.kind(),
            Self::Steering(error) => error.kind(),
            _ => self.into(),
        }
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<SessionIdError> for EngineError {
    fn from(error: SessionIdError) -> Self {
        Self::Request(error.into())
    }
}

impl From<SessionIdError> for Error {
    fn from(error: SessionIdError) -> Self {
        Self::Engine(error.into())
    }
}

/// Why a runtime has stopped.
#[derive(Debug, Clone)]
pub(crate) struct StopReason {
    text: Arc<str>,
    cause: Option<Cause>,
}

impl StopReason {
    /// Makes a reason that no failure led to.
    pub fn new(text: &str) -> Self {
        let text = text.into();
        Self { text, cause: None }
    }

    /// Makes a reason out of the failure that led to it.
    pub fn failure(text: &str, cause: Option<Cause>) -> Self {
        let text = text.into();
        Self { text, cause }
    }

    /// The reason in words.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<StopReason> for Error {
    fn from(reason: StopReason) -> Self {
        Self::Stopped {
            reason: reason.text.to_string(),
            source: reason.cause,
        }
    }
}
