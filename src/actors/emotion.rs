//! Owns the emotional state of every session.
//!
//! The states lie in [`Sessions`], which outlives the actor: a restart keeps
//! every feeling. Only this actor changes them. Each session's tracker is
//! published through a watch channel that the engine reads at token
//! boundaries, so an acknowledged event is visible to every generation that
//! starts after it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::watch;

use super::{CallError, Handle, Wiring};
use crate::emotion::{
    AppliedEvent, EmotionEvent, EmotionSnapshot, EmotionTracker, EventBudget, Modulation,
    SafetyLimit, SafetyLimits, SamplingBase,
};
use crate::error::Error;
use crate::event::Event;
use crate::inference::SessionId;
use crate::scheduler::MoodSource;
use crate::telemetry;

type Tracker = watch::Sender<Arc<EmotionTracker>>;

/// What is held of a session.
#[derive(Debug)]
struct Held {
    tracker: Tracker,
    budget: EventBudget,
}

/// The emotional states of all sessions, at most `limit` of them.
#[derive(Debug)]
pub struct Sessions {
    held: Mutex<HashMap<SessionId, Held>>,
    limit: usize,
}

impl Sessions {
    /// Makes an empty table.
    pub fn new(limit: usize) -> Self {
        Self {
            held: Mutex::default(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Held>> {
        // Every change is a single insertion or swap, so a table whose holder
        // panicked is still whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far an event got; tells a caller whose actor failed what to do.
#[derive(Debug, Default)]
pub struct Ticket(AtomicU8);

impl Ticket {
    const UNTOUCHED: u8 = 0;
    const TAKEN: u8 = 1;

    fn take(&self) {
        self.0.store(Self::TAKEN, Ordering::Release);
    }

    fn is_untouched(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::UNTOUCHED
    }
}

type Reply<T> = RpcReplyPort<Result<T, Error>>;

/// What the emotion actor understands.
#[derive(Debug)]
pub enum EmotionMessage {
    /// Applies an event.
    Feel(SessionId, EmotionEvent, Arc<Ticket>, Reply<AppliedEvent>),
    /// Asks for the state at this moment.
    Snapshot(SessionId, Reply<EmotionSnapshot>),
    /// Asks for the session's tracker as it changes.
    Follow(SessionId, Reply<watch::Receiver<Arc<EmotionTracker>>>),
    /// Sets the session back to its baseline.
    Reset(SessionId, Reply<()>),
    /// Changes the session's steering strength.
    SetStrength(SessionId, f64, Reply<()>),
    /// Changes the session's own safety limits.
    SetLimits(SessionId, SafetyLimits, Reply<()>),
    /// Forgets the session; tells whether there was one.
    Forget(SessionId, Reply<bool>),
    /// Lists the sessions.
    List(Reply<Vec<SessionId>>),
}

/// Applies emotion events.
#[derive(Debug)]
pub struct EmotionActor;

impl Actor for EmotionActor {
    type Msg = EmotionMessage;
    type State = EmotionState;
    type Arguments = Wiring;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        wiring: Wiring,
    ) -> Result<EmotionState, ActorProcessingErr> {
        Ok(EmotionState {
            config: Arc::new(wiring.settings.emotion.clone()),
            wiring,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: EmotionMessage,
        state: &mut EmotionState,
    ) -> Result<(), ActorProcessingErr> {
        // A caller that has gone away does not need its answer.
        match message {
            EmotionMessage::Feel(session, event, ticket, reply) => {
                ticket.take();
                let _ = reply.send(state.feel(&session, &event));
            }
            EmotionMessage::Snapshot(session, reply) => {
                let _ = reply.send(state.snapshot(session));
            }
            EmotionMessage::Follow(session, reply) => {
                let _ = reply.send(state.with(session, |held| held.tracker.subscribe()));
            }
            EmotionMessage::Reset(session, reply) => {
                let _ = reply.send(state.reset(session));
            }
            EmotionMessage::SetStrength(session, strength, reply) => {
                let _ = reply.send(state.set_strength(&session, strength));
            }
            EmotionMessage::SetLimits(session, limits, reply) => {
                let _ = reply.send(state.set_limits(session, limits));
            }
            EmotionMessage::Forget(session, reply) => {
                let known = state.wiring.sessions.lock().remove(&session).is_some();
                let _ = reply.send(Ok(known));
            }
            EmotionMessage::List(reply) => {
                let names = state.wiring.sessions.lock().keys().cloned().collect();
                let _ = reply.send(Ok(names));
            }
        }
        Ok(())
    }
}

/// State of a working emotion actor.
#[derive(Debug)]
pub struct EmotionState {
    config: Arc<crate::emotion::EmotionConfig>,
    wiring: Wiring,
}

impl EmotionState {
    fn now(&self) -> f64 {
        self.wiring.clock.now()
    }

    fn base(&self) -> SamplingBase {
        sampling_base(&self.wiring)
    }

    /// Works on what is held of a session, which is made if there is nothing.
    fn with<T>(&self, session: SessionId, work: impl FnOnce(&mut Held) -> T) -> Result<T, Error> {
        let sessions = &self.wiring.sessions;
        let mut all = sessions.lock();
        if let Some(held) = all.get_mut(&session) {
            return Ok(work(held));
        }
        if all.len() >= sessions.limit {
            return Err(Error::TooManySessions {
                session: session.to_string(),
                limit: sessions.limit,
            });
        }
        let fresh = EmotionTracker::new(Arc::clone(&self.config), self.now())?;
        let held = all.entry(session).or_insert_with(|| Held {
            tracker: watch::Sender::new(Arc::new(fresh)),
            budget: EventBudget::default(),
        });
        Ok(work(held))
    }

    /// Swaps a session's tracker for a changed copy, or leaves it as it was.
    fn change<T>(
        &self,
        session: SessionId,
        change: impl FnOnce(&mut EmotionTracker) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with(session, |held| swap(&held.tracker, change))?
    }

    fn feel(&self, session: &SessionId, event: &EmotionEvent) -> Result<AppliedEvent, Error> {
        let now = self.now();
        let budget = self.config.events_per_minute;
        let applied = self.with(session.clone(), |held| {
            if let Some(per_minute) = budget
                && !held.budget.take(now, per_minute)
            {
                return Err(Error::TooManyEvents {
                    session: session.to_string(),
                    per_minute,
                });
            }
            swap(&held.tracker, |tracker| Ok(tracker.apply(event, now)?))
        })?;
        if let Err(Error::TooManyEvents { .. }) = &applied {
            self.limited(session, SafetyLimit::EventRate, event.name());
        }
        let applied = applied?;
        telemetry::emotion_event(event);
        self.wiring.bus.publish(Event::Felt {
            session: session.clone(),
            event: event.clone(),
            before: applied.before,
            after: applied.after,
        });
        for limit in applied.rules.safety_limits() {
            self.limited(session, limit, event.name());
        }
        Ok(applied)
    }

    /// Leaves a trace of a safety limit that acted.
    fn limited(&self, session: &SessionId, limit: SafetyLimit, asked: &str) {
        telemetry::safety_limit(limit);
        self.wiring.bus.publish(Event::LimitActed {
            session: session.clone(),
            limit,
            asked: asked.to_owned(),
        });
    }

    fn snapshot(&self, session: SessionId) -> Result<EmotionSnapshot, Error> {
        let (now, base) = (self.now(), self.base());
        self.with(session, |held| {
            held.tracker.borrow().snapshot_with(now, base)
        })
    }

    fn reset(&self, session: SessionId) -> Result<(), Error> {
        let now = self.now();
        self.change(session.clone(), |tracker| Ok(tracker.reset(now)?))?;
        self.wiring.bus.publish(Event::EmotionReset { session });
        Ok(())
    }

    fn set_strength(&self, session: &SessionId, strength: f64) -> Result<(), Error> {
        let ceiling = self.with(session.clone(), |held| {
            held.tracker.borrow().limits().strength
        })?;
        let set = self.change(session.clone(), |tracker| {
            Ok(tracker.set_steering_strength(strength)?)
        });
        if set.is_err() && strength > ceiling {
            self.limited(session, SafetyLimit::Strength, "set_strength");
        }
        set
    }

    fn set_limits(&self, session: SessionId, limits: SafetyLimits) -> Result<(), Error> {
        self.change(session, |tracker| Ok(tracker.set_limits(limits)?))
    }
}

/// Swaps a tracker for a changed copy, or leaves it as it was.
fn swap<T>(
    tracker: &Tracker,
    change: impl FnOnce(&mut EmotionTracker) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut changed = EmotionTracker::clone(&tracker.borrow());
    let result = change(&mut changed)?;
    tracker.send_replace(Arc::new(changed));
    Ok(result)
}

fn sampling_base(wiring: &Wiring) -> SamplingBase {
    SamplingBase {
        temperature: wiring.settings.model.temperature,
        top_p: wiring.settings.model.top_p,
    }
}

/// The emotion actor's address.
#[derive(Debug, Clone)]
pub struct EmotionHandle {
    actor: Handle<EmotionMessage>,
}

impl EmotionHandle {
    /// Makes a typed handle.
    pub fn new(actor: Handle<EmotionMessage>) -> Self {
        Self { actor }
    }

    /// Applies an event and waits until it is in force.
    ///
    /// If the actor fails before it looked at the event, the event is sent
    /// again; no event is ever applied twice.
    ///
    /// # Errors
    /// [`Error::Emotion`], [`Error::TooManyEvents`], [`Error::TooManySessions`], or
    /// [`Error::Stopped`].
    pub async fn feel(
        &self,
        session: &SessionId,
        event: &EmotionEvent,
    ) -> Result<AppliedEvent, Error> {
        loop {
            let ticket = Arc::new(Ticket::default());
            let answer = self
                .actor
                .call(|reply| {
                    let ticket = Arc::clone(&ticket);
                    EmotionMessage::Feel(session.clone(), event.clone(), ticket, reply)
                })
                .await;
            match answer {
                Ok(result) => return result,
                Err(CallError::Unanswered) if ticket.is_untouched() => {}
                Err(error) => return Err(stopped(error)),
            }
        }
    }

    /// The session's state at this moment.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn snapshot(&self, session: &SessionId) -> Result<EmotionSnapshot, Error> {
        self.ask(|reply| EmotionMessage::Snapshot(session.clone(), reply))
            .await
    }

    /// The session's tracker as it changes.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn follow(
        &self,
        session: &SessionId,
    ) -> Result<watch::Receiver<Arc<EmotionTracker>>, Error> {
        self.ask(|reply| EmotionMessage::Follow(session.clone(), reply))
            .await
    }

    /// Sets the session back to its baseline.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn reset(&self, session: &SessionId) -> Result<(), Error> {
        self.ask(|reply| EmotionMessage::Reset(session.clone(), reply))
            .await
    }

    /// Changes the session's steering strength, in [0, 3].
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn set_strength(&self, session: &SessionId, strength: f64) -> Result<(), Error> {
        self.ask(|reply| EmotionMessage::SetStrength(session.clone(), strength, reply))
            .await
    }

    /// Changes the session's own safety limits.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn set_limits(&self, session: &SessionId, limits: SafetyLimits) -> Result<(), Error> {
        self.ask(|reply| EmotionMessage::SetLimits(session.clone(), limits, reply))
            .await
    }

    /// Forgets the session; tells whether there was one.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn forget(&self, session: &SessionId) -> Result<bool, Error> {
        self.ask(|reply| EmotionMessage::Forget(session.clone(), reply))
            .await
    }

    /// Lists the sessions, in no particular order.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn list(&self) -> Result<Vec<SessionId>, Error> {
        self.ask(EmotionMessage::List).await
    }

