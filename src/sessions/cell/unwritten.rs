//! Changes of a session on their way to the store.
//!
//! A change joins the session's dirty entry. The writer takes the entry as a whole; while it is
//! being written, further changes gather in a new one. Finally the write is committed, put back for
//! another attempt, or rolled back together with all later changes.

use std::sync::Arc;

use super::{CellState, Unwritten};
use crate::emotion::{EmotionTracker, JournalEntry};
use crate::inference::SessionId;
use crate::store::{SessionChange, StoreError};

/// Called once a change is committed or rolled back.
pub type Ack = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Changes of a session that wait to be written.
#[derive(Default)]
pub(super) struct DirtyEntry {
    /// Whether the session is removed from the store first.
    pub(super) forgotten: bool,
    first: u64,
    pub(super) entries: Vec<JournalEntry>,
    pub(super) acks: Vec<Ack>,
}

impl DirtyEntry {
    /// Creates an empty entry that begins after `first` journal entries.
    pub(in crate::sessions) fn beginning_at(first: u64) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }

    /// Number of changes.
    fn len(&self) -> usize {
        self.entries.len() + usize::from(self.forgotten)
    }
}

/// Changes of a session that are being written.
pub(super) struct InFlightWrite {
    pub(super) forgotten: bool,
    /// The session that they belong to, and its state after them.
    after: Option<(u64, Arc<EmotionTracker>)>,
    changes: usize,
    acks: Vec<Ack>,
}

/// A committed write.
pub struct Committed {
    /// Changes that were in flight.
    pub changes: usize,
    pub acks: Vec<Ack>,
}

/// Changes that were rolled back.
pub struct RolledBack {
    /// Changes that were in flight.
    pub in_flight: usize,
    /// Number of changes that waited.
    pub waiting: usize,
    pub acks: Vec<Ack>,
}

impl CellState {
    /// Registers `ack` to be called once the changes that wait now are committed.
    pub(in crate::sessions) fn when_committed(&mut self, ack: Ack) {
        match &mut self.dirty {
            Some(dirty) => dirty.acks.push(ack),
            None => ack(Ok(())),
        }
    }

    /// Schedules the removal of the session from the store, which replaces the waiting changes.
    pub(in crate::sessions) fn forget_in_store(&mut self) -> Unwritten {
        let is_first = self.dirty.is_none();
        let dirty = self.dirty.get_or_insert_default();
        let dropped = dirty.entries.len();
        let new = usize::from(!dirty.forgotten);
        dirty.forgotten = true;
        dirty.first = 0;
        dirty.entries.clear();
        Unwritten {
            new,
            dropped,
            is_first,
        }
    }

    /// Takes the waiting changes to be written now, and returns their number.
    pub(in crate::sessions) fn begin_write(
        &mut self,
        session: &SessionId,
    ) -> Option<(SessionChange, usize)> {
        let dirty = self.dirty.take()?;
        let changes = dirty.len();
        let resident = self.resident.as_ref().filter(|_| !dirty.entries.is_empty());
        let after = resident.map(|resident| Arc::clone(resident.latest()));
        let change = SessionChange {
            session: session.clone(),
            forgotten: dirty.forgotten,
            first: dirty.first,
            entries: dirty.entries,
            after: after.as_deref().cloned(),
        };
        self.in_flight = Some(Box::new(InFlightWrite {
            forgotten: dirty.forgotten,
            after: after.map(|after| (self.incarnation, after)),
            changes,
            acks: dirty.acks,
        }));
        Some((change, changes))
    }

    /// Puts the changes that are now committed in force.
    pub(in crate::sessions) fn commit_write(&mut self) -> Committed {
        let Some(write) = self.in_flight.take() else {
            let (changes, acks) = (0, Vec::new());
            return Committed { changes, acks };
        };
        let newer = self.dirty.is_some();
        if let Some((incarnation, after)) = write.after
            && incarnation == self.incarnation
            && let Some(resident) = &mut self.resident
        {
            resident.commit(Some(after), newer);
        }
        Committed {
            changes: write.changes,
            acks: write.acks,
        }
    }

    /// Puts changes that could not be written back before all others. Returns how many changes were
    /// in flight and how many of them wait again.
    pub(in crate::sessions) fn put_back(&mut self, change: SessionChange) -> (usize, usize) {
        let Some(write) = self.in_flight.take() else {
            return (0, 0);
        };
        let mut first = DirtyEntry {
            forgotten: change.forgotten,
            first: change.first,
            entries: change.entries,
            acks: write.acks,
        };
        let again = match &mut self.dirty {
            // Earlier changes are removed together with the session.
            Some(later) if later.forgotten => {
                later.acks.append(&mut first.acks);
                0
            }
            Some(later) => {
                let again = first.len();
                first.entries.append(&mut later.entries);
                first.acks.append(&mut later.acks);
                **later = first;
                again
            }
            None => {
                let again = first.len();
                self.dirty = Some(Box::new(first));
                again
            }
        };
        (write.changes, again)
    }

    /// Drops uncommitted changes. The session will be loaded from the store again.
    pub(in crate::sessions) fn roll_back(&mut self) -> RolledBack {
        let mut rolled = RolledBack {
            in_flight: 0,
            waiting: 0,
            acks: Vec::new(),
        };
        if let Some(write) = self.in_flight.take() {
            rolled.in_flight = write.changes;
            rolled.acks = write.acks;
        }
        if let Some(dirty) = self.dirty.take() {
            rolled.waiting = dirty.len();
            rolled.acks.extend(dirty.acks);
        }
        self.drop_resident();
        rolled
    }

    /// Takes out the acknowledgements of uncommitted changes.
    pub(in crate::sessions) fn take_acks(&mut self) -> Vec<Ack> {
        let in_flight = self.in_flight.as_mut().map(|write| &mut write.acks);
        let dirty = self.dirty.as_mut().map(|dirty| &mut dirty.acks);
        let both = in_flight.into_iter().chain(dirty);
        both.flat_map(std::mem::take).collect()
    }
}

impl std::fmt::Debug for DirtyEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirtyEntry")
            .field("forgotten", &self.forgotten)
            .field("first", &self.first)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for InFlightWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlightWrite")
            .field("forgotten", &self.forgotten)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}
