//! The locks of the code that the models in `tests/interleavings` explore.
//!
//! Its files name locks by this module alone, so that the models can compile the same files with
//! locks whose every interleaving is tried.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks a mutex. What a holder that panicked left behind is used as it is, so every change under
/// such a lock must leave the value whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
