//! An in-memory store with injected faults.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use elpis_emotion::SessionId;
use elpis_emotion::{EmotionTracker, JournalEntry, replay_entry};
use elpis_store::{SessionChange, StateStore, StoreError, StoredSession};

type Kept = BTreeMap<SessionId, (EmotionTracker, Vec<JournalEntry>)>;

/// The store. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    kept: Arc<Mutex<Kept>>,
    /// Fails every commit.
    pub broken: Arc<AtomicBool>,
    /// Panics in every commit.
    pub panics: Arc<AtomicBool>,
    /// Fails every commit with this session in it.
    pub poisoned: Arc<Mutex<Option<String>>>,
    /// Makes the store read-only.
    pub read_only: Arc<AtomicBool>,
    /// Number of sessions read so far.
    pub loads: Arc<AtomicUsize>,
    /// Number of successful commits so far.
    pub commits: Arc<AtomicUsize>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    /// A session whose loading blocks until this changes.
    slow: Arc<(Mutex<Option<String>>, Condvar)>,
}

impl Shelf {
    /// Holds every commit until [`open_gate`](Self::open_gate).
    pub fn close_gate(&self) {
        *self.gate.0.lock().unwrap() = true;
    }

    /// Lets commits through again.
    pub fn open_gate(&self) {
        *self.gate.0.lock().unwrap() = false;
        self.gate.1.notify_all();
    }

    /// Blocks loads of this session until another is named.
    pub fn hold_loads_of(&self, session: Option<&str>) {
        *self.slow.0.lock().unwrap() = session.map(str::to_owned);
        self.slow.1.notify_all();
    }

    /// The journal of a session, empty if there is none.
    pub fn entries(&self, session: &str) -> Vec<JournalEntry> {
        let kept = self.kept.lock().unwrap();
        let entries = kept.get(&SessionId::new(session).unwrap());
        entries.map(|kept| kept.1.clone()).unwrap_or_default()
    }

    /// The state that replaying the journal leads to, which every stored state must equal.
    pub fn replayed(&self, session: &str) -> Option<EmotionTracker> {
        let kept = self.kept.lock().unwrap();
        let (tracker, entries) = kept.get(&SessionId::new(session).unwrap())?;
        let mut again = None;
        for entry in entries {
            replay_entry(&mut again, entry).unwrap();
        }
        assert_eq!(again.as_ref(), Some(tracker));
        again
    }
}

impl StateStore for Shelf {
    fn load(&self, session: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let slow = self.slow.0.lock().unwrap();
        let is_slow = |slow: &mut Option<String>| slow.as_deref() == Some(session.as_str());
        drop(self.slow.1.wait_while(slow, is_slow).unwrap());
        let kept = self.kept.lock().unwrap();
        Ok(kept.get(session).map(|(tracker, entries)| StoredSession {
            tracker: tracker.clone(),
            entries: entries.len() as u64,
        }))
    }

    fn commit(&self, changes: &[SessionChange]) -> Result<(), StoreError> {
        assert!(!self.panics.load(Ordering::SeqCst), "injected panic");
        let closed = self.gate.0.lock().unwrap();
        drop(self.gate.1.wait_while(closed, |closed| *closed).unwrap());
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Full {
                file: "shelf".into(),
                reason: "injected".into(),
            });
        }
        if self.read_only.load(Ordering::SeqCst) {
            return Err(StoreError::ReadOnly {
                file: "shelf".into(),
            });
        }
        let poisoned = self.poisoned.lock().unwrap().clone();
        let hit = |change: &SessionChange| Some(change.session.as_str()) == poisoned.as_deref();
        if changes.iter().any(hit) {
            return Err(StoreError::DamagedSession {
                file: "shelf".into(),
                session: poisoned.unwrap_or_default(),
                reason: "injected".into(),
            });
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        let mut kept = self.kept.lock().unwrap();
        for change in changes {
            if change.forgotten {
                kept.remove(&change.session);
            }
            let Some(after) = &change.after else {
                assert!(change.entries.is_empty());
                continue;
            };
            let mut entries = kept
                .remove(&change.session)
                .map(|kept| kept.1)
                .unwrap_or_default();
            assert_eq!(
                entries.len() as u64,
                change.first,
                "no entry is lost or twice"
            );
            entries.extend(change.entries.iter().cloned());
            kept.insert(change.session.clone(), (after.clone(), entries));
        }
        Ok(())
    }

    fn sessions(&self) -> Result<Vec<SessionId>, StoreError> {
        Ok(self.kept.lock().unwrap().keys().cloned().collect())
    }

    fn journal(
        &self,
        session: &SessionId,
        visit: &mut dyn FnMut(JournalEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for entry in self.entries(session.as_str()) {
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }
}
