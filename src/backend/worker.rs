//! A model in a process of its own, so that a crash of the native code is no
//! crash of the program.
//!
//! With `runtime.isolation = "process"` the runtime starts a worker: this
//! executable again, or the one that `runtime.worker` names. A program that
//! is to be its own worker says so first of all:
//!
//! ```
//! // Comes back at once, except in a worker.
//! elpis::worker::serve_if_asked();
//! // … the rest of `main`.
//! ```
//!
//! The `elpis` command does it too, so `runtime.worker` may name that.

use std::path::PathBuf;
use std::time::Duration;

use super::{Backend, BackendError, Batch, LoadOptions};
use crate::settings::ModelSource;

/// The environment variable that makes a process a worker; its value is the
/// version of the protocol.
pub const MARKER: &str = "ELPIS_WORKER";

/// The only argument of a worker. A program that does not know of workers
/// rather complains of it than does its usual work.
pub const ARGUMENT: &str = "engine-worker";

/// How the process of a model is started and watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The program; `None`: this executable.
    pub program: Option<PathBuf>,
    /// How long one call may take before the process counts as hung and is
    /// killed; `None`: for ever. Loading the model may take as long as it likes,
    /// but not so long without a sign of life.
    pub bound: Option<Duration>,
    /// Whether the process only tries whether it survives the model, which is
    /// then loaded in this one.
    pub trial: bool,
}

/// Serves a model, and does not return, if this process was started as a
/// worker; otherwise does nothing.
///
/// To be called first in `main`, before anything reads standard input or
/// starts a runtime of elpis; one of Tokio runtime may be there already. A subscriber for `tracing` may be set before: it then sees
/// what the worker says. What it prints on standard output goes to standard
/// error.
pub fn serve_if_asked() {
    #[cfg(unix)]
    if std::env::var_os(MARKER).is_some() {
        super::process::serve();
    }
}

/// Reads bytes as the two sides of the protocol do, for fuzzing.
#[doc(hidden)]
pub fn read_frames(bytes: &[u8]) {
    #[cfg(unix)]
    super::process::read_frames(bytes);
    #[cfg(not(unix))]
    let _ = bytes;
}

/// Loads a model in a process of its own, has it evaluate a token, and lets go of it.
pub(super) fn try_load(options: &LoadOptions, worker: &WorkerOptions) -> Result<(), BackendError> {
    let evaluated = load(options, worker).and_then(|mut backend| {
        let mut batch = Batch::default();
        batch.push(0, 0, &[0], true, None);
        backend.decode(&batch)
    });
    match evaluated {
        Ok(()) => Ok(()),
        Err(BackendError::WorkerDied { reason }) => Err(BackendError::TrialFailed {
            path: match &options.source {
                ModelSource::File(path) | ModelSource::Folder(path) => path.clone(),
                other => other.to_string().into(),
            },
            reason,
        }),
        Err(other) => Err(other),
    }
}

/// Loads a model in a process of its own.
#[cfg(unix)]
pub(super) fn load(
    options: &LoadOptions,
    worker: &WorkerOptions,
) -> Result<Box<dyn Backend>, BackendError> {
    Ok(Box::new(super::process::ProcessBackend::load(
        options, worker,
    )?))
}

/// Loads a model in a process of its own.
#[cfg(not(unix))]
pub(super) fn load(
    _: &LoadOptions,
    worker: &WorkerOptions,
) -> Result<Box<dyn Backend>, BackendError> {
    Err(BackendError::WorkerUnusable {
        program: worker.program.clone().unwrap_or_default(),
        reason: if worker.trial {
            "model.trust = \"isolate\" needs a Unix system".to_owned()
        } else {
            "runtime.isolation = \"process\" needs a Unix system".to_owned()
        },
    })
}
