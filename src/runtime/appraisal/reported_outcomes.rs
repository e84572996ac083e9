//! Sessions whose programs report the outcomes of their tasks.
//!
//! If a program reports its tools' outcomes, an outcome read from the model's reply about them would
//! be applied twice.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;

use crate::emotion::{EmotionEvent, known};
use crate::inference::SessionId;

/// Maximum number of sessions that are remembered, the most recent ones.
const REMEMBERED: usize = 4096;

/// Events that are outcomes of a task.
const OUTCOMES: [&str; 7] = [
    known::SUCCESS.name,
    known::TEST_PASSED.name,
    known::FAILURE.name,
    known::TEST_FAILED.name,
    known::ERROR.name,
    known::FRUSTRATION.name,
    known::BLOCKED.name,
];

/// Sessions with a reported outcome since their last reply.
pub(in crate::runtime) struct ReportedOutcomes(Mutex<LruCache<SessionId, ()>>);

impl Default for ReportedOutcomes {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl ReportedOutcomes {
    /// Records that the program reported an outcome.
    pub fn outcome(&self, session: &SessionId) {
        self.lock().insert(session.clone(), ());
    }

    /// Records an event that the program applied, if it is an outcome.
    pub fn event(&self, session: &SessionId, event: &EmotionEvent) {
        if is_outcome(event.name()) {
            self.outcome(session);
        }
    }

    pub fn contains(&self, session: &SessionId) -> bool {
        self.lock().peek(session).is_some()
    }

    /// Forgets the outcome at the end of a reply, because the next task has a new one.
    pub fn forget(&self, session: &SessionId) {
        self.lock().remove(session);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<SessionId, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an event of this name is an outcome of a task.
pub(super) fn is_outcome(name: &str) -> bool {
    OUTCOMES.contains(&name)
}
