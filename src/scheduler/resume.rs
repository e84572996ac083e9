//! Out of a broken engine and into the next one.

use std::sync::Arc;

use super::in_flight::{InFlightSlots, Recovered};
use super::slot::Slot;
use super::step::Scheduler;
use super::task::Outcome;
use crate::error::EngineError;

impl Scheduler {
    /// Where the generations are while the backend evaluates.
    pub fn in_flight(&self) -> Arc<InFlightSlots> {
        Arc::clone(&self.in_flight)
    }

    /// Takes out the generations that can go on in another engine. Their keys
    /// and values are lost; this one must not be used any more.
    pub fn recover(&mut self) -> Vec<Recovered> {
        let slots = self.slots.drain(..);
        slots.filter(Slot::can_resume).map(Recovered).collect()
    }

    /// Has a generation of a broken engine go on in this one, which must have
    /// the same model.
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
