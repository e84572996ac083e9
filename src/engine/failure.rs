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
    /// The chat template of the model or the settings is not usable.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The chat format of the settings is neither known nor a file.
    #[error(transparent)]
    ChatFormat(#[from] ChatFormatError),
    /// The chat template file cannot be read.
    #[error("cannot read chat template {path}: {source}")]
    TemplateFile {
        /// The file.
        path: String,
        /// The system's reason.
        source: Arc<io::Error>,
    },
    /// The engine thread panicked.
    #[error("the engine thread panicked: {0}")]
    Panic(String),
    /// The engine thread has not come to the end of a step for too long.
    #[error(
        "the engine hangs: a step has taken {seconds:.1} s, more than runtime.watchdog_seconds"
    )]
    Hung {
        /// How long the step has taken so far.
        seconds: f64,
    },
    /// The actor that the engine thread belongs to is gone.
    #[error("nobody owns the engine thread any more")]
    Deserted,
    /// The engine thread could not be started.
    #[error("cannot start the engine thread: {0}")]
    Spawn(#[source] Arc<io::Error>),
}
