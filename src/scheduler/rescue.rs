//! Generations that outlive their engine.

use super::slot::Slot;
use super::{Outcome, Scheduler};
use crate::error::EngineError;

/// A generation that was taken out of a broken engine.
///
/// It holds everything but its keys and values: what was said, the sampler
/// with its random numbers, text that was held back, its place at the reader.
pub struct Rescued(Slot);

impl Rescued {
    /// Ends it instead.
    pub fn end(self, outcome: Outcome) {
        self.0.end(outcome);
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

impl std::fmt::Debug for Rescued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rescued").field(self.0.session()).finish()
    }
}

impl Scheduler {
    /// Takes out the generations that can go on in another engine. Their keys
    /// and values are lost; this one must not be used any more.
    pub fn rescue(&mut self) -> Vec<Rescued> {
        let slots = self.slots.drain(..);
        slots.filter(Slot::can_resume).map(Rescued).collect()
    }

    /// Has a generation of a broken engine go on in this one, which must have
    /// the same model.
    pub fn resume(&mut self, rescued: Rescued) {
        let mut slot = rescued.0;
        match self.cache.open() {
            Some(sequence) => {
                slot.resume(sequence, &self.shared);
                self.slots.push(slot);
            }
            None => {
                slot.end(Outcome::Failed(EngineError::EngineRestarted));
            }
        }
    }
}
