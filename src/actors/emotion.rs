//! Owns the emotional state of every session.
//!
//! The states lie in [`Sessions`], which outlives the actor: a restart keeps
//! every feeling. Only this actor changes them. A running generation follows
//! the tracker of its session through a watch channel, which the engine reads
//! at token boundaries, so an acknowledged event is visible to every
//! generation that starts after it.
//!
//! With a store, what changes a session is written down by a thread of its
//! own: soon after (`relaxed`), or before it is in force (`sync`). Sessions
//! that are not used leave memory and come back when they are.

mod census;
mod handle;
mod mood;
mod sessions;
mod state;
mod table;
mod watching;

pub use handle::EmotionHandle;
pub use mood::FollowedMood;
pub use sessions::Sessions;
pub use state::EmotionState;
pub use watching::Observation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::watch;

use self::table::Keeping;
use super::{Wiring, tick};
use crate::emotion::{AppliedEvent, EmotionEvent, EmotionSnapshot, EmotionTracker, SafetyLimits};
use crate::error::Error;
use crate::event::EventSource;
use crate::inference::SessionId;

/// How often within their bound idle sessions are looked for.
const SWEEPS_PER_BOUND: f64 = 8.0;

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

/// An event on its way to a session.
#[derive(Debug, Clone)]
pub struct Feeling {
    /// The event.
    pub event: EmotionEvent,
    /// Where it comes from.
    pub source: EventSource,
    /// How far it may move valence or arousal, in [0, 2]; a stronger one is
    /// weakened, and dropped if nothing is left of it.
    pub bound: Option<f64>,
}

type Reply<T> = RpcReplyPort<Result<T, Error>>;

/// What the emotion actor understands.
#[derive(Debug)]
pub enum EmotionMessage {
    /// Applies an event.
    Feel(SessionId, Feeling, Arc<Ticket>, Reply<Option<AppliedEvent>>),
    /// Notes what a session did; answers with the events that it led to.
    Observe(
        SessionId,
        Observation,
        Arc<Ticket>,
        Reply<Vec<AppliedEvent>>,
    ),
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
    /// Lets idle sessions leave memory.
    Sweep,
    /// Lets silent sessions feel it.
    ReportIdle,
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
        myself: ActorRef<Self::Msg>,
        wiring: Wiring,
    ) -> Result<EmotionState, ActorProcessingErr> {
        let mut timers = Vec::new();
        match wiring.sessions.keeping() {
            Keeping::Memory => {}
            Keeping::Relaxed | Keeping::Sync => {
                let every = wiring.settings.store.idle_seconds / SWEEPS_PER_BOUND;
                let every = std::time::Duration::try_from_secs_f64(every)?;
                timers.push(tick(&myself, every, || EmotionMessage::Sweep));
            }
        }
        let emotion = &wiring.settings.emotion;
        if emotion.behavioral_monitoring_enabled {
            let every = watching::tick_time(emotion);
            timers.push(tick(&myself, every, || EmotionMessage::ReportIdle));
        }
        Ok(EmotionState::new(wiring, timers))
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: EmotionMessage,
        state: &mut EmotionState,
    ) -> Result<(), ActorProcessingErr> {
        state.probe(&message);
        // A caller that has gone away does not need its answer.
        match message {
            EmotionMessage::Feel(session, feeling, ticket, reply) => {
                state.feel(session, feeling, &ticket, reply).await;
            }
            EmotionMessage::Observe(session, what, ticket, reply) => {
                state.observe(session, what, &ticket, reply).await;
            }
            EmotionMessage::Snapshot(session, reply) => {
                let _ = reply.send(state.snapshot(&session).await);
            }
            EmotionMessage::Follow(session, reply) => {
                let _ = reply.send(state.follow(&session).await);
            }
            EmotionMessage::Reset(session, reply) => state.reset(session, reply).await,
            EmotionMessage::SetStrength(session, strength, reply) => {
                state.set_strength(session, strength, reply).await;
            }
            EmotionMessage::SetLimits(session, limits, reply) => {
                state.set_limits(session, limits, reply).await;
            }
            EmotionMessage::Forget(session, reply) => state.forget(session, reply).await,
            EmotionMessage::List(reply) => {
                let _ = reply.send(state.list().await);
            }
            EmotionMessage::Sweep => state.sweep(),
            EmotionMessage::ReportIdle => state.report_idle(),
        }
        Ok(())
    }
}
