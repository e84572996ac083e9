//! A model in a process of its own, so that a crash of the native code is no crash of the program.
//!
//! With `runtime.isolation = "process"` the runtime starts a worker: this executable again, or the
//! one that `runtime.worker` names. A program that is to be its own worker says so first of all:
//!
//! ```
//! // Comes back at once, except in a worker.
//! elpis::worker::serve_if_asked();
//! // … the rest of `main`.
//! ```
//!
//! The `elpis` command does it too, so `runtime.worker` may name that.

pub use elpis_backend::WorkerOptions;
#[doc(hidden)]
pub use elpis_worker::read_frames;
pub use elpis_worker::{ARGUMENT, MARKER};

use crate::backend::LOADERS;

/// Serves a model, and does not return, if this process was started as a worker; otherwise does
/// nothing.
///
/// To be called first in `main`, before anything reads standard input or starts a runtime of elpis;
/// one of Tokio may be there already. A subscriber for `tracing` may be set before: it then sees what
/// the worker says. What it prints on standard output goes to standard error.
pub fn serve_if_asked() {
    elpis_worker::serve_if_asked(LOADERS);
}
