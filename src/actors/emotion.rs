//! Maintains the emotional states of all sessions.
//!
//! Calls of sessions do not pass through this actor: they go to `Sessions`, which outlives it. The
//! actor evicts idle sessions and reports silences. It also fails in place of a call that panicked,
//! so that the supervisor counts the failure and restarts the actor after a pause. The call is then
//! repeated.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Ticking, tick};
use crate::fault_injection::Probe;
use crate::sessions::Sessions;

/// Messages of the emotion actor.
#[derive(Debug)]
pub enum EmotionMessage {
    /// Evicts idle sessions.
    Sweep,
    /// Applies the silence event to silent sessions.
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

/// Maintains the sessions.
#[derive(Debug)]
pub struct EmotionActor;

/// Arguments of the emotion actor.
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
    /// Forwards panics of calls.
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
        // The calls may go on only once the supervisor knows that the actor works.
        state.sessions.actor_works();
        let crash = state.sessions.next_crash();
        state.crashes = Some(Ticking(tokio::spawn(async move {
            let message = EmotionMessage::Crashed(crash.await);
            // If the actor is gone, it has failed already.
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
            // The supervisor recognises a plain string as a panic.
            EmotionMessage::Crashed(panic) => return Err(panic.into()),
        }
        Ok(())
    }
}
