//! Runs a model in a separate process, so that a crash in native code does not crash the program.
//!
//! With `runtime.isolation = "process"` the runtime starts a worker: this executable again, or the
//! one that `runtime.worker` names. A program that is its own worker must begin with this call:
//!
//! ```
//! // Returns immediately, except in a worker.
//! elpis::worker::serve_if_asked();
//! // … the rest of `main`.
//! ```
//!
//! The `elpis` command does so too, so `runtime.worker` may name it.

pub use elpis_backend::WorkerOptions;
#[doc(hidden)]
pub use elpis_worker::read_frames;
pub use elpis_worker::{ARGUMENT, MARKER};

use crate::backend::LOADERS;

/// Serves a model and does not return if this process was started as a worker. Otherwise does
/// nothing.
///
/// Call it first in `main`, before anything reads standard input or starts an elpis runtime; a
/// Tokio runtime may already exist. A `tracing` subscriber may be set before and then receives the
/// worker's events. Anything printed to standard output goes to standard error.
pub fn serve_if_asked() {
    elpis_worker::serve_if_asked(LOADERS);
}
