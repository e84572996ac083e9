//! Errors of libtorch.

use elpis_backend::BackendError;
use tch::TchError;

/// The first line of libtorch's message. The rest is its own stack trace.
pub(super) fn native(call: &'static str, error: &TchError) -> BackendError {
    let text = error.to_string();
    BackendError::Native {
        call,
        reason: text.lines().next().unwrap_or_default().to_owned(),
    }
}
