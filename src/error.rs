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

/// Why a generation was not started or ended early.
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
    /// The request is invalid.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The chat template could not be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Slots and queue are full; try again later.
    #[error("overloaded: {limit} generations are running or queued already")]
    #[strum(props(hint = "try again later, or raise runtime.n_parallel or runtime.queue_limit"))]
    Overloaded {
        /// Maximum number of generations that run or wait at once.
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
    /// The reply could not be constrained to its requested format.
    #[error(transparent)]
    #[strum(transparent)]
    Constraint(#[from] ConstraintError),
    /// The logits could not be sampled.
    #[error("sampling failed: {0}")]
    Sampling(#[from] SamplingError),
    /// The engine stopped during the generation and was restarted.
    #[error("the engine was restarted in the middle of the generation")]
    #[strum(props(
        hint = "send the request again; with runtime.resume_generations = true a reply continues by itself"
    ))]
    EngineRestarted,
    /// The engine does not support this.
    #[error("{what} is not supported by this engine")]
    Unsupported {
        /// What was requested.
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

/// Why a set of steering vectors was refused.
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
    /// The set is invalid for the loaded model.
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
    #[strum(props(hint = "check the path and its permissions"))]
    Unreadable {
        /// The file or folder.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file or the folder as a whole is larger than any set of vectors. Nothing was read.
    #[error("{} has {bytes} bytes, must have at most {limit}", printable(file))]
    #[strum(props(hint = "this is not a vector file: remove it from the folder, or name another"))]
    TooLarge {
        /// The file or folder.
        file: String,
        /// Its length in bytes.
        bytes: u64,
        /// Maximum length in bytes.
        limit: u64,
    },
}

impl SteeringError {
    /// The file that caused the error, if there is one.
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

/// Why the metrics exporter cannot listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumProperty)]
#[non_exhaustive]
pub enum MetricsErrorKind {
    /// Another program listens on the port.
    #[strum(props(
        hint = "another program listens there, perhaps another elpis process: choose another port, or unset metrics.listen"
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
    /// This process already listens elsewhere, or has its own recorder.
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
    /// The settings are invalid.
    #[error(transparent)]
    #[strum(transparent)]
    Settings(#[from] SettingsError),
    /// An emotion event or state is invalid.
    #[error(transparent)]
    Emotion(#[from] EmotionError),
    /// A generation failed.
    #[error(transparent)]
    #[strum(transparent)]
    Engine(#[from] EngineError),
    /// A model or device failed.
    #[error(transparent)]
    #[strum(transparent)]
    Backend(#[from] BackendError),
    /// The steering vectors are unusable.
    #[error(transparent)]
    Steering(#[from] SteeringError),
    /// A model could not be fetched from the hub.
    #[error(transparent)]
    #[strum(transparent)]
    Hub(#[from] HubError),
    /// The configured hardware is not available.
    #[error(
        "hardware backend `{asked}` is not available; this build and machine offer: {available}"
    )]
    Hardware {
        /// The configured hardware.
        asked: String,
        /// The available hardware.
        available: String,
    },
    /// The setting `model.chat_format` is unusable.
    #[error("model.chat_format: {source}")]
    ChatFormat {
        /// The reason.
        source: Cause,
    },
    /// A session sends events faster than allowed.
    #[error("session {session} sends more than {per_minute} events per minute")]
    #[strum(props(hint = "send fewer, or raise emotion.events_per_minute"))]
    TooManyEvents {
        /// The session.
        session: String,
        /// The setting `emotion.events_per_minute`.
        per_minute: u32,
    },
    /// The metrics exporter cannot listen.
    #[error("metrics.listen {listen}: {source}")]
    Metrics {
        /// The address.
        listen: String,
        /// The kind of the failure.
        kind: MetricsErrorKind,
        /// Why.
        source: Cause,
    },
    /// The store of emotional states failed.
    #[error(transparent)]
    #[strum(transparent)]
    Store(#[from] StoreError),
    /// There is no room for another session.
    #[error("no room for session {session}: {limit} sessions are held already")]
    #[strum(props(
        hint = "set store.path so that unused sessions can leave memory, or raise runtime.max_sessions"
    ))]
    TooManySessions {
        /// The refused session.
        session: String,
        /// The setting `runtime.max_sessions`.
        limit: usize,
    },
    /// An actor failed during this call and is being restarted.
    #[error(
        "the {actor} actor crashed while handling this call; the change may or may not have been applied"
    )]
    #[strum(props(hint = "check the state, and send the change again if it is missing"))]
    Uncertain {
        /// The actor.
        actor: &'static str,
    },
    /// A reply matches the schema of a type but cannot be deserialised into it.
    #[error("the reply cannot be read as {type_name}: {source}")]
    Reply {
        /// The Rust type.
        type_name: &'static str,
        /// The reply.
        text: String,
        /// Why it cannot be read.
        source: Cause,
    },
    /// A part of the runtime failed for a reason unrelated to the request.
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
        /// The failure that stopped it; `None` after a shutdown.
        source: Option<Cause>,
    },
}

/// A shared error. As a `source()` it yields the error itself.
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
    /// Creates the error of a failed part of the runtime.
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
    /// Creates a reason without a failure.
    pub fn new(text: &str) -> Self {
        let text = text.into();
        Self { text, cause: None }
    }

    /// Creates a reason from the failure that caused it.
    pub fn failure(text: &str, cause: Option<Cause>) -> Self {
        let text = text.into();
        Self { text, cause }
    }

    /// The reason as text.
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
