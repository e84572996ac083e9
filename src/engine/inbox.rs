//! What waits for the engine thread, until nobody serves it any more.

use std::sync::Arc;

use crate::sync::{Mutex, lock};

/// A value that many fill and one empties, until it is closed.
///
/// Whatever was put in is either taken out by its owner or returned by [`close`](Self::close):
/// the two exclude each other under one lock, so nothing is left behind that nobody looks at.
#[derive(Debug, Default)]
pub(crate) struct Inbox<T>(Mutex<State<T>>);

#[derive(Debug, Default)]
struct State<T> {
    content: T,
    /// Why it is closed.
    closed: Option<Arc<str>>,
}

impl<T: Default> Inbox<T> {
    /// Puts something in.
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

    /// Works on the content.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut lock(&self.0).content)
    }

    /// Takes nothing more from now on, and returns what is there. The first reason stays.
    pub fn close(&self, reason: &str) -> T {
        let mut state = lock(&self.0);
        state.closed.get_or_insert_with(|| reason.into());
        std::mem::take(&mut state.content)
    }
}
