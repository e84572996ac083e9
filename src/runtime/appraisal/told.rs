//! Which sessions' programs tell themselves what came of a task.
//!
//! A program that reports its tools' outcomes would have them felt twice if the model's reply about
//! them were felt as well.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;

use crate::emotion::{EmotionEvent, known};
use crate::inference::SessionId;

/// Sessions that are remembered, those told of last.
const REMEMBERED: usize = 4096;

/// Events that say what came of a task.
const OUTCOMES: [&str; 7] = [
    known::SUCCESS.name,
    known::TEST_PASSED.name,
    known::FAILURE.name,
    known::TEST_FAILED.name,
    known::ERROR.name,
    known::FRUSTRATION.name,
    known::BLOCKED.name,
];

/// Sessions of which an outcome was told since their last reply.
pub(in crate::runtime) struct Told(Mutex<LruCache<SessionId, ()>>);

impl Default for Told {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Told {
    /// The program told what came of a task.
    pub fn outcome(&self, session: &SessionId) {
        self.lock().insert(session.clone(), ());
    }

    /// The program had an event felt.
    pub fn event(&self, session: &SessionId, event: &EmotionEvent) {
        if is_outcome(event.name()) {
            self.outcome(session);
        }
    }

    pub fn is_told(&self, session: &SessionId) -> bool {
        self.lock().peek(session).is_some()
    }

    /// A reply ended: what comes of the next task is still to be told.
    pub fn forget(&self, session: &SessionId) {
        self.lock().remove(session);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<SessionId, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an event of this name says what came of a task.
pub(super) fn is_outcome(name: &str) -> bool {
    OUTCOMES.contains(&name)
}
