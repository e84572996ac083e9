//! What the emotion actor does with each message.

mod feelings;
mod residence;

use std::sync::{Arc, MutexGuard};

use ractor::ActorRef;
use tokio::sync::watch;

use super::deferred::{Deferred, MAX_DEFERRED, Until};
use super::mood::sampling_base;
use super::table::{Held, Keeping, Table};
use super::watching::Observation;
use super::{EmotionMessage, Reply, SessionCall};
use crate::actors::{Ticking, Wiring};
use crate::emotion::{
    EmotionConfig, EmotionSnapshot, EmotionTracker, JournalEntry, JournalRecord, SafetyLimit,
    SafetyLimits,
};
use crate::error::Error;
use crate::event::{ActorName, Event};
use crate::inference::SessionId;
use crate::store::StoreError;
use feelings::limited;

/// State of a working emotion actor.
#[derive(Debug)]
pub struct EmotionState {
    config: Arc<EmotionConfig>,
    wiring: Wiring,
    myself: ActorRef<EmotionMessage>,
    deferred: Deferred,
    /// How often the store had settled something when a call was last put aside until it does.
    settled: u64,
    /// Whether a task waits for progress of the store.
    watching: bool,
    _timers: Vec<Ticking>,
}

impl EmotionState {
    pub(super) fn new(
        myself: ActorRef<EmotionMessage>,
        wiring: Wiring,
        timers: Vec<Ticking>,
    ) -> Self {
        Self {
            config: Arc::new(wiring.settings.emotion.clone()),
            wiring,
            myself,
            deferred: Deferred::default(),
            settled: 0,
            watching: false,
            _timers: timers,
        }
    }

    /// Lets a test break the actor here.
    pub(super) fn probe(&self, message: &EmotionMessage) {
        self.wiring.probe.at(message);
    }

    /// Handles a message. Never waits.
    pub(super) fn handle(&mut self, message: EmotionMessage) {
        match message {
            EmotionMessage::Call(session, call) => self.call(&session, call),
            EmotionMessage::List(reply) => self.list(reply),
            EmotionMessage::Loaded(session, stored) => self.loaded(&session, *stored),
            EmotionMessage::Progress => {
                self.watching = false;
                self.try_again();
            }
            EmotionMessage::Sweep => self.sweep(),
            EmotionMessage::ReportIdle => self.report_idle(),
        }
    }

    /// Handles a call, behind those of its session that wait.
    fn call(&mut self, session: &SessionId, mut call: SessionCall) {
        if let Some(until) = self.deferred.until(session) {
            self.defer(session, call, until);
            return;
        }
        loop {
            match self.find_place(session, &call) {
                Ok(None) => {}
                Ok(Some(until)) => {
                    let is_deferred = self.defer(session, call, until);
                    if is_deferred && until == Until::Loaded {
                        self.load(session.clone());
                    }
                    return;
                }
                Err(error) => return call.refuse(error),
            }
            // A failing store may have taken the session back in between.
            match self.act(session, call) {
                None => return,
                Some(again) => call = again,
            }
        }
    }

    /// Puts a call aside; tells whether there was room for it.
    fn defer(&mut self, session: &SessionId, call: SessionCall, until: Until) -> bool {
        if let Some(call) = self.deferred.push(session, until, call) {
            let waiting = MAX_DEFERRED;
            let reason = "it has not answered yet".to_owned();
            call.refuse(StoreError::Behind { waiting, reason }.into());
            return false;
        }
        self.watch_progress();
        true
    }

    /// Tries the calls that waited for progress, until one must wait again.
    fn try_again(&mut self) {
        while let Some((session, calls)) = self.deferred.take_waiting() {
            for call in calls {
                self.call(&session, call);
            }
            if self.deferred.until(&session) == Some(Until::Progress) {
                break;
            }
        }
        self.watch_progress();
    }

    /// Has the actor be told of the store's next progress, if calls wait for it.
    fn watch_progress(&mut self) {
        if self.watching || !self.deferred.is_waiting() {
            return;
        }
        self.watching = true;
        let (sessions, myself) = (Arc::clone(&self.wiring.sessions), self.myself.clone());
        let seen = self.settled;
        tokio::spawn(async move {
            let unchanged = |table: &Table| table.settled() == seen && table.failing.is_none();
            sessions.progress(unchanged).await;
            // An actor that is gone has no calls that wait.
            let _ = myself.send_message(EmotionMessage::Progress);
        });
    }

