//! Generations that outlive their engine.

use super::lent::{Lent, LentGuard};
use super::slot::Slot;
use super::task::Outcome;
use crate::inference::RequestId;

/// A generation that was taken out of a broken engine.
///
/// It holds everything but its keys and values: what was said, the sampler
/// with its random numbers, text that was held back, its place at the reader.
pub struct Recovered(pub(super) Slot);

impl Recovered {
    /// Ends it instead.
    pub fn end(self, outcome: Outcome) {
        self.0.end(outcome);
    }

    /// Names the generation.
    pub fn id(&self) -> RequestId {
        self.0.id()
    }

    /// When its time runs out, in seconds of the scheduler's clock.
    pub fn deadline(&self) -> Option<f64> {
        self.0.deadline()
    }

    /// Ends it if its caller is gone or its time has run out at `now`.
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

/// Where a scheduler leaves its generations while the backend evaluates.
/// Then it does not need them, and they can be taken from one that hangs.
#[derive(Default)]
pub struct InFlightSlots(Lent<Slot>);

impl InFlightSlots {
    /// Takes the generations that can go on in another engine and drops the
    /// others. Finds nothing unless the backend is evaluating. When it comes
    /// back, its scheduler has none left.
    pub fn recover(&self) -> Vec<Recovered> {
        // Those that are dropped tell of their end, without the lock.
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
