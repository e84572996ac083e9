//! Moves generations from a failed engine to the next one.

use std::sync::Arc;

use super::in_flight::{InFlightSlots, Recovered};
use super::slot::Slot;
use super::step::Scheduler;
use super::task::Outcome;
use crate::error::EngineError;

impl Scheduler {
    /// The slots that hold the generations while the backend evaluates.
    pub fn in_flight(&self) -> Arc<InFlightSlots> {
        Arc::clone(&self.in_flight)
    }

    /// Takes out the generations that can resume in another engine. Their keys and values are lost.
    /// This scheduler must not be used afterwards.
    pub fn recover(&mut self) -> Vec<Recovered> {
        let slots = self.slots.drain(..);
        slots.filter(Slot::can_resume).map(Recovered).collect()
    }

    /// Resumes a generation of a failed engine in this one, which must have the same model.
    pub fn resume(&mut self, recovered: Recovered) {
        let mut slot = recovered.0;
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
