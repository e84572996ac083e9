//! Looks after the emotional states of all sessions.
//!
//! Calls of sessions do not pass through this actor: they go to `Sessions`, which outlives it.
//! The actor lets idle sessions leave memory and reports silences. It also fails in place of a call
//! that panicked, so that the supervisor counts that, and works again after a pause, when the call
//! is made again.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Ticking, tick};
use crate::fault_injection::Probe;
use crate::sessions::Sessions;

/// What the emotion actor understands.
#[derive(Debug)]
pub enum EmotionMessage {
    /// Lets idle sessions leave memory.
    Sweep,
    /// Lets silent sessions feel it.
    ReportIdle,
    /// A call of a session has panicked with this message.
    Crashed(String),
}

impl EmotionMessage {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::ReportIdle => "report_idle",
            Self::Crashed(_) => "crashed",
        }
    }
}

/// Looks after sessions.
#[derive(Debug)]
pub struct EmotionActor;

/// What the emotion actor uses.
#[derive(Debug, Clone)]
pub struct EmotionArguments {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) probe: Probe,
}

/// State of a working emotion actor.
#[derive(Debug)]
pub struct EmotionState {
    sessions: Arc<Sessions>,
    probe: Probe,
    _timers: Vec<Ticking>,
    /// Waits for a call that panics.
    crashes: Option<Ticking>,
}

impl Actor for EmotionActor {
    type Msg = EmotionMessage;
    type State = EmotionState;
    type Arguments = EmotionArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        EmotionArguments { sessions, probe }: EmotionArguments,
    ) -> Result<EmotionState, ActorProcessingErr> {
        let sweep = sessions.sweep_interval();
        let sweep = sweep.map(|every| tick(&myself, every, || EmotionMessage::Sweep));
        let silence = sessions.silence_interval();
        let silence = silence.map(|every| tick(&myself, every, || EmotionMessage::ReportIdle));
        Ok(EmotionState {
            sessions,
            probe,
            _timers: sweep.into_iter().chain(silence).collect(),
            crashes: None,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut EmotionState,
    ) -> Result<(), ActorProcessingErr> {
        // Not before the supervisor can tell that the actor works.
        state.sessions.actor_works();
        let crash = state.sessions.next_crash();
        state.crashes = Some(Ticking(tokio::spawn(async move {
            let message = EmotionMessage::Crashed(crash.await);
            // An actor that is gone has failed already.
            let _ = myself.send_message(message);
        })));
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: EmotionMessage,
        state: &mut EmotionState,
    ) -> Result<(), ActorProcessingErr> {
        state.probe.at("emotion", message.kind());
        match message {
            EmotionMessage::Sweep => state.sessions.sweep(),
            EmotionMessage::ReportIdle => state.sessions.report_silences(),
            // Text alone is what the supervisor knows as a panic.
            EmotionMessage::Crashed(panic) => return Err(panic.into()),
        }
        Ok(())
    }
}
