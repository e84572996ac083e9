//! A session's cell: one lock over its state, its unwritten changes and the calls that wait for it.

mod unwritten;
mod waiting;

pub(super) use unwritten::Ack;
pub(super) use waiting::Arrival;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;
use unwritten::{DirtyEntry, InFlightWrite};
use waiting::WaitingCalls;

use super::idle::Watch;
use super::places::Place;
use crate::emotion::{EmotionConfig, EmotionTracker, EventBudget, JournalEntry, JournalRecord};
use crate::error::Error;
use crate::event::ActorName;
use crate::inference::SessionId;
use crate::store::{Durability, StoredSession};
use crate::sync::{Mutex, MutexGuard, lock};

/// A session that is in memory, is being loaded, or waits to be written.
#[derive(Debug)]
pub(super) struct SessionCell {
    id: SessionId,
    /// Number of leases. The cache keeps the cell while there are any.
    pub(super) users: AtomicUsize,
    state: Mutex<CellState>,
}

impl SessionCell {
    pub(super) fn new(id: SessionId) -> Self {
        Self {
            id,
            users: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> &SessionId {
        &self.id
    }

    /// Locks the state. While holding the lock, callers lock nothing but the writer's queue and the
    /// idle timers.
    pub(super) fn lock(&self) -> MutexGuard<'_, CellState> {
        // A change is made on a copy and put in place by a single assignment, so the state is
        // whole even if its holder panicked.
        lock(&self.state)
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.users.load(Ordering::Acquire) > 0
    }
}

/// The contents of a cell.
#[derive(Debug, Default)]
pub(super) struct CellState {
    /// The session, while it is in memory.
    pub(super) resident: Option<Resident>,
    /// The changes that wait to be written.
    dirty: Option<Box<DirtyEntry>>,
    /// The changes that are being written.
    in_flight: Option<Box<InFlightWrite>>,
    /// Increases each time a session of this name is forgotten or rolled back.
    incarnation: u64,
    /// Calls that wait until the session is loaded or there is room.
    waiting: Option<Box<WaitingCalls>>,
}

/// A session in memory.
#[derive(Debug)]
pub(super) struct Resident {
    /// The state in force.
    tracker: Arc<EmotionTracker>,
    /// The state that will be in force once it is committed.
    ahead: Option<Arc<EmotionTracker>>,
    /// Generations that follow the state in force.
    followers: Option<watch::Sender<Arc<EmotionTracker>>>,
    pub(super) budget: EventBudget,
    /// The behaviour monitor's data, from the first generation or tool call on.
    pub(super) watch: Option<Box<Watch>>,
    /// Number of its journal entries, including those not written yet.
    entries: u64,
    _place: Place,
}

impl Resident {
    pub(super) fn new(stored: StoredSession, place: Place) -> Self {
        Self {
            tracker: Arc::new(stored.tracker),
            ahead: None,
            followers: None,
            budget: EventBudget::default(),
            watch: None,
            entries: stored.entries,
            _place: place,
        }
    }

    /// The state in force.
    pub(super) fn tracker(&self) -> &Arc<EmotionTracker> {
        &self.tracker
    }

    /// The state after everything that was accepted.
    pub(super) fn latest(&self) -> &Arc<EmotionTracker> {
        self.ahead.as_ref().unwrap_or(&self.tracker)
    }

    /// Follows the state in force.
    pub(super) fn follow(&mut self) -> watch::Receiver<Arc<EmotionTracker>> {
        self.followers
            .get_or_insert_with(|| watch::Sender::new(Arc::clone(&self.tracker)))
            .subscribe()
    }

    /// Whether a generation follows the state.
    pub(super) fn is_followed(&self) -> bool {
        let followed = |sender: &watch::Sender<_>| sender.receiver_count() > 0;
        self.followers.as_ref().is_some_and(followed)
    }

    fn put_in_force(&mut self, tracker: Arc<EmotionTracker>) {
        self.tracker = tracker;
        if let Some(followers) = &self.followers {
            if followers.receiver_count() == 0 {
                self.followers = None;
            } else {
                followers.send_replace(Arc::clone(&self.tracker));
            }
        }
    }

