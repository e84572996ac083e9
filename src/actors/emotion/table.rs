//! The sessions in memory, and what of them waits to be written.

use std::collections::HashMap;
use std::sync::Arc;

use hashlink::LinkedHashMap;
use tokio::sync::watch;

use super::watching::{Observation, Silences, Watched};
use crate::emotion::{
    EmotionConfig, EmotionError, EmotionEvent, EmotionTracker, EventBudget, JournalEntry,
    JournalRecord,
};
use crate::error::Error;
use crate::event::ActorName;
use crate::inference::SessionId;
use crate::store::{SessionChange, StoreError, StoredSession};

/// Sessions that one transaction writes at most, so that taking them out
/// holds nobody up for long.
const BATCH_SESSIONS: usize = 512;

/// Called once a change is on disk, or is not going to be.
pub(super) type Ack = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What is held of a session.
#[derive(Debug)]
pub(super) struct Held {
    /// The state in force.
    tracker: EmotionTracker,
    /// What will be in force once it is on disk.
    ahead: Option<Box<EmotionTracker>>,
    /// Those that follow it while they generate.
    followers: Option<watch::Sender<Arc<EmotionTracker>>>,
    pub(super) budget: EventBudget,
    /// What it does, from its first generation or tool call on.
    watched: Option<Box<Watched>>,
    /// Entries of its journal, those that wait included.
    entries: u64,
    /// Tells incarnations of one name apart.
    born: u64,
    /// When it was used last.
    used: f64,
}

impl Held {
    /// The state in force.
    pub(super) fn tracker(&self) -> &EmotionTracker {
        &self.tracker
    }

    /// Uses this copy of the settings if it is the same as the session's own;
    /// tells whether it is.
    pub(super) fn share_config(&mut self, config: &Arc<EmotionConfig>) -> bool {
        self.tracker.share_config(config)
    }

    /// The state after everything that was taken in.
    pub(super) fn latest(&self) -> &EmotionTracker {
        self.ahead.as_deref().unwrap_or(&self.tracker)
    }

    /// Forgets what it did.
    pub(super) fn forget_behavior(&mut self) {
        self.watched = None;
    }

    /// Follows the state in force.
    pub(super) fn follow(&mut self) -> watch::Receiver<Arc<EmotionTracker>> {
        let tracker = &self.tracker;
        self.followers
            .get_or_insert_with(|| watch::Sender::new(Arc::new(tracker.clone())))
            .subscribe()
    }

    fn put_in_force(&mut self, tracker: EmotionTracker) {
        self.tracker = tracker;
        if let Some(followers) = &self.followers {
            if followers.receiver_count() == 0 {
                self.followers = None;
            } else {
                followers.send_replace(Arc::new(self.tracker.clone()));
            }
        }
    }

    fn is_followed(&self) -> bool {
        let followed = |sender: &watch::Sender<_>| sender.receiver_count() > 0;
        self.followers.as_ref().is_some_and(followed)
    }
}

/// What of a session waits to be written.
#[derive(Default)]
struct Pending {
    forgotten: bool,
    first: u64,
    entries: Vec<JournalEntry>,
    acks: Vec<Ack>,
}

impl Pending {
    /// Number of changes.
    fn len(&self) -> usize {
        self.entries.len() + usize::from(self.forgotten)
    }
}

/// What is on its way to the store.
struct Flight {
    born: Option<u64>,
    forgotten: bool,
    changes: usize,
    acks: Vec<Ack>,
}

/// When a change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// At once; there is no store.
    Memory,
    /// At once; it is written later.
    Relaxed,
    /// Once it is on disk.
    Sync,
}

/// The sessions in memory, the one unused for longest first.
#[derive(Default)]
pub(super) struct Table {
    held: LinkedHashMap<SessionId, Box<Held>>,
    pending: LinkedHashMap<SessionId, Pending>,
    flights: HashMap<SessionId, Flight>,
    waiting: usize,
    /// Changes that are on their way.
    on_the_way: usize,
    /// How often something on its way arrived, or was given up.
    settled: u64,
    births: u64,
    silences: Silences,
    /// Why the store does not take anything at the moment.
    pub(super) failing: Option<String>,
    /// Whether it was a look at the store that told so; then another one tells when it works again.
    pub(super) verifiable: bool,
    pub(super) closing: bool,
    /// Whether the writer waits for something to do.
    pub(super) idle: bool,
    /// Whether someone waits for what waits to be written.
    pub(super) hurried: bool,
}

impl Table {
    /// Number of sessions in memory.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Number of changes that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Number of changes that are not on disk.
    pub(super) fn unwritten(&self) -> usize {
        self.waiting + self.on_the_way
    }

    /// What [`settled`](Self::settled) is once everything that is not on disk
    /// now has arrived.
    pub(super) fn goal(&self) -> u64 {
        self.settled + (self.flights.len() + self.pending.len()) as u64
    }

    /// How often something on its way arrived, or was given up.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// Names the sessions in memory.
    pub(super) fn names(&self) -> impl Iterator<Item = &SessionId> {
        self.held.keys()
    }

