//! The writer's operations on the queue.

use std::time::{Duration, Instant};

use super::{MANY_WAITING, State, WriteQueue};
use crate::sessions::cache::Lease;
use crate::sessions::cell::Ack;
use crate::store::SessionChange;
use crate::sync::{MutexGuard, PoisonError};

/// Maximum number of sessions in one transaction, so that taking them out of the queue is quick.
const BATCH_SESSIONS: usize = 512;

/// Sessions that are written together.
#[derive(Default)]
pub(in crate::sessions::writer) struct Batch {
    pub cells: Vec<Lease>,
    pub changes: Vec<SessionChange>,
}

impl Batch {
    pub fn append(&mut self, mut other: Self) {
        self.cells.append(&mut other.cells);
        self.changes.append(&mut other.changes);
    }

    /// Splits it into one batch for each session.
    pub fn split(self) -> impl Iterator<Item = Self> {
        let pairs = self.cells.into_iter().zip(self.changes);
        pairs.map(|(cell, change)| Self {
            cells: vec![cell],
            changes: vec![change],
        })
    }
}

impl WriteQueue {
    /// Waits until there is something to write or the queue closes. Returns `false` if neither
    /// happens within `limit`.
    pub(in crate::sessions::writer) fn wait_for_work(&self, limit: Duration) -> bool {
        let start = Instant::now();
        let mut state = self.lock();
        state.idle = true;
        while state.dirty.is_empty() && !(state.closing && state.reserved == 0) {
            let Some(rest) = limit.checked_sub(start.elapsed()) else {
                return false;
            };
            state = self.wait(state, rest);
        }
        state.idle = false;
        true
    }

    /// Whether nothing waits and nothing more will come.
    pub(in crate::sessions::writer) fn is_over(&self) -> bool {
        self.lock().dirty.is_empty()
    }

    /// Lets changes gather for a while, unless there are many or someone waits for them.
    pub(in crate::sessions::writer) fn gather(&self, limit: Duration) {
        let hurries =
            |state: &State| state.closing || state.hurried || state.waiting >= MANY_WAITING;
        self.wait_until(limit, hurries);
    }

    /// Waits before the next attempt, unless the runtime closes.
    pub(in crate::sessions::writer) fn pause(&self, limit: Duration) {
        self.wait_until(limit, |state| state.closing);
    }

    fn wait_until(&self, limit: Duration, holds: impl Fn(&State) -> bool) {
        let start = Instant::now();
        let mut state = self.lock();
        while !holds(&state)
            && let Some(rest) = limit.checked_sub(start.elapsed())
        {
            state = self.wait(state, rest);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        let woken = self.work.wait_timeout(state, limit);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes out the next batch.
    pub(in crate::sessions::writer) fn take(&self) -> Batch {
        let mut cells = Vec::new();
        {
            let mut state = self.lock();
            while cells.len() < BATCH_SESSIONS
                && let Some((session, cell)) = state.dirty.pop_front()
            {
                cells.push(cell.clone());
                state.in_flight.insert(session, cell);
            }
        }
        let mut batch = Batch::default();
        let mut writing = 0;
        for cell in cells {
            // Changes that arrived in between are included.
            let begun = cell.lock().begin_write(cell.session());
            if let Some((change, changes)) = begun {
                batch.changes.push(change);
                batch.cells.push(cell);
                writing += changes;
            }
        }
        let mut state = self.lock();
        state.waiting -= writing;
        state.writing += writing;
        drop(state);
        batch
    }

    /// Puts a committed batch in force and returns its acknowledgements.
    pub(in crate::sessions::writer) fn commit(&self, batch: &Batch) -> Vec<Ack> {
        let mut acks = Vec::new();
        for cell in &batch.cells {
            let mut committed = cell.lock().commit_write();
            acks.append(&mut committed.acks);
            self.settle(cell, committed.changes);
        }
        acks
    }

    fn settle(&self, cell: &Lease, changes: usize) {
        let mut state = self.lock();
        state.writing -= changes;
        state.settled += 1;
        let _lease = state.in_flight.remove(cell.session());
        drop(state);
    }

    /// Returns a batch that could not be written to the front of the queue.
    pub(in crate::sessions::writer) fn put_back(&self, batch: Batch) {
        for (cell, change) in batch.cells.iter().zip(batch.changes) {
            let mut taken = cell.lock();
            let (changes, again) = taken.put_back(change);
            let mut state = self.lock();
            state.writing -= changes;
            state.waiting += again;
            let lease = state.in_flight.remove(cell.session());
            if state.dirty.contains_key(cell.session()) {
                // Two writes were merged into one.
                state.settled += 1;
            } else {
                state.dirty.insert(cell.session().clone(), cell.clone());
            }
            state.dirty.to_front(cell.session());
            drop(state);
            drop(taken);
            drop(lease);
        }
    }

    /// Rolls back the uncommitted changes of some cells and returns their acknowledgements.
    pub(in crate::sessions::writer) fn roll_back(&self, cells: &[Lease]) -> Vec<Ack> {
        let mut acks = Vec::new();
        for cell in cells {
            let mut taken = cell.lock();
            let mut rolled = taken.roll_back();
            let mut state = self.lock();
            state.writing -= rolled.in_flight;
            state.waiting -= rolled.waiting;
            let leases = [
                state.in_flight.remove(cell.session()),
                state.dirty.remove(cell.session()),
            ];
            state.settled += leases.iter().flatten().count() as u64;
            drop(state);
            drop(taken);
            drop(leases);
            acks.append(&mut rolled.acks);
        }
        acks
    }

    /// Rolls back all uncommitted changes.
    pub(in crate::sessions::writer) fn roll_back_all(&self) -> Vec<Ack> {
        self.roll_back(&self.unwritten_cells())
    }

    /// Rolls back the changes in flight, even if the store may have them.
    pub(in crate::sessions::writer) fn roll_back_in_flight(&self) -> Vec<Ack> {
        let cells: Vec<_> = self.lock().in_flight.values().cloned().collect();
        self.roll_back(&cells)
    }

    /// Notifies waiters that a batch is done.
    pub(in crate::sessions::writer) fn written(&self) {
        let mut state = self.lock();
        state.hurried &= state.waiting > 0;
        drop(state);
        self.progress.notify_waiters();
    }

    pub(in crate::sessions::writer) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    pub(in crate::sessions::writer) fn is_verifiable(&self) -> bool {
        self.lock().verifiable
    }

    /// Records that the store works. Returns whether it failed before.
    pub(in crate::sessions::writer) fn works(&self) -> bool {
        let mut state = self.lock();
        state.verifiable = false;
        state.failing.take().is_some()
    }

    /// Records that the store fails. Returns whether it failed before.
    pub(in crate::sessions::writer) fn fails(&self, reason: &str, verifiable: bool) -> bool {
        let mut state = self.lock();
        state.verifiable = verifiable;
        state.failing.replace(reason.to_owned()).is_none()
    }

    /// Records that the writer has ended.
    pub(in crate::sessions) fn end(&self) {
        self.ended.send_replace(true);
    }
}
