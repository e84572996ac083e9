//! The queue of changes to be written, and its progress.

mod batch;

pub(super) use batch::Batch;

use std::collections::HashMap;
use std::time::Duration;

use hashlink::LinkedHashMap;
use tokio::sync::{Notify, watch};

use crate::inference::SessionId;
use crate::sessions::cache::Lease;
use crate::sessions::cell::{Ack, Unwritten};
use crate::sessions::reader::{MAX_PATIENCE, slow_after};
use crate::store::StoreError;
use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// Maximum number of changes that wait to be written. Further calls wait.
const MAX_WAITING: usize = 65_536;

/// Number of waiting changes at which the writer stops gathering.
const MANY_WAITING: usize = MAX_WAITING / 8;

/// The cells with uncommitted changes.
///
/// Its lock is taken after that of a cell. No lease is dropped while it is held.
#[derive(Debug)]
pub(in crate::sessions) struct WriteQueue {
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Notifies waiters that changes were committed, put back or rolled back.
    progress: Notify,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    dirty: LinkedHashMap<SessionId, Lease>,
    in_flight: HashMap<SessionId, Lease>,
    /// Number of changes that wait.
    waiting: usize,
    /// Number of changes that are being made.
    reserved: usize,
    /// Number of changes that are being written.
    writing: usize,
    /// Number of session writes that were committed or given up.
    settled: u64,
    /// Why the store currently fails.
    failing: Option<String>,
    /// Whether verifying the store found the failure. Verification then also shows when the store
    /// works again.
    verifiable: bool,
    closing: bool,
    /// Whether the writer is idle.
    idle: bool,
    /// Whether a caller waits for the changes to be written.
    hurried: bool,
    /// The error if acknowledged changes were lost at the end.
    lost: Option<StoreError>,
}

/// Whether a change may be made now.
pub(in crate::sessions) enum Admission<'a> {
    Open(Reservation<'a>),
    /// Too many changes wait. There will be room once some are written.
    Full,
    /// Too many changes wait, and the store fails.
    Behind(StoreError),
    /// The runtime is closing.
    Closing,
}

/// Room for a change that is being made. The writer does not end meanwhile.
pub(in crate::sessions) struct Reservation<'a>(&'a WriteQueue);

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reserved -= 1;
        if state.closing && state.reserved == 0 {
            self.0.work.notify_one();
        }
    }
}

impl WriteQueue {
    pub(in crate::sessions) fn new() -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            progress: Notify::new(),
            ended: watch::Sender::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Asks for room for a change. A `forced` change is bounded by other means and always gets
    /// room.
    pub(in crate::sessions) fn admit(&self, forced: bool) -> Admission<'_> {
        let mut state = self.lock();
        if state.closing {
            return Admission::Closing;
        }
        let waiting = state.waiting + state.reserved;
        if waiting >= MAX_WAITING && !forced {
            return match state.failing.clone() {
                Some(reason) => Admission::Behind(StoreError::Behind { waiting, reason }),
                None => Admission::Full,
            };
        }
        state.reserved += 1;
        drop(state);
        Admission::Open(Reservation(self))
    }

    /// Whether optional changes should be avoided, because many changes wait or the store fails.
    pub(in crate::sessions) fn is_behind(&self) -> bool {
        let state = self.lock();
        state.waiting >= MAX_WAITING || state.failing.is_some()
    }

    pub(in crate::sessions) fn is_failing(&self) -> bool {
        self.lock().failing.is_some()
    }

    /// Queues the changes of a cell, which must be locked.
    pub(in crate::sessions) fn enqueue(&self, cell: &Lease, changes: &Unwritten) {
        let mut state = self.lock();
        state.waiting = state.waiting + changes.new - changes.dropped;
        // A cell that was already dirty is queued, or the writer is about to take it.
        if changes.is_first {
            state.dirty.insert(cell.session().clone(), cell.clone());
        }
        // A writer that gathers changes is only woken if many wait.
        if state.idle || state.waiting >= MANY_WAITING {
            self.work.notify_one();
        }
    }

    /// Waits until a write has succeeded or failed, a session was loaded, or a waiting call has
    /// ended. Returns immediately unless `still` holds.
    pub(in crate::sessions) async fn progress(&self, still: impl FnOnce() -> bool) {
        let notified = self.progress.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if still() {
            notified.await;
        }
    }

    /// Waits until there is room for a change, or until there can be none.
    pub(in crate::sessions) async fn room(&self) {
        let is_full = || {
            let state = self.lock();
            let full = state.waiting + state.reserved >= MAX_WAITING;
            full && state.failing.is_none() && !state.closing
        };
        self.progress(is_full).await;
    }

    pub(in crate::sessions) fn notify_progress(&self) {
        self.progress.notify_waiters();
    }

    /// Tells the writer to write the changes that wait now, and waits for them, but not for later
    /// ones.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the store fails; it is tried again.
    /// [`StoreError::Slow`] if it does not answer.
    pub(in crate::sessions) async fn flush(&self) -> Result<(), StoreError> {
        let goal = {
            let state = self.lock();
            state.settled + (state.in_flight.len() + state.dirty.len()) as u64
        };
        let flushed = tokio::time::timeout(MAX_PATIENCE, self.settled(goal)).await;
        flushed.unwrap_or_else(|_| Err(slow_after(MAX_PATIENCE)))
    }

    async fn settled(&self, goal: u64) -> Result<(), StoreError> {
        loop {
            let notified = self.progress.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let mut state = self.lock();
                let waiting = state.waiting + state.writing;
                if waiting == 0 || state.settled >= goal {
                    return Ok(());
                }
                if let Some(reason) = state.failing.clone() {
                    return Err(StoreError::Behind { waiting, reason });
                }
                state.hurried = true;
            }
            self.work.notify_one();
            notified.await;
        }
    }

    /// Tells the writer to write the waiting changes and end. Does not wait for it.
    pub(in crate::sessions) fn begin_closing(&self) {
        self.lock().closing = true;
        self.work.notify_one();
        self.progress.notify_waiters();
    }

    /// Waits for at most `limit` until the writer has ended. Returns whether it has.
    pub(in crate::sessions) async fn wait_for_end(&self, limit: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(|ended| *ended);
        tokio::time::timeout(limit, ended).await.is_ok()
    }

    /// Why acknowledged changes were lost, if some were.
    pub(in crate::sessions) fn lost(&self) -> Option<StoreError> {
        self.lock().lost.clone()
    }

    pub(in crate::sessions) fn lose(&self, changes: usize, reason: String) {
        self.lock().lost = Some(StoreError::Lost { changes, reason });
    }

    /// Number of uncommitted changes.
    pub(in crate::sessions) fn unwritten(&self) -> usize {
        let state = self.lock();
        state.waiting + state.writing
    }

    /// Takes out the acknowledgements of uncommitted changes.
    pub(in crate::sessions) fn take_acks(&self) -> Vec<Ack> {
        let cells = self.unwritten_cells();
        cells
            .iter()
            .flat_map(|cell| cell.lock().take_acks())
            .collect()
    }

    fn unwritten_cells(&self) -> Vec<Lease> {
        let state = self.lock();
        let only_dirty = state.dirty.iter();
        let only_dirty = only_dirty.filter(|(session, _)| !state.in_flight.contains_key(*session));
        let only_dirty = only_dirty.map(|(_, cell)| cell);
        state
            .in_flight
            .values()
            .chain(only_dirty)
            .cloned()
            .collect()
    }
}
