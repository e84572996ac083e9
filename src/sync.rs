//! The locks of the code that the models in `tests/interleavings` explore.
//!
//! Those files use locks only through this module, so that the models can compile them with locks
//! that try every interleaving.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A value whose holder panicked is used unchanged, so every change under such a
/// lock must leave the value consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
