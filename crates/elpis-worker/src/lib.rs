//! Runs a model in a separate process, so that a crash in native code does not crash the program.
//!
//! With `runtime.isolation = "process"` the runtime starts a worker: this executable again, or the
//! one that `runtime.worker` names. A program that is its own worker must begin with this call:
//!
//! ```
//! // Returns immediately, except in a worker.
//! elpis_worker::serve_if_asked(&[]);
//! // … the rest of `main`.
//! ```
//!
//! The argument lists the program's loaders; `elpis::worker::serve_if_asked()` uses those of elpis.
//!
//! The `elpis` command does so too, so `runtime.worker` may name it.

#![deny(unsafe_code)]

#[cfg(unix)]
pub mod environment;
#[cfg(unix)]
mod process;

use elpis_backend::{
    Backend, BackendError, Batch, LoadOptions, Loader, ModelSource, WorkerOptions,
};

/// The environment variable that makes a process a worker; its value is the
/// version of the protocol.
pub const MARKER: &str = "ELPIS_WORKER";

/// The only argument of a worker. A program that is not a worker will report an unknown argument
/// instead of doing its usual work.
pub const ARGUMENT: &str = "engine-worker";

/// Serves a model and does not return if this process was started as a worker. Otherwise does
/// nothing.
///
/// Call it first in `main`, before anything reads standard input or starts an elpis runtime; a
/// Tokio runtime may already exist. A `tracing` subscriber may be set before and then receives the
/// worker's events. Anything printed to standard output goes to standard error.
pub fn serve_if_asked(loaders: &'static [Loader]) {
    #[cfg(unix)]
    if std::env::var_os(MARKER).is_some() {
        process::serve(loaders);
    }
    #[cfg(not(unix))]
    let _ = loaders;
}

/// Reads bytes as the two sides of the protocol do, for fuzzing.
#[doc(hidden)]
pub fn read_frames(bytes: &[u8]) {
    #[cfg(unix)]
    process::read_frames(bytes);
    #[cfg(not(unix))]
    let _ = bytes;
}

/// Loads a model in a worker process, evaluates a token, and unloads it.
///
/// # Errors
/// [`BackendError::TrialFailed`] if the process did not survive, otherwise as [`load`].
pub fn try_load(options: &LoadOptions, worker: &WorkerOptions) -> Result<(), BackendError> {
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
///
/// # Errors
/// [`BackendError::WorkerUnusable`] if the process cannot be started or is of another build,
/// [`BackendError::WorkerDied`] if it ended, otherwise why the model could not be loaded.
pub fn load(
    options: &LoadOptions,
    worker: &WorkerOptions,
) -> Result<Box<dyn Backend>, BackendError> {
    Ok(Box::new(process::ProcessBackend::load(options, worker)?))
}

/// Loads a model in a process of its own.
#[cfg(not(unix))]
///
/// # Errors
/// [`BackendError::WorkerUnusable`] if the process cannot be started or is of another build,
/// [`BackendError::WorkerDied`] if it ended, otherwise why the model could not be loaded.
pub fn load(_: &LoadOptions, worker: &WorkerOptions) -> Result<Box<dyn Backend>, BackendError> {
    Err(BackendError::WorkerUnusable {
        program: worker.program.clone().unwrap_or_default(),
        reason: if worker.trial {
            "model.trust = \"isolate\" needs a Unix system".to_owned()
        } else {
            "runtime.isolation = \"process\" needs a Unix system".to_owned()
        },
    })
}
