//! Errors of libtorch.

use elpis_backend::BackendError;
use tch::TchError;

/// The first line of what libtorch said; the rest is a trace of its own code.
pub(super) fn native(call: &'static str, error: &TchError) -> BackendError {
    let text = error.to_string();
    BackendError::Native {
        call,
        reason: text.lines().next().unwrap_or_default().to_owned(),
    }
}
