//! Generations that survive their engine.

use super::lent::{Lent, LentGuard};
use super::slot::Slot;
use super::task::Outcome;
use crate::inference::RequestId;

/// A generation recovered from a failed engine.
///
/// It holds everything but its keys and values: the tokens so far, the sampler with its random
/// state, text that was held back, and its end of the stream.
pub struct Recovered(pub(super) Slot);

impl Recovered {
    /// Ends the generation instead of resuming it.
    pub fn end(self, outcome: Outcome) {
        self.0.end(outcome);
    }

    /// The generation's id.
    pub fn id(&self) -> RequestId {
        self.0.id()
    }

    /// The deadline, in seconds of the scheduler's clock.
    pub fn deadline(&self) -> Option<f64> {
        self.0.deadline()
    }

    /// Ends it if its caller is gone or its time has run out at `now` (seconds); otherwise returns
    /// it.
    pub fn retire(self, now: f64) -> Option<Self> {
        match self.0.ended_early(now) {
            Some(outcome) => {
                self.end(outcome);
                None
            }
            None => Some(self),
        }
    }
}

impl std::fmt::Debug for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recovered").field(self.0.session()).finish()
    }
}

/// Holds a scheduler's generations while the backend evaluates. The scheduler does not need them
/// then, so they can be recovered if it hangs.
#[derive(Default)]
pub struct InFlightSlots(Lent<Slot>);

impl InFlightSlots {
    /// Takes the generations that can resume in another engine and drops the others. There are none
    /// unless the backend is evaluating. When the evaluation returns, the scheduler has no
    /// generations left.
    pub fn recover(&self) -> Vec<Recovered> {
        // Dropped generations report their end, which must happen without the lock.
        let mut slots = self.0.take();
        slots.retain(Slot::can_resume);
        slots.iter_mut().for_each(Slot::spend_resume);
        slots.into_iter().map(Recovered).collect()
    }

    /// Holds the generations until the guard is dropped.
    pub(super) fn hold<'a>(&'a self, slots: &'a mut Vec<Slot>) -> LentGuard<'a, Slot> {
        self.0.lend(slots)
    }
}

impl std::fmt::Debug for InFlightSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlightSlots").finish_non_exhaustive()
    }
}