    /// The states in force, that of the session used last first.
    pub(super) fn latest_used(&self) -> impl Iterator<Item = &EmotionTracker> {
        self.held.values().rev().map(|held| held.tracker())
    }

    /// A session's state in force; it does not count as used.
    pub(super) fn tracker_of(&self, session: &SessionId) -> Option<&EmotionTracker> {
        self.held.get(session).map(|held| held.tracker())
    }

    /// Whether the store must not be asked for a session, because it is to be
    /// removed from it.
    pub(super) fn is_leaving(&self, session: &SessionId) -> bool {
        let flight = self.flights.get(session).map(|flight| flight.forgotten);
        flight == Some(true) || self.pending.get(session).is_some_and(|p| p.forgotten)
    }

    /// What is held of a session, which counts as used.
    pub(super) fn touch(&mut self, session: &SessionId, now: f64) -> Option<&mut Held> {
        let held = self.held.to_back(session)?;
        held.used = now;
        Some(held)
    }

    /// Begins to hold a session.
    pub(super) fn hold(&mut self, session: SessionId, stored: StoredSession, now: f64) {
        self.births += 1;
        let held = Held {
            tracker: stored.tracker,
            ahead: None,
            followers: None,
            budget: EventBudget::default(),
            watched: None,
            entries: stored.entries,
            born: self.births,
            used: now,
        };
        self.held.insert(session, Box::new(held));
    }

    /// Changes a held session as `act` does. Returns what came of it and,
    /// unless it counts already, what to do once it is on disk.
    pub(super) fn change<T>(
        &mut self,
        session: &SessionId,
        keeping: Keeping,
        entry: JournalEntry,
        act: impl FnOnce(&mut EmotionTracker) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(held) = self.held.get_mut(session) else {
            // Nothing was changed; callers make sure that it is held.
            return Err(Error::Uncertain {
                actor: ActorName::Emotion.as_str(),
            });
        };
        // A copy, so that a failure on the way leaves the state whole.
        let mut changed = held.latest().clone();
        let start = (held.entries == 0).then(|| JournalEntry {
            at: held.latest().last_at(),
            what: JournalRecord::Started(Arc::clone(held.latest().config())),
        });
        let result = act(&mut changed)?;
        match keeping {
            Keeping::Memory => {
                held.put_in_force(changed);
                return Ok(result);
            }
            Keeping::Relaxed => held.put_in_force(changed),
            Keeping::Sync => held.ahead = Some(Box::new(changed)),
        }
        let pending = self
            .pending
            .entry(session.clone())
            .or_insert_with(|| Pending {
                first: held.entries,
                ..Pending::default()
            });
        let before = pending.entries.len();
        pending.entries.extend(start);
        pending.entries.push(entry);
        let new = pending.entries.len() - before;
        held.entries += new as u64;
        self.waiting += new;
        Ok(result)
    }

    /// Notes what a held session did; returns the events that it stands for.
    pub(super) fn observe(
        &mut self,
        session: &SessionId,
        what: &Observation,
        config: &Arc<EmotionConfig>,
        now: f64,
    ) -> Result<Vec<EmotionEvent>, EmotionError> {
        let Self { held, silences, .. } = self;
        silences.tidy(held.len(), |session, id| {
            let watched = held.get(session).and_then(|held| held.watched.as_ref());
            watched.is_some_and(|watched| watched.has_id(id))
        });
        match held.get_mut(session) {
            Some(held) => silences.observe(session, &mut held.watched, what, config, now),
            None => Ok(Vec::new()),
        }
    }

    /// Looks for the next silent session among at most `looks`; it does not
    /// count as used.
    pub(super) fn next_silent(
        &mut self,
        now: f64,
        looks: &mut usize,
    ) -> Option<(SessionId, EmotionEvent)> {
        while let Some(left) = looks.checked_sub(1) {
            *looks = left;
            let (session, id) = self.silences.pop(now)?;
            let Some(held) = self.held.get_mut(&session) else {
                continue;
            };
            let busy = held.is_followed();
            let Some(watched) = &mut held.watched else {
                continue;
            };
            let entry = (session.clone(), id);
            if let Some(event) = self.silences.look(entry, watched, busy, now) {
                return Some((session, event));
            }
        }
        None
    }

    /// Calls `ack` once what waits of a session is on disk.
    pub(super) fn when_written(&mut self, session: &SessionId, ack: Ack) {
        match self.pending.get_mut(session) {
            Some(pending) => pending.acks.push(ack),
            None => ack(Ok(())),
        }
    }

    /// Forgets a session, in the store too if it is kept; tells whether it
    /// was in memory.
    pub(super) fn forget(&mut self, session: &SessionId, keeping: Keeping) -> bool {
        let known = self.held.remove(session).is_some();
        if keeping != Keeping::Memory {
            let pending = self
                .pending
                .entry(session.clone())
                .or_insert_with(Pending::default);
            self.waiting -= pending.entries.len();
            self.waiting += usize::from(!pending.forgotten);
            pending.forgotten = true;
            pending.first = 0;
            pending.entries.clear();
        }
        known
    }

