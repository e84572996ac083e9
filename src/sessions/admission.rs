//! Brings a session into memory.

use std::sync::Arc;

use super::Sessions;
use super::cache::Lease;
use super::cell::{CellState, Resident};
use super::places::Place;
use super::writer::Admission;
use crate::emotion::{EmotionTracker, JournalEntry, JournalRecord};
use crate::error::Error;
use crate::store::StoredSession;
use crate::telemetry;

impl Sessions {
    /// Puts a session into memory, either as loaded from the store or new.
    pub(super) fn admit(
        &self,
        lease: &Lease,
        stored: Option<StoredSession>,
        place: Place,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let is_new = stored.is_none();
        let stored = match stored {
            Some(stored) => stored,
            None => StoredSession {
                tracker: EmotionTracker::new(Arc::clone(&self.config), now)?,
                entries: 0,
            },
        };
        let mut state = lease.lock();
        state.clear_failure();
        state.resident = Some(Resident::new(stored, place));
        telemetry::sessions(self.resident());
        if is_new {
            return Ok(());
        }
        self.bring_up_to_date(lease, &mut state, now)
    }

    /// Adapts a session from the store to the current settings and clock.
    fn bring_up_to_date(
        &self,
        lease: &Lease,
        state: &mut CellState,
        now: f64,
    ) -> Result<(), Error> {
        let is_current = state.share_config(&self.config);
        let last = state.resident.as_ref().map(|r| r.tracker().last_at());
        // If the clock was set back, the emotion would not decay until the clock catches up.
        let ahead = last.map_or(0.0, |last| last - now);
        if ahead > 0.0 {
            let what = JournalRecord::Shifted(-ahead);
            self.amend(lease, state, JournalEntry { at: now, what }, |tracker| {
                Ok(tracker.shift_time(-ahead)?)
            })?;
        }
        if !is_current {
            let config = Arc::clone(&self.config);
            let what = JournalRecord::Configured(Arc::clone(&config));
            self.amend(lease, state, JournalEntry { at: now, what }, |tracker| {
                Ok(tracker.reconfigure(config, now)?)
            })?;
        }
        Ok(())
    }

    /// Changes a session that was just loaded.
    fn amend(
        &self,
        lease: &Lease,
        state: &mut CellState,
        entry: JournalEntry,
        act: impl FnOnce(&mut EmotionTracker) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Bounded by the number of sessions in memory.
        let Admission::Open(_room) = self.queue.admit(true) else {
            return Err(self.closing());
        };
        let changed = state.change(self.durability, entry, act)?;
        self.queue.enqueue(lease, &changed.unwritten);
        Ok(())
    }
}
