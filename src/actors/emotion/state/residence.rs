//! Which sessions are held in memory: how they come, leave and are forgotten.

use std::sync::{Arc, MutexGuard};

use super::super::sessions::{MAX_WAITING, Sessions};
use super::super::table::{Keeping, Table};
use super::super::{EmotionMessage, Reply, SessionCall};
use super::{EmotionState, Until};
use crate::emotion::{EmotionTracker, JournalEntry, JournalRecord};
use crate::error::Error;
use crate::inference::SessionId;
use crate::store::{StoreError, StoredSession};
use crate::telemetry;

impl EmotionState {
    /// Makes sure that a call can be handled now, or says what it must wait for.
    ///
    /// # Errors
    /// [`StoreError::Behind`] or [`Error::TooManySessions`] where waiting would not help.
    pub(super) fn find_place(
        &mut self,
        session: &SessionId,
        call: &SessionCall,
    ) -> Result<Option<Until>, Error> {
        let sessions = Arc::clone(&self.wiring.sessions);
        let is_kept = sessions.keeping() != Keeping::Memory;
        let now = self.wiring.clock.now();
        let mut table = sessions.lock();
        let waiting = table.waiting();
        if is_kept && call.changes() && waiting >= MAX_WAITING {
            if let Some(reason) = table.failing.clone() {
                return Err(StoreError::Behind { waiting, reason }.into());
            }
            self.settled = table.settled();
            return Ok(Some(Until::Progress));
        }
        if table.touch(session, now).is_some() {
            return Ok(None);
        }
        let is_new = !is_kept || table.is_leaving(session);
        if !matches!(call, SessionCall::Forget(_)) {
            // Those that are being read will need their places.
            while table.len() + self.deferred.loading() >= sessions.limit() {
                if is_kept && table.evict(now, 0.0) {
                    continue;
                }
                // Nothing leaves unless it is written, and those that generate
                // stay: whom they would wait for may never read on.
                let moves = table.unwritten() > 0 || self.deferred.loading() > 0;
                if !is_kept || table.failing.is_some() || !moves {
                    return Err(Error::TooManySessions {
                        session: session.to_string(),
                        limit: sessions.limit(),
                    });
                }
                self.settled = table.settled();
                return Ok(Some(Until::Progress));
            }
            if is_new {
                self.hold(&mut table, session, None, now)?;
            }
        }
        Ok((!is_new).then_some(Until::Loaded))
    }

    /// Begins to hold a session, as the store has it or new.
    fn hold(
        &self,
        table: &mut Table,
        session: &SessionId,
        stored: Option<StoredSession>,
        now: f64,
    ) -> Result<(), Error> {
        let is_new = stored.is_none();
        let stored = match stored {
            Some(stored) => stored,
            None => StoredSession {
                tracker: EmotionTracker::new(Arc::clone(&self.config), now)?,
                entries: 0,
            },
        };
        table.hold(session.clone(), stored, now);
        telemetry::sessions(table.len());
        if is_new {
            return Ok(());
        }
        self.bring_up_to_date(table, session, now)
    }

    /// Has the store be asked for a session.
    pub(super) fn load(&self, session: SessionId) {
        let (sessions, myself) = (Arc::clone(&self.wiring.sessions), self.myself.clone());
        tokio::spawn(async move {
            let stored = sessions.load(session.clone()).await;
            // An actor that is gone has no calls that wait for it.
            let _ = myself.send_message(EmotionMessage::Loaded(session, Box::new(stored)));
        });
    }

    /// Handles the calls that waited for a session.
    pub(super) fn loaded(
        &mut self,
        session: &SessionId,
        stored: Result<Option<StoredSession>, StoreError>,
    ) {
        let Some(mut calls) = self.deferred.take_loaded(session) else {
            return;
        };
        let sessions = Arc::clone(&self.wiring.sessions);
        match stored {
            Ok(stored) if matches!(calls.front(), Some(SessionCall::Forget(_))) => {
                if let Some(SessionCall::Forget(reply)) = calls.pop_front() {
                    forget(&sessions, sessions.lock(), session, stored.is_some(), reply);
                }
            }
            Ok(stored) => {
                let now = self.wiring.clock.now();
                let held = self.hold(&mut sessions.lock(), session, stored, now);
                if let Err(error) = held
                    && let Some(call) = calls.pop_front()
                {
                    call.refuse(error);
                }
            }
            Err(error) => {
                while let Some(call) = calls.pop_front() {
                    match call {
                        // What cannot be read can be forgotten.
                        SessionCall::Forget(reply)
                            if matches!(error, StoreError::DamagedSession { .. }) =>
                        {
                            forget(&sessions, sessions.lock(), session, true, reply);
                            break;
                        }
                        call => call.refuse(error.clone().into()),
                    }
                }
            }
        }
        for call in calls {
            self.call(session, call);
        }
        // Its place may be free again.
        self.try_again();
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
                what: JournalRecord::Shifted(-ahead),
            };
            table.change(session, keeping, entry, |tracker| {
                Ok(tracker.shift_time(-ahead)?)
            })?;
        }
        if !same {
            let config = Arc::clone(&self.config);
            let entry = JournalEntry {
                at: now,
                what: JournalRecord::Configured(Arc::clone(&config)),
            };
            table.change(session, keeping, entry, |tracker| {
                Ok(tracker.reconfigure(config, now)?)
            })?;
        }
        self.wiring.sessions.changed(table);
        Ok(())
    }

    /// Lets idle sessions leave memory.
    pub(super) fn sweep(&self) {
        let now = self.wiring.clock.now();
        let idle = self.wiring.settings.store.idle_seconds;
        let mut table = self.wiring.sessions.lock();
        while table.evict(now, idle) {}
        telemetry::sessions(table.len());
    }

    pub(super) fn list(&self, mut reply: Reply<Vec<SessionId>>) {
        let sessions = Arc::clone(&self.wiring.sessions);
        reply.leave_mailbox();
        tokio::spawn(async move {
            let stored = sessions.stored_names().await;
            reply.send(stored.map_err(Error::from).map(|stored| {
                let table = sessions.lock();
                let mut names: Vec<_> = table.names().cloned().collect();
                let here: std::collections::HashSet<_> = table.names().collect();
                let asleep = stored
                    .into_iter()
                    .filter(|name| !here.contains(name) && !table.is_leaving(name));
                names.extend(asleep);
                names
            }));
        });
    }
}

/// Forgets a session; `known` tells whether there is one, in memory or in the store.
pub(super) fn forget(
    sessions: &Sessions,
    mut table: MutexGuard<'_, Table>,
    session: &SessionId,
    known: bool,
    mut reply: Reply<bool>,
) {
    let keeping = sessions.keeping();
    table.forget(session, keeping);
    telemetry::sessions(table.len());
    sessions.changed(&table);
    if keeping == Keeping::Sync {
        reply.leave_mailbox();
        let ack = move |written: Result<(), StoreError>| {
            reply.send(written.map(|()| known).map_err(Error::from));
        };
        table.when_written(session, Box::new(ack));
    } else {
        drop(table);
        reply.send(Ok(known));
    }
}