    /// Lets the session that was unused for longest leave memory, if it was
    /// for at least `idle` seconds, is written down and nobody follows it;
    /// busy ones count as used. Of these there are no more than generations
    /// run and changes wait, so the search is bounded.
    pub(super) fn evict(&mut self, now: f64, idle: f64) -> bool {
        for _ in 0..self.held.len() {
            let Some((session, held)) = self.held.front() else {
                return false;
            };
            if now - held.used < idle {
                return false;
            }
            let unwritten =
                self.flights.contains_key(session) || self.pending.contains_key(session);
            if !unwritten && !held.is_followed() {
                self.held.pop_front();
                return true;
            }
            let session = session.clone();
            self.held.to_back(&session);
        }
        false
    }

    /// Takes out what is written next.
    pub(super) fn take(&mut self) -> Vec<SessionChange> {
        let mut taken = Vec::new();
        while taken.len() < BATCH_SESSIONS
            && let Some((session, pending)) = self.pending.pop_front()
        {
            let held = self.held.get(&session);
            let held = held.filter(|_| !pending.entries.is_empty());
            let changes = pending.len();
            self.waiting -= changes;
            self.on_the_way += changes;
            let flight = Flight {
                born: held.map(|held| held.born),
                forgotten: pending.forgotten,
                changes,
                acks: pending.acks,
            };
            let after = held.map(|held| held.latest().clone());
            self.flights.insert(session.clone(), flight);
            taken.push(SessionChange {
                session,
                forgotten: pending.forgotten,
                first: pending.first,
                entries: pending.entries,
                after,
            });
        }
        taken
    }

    /// Takes over what is on disk now.
    pub(super) fn landed(&mut self, change: SessionChange) -> Vec<Ack> {
        let Some(flight) = self.flights.remove(&change.session) else {
            return Vec::new();
        };
        self.on_the_way -= flight.changes;
        self.settled += 1;
        let newer = self.pending.contains_key(&change.session);
        if let Some(held) = self.held.get_mut(&change.session)
            && Some(held.born) == flight.born
            && held.ahead.is_some()
        {
            let now_in_force = if newer {
                change.after
            } else {
                held.ahead.take().map(|ahead| *ahead)
            };
            if let Some(tracker) = now_in_force {
                held.put_in_force(tracker);
            }
        }
        flight.acks
    }

    /// Has what could not be written wait again, before everything else.
    pub(super) fn put_back(&mut self, change: SessionChange) {
        let Some(flight) = self.flights.remove(&change.session) else {
            return;
        };
        self.on_the_way -= flight.changes;
        let mut first = Pending {
            forgotten: change.forgotten,
            first: change.first,
            entries: change.entries,
            acks: flight.acks,
        };
        match self.pending.get_mut(&change.session) {
            // What came before it is removed with the session.
            Some(later) if later.forgotten => {
                later.acks.append(&mut first.acks);
                self.settled += 1;
            }
            Some(later) => {
                self.settled += 1;
                self.waiting += first.len();
                first.entries.append(&mut later.entries);
                first.acks.append(&mut later.acks);
                *later = first;
                self.pending.to_front(&change.session);
            }
            None => {
                self.waiting += first.len();
                self.pending.insert(change.session.clone(), first);
                self.pending.to_front(&change.session);
            }
        }
    }

    /// Takes back what was not written of a session, and what waits behind it:
    /// it comes back from the store as it was.
    pub(super) fn take_back(&mut self, session: &SessionId) -> Vec<Ack> {
        let mut acks = Vec::new();
        if let Some(flight) = self.flights.remove(session) {
            self.on_the_way -= flight.changes;
            self.settled += 1;
            acks = flight.acks;
        }
        if let Some(pending) = self.pending.remove(session) {
            self.waiting -= pending.len();
            self.settled += 1;
            acks.extend(pending.acks);
        }
        self.held.remove(session);
        acks
    }

    /// Takes back everything that is not on disk.
    pub(super) fn take_all_back(&mut self) -> Vec<Ack> {
        let flying = self.flights.keys();
        let unwritten: Vec<_> = flying.chain(self.pending.keys()).cloned().collect();
        unwritten
            .iter()
            .flat_map(|session| self.take_back(session))
            .collect()
    }

    /// Takes back what is on its way; nobody knows whether it arrived.
    pub(super) fn take_back_flights(&mut self) -> Vec<Ack> {
        let flying: Vec<_> = self.flights.keys().cloned().collect();
        flying
            .iter()
            .flat_map(|session| self.take_back(session))
            .collect()
    }

    /// Takes out whom to tell of what is not on disk.
    pub(super) fn take_acks(&mut self) -> Vec<Ack> {
        let flying = self.flights.values_mut().map(|flight| &mut flight.acks);
        let waiting = self
            .pending
            .iter_mut()
            .map(|(_, pending)| &mut pending.acks);
        flying.chain(waiting).flat_map(std::mem::take).collect()
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("held", &self.held.len())
            .field("waiting", &self.waiting)
            .field("failing", &self.failing)
            .finish_non_exhaustive()
    }
}
