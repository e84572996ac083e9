//! Stops an engine thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::failure::EngineFailure;
use super::signal::Signals;

const SERVE: u8 = 0;
const STOP: u8 = 1;
const DESERTED: u8 = 2;

/// Lets the owner of an engine thread stop it. Dropping it without a call of [`stop`](Self::stop)
/// tells the thread that it has no owner any more.
#[derive(Debug)]
pub(super) struct StopHandle {
    word: Arc<AtomicU8>,
    signals: Arc<Signals>,
}

/// The thread's view of a [`StopHandle`].
#[derive(Debug)]
pub(super) struct StopWord(Arc<AtomicU8>);

impl StopHandle {
    pub fn new(signals: &Arc<Signals>) -> (Self, StopWord) {
        let word = Arc::new(AtomicU8::new(SERVE));
        let handle = Self {
            word: Arc::clone(&word),
            signals: Arc::clone(signals),
        };
        (handle, StopWord(word))
    }

    /// Tells the thread to stop.
    pub fn stop(self) {
        self.word.store(STOP, Ordering::Release);
        // Dropping it wakes the thread.
    }
}

impl Drop for StopHandle {
    fn drop(&mut self) {
        let kept = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.word.compare_exchange(SERVE, DESERTED, kept.0, kept.1);
        self.signals.engine.raise();
    }
}

impl StopWord {
    /// Returns whether the thread must stop.
    ///
    /// # Errors
    /// [`EngineFailure::Deserted`] if the thread has no owner any more.
    pub fn is_stop(&self) -> Result<bool, EngineFailure> {
        match self.0.load(Ordering::Acquire) {
            SERVE => Ok(false),
            STOP => Ok(true),
            _ => Err(EngineFailure::Deserted),
        }
    }
}
