//! What the emotion actor does with each message.

use std::sync::Arc;

use tokio::sync::watch;

use super::mood::sampling_base;
use super::sessions::{self, MOST_WAITING};
use super::table::{Held, Keeping, Table};
use super::watching::{LOOKS_PER_TICK, Observation};
use super::{Feeling, Reply, Ticket};
use crate::actors::{Ticking, Wiring};
use crate::emotion::{
    AppliedEvent, EmotionConfig, EmotionEvent, EmotionSnapshot, EmotionTracker, Happening,
    JournalEntry, SafetyLimit, SafetyLimits, Spiral,
};
use crate::error::Error;
use crate::event::{Event, EventSource};
use crate::inference::SessionId;
use crate::store::{StoreError, StoredSession};
use crate::telemetry;

/// State of a working emotion actor.
#[derive(Debug)]
pub struct EmotionState {
    config: Arc<EmotionConfig>,
    wiring: Wiring,
    _timers: Vec<Ticking>,
}

impl EmotionState {
    pub(super) fn new(wiring: Wiring, timers: Vec<Ticking>) -> Self {
        Self {
            _timers: timers,
            config: Arc::new(wiring.settings.emotion.clone()),
            wiring,
        }
    }

    /// Works on what is held of a session, which is made or read from the
    /// store if nothing is held.
    async fn with<T>(
        &self,
        session: &SessionId,
        work: impl FnOnce(&mut Held) -> T,
    ) -> Result<T, Error> {
        loop {
            self.bring(session).await?;
            let now = self.wiring.clock.now();
            // A failing store may have taken it back in between.
            if let Some(held) = self.wiring.sessions.lock().touch(session, now) {
                return Ok(work(held));
            }
        }
    }

    /// Works on the table while a session is held in it.
    async fn with_table<T>(
        &self,
        session: &SessionId,
        work: impl FnOnce(&mut Table, f64) -> T,
    ) -> Result<T, Error> {
        loop {
            self.bring(session).await?;
            let now = self.wiring.clock.now();
            let mut table = self.wiring.sessions.lock();
            if table.touch(session, now).is_some() {
                return Ok(work(&mut table, now));
            }
        }
    }