    /// Asks what may safely be asked twice.
    async fn ask<T: Send + 'static>(
        &self,
        message: impl Fn(Reply<T>) -> EmotionMessage,
    ) -> Result<T, Error> {
        loop {
            match self.actor.call(&message).await {
                Ok(result) => return result,
                Err(CallError::Unanswered) => {}
                Err(error) => return Err(stopped(error)),
            }
        }
    }
}

fn stopped(error: CallError) -> Error {
    Error::Stopped {
        reason: match error {
            CallError::Unanswered => "the emotion actor failed on this event".to_owned(),
            CallError::Stopped(reason) => reason.to_string(),
        },
    }
}

/// A session's emotion as the scheduler reads it.
#[derive(Debug)]
pub struct FollowedMood {
    tracker: watch::Receiver<Arc<EmotionTracker>>,
    base: SamplingBase,
}

impl FollowedMood {
    /// Follows a tracker; modulation builds on the settings' sampling.
    pub fn new(tracker: watch::Receiver<Arc<EmotionTracker>>, wiring: &Wiring) -> Self {
        Self {
            tracker,
            base: sampling_base(wiring),
        }
    }
}

impl MoodSource for FollowedMood {
    fn modulation(&mut self, now: f64) -> Modulation {
        self.tracker
            .borrow_and_update()
            .modulation_at(now, self.base)
    }

    fn has_changed(&self) -> bool {
        self.tracker.has_changed().unwrap_or(false)
    }
}