    /// Does what a session is asked; the call comes back if the session is not held.
    fn act(&mut self, session: &SessionId, call: SessionCall) -> Option<SessionCall> {
        let sessions = Arc::clone(&self.wiring.sessions);
        let now = self.wiring.clock.now();
        let mut table = sessions.lock();
        let Some(held) = table.touch(session, now) else {
            let SessionCall::Forget(reply) = call else {
                return Some(call);
            };
            residence::forget(&sessions, table, session, false, reply);
            return None;
        };
        match call {
            SessionCall::Feel(feeling, ticket, reply) => {
                self.feel(table, session, feeling, ticket, reply);
            }
            SessionCall::Observe(what, ticket, reply) => {
                drop(table);
                self.observe(session, &what, &ticket, reply);
            }
            SessionCall::Snapshot(reply) => {
                let snapshot = self.snapshot(held, now);
                drop(table);
                reply.send(Ok(snapshot));
            }
            SessionCall::Follow(reply) => {
                let followed = self.follow(&mut table, session, now);
                drop(table);
                reply.send(followed);
            }
            SessionCall::Reset(reply) => {
                held.forget_behavior();
                self.reset(table, session, reply);
            }
            SessionCall::SetStrength(strength, reply) => {
                self.set_strength(table, session, strength, reply);
            }
            SessionCall::SetLimits(limits, reply) => self.set_limits(table, session, limits, reply),
            SessionCall::Forget(reply) => residence::forget(&sessions, table, session, true, reply),
        }
        None
    }

    /// Changes a held session and answers when the change counts; `announce` tells
    /// the observers then.
    fn change<T: Send + 'static>(
        &self,
        mut table: MutexGuard<'_, Table>,
        session: &SessionId,
        what: JournalRecord,
        act: impl FnOnce(&mut EmotionTracker, f64) -> Result<T, Error>,
        announce: impl FnOnce(&SessionId, &T) + Send + 'static,
        mut reply: Reply<T>,
    ) {
        let sessions = &self.wiring.sessions;
        let (keeping, now) = (sessions.keeping(), self.wiring.clock.now());
        let entry = JournalEntry { at: now, what };
        let changed = table.change(session, keeping, entry, |tracker| act(tracker, now));
        sessions.changed(&table);
        match changed {
            Ok(value) if keeping == Keeping::Sync => {
                reply.leave_mailbox();
                let own = session.clone();
                let ack = move |written: Result<(), StoreError>| {
                    if written.is_ok() {
                        announce(&own, &value);
                    }
                    reply.send(written.map(|()| value).map_err(Error::from));
                };
                table.when_written(session, Box::new(ack));
            }
            outcome => {
                drop(table);
                if let Ok(value) = &outcome {
                    announce(session, value);
                }
                reply.send(outcome);
            }
        }
    }

    fn snapshot(&self, held: &Held, now: f64) -> EmotionSnapshot {
        held.tracker()
            .snapshot_with(now, sampling_base(&self.wiring))
    }

    fn reset(&self, table: MutexGuard<'_, Table>, session: &SessionId, reply: Reply<()>) {
        let bus = self.wiring.bus.clone();
        let announce = move |session: &SessionId, (): &()| {
            let session = session.clone();
            bus.publish(Event::EmotionReset { session });
        };
        let act = |tracker: &mut EmotionTracker, now| Ok(tracker.reset(now)?);
        self.change(table, session, JournalRecord::Reset, act, announce, reply);
    }

    fn set_strength(
        &self,
        table: MutexGuard<'_, Table>,
        session: &SessionId,
        strength: f64,
        reply: Reply<()>,
    ) {
        let act = |tracker: &mut EmotionTracker, _| {
            let set = tracker.set_steering_strength(strength);
            if set.is_err() && strength > tracker.limits().strength {
                limited(&self.wiring, session, SafetyLimit::Strength, "set_strength");
            }
            Ok(set?)
        };
        let what = JournalRecord::Strength(strength);
        self.change(table, session, what, act, |_, ()| {}, reply);
    }

    fn set_limits(
        &self,
        table: MutexGuard<'_, Table>,
        session: &SessionId,
        limits: SafetyLimits,
        reply: Reply<()>,
    ) {
        let what = JournalRecord::Limits(limits);
        let act = move |tracker: &mut EmotionTracker, _| Ok(tracker.set_limits(limits)?);
        self.change(table, session, what, act, |_, ()| {}, reply);
    }

    fn follow(
        &self,
        table: &mut Table,
        session: &SessionId,
        now: f64,
    ) -> Result<watch::Receiver<Arc<EmotionTracker>>, Error> {
        // A clock out of range is told elsewhere.
        let _ = table.observe(session, &Observation::Active, &self.config, now);
        let held = table.touch(session, now);
        held.map(Held::follow).ok_or_else(|| Error::Uncertain {
            actor: ActorName::Emotion.as_str(),
        })
    }
}
