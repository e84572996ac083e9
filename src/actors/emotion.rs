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
//!
//! The actor never waits for the store. Calls of a session that is being read
//! are put aside and handled, in their order, once it is there; so are calls
//! that need more memory than there is. All other sessions go on meanwhile.

mod call;
mod deferred;
mod handle;
mod mood;
mod mood_histogram;
mod sessions;
mod state;
mod table;
mod watching;

pub use call::Reply;
pub use handle::EmotionHandle;
pub use mood::FollowedMood;
pub use sessions::Sessions;
pub use state::EmotionState;
pub use watching::Observation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use self::table::Keeping;
use super::{Wiring, tick};
use crate::emotion::{AppliedEvent, EmotionEvent, EmotionSnapshot, EmotionTracker, SafetyLimits};
use crate::event::EventSource;
use crate::inference::SessionId;
use crate::store::{StoreError, StoredSession};

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

/// What the emotion actor is asked of a session.
#[derive(Debug)]
pub enum SessionCall {
    /// Applies an event.
    Feel(Feeling, Arc<Ticket>, Reply<Option<AppliedEvent>>),
    /// Notes what the session did; answers with the events that it led to.
    Observe(Observation, Arc<Ticket>, Reply<Vec<AppliedEvent>>),
    /// Asks for the state at this moment.
    Snapshot(Reply<EmotionSnapshot>),
    /// Asks for the session's tracker as it changes.
    Follow(Reply<watch::Receiver<Arc<EmotionTracker>>>),
    /// Sets the session back to its baseline.
    Reset(Reply<()>),
    /// Changes the session's steering strength.
    SetStrength(f64, Reply<()>),
    /// Changes the session's own safety limits.
    SetLimits(SafetyLimits, Reply<()>),
    /// Forgets the session; tells whether there was one.
    Forget(Reply<bool>),
}

/// What the emotion actor understands.
#[derive(Debug)]
pub enum EmotionMessage {
    /// Asks something of a session.
    Call(SessionId, SessionCall),
    /// Lists the sessions.
    List(Reply<Vec<SessionId>>),
    /// What the store says of a session that was asked for.
    Loaded(SessionId, Box<Result<Option<StoredSession>, StoreError>>),
    /// The store has taken something, or failed to.
    Progress,
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
        Ok(EmotionState::new(myself, wiring, timers))
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: EmotionMessage,
        state: &mut EmotionState,
    ) -> Result<(), ActorProcessingErr> {
        state.probe(&message);
        state.handle(message);
        Ok(())
    }
}