    /// Makes sure that a session is held.
    async fn bring(&self, session: &SessionId) -> Result<(), Error> {
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
                if !kept || table.failing.is_some() {
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
    async fn room(&self) -> Result<(), Error> {
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

    /// Changes a session and answers when the change counts; `announce` tells
    /// the observers then.
    async fn change<T: Send + 'static>(
        &self,
        session: SessionId,
        what: Happening,
        act: impl FnOnce(&mut EmotionTracker, f64) -> Result<T, Error>,
        announce: impl FnOnce(&SessionId, &T) + Send + 'static,
        reply: Reply<T>,
    ) {
        if let Err(error) = self.room().await {
            let _ = reply.send(Err(error));
            return;
        }
        let keeping = self.wiring.sessions.keeping();
        let mut telling = Some((announce, reply));
        let work = |table: &mut Table, now: f64| {
            let entry = JournalEntry { at: now, what };
            let changed = table.change(&session, keeping, entry, |tracker| act(tracker, now));
            self.wiring.sessions.changed(table);
            match changed {
                Ok(value) if keeping == Keeping::Sync => {
                    let (announce, reply) = telling.take()?;
                    let own = session.clone();
                    let ack = move |written: Result<(), StoreError>| {
                        if written.is_ok() {
                            announce(&own, &value);
                        }
                        let _ = reply.send(written.map(|()| value).map_err(Error::from));
                    };
                    table.when_written(&session, Box::new(ack));
                    None
                }
                outcome => Some(outcome),
            }
        };
        let outcome = match self.with_table(&session, work).await {
            Ok(Some(outcome)) => outcome,
            // The writer answers.
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Some((announce, reply)) = telling {
            if let Ok(value) = &outcome {
                announce(&session, value);
            }
            let _ = reply.send(outcome);
        }
    }

    pub(super) async fn feel(
        &self,
        session: SessionId,
        feeling: Feeling,
        ticket: &Ticket,
        reply: Reply<Option<AppliedEvent>>,
    ) {
        let Feeling {
            event,
            source,
            bound,
        } = feeling;
        if let Some(per_minute) = self.config.events_per_minute {
            let now = self.wiring.clock.now();
            let within = self
                .with(&session, |held| held.budget.take(now, per_minute))
                .await;
            let refused = match within {
                Ok(true) => None,
                Ok(false) => {
                    limited(&self.wiring, &session, SafetyLimit::EventRate, event.name());
                    Some(Error::TooManyEvents {
                        session: session.to_string(),
                        per_minute,
                    })
                }
                Err(error) => Some(error),
            };
            if let Some(error) = refused {
                let _ = reply.send(Err(error));
                return;
            }
        }
        let event = match self.within(&session, event, bound).await {
            Ok(Some(event)) => event,
            nothing => {
                let _ = reply.send(nothing.map(|_| None));
                return;
            }
        };
        let what = Happening::Felt(event.clone());
        let felt = event.clone();
        let act = |tracker: &mut EmotionTracker, now: f64| {
            ticket.take();
            Ok(Some(apply(tracker, &event, now)?))
        };
        let wiring = self.wiring.clone();
        let announce = move |session: &SessionId, applied: &Option<AppliedEvent>| {
            if let Some(applied) = applied {
                announce_felt(&wiring, session, felt, source, applied);
            }
        };
        self.change(session, what, act, announce, reply).await;
    }

    /// Notes what a session did and applies the events that it stands for.
    pub(super) async fn observe(
        &self,
        session: SessionId,
        what: Observation,
        ticket: &Ticket,
        reply: Reply<Vec<AppliedEvent>>,
    ) {
        let work = |table: &mut Table, now| {
            ticket.take();
            table.observe(&session, &what, &self.config, now)
        };
        let events = match self.with_table(&session, work).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return drop(reply.send(Err(error.into()))),
            Err(error) => return drop(reply.send(Err(error))),
        };
        let mut answers = Vec::new();
        for event in events {
            let (sender, answer) = ractor::concurrency::oneshot();
            answers.push(answer);
            let feeling = Feeling {
                event,
                source: EventSource::Behavior,
                bound: None,
            };
            let ticket = Ticket::default();
            self.feel(session.clone(), feeling, &ticket, sender.into())
                .await;
        }
        // The writer may answer later, which holds up nobody else.
        let collect = async move {
            let mut felt = Vec::new();
            for answer in answers {
                match answer.await {
                    Ok(Ok(applied)) => felt.extend(applied),
                    Ok(Err(error)) => return drop(reply.send(Err(error))),
                    // Dropped without an answer, as the reply is then.
                    Err(_) => return,
                }
            }
            let _ = reply.send(Ok(felt));
        };
        if self.wiring.sessions.keeping() == Keeping::Sync {
            tokio::spawn(collect);
        } else {
            collect.await;
        }
    }

    /// Lets silent sessions feel it.
    pub(super) fn report_idle(&self) {
        let sessions = &self.wiring.sessions;
        let (keeping, now) = (sessions.keeping(), self.wiring.clock.now());
        let mut looks = LOOKS_PER_TICK;
        loop {
            let mut table = sessions.lock();
            let behind = table.waiting() >= MOST_WAITING || table.failing.is_some();
            if keeping != Keeping::Memory && behind {
                return;
            }
            let Some((session, event)) = table.next_silent(now, &mut looks) else {
                return;
            };
            let entry = JournalEntry {
                at: now,
                what: Happening::Felt(event.clone()),
            };
            let act = |tracker: &mut EmotionTracker| apply(tracker, &event, now);
            let Ok(applied) = table.change(&session, keeping, entry, act) else {
                continue;
            };
            sessions.changed(&table);
            let (wiring, own) = (self.wiring.clone(), session.clone());
            let announce = move |written: Result<(), StoreError>| {
                if written.is_ok() {
                    announce_felt(&wiring, &own, event, EventSource::Behavior, &applied);
                }
            };
            if keeping == Keeping::Sync {
                table.when_written(&session, Box::new(announce));
            } else {
                drop(table);
                announce(Ok(()));
            }
        }
    }

    /// Weakens an event so far that it stays within a bound; `None` if
    /// nothing is left of it.
    async fn within(
        &self,
        session: &SessionId,
        event: EmotionEvent,
        bound: Option<f64>,
    ) -> Result<Option<EmotionEvent>, Error> {
        let Some(bound) = bound else {
            return Ok(Some(event));
        };
        let now = self.wiring.clock.now();
        let bounded = self
            .with(session, |held| held.latest().bounded(&event, now, bound))
            .await??;
        if bounded.as_ref() != Some(&event) {
            limited(&self.wiring, session, SafetyLimit::Appraisal, event.name());
        }
        Ok(bounded)
    }

    pub(super) async fn snapshot(&self, session: &SessionId) -> Result<EmotionSnapshot, Error> {
        let base = sampling_base(&self.wiring);
        let now = self.wiring.clock.now();
        self.with(session, |held| held.tracker().snapshot_with(now, base))
            .await
    }

    pub(super) async fn reset(&self, session: SessionId, reply: Reply<()>) {
        let bus = self.wiring.bus.clone();
        let announce = move |session: &SessionId, (): &()| {
            let session = session.clone();
            bus.publish(Event::EmotionReset { session });
        };
        if let Err(error) = self.with(&session, Held::forget_behavior).await {
            let _ = reply.send(Err(error));
            return;
        }
        let act = |tracker: &mut EmotionTracker, now| Ok(tracker.reset(now)?);
        self.change(session, Happening::Reset, act, announce, reply)
            .await;
    }

    pub(super) async fn set_strength(&self, session: SessionId, strength: f64, reply: Reply<()>) {
        let name = session.clone();
        let act = |tracker: &mut EmotionTracker, _| {
            let set = tracker.set_steering_strength(strength);
            if set.is_err() && strength > tracker.limits().strength {
                limited(&self.wiring, &name, SafetyLimit::Strength, "set_strength");
            }
            Ok(set?)
        };
        let what = Happening::Strength(strength);
        self.change(session, what, act, |_, ()| {}, reply).await;
    }

    pub(super) async fn set_limits(
        &self,
        session: SessionId,
        limits: SafetyLimits,
        reply: Reply<()>,
    ) {
        let what = Happening::Limits(limits);
        let act = move |tracker: &mut EmotionTracker, _| Ok(tracker.set_limits(limits)?);
        self.change(session, what, act, |_, ()| {}, reply).await;
    }

    pub(super) async fn follow(
        &self,
        session: &SessionId,
    ) -> Result<watch::Receiver<Arc<EmotionTracker>>, Error> {
        let follow = |table: &mut Table, now: f64| {
            // A clock out of range is told elsewhere.
            let _ = table.observe(session, &Observation::Active, &self.config, now);
            table.touch(session, now).map(Held::follow)
        };
        let followed = self.with_table(session, follow).await?;
        followed.ok_or_else(|| Error::Stopped {
            reason: "the session left as it was followed".to_owned(),
        })
    }

    /// Lets idle sessions leave memory.
    pub(super) fn sweep(&self) {
        let now = self.wiring.clock.now();
        let idle = self.wiring.settings.store.idle_seconds;
        let mut table = self.wiring.sessions.lock();
        while table.evict(now, idle) {}
        telemetry::sessions(table.len());
    }

    pub(super) async fn forget(&self, session: SessionId, reply: Reply<bool>) {
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

    pub(super) async fn list(&self) -> Result<Vec<SessionId>, Error> {
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

/// Tells the observers of an event that counts.
fn announce_felt(
    wiring: &Wiring,
    session: &SessionId,
    event: EmotionEvent,
    source: EventSource,
    applied: &AppliedEvent,
) {
    telemetry::emotion_event(&event, applied);
    for limit in applied.rules.safety_limits() {
        limited(wiring, session, limit, event.name());
    }
    wiring.bus.publish(Event::Felt {
        session: session.clone(),
        event,
        source,
        before: applied.before,
        after: applied.after,
    });
}

/// Applies an event, and counts a spiral that it begins.
fn apply(
    tracker: &mut EmotionTracker,
    event: &EmotionEvent,
    now: f64,
) -> Result<AppliedEvent, Error> {
    let before = tracker.spiral();
    let applied = tracker.apply(event, now)?;
    let after = tracker.spiral();
    if after != before && after != Spiral::None {
        telemetry::spiral(after);
    }
    Ok(applied)
}

/// Leaves a trace of a safety limit that acted.
fn limited(wiring: &Wiring, session: &SessionId, limit: SafetyLimit, asked: &str) {
    telemetry::safety_limit(limit);
    wiring.bus.publish(Event::LimitActed {
        session: session.clone(),
        limit,
        asked: asked.to_owned(),
    });
}

/// Asks the store away from the threads that serve events.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(sessions::failed(error.to_string()).into()),
    }
}