    /// Puts a committed state in force. `newer` tells whether later changes wait.
    pub(super) fn commit(&mut self, after: Option<Arc<EmotionTracker>>, newer: bool) {
        let Some(ahead) = self.ahead.take() else {
            return;
        };
        if newer {
            self.ahead = Some(ahead);
            if let Some(after) = after {
                self.put_in_force(after);
            }
        } else {
            self.put_in_force(ahead);
        }
    }
}

/// The error of a call whose outcome is unknown.
pub(super) fn uncertain() -> Error {
    Error::Uncertain {
        actor: ActorName::Emotion.as_str(),
    }
}

/// The result of a change that was made to a session.
pub(super) struct Changed<T> {
    /// What the change returned.
    pub(super) value: T,
    pub(super) unwritten: Unwritten,
}

/// How a change alters the number of changes that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    pub(super) new: usize,
    /// Number of changes that will no longer be written.
    pub(super) dropped: usize,
    /// Whether the session had no waiting changes before.
    pub(super) is_first: bool,
}

impl CellState {
    /// Whether the cell can be removed without losing anything.
    pub(super) fn is_empty(&self) -> bool {
        self.resident.is_none() && !self.is_unwritten() && self.waiting.is_none()
    }

    /// Whether some of its changes are not in the store yet.
    pub(super) fn is_unwritten(&self) -> bool {
        self.dirty.is_some() || self.in_flight.is_some()
    }

    /// Whether the store must not be asked for the session, because it is about to be removed there.
    pub(super) fn is_leaving(&self) -> bool {
        let dirty = self.dirty.as_ref().is_some_and(|dirty| dirty.forgotten);
        dirty || self.in_flight.as_ref().is_some_and(|write| write.forgotten)
    }

    /// Whether the session can be evicted now.
    pub(super) fn is_evictable(&self) -> bool {
        let followed = self.resident.as_ref().is_none_or(Resident::is_followed);
        !followed && !self.is_unwritten() && self.waiting.is_none()
    }

    /// Whether the session can be evicted soon.
    pub(super) fn is_evictable_soon(&self) -> bool {
        self.resident.as_ref().is_some_and(|r| !r.is_followed())
    }

    /// Changes the session by `act`. If `act` fails or panics, nothing changes.
    pub(super) fn change<T>(
        &mut self,
        durability: Option<Durability>,
        entry: JournalEntry,
        act: impl FnOnce(&mut EmotionTracker) -> Result<T, Error>,
    ) -> Result<Changed<T>, Error> {
        let Some(resident) = &mut self.resident else {
            // Callers make sure that it is in memory.
            return Err(uncertain());
        };
        let mut changed = EmotionTracker::clone(resident.latest());
        let start = (resident.entries == 0).then(|| JournalEntry {
            at: resident.latest().last_at(),
            what: JournalRecord::Started(Arc::clone(resident.latest().config())),
        });
        let value = act(&mut changed)?;
        let changed = Arc::new(changed);
        match durability {
            None => {
                resident.put_in_force(changed);
                let unwritten = Unwritten::default();
                return Ok(Changed { value, unwritten });
            }
            Some(Durability::Relaxed) => resident.put_in_force(changed),
            Some(Durability::Sync) => resident.ahead = Some(changed),
        }
        let is_first = self.dirty.is_none();
        let dirty = self.dirty.get_or_insert_with(|| {
            let first = resident.entries;
            Box::new(DirtyEntry::beginning_at(first))
        });
        let new = 1 + usize::from(start.is_some());
        dirty.entries.extend(start);
        dirty.entries.push(entry);
        resident.entries += new as u64;
        let unwritten = Unwritten {
            new,
            dropped: 0,
            is_first,
        };
        Ok(Changed { value, unwritten })
    }

    /// Replaces the session's settings by the shared current ones if they are equal. Returns
    /// whether it uses the current settings.
    pub(super) fn share_config(&mut self, config: &Arc<EmotionConfig>) -> bool {
        let Some(resident) = &mut self.resident else {
            return true;
        };
        // The session was just loaded, so nobody shares the tracker.
        Arc::get_mut(&mut resident.tracker).is_some_and(|tracker| tracker.share_config(config))
    }

    /// Drops the session from memory. Unwritten changes stay.
    pub(super) fn drop_resident(&mut self) {
        self.resident = None;
        self.incarnation += 1;
    }
}
