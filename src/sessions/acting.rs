//! A call that holds the lock of its session.

use std::sync::atomic::AtomicBool;

use tokio::sync::oneshot;

use super::cache::Lease;
use super::cell::{CellState, Resident, uncertain};
use crate::error::Error;
use crate::store::StoreError;

/// A call that holds the lock of its session.
pub(super) struct Acting<'a> {
    pub(super) lease: &'a Lease,
    pub(super) state: &'a mut CellState,
    pub(super) now: f64,
    /// Whether the session exists, in memory or in the store.
    pub(super) known: bool,
    /// Set as soon as something has changed.
    pub(super) applied: &'a AtomicBool,
}

impl Acting<'_> {
    /// The session in memory.
    ///
    /// # Errors
    /// [`Error::Uncertain`] if the session is not in memory, which callers rule out.
    pub(super) fn resident(&mut self) -> Result<&mut Resident, Error> {
        self.state.resident.as_mut().ok_or_else(uncertain)
    }

    /// Runs `work` once the changes that wait now are committed. The receiver resolves with the
    /// result of the commit.
    pub(super) fn when_committed(
        &mut self,
        work: impl FnOnce() + Send + 'static,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let (tell, committed) = oneshot::channel();
        self.state.when_committed(Box::new(move |written| {
            if written.is_ok() {
                work();
            }
            // The caller may have gone away.
            let _ = tell.send(written);
        }));
        committed
    }
}
