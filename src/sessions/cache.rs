//! The sessions in memory: lookup and eviction.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LinkedHashMap;

use super::cell::{CellState, SessionCell};
use super::places::{Place, Places};
use crate::emotion::EmotionTracker;
use crate::inference::SessionId;

/// The cells by name, the least recently used first.
///
/// Its lock is taken before that of a cell, and held only for short, bounded work.
#[derive(Debug)]
pub(super) struct Cache {
    cells: Mutex<LinkedHashMap<SessionId, Entry>>,
    places: Places,
}

#[derive(Debug)]
struct Entry {
    cell: Arc<SessionCell>,
    /// When it was used last.
    used: f64,
}

/// Keeps a cell in the cache. Dropping the last lease of an empty cell removes the cell.
#[derive(Debug)]
pub(super) struct Lease {
    cell: Arc<SessionCell>,
    cache: Arc<Cache>,
}

/// Whether there is room for another session.
pub(super) enum Room {
    /// There is a place.
    Place(Place),
    /// No place is free, but a session can be evicted soon.
    Soon,
    /// No place is free, and no session can be evicted soon.
    Full,
}

/// The result of looking for a session to evict.
enum Eviction {
    Evicted,
    /// No session can be evicted now; tells whether one can be soon.
    Kept {
        soon: bool,
    },
}

impl Cache {
    /// Creates a cache for at most `limit` sessions.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            cells: Mutex::default(),
            places: Places::new(limit),
        }
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Leases a session's cell and marks it as used.
    pub(super) fn lease(self: &Arc<Self>, session: &SessionId, now: f64) -> Lease {
        let mut cells = self.lock();
        if let Some(entry) = cells.to_back(session) {
            entry.used = now;
            return self.lease_of(&entry.cell);
        }
        let cell = Arc::new(SessionCell::new(session.clone()));
        let lease = self.lease_of(&cell);
        cells.insert(session.clone(), Entry { cell, used: now });
        lease
    }

    /// Leases a session's cell if there is one, without marking it as used.
    pub(super) fn find(self: &Arc<Self>, session: &SessionId) -> Option<Lease> {
        let cells = self.lock();
        let entry = cells.get(session)?;
        Some(self.lease_of(&entry.cell))
    }

    /// Must be called with the cache locked or while another lease exists.
    fn lease_of(self: &Arc<Self>, cell: &Arc<SessionCell>) -> Lease {
        cell.users.fetch_add(1, Ordering::AcqRel);
        Lease {
            cell: Arc::clone(cell),
            cache: Arc::clone(self),
        }
    }

    /// Finds a place for a session. If `may_evict`, it evicts the least recently used session if
    /// necessary.
    pub(super) fn room(&self, may_evict: bool) -> Room {
        loop {
            if let Some(place) = self.places.take() {
                return Room::Place(place);
            }
            if !may_evict {
                return Room::Full;
            }
            let loading = self.places.loading() > 0;
            match evict(&mut self.lock(), |_| true) {
                Eviction::Evicted => {}
                Eviction::Kept { soon } if soon || loading => return Room::Soon,
                Eviction::Kept { .. } => return Room::Full,
            }
        }
    }

    /// Evicts the sessions that have not been used for `idle` seconds, except those that are
    /// unwritten or followed by a generation.
    pub(super) fn sweep(&self, now: f64, idle: f64) {
        let is_idle = |used| now - used >= idle;
        while let Eviction::Evicted = evict(&mut self.lock(), is_idle) {}
    }

    /// Returns the states of at most `most` sessions in memory, the most recently used first.
    pub(super) fn latest_used(&self, most: usize) -> Vec<Arc<EmotionTracker>> {
        let cells: Vec<_> = {
            let cells = self.lock();
            let latest = cells.values().rev().take(most);
            latest.map(|entry| Arc::clone(&entry.cell)).collect()
        };
        let resident = |state: &CellState| {
            let resident = state.resident.as_ref();
            resident.map(|resident| Arc::clone(resident.tracker()))
        };
        cells
            .iter()
            .filter_map(|cell| resident(&cell.lock()))
            .collect()
    }

    /// Calls `look` with each session and its state.
    pub(super) fn each(&self, mut look: impl FnMut(&SessionId, &CellState)) {
        for (session, entry) in self.lock().iter() {
            look(session, &entry.cell.lock());
        }
    }

    fn forget_if_unused(&self, cell: &Arc<SessionCell>) {
        let mut cells = self.lock();
        let is_own = |entry: &Entry| Arc::ptr_eq(&entry.cell, cell);
        if cells.get(cell.id()).is_some_and(is_own) && !cell.is_in_use() && cell.lock().is_empty() {
            cells.remove(cell.id());
        }
    }

    fn lock(&self) -> MutexGuard<'_, LinkedHashMap<SessionId, Entry>> {
        // Every change is a single insertion, move or removal, so the map is consistent after a
        // panic.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Evicts the least recently used session, if `is_due` holds for its time of use. Sessions that
/// cannot be evicted are marked as used. There are only as many of them as running generations,
/// waiting calls and unwritten changes, so the search is bounded.
fn evict(cells: &mut LinkedHashMap<SessionId, Entry>, is_due: impl Fn(f64) -> bool) -> Eviction {
    let mut soon = false;
    for _ in 0..cells.len() {
        let Some((session, entry)) = cells.front() else {
            break;
        };
        if !is_due(entry.used) {
            break;
        }
        let session = session.clone();
        let mut state = entry.cell.lock();
        let evicted = state.is_evictable();
        if evicted {
            state.drop_resident();
        } else {
            soon |= state.is_evictable_soon();
        }
        let is_over = state.is_empty() && !entry.cell.is_in_use();
        drop(state);
        if is_over {
            cells.pop_front();
        } else {
            cells.to_back(&session);
        }
        if evicted {
            return Eviction::Evicted;
        }
    }
    Eviction::Kept { soon }
}

impl Lease {
    pub(super) fn cell(&self) -> &Arc<SessionCell> {
        &self.cell
    }

    pub(super) fn session(&self) -> &SessionId {
        self.cell.id()
    }

    /// Locks the cell. The lease must not be dropped meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, CellState> {
        self.cell.lock()
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.cache.lease_of(&self.cell)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A cell is only emptied by a holder of a lease or of the cache's lock. Therefore the last
        // lease to be dropped sees that the cell is empty.
        if self.cell.users.fetch_sub(1, Ordering::AcqRel) == 1 && self.cell.lock().is_empty() {
            self.cache.forget_if_unused(&self.cell);
        }
    }
}
