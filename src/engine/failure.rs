//! Why the engine fails.

use std::io;
use std::sync::Arc;

use crate::backend::BackendError;
use crate::inference::{ChatFormatError, TemplateError};

/// Why the engine failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EngineFailure {
    /// The model could not be loaded or evaluated.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The chat template of the model or of the settings is unusable.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The configured chat format is neither a known name nor a file.
    #[error(transparent)]
    ChatFormat(#[from] ChatFormatError),
    /// The chat template file cannot be read.
    #[error("cannot read chat template {path}: {source}")]
    TemplateFile {
        /// Path of the file.
        path: String,
        /// The operating system's reason.
        source: Arc<io::Error>,
    },
    /// The engine thread panicked.
    #[error("the engine thread panicked: {0}")]
    Panic(String),
    /// One step of the engine thread has taken longer than the watchdog allows.
    #[error(
        "the engine hangs: a step has taken {seconds:.1} s, more than runtime.watchdog_seconds"
    )]
    Hung {
        /// How long the step has taken so far, in seconds.
        seconds: f64,
    },
    /// The actor that owns the engine thread is gone.
    #[error("the engine actor is gone")]
    Deserted,
    /// The engine thread could not be started.
    #[error("cannot start the engine thread: {0}")]
    Spawn(#[source] Arc<io::Error>),
}
