//! Owns the engine thread, which owns the model.
//!
//! The actor starts the thread, waits until the model is loaded and fails when the thread dies, so
//! that the supervisor starts both again. Generations do not pass through its mailbox: they enter
//! through [`RequestQueue`](crate::engine::RequestQueue), which outlives the actor and the thread,
//! so that waiting requests survive a restart.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use super::hardware::HardwareReport;
use super::{Ticking, tick};
use crate::backend;
use crate::engine::{EngineContext, EngineFailure, EngineThread, ThreadEnd};
use crate::fault_injection::Probe;
use crate::settings::ModelSource;

/// Number of checks within the watchdog's bound. A hung thread cannot report itself.
const LOOKS_PER_BOUND: u32 = 4;

/// Longest time between two checks.
const LOOK: Duration = Duration::from_secs(1);

/// Messages of the engine actor.
#[derive(Debug)]
pub enum EngineMessage {
    /// The engine thread is gone.
    ThreadEnded(ThreadEnd),
    /// Checks that the engine thread makes progress.
    Watch,
}

impl EngineMessage {
    const fn kind(&self) -> &'static str {
        match self {
            Self::ThreadEnded(_) => "thread_ended",
            Self::Watch => "watch",
        }
    }
}

/// Arguments of the engine actor.
#[derive(Debug, Clone)]
pub struct EngineArguments {
    /// Context of the engine thread.
    pub context: EngineContext,
    /// The resolved source of the model.
    pub source: ModelSource,
    /// The hardware report, once there is one.
    pub hardware: watch::Receiver<Option<Arc<HardwareReport>>>,
    #[doc(hidden)]
    pub probe: Probe,
}

/// Keeps the engine thread alive.
#[derive(Debug)]
pub struct EngineActor;

/// State of a working engine actor.
#[derive(Debug)]
pub struct EngineState {
    thread: EngineThread,
    context: EngineContext,
    probe: Probe,
    /// Number of consecutive checks that found the thread ended.
    ended_looks: u32,
    _watching: Ticking,
}

impl Actor for EngineActor {
    type Msg = EngineMessage;
    type State = EngineState;
    type Arguments = EngineArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: EngineArguments,
    ) -> Result<EngineState, ActorProcessingErr> {
        let EngineArguments {
            context,
            source,
            mut hardware,
            probe,
        } = arguments;
        let devices = hardware
            .wait_for(Option::is_some)
            .await?
            .as_ref()
            .map(|report| report.selected_devices())
            .unwrap_or_default();
        let options = backend::load_options(&context.settings, source, devices);
        let actor = myself.clone();
        let (thread, loaded) = EngineThread::start(options, context.clone(), move |end| {
            // If the actor is gone already, nobody needs the message.
            let _ = actor.send_message(EngineMessage::ThreadEnded(end));
        })
        .await?;
        let bound = context.settings.runtime.watchdog;
        let every = bound.map_or(LOOK, |bound| (bound / LOOKS_PER_BOUND).min(LOOK));
        let watching = tick(&myself, every, || EngineMessage::Watch);
        context.model.send_replace(Some(Arc::new(loaded)));
        Ok(EngineState {
            thread,
            context,
            probe,
            ended_looks: 0,
            _watching: watching,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: EngineMessage,
        state: &mut EngineState,
    ) -> Result<(), ActorProcessingErr> {
        state.probe.at("engine", message.kind());
        match message {
            EngineMessage::Watch => state.watch().map_err(Into::into),
            EngineMessage::ThreadEnded(ThreadEnd::Stopped) => Ok(()),
            EngineMessage::ThreadEnded(ThreadEnd::Failed(failure)) => {
                state.context.model.send_replace(None);
                Err(failure.into())
            }
        }
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut EngineState,
    ) -> Result<(), ActorProcessingErr> {
        state.context.model.send_replace(None);
        let limit = state.context.settings.runtime.shutdown_timeout;
        state.thread.stop(limit).await;
        Ok(())
    }
}

impl EngineState {
    /// Abandons a hanging thread. It cannot be stopped from outside, so it is left behind and ends
    /// if its step ever does.
    fn watch(&mut self) -> Result<(), EngineFailure> {
        if self.thread.is_finished() {
            // The thread reports its end before it exits, so the message has arrived by the second
            // check.
            self.ended_looks += 1;
            if self.ended_looks < 2 {
                return Ok(());
            }
            self.context.model.send_replace(None);
            self.context.request_queue.cut();
            return Err(EngineFailure::Panic(
                "it ended without reporting why".to_owned(),
            ));
        }
        let bound = self.context.settings.runtime.watchdog;
        let busy = self.thread.busy_for();
        match (busy, bound) {
            (Some(busy), Some(bound)) if busy > bound => {
                self.thread.leave_behind();
                self.context.model.send_replace(None);
                if self.context.settings.runtime.resume_generations {
                    self.context.request_queue.keep(self.thread.recover());
                }
                self.context.request_queue.cut();
                Err(EngineFailure::Hung {
                    seconds: busy.as_secs_f64(),
                })
            }
            _ => Ok(()),
        }
    }
}
