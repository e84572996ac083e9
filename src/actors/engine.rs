//! Owns the engine thread, which owns the model.
//!
//! The actor starts the thread, waits until the model is loaded and fails when
//! the thread dies, so that the supervisor starts both again. Generations do
//! not pass through its mailbox: they enter through
//! [`RequestQueue`](crate::engine::RequestQueue), which outlives actor and thread, so that what waits is kept across a restart.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Ticking, Wiring, tick};
use crate::backend;
use crate::engine::{EngineContext, EngineFailure, EngineThread, ThreadEnd};

/// How often within its bound the watchdog looks.
const LOOKS_PER_BOUND: u32 = 4;

/// Longest time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What the engine actor understands.
#[derive(Debug)]
pub enum EngineMessage {
    /// The engine thread is gone.
    ThreadEnded(ThreadEnd),
    /// Looks whether the engine thread still gets anywhere.
    Watch,
}

/// Keeps the engine thread alive.
#[derive(Debug)]
pub struct EngineActor;

/// State of a working engine actor.
#[derive(Debug)]
pub struct EngineState {
    thread: EngineThread,
    wiring: Wiring,
    /// How often in a row the thread was seen to have ended.
    ended_looks: u32,
    _watching: Ticking,
}

impl Actor for EngineActor {
    type Msg = EngineMessage;
    type State = EngineState;
    type Arguments = Wiring;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        wiring: Wiring,
    ) -> Result<EngineState, ActorProcessingErr> {
        let mut hardware = wiring.hardware.subscribe();
        let devices = hardware
            .wait_for(Option::is_some)
            .await?
            .as_ref()
            .map(|report| report.selected_devices())
            .unwrap_or_default();
        let options = backend::load_options(&wiring.settings, wiring.source.clone(), devices);
        let actor = myself.clone();
        let (thread, loaded) = EngineThread::start(options, context(&wiring), move |end| {
            // The actor may be gone already; then nobody needs to know.
            let _ = actor.send_message(EngineMessage::ThreadEnded(end));
        })
        .await?;
        let bound = wiring.settings.runtime.watchdog();
        let every = bound.map_or(LOOK, |bound| (bound / LOOKS_PER_BOUND).min(LOOK));
        let watching = tick(&myself, every, || EngineMessage::Watch);
        wiring.model.send_replace(Some(Arc::new(loaded)));
        Ok(EngineState {
            thread,
            wiring,
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
        state.wiring.probe.at(&message);
        match message {
            EngineMessage::Watch => state.watch().map_err(Into::into),
            EngineMessage::ThreadEnded(ThreadEnd::Stopped) => Ok(()),
            EngineMessage::ThreadEnded(ThreadEnd::Failed(failure)) => {
                state.wiring.model.send_replace(None);
                Err(failure.into())
            }
        }
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut EngineState,
    ) -> Result<(), ActorProcessingErr> {
        state.wiring.model.send_replace(None);
        let limit = state.wiring.settings.runtime.shutdown_timeout();
        state.thread.stop(limit).await;
        Ok(())
    }
}

impl EngineState {
    /// Gives a thread up that hangs. It cannot be stopped from outside: it is
    /// left behind, and ends should its step ever do.
    fn watch(&mut self) -> Result<(), EngineFailure> {
        if self.thread.is_finished() {
            // It tells of its end before; that message has come by the second look.
            self.ended_looks += 1;
            if self.ended_looks < 2 {
                return Ok(());
            }
            self.wiring.model.send_replace(None);
            self.wiring.request_queue.cut();
            return Err(EngineFailure::Panic("it ended without a word".to_owned()));
        }
        let bound = self.wiring.settings.runtime.watchdog();
        let busy = self.thread.busy_for();
        match (busy, bound) {
            (Some(busy), Some(bound)) if busy > bound => {
                self.thread.leave_behind();
                self.wiring.model.send_replace(None);
                if self.wiring.settings.runtime.resume_generations {
                    self.wiring.request_queue.keep(self.thread.recover());
                }
                self.wiring.request_queue.cut();
                Err(EngineFailure::Hung {
                    seconds: busy.as_secs_f64(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// What the engine thread uses of the runtime.
fn context(wiring: &Wiring) -> EngineContext {
    EngineContext {
        settings: Arc::clone(&wiring.settings),
        factory: wiring.factory.clone(),
        clock: Arc::clone(&wiring.clock),
        model: Arc::clone(&wiring.model),
        library: wiring.library.subscribe(),
        request_queue: Arc::clone(&wiring.request_queue),
    }
}
