//! Work that waits for the engine thread, until the inbox is closed.

use std::sync::Arc;

use crate::sync::{Mutex, lock};

/// A value that many threads add to and one thread empties, until it is closed.
///
/// Every item is either taken by the owner or returned by [`close`](Self::close). One lock excludes
/// both at once, so no item is lost.
#[derive(Debug, Default)]
pub(crate) struct Inbox<T>(Mutex<State<T>>);

#[derive(Debug, Default)]
struct State<T> {
    content: T,
    /// Why the inbox is closed.
    closed: Option<Arc<str>>,
}

impl<T: Default> Inbox<T> {
    /// Adds an item.
    ///
    /// # Errors
    /// The item, and why the inbox is closed.
    pub fn put<I, R>(&self, item: I, put: impl FnOnce(&mut T, I) -> R) -> Result<R, (I, Arc<str>)> {
        let mut state = lock(&self.0);
        match &state.closed {
            Some(reason) => Err((item, Arc::clone(reason))),
            None => Ok(put(&mut state.content, item)),
        }
    }

    /// Accesses the content under the lock.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut lock(&self.0).content)
    }

    /// Refuses further items and returns the content. If called again, the first reason stays.
    pub fn close(&self, reason: &str) -> T {
        let mut state = lock(&self.0);
        state.closed.get_or_insert_with(|| reason.into());
        std::mem::take(&mut state.content)
    }
}
