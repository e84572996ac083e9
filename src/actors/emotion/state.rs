//! What the emotion actor does with each message.

mod feelings;
mod residence;

use std::sync::Arc;

use tokio::sync::watch;

use super::mood::sampling_base;
use super::table::{Held, Keeping, Table};
use super::watching::Observation;
use super::{EmotionMessage, Reply};
use crate::actors::{Ticking, Wiring};
use crate::emotion::{
    EmotionConfig, EmotionSnapshot, EmotionTracker, Happening, JournalEntry, SafetyLimit,
    SafetyLimits,
};
use crate::error::Error;
use crate::event::Event;
use crate::inference::SessionId;
use crate::store::StoreError;
use feelings::limited;

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

    /// Lets a test break the actor here.
    pub(super) fn probe(&self, message: &EmotionMessage) {
        self.wiring.probe.at(message);
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
}
