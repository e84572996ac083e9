//! Which sessions are held in memory: how they come, leave and are forgotten.

use std::sync::Arc;

use super::super::Reply;
use super::super::sessions::{self, MOST_WAITING};
use super::super::table::{Keeping, Table};
use super::EmotionState;
use crate::emotion::{EmotionTracker, Happening, JournalEntry};
use crate::error::Error;
use crate::inference::SessionId;
use crate::store::{StoreError, StoredSession};
use crate::telemetry;

impl EmotionState {
    /// Makes sure that a session is held.
    pub(super) async fn bring(&self, session: &SessionId) -> Result<(), Error> {
        let sessions = &self.wiring.sessions;
        loop {
            let full = |table: &Table| table.len() >= sessions.limit();
            {
                let now = self.wiring.clock.now();
                let mut table = sessions.lock();
                if table.touch(session, now).is_some() {
                    return Ok(());
                }
                if !full(&table) {
                    break;
                }
                let kept = sessions.keeping() != Keeping::Memory;
                if kept && table.evict(now, 0.0) {
                    continue;
                }
                // Nothing leaves unless it is written, and those that generate
                // stay: whom they would wait for may never read on.
                if !kept || table.failing.is_some() || table.unwritten() == 0 {
                    return Err(Error::TooManySessions {
                        session: session.to_string(),
                        limit: sessions.limit(),
                    });
                }
            }
            // Those that are not written yet will be.
            sessions.progress(full).await;
        }
        let (stored, is_new) = match self.read(session).await? {
            Some(stored) => (stored, false),
            None => (self.fresh()?, true),
        };
        let now = self.wiring.clock.now();
        let mut table = sessions.lock();
        table.hold(session.clone(), stored, now);
        telemetry::sessions(table.len());
        if !is_new {
            self.bring_up_to_date(&mut table, session, now)?;
        }
        Ok(())
    }

    fn fresh(&self) -> Result<StoredSession, Error> {
        let now = self.wiring.clock.now();
        Ok(StoredSession {
            tracker: EmotionTracker::new(Arc::clone(&self.config), now)?,
            entries: 0,
        })
    }

    /// Reads a session from the store, if there is one and it has it.
    async fn read(&self, session: &SessionId) -> Result<Option<StoredSession>, Error> {
        let Some(store) = self.wiring.sessions.store() else {
            return Ok(None);
        };
        if self.wiring.sessions.lock().is_leaving(session) {
            return Ok(None);
        }
        let session = session.clone();
        blocking(move || store.load(&session)).await
    }

    /// Puts a session that slept under the settings and the clock of now.
    fn bring_up_to_date(
        &self,
        table: &mut Table,
        session: &SessionId,
        now: f64,
    ) -> Result<(), Error> {
        let keeping = self.wiring.sessions.keeping();
        let Some(held) = table.touch(session, now) else {
            return Ok(());
        };
        // A clock that was set back would hold the feelings still.
        let ahead = held.tracker().last_at() - now;
        let same = held.share_config(&self.config);
        if ahead > 0.0 {
            let entry = JournalEntry {
                at: now,
                what: Happening::Shifted(-ahead),
            };
            table.change(session, keeping, entry, |tracker| {
                Ok(tracker.shift_time(-ahead)?)
            })?;
        }
        if !same {
            let config = Arc::clone(&self.config);
            let entry = JournalEntry {
                at: now,
                what: Happening::Configured(Arc::clone(&config)),
            };
            table.change(session, keeping, entry, |tracker| {
                Ok(tracker.reconfigure(config, now)?)
            })?;
        }
        self.wiring.sessions.changed(table);
        Ok(())
    }

    /// Waits until another change may wait to be written.
    pub(super) async fn room(&self) -> Result<(), Error> {
        let sessions = &self.wiring.sessions;
        if sessions.keeping() == Keeping::Memory {
            return Ok(());
        }
        loop {
            let (waiting, failing) = {
                let table = sessions.lock();
                (table.waiting(), table.failing.clone())
            };
            if waiting < MOST_WAITING {
                return Ok(());
            }
            if let Some(reason) = failing {
                return Err(StoreError::Behind { waiting, reason }.into());
            }
            sessions
                .progress(|table| table.waiting() >= MOST_WAITING)
                .await;
        }
    }

    /// Lets idle sessions leave memory.
    pub(in super::super) fn sweep(&self) {
        let now = self.wiring.clock.now();
        let idle = self.wiring.settings.store.idle_seconds;
        let mut table = self.wiring.sessions.lock();
        while table.evict(now, idle) {}
        telemetry::sessions(table.len());
    }

    pub(in super::super) async fn forget(&self, session: SessionId, reply: Reply<bool>) {
        if let Err(error) = self.room().await {
            let _ = reply.send(Err(error));
            return;
        }
        let stored = match self.read(&session).await {
            // What cannot be read can be forgotten.
            Err(Error::Store(StoreError::DamagedSession { .. })) => true,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
            Ok(stored) => stored.is_some(),
        };
        let sessions = &self.wiring.sessions;
        let mut table = sessions.lock();
        let keeping = sessions.keeping();
        let known = table.forget(&session, keeping) || stored;
        telemetry::sessions(table.len());
        sessions.changed(&table);
        if keeping == Keeping::Sync {
            let ack = move |written: Result<(), StoreError>| {
                let _ = reply.send(written.map(|()| known).map_err(Error::from));
            };
            table.when_written(&session, Box::new(ack));
        } else {
            let _ = reply.send(Ok(known));
        }
    }

    pub(in super::super) async fn list(&self) -> Result<Vec<SessionId>, Error> {
        let sessions = &self.wiring.sessions;
        let stored = match sessions.store() {
            None => Vec::new(),
            Some(store) => blocking(move || store.sessions()).await?,
        };
        let table = sessions.lock();
        let mut names: Vec<_> = table.names().cloned().collect();
        let here: std::collections::HashSet<_> = table.names().collect();
        let asleep = stored
            .into_iter()
            .filter(|name| !here.contains(name) && !table.is_leaving(name));
        names.extend(asleep);
        Ok(names)
    }
}

/// Asks the store away from the threads that serve events.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    let asked = tokio::task::spawn_blocking(work);
    match tokio::time::timeout(sessions::MOST_PATIENCE, asked).await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(error)) => Err(sessions::failed(error.to_string()).into()),
        Err(_) => Err(sessions::slow().into()),
    }
}
