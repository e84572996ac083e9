//! Starts the actors in the order of what they need, restarts those that fail,
//! and stops the runtime when that does not help.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, Message, RpcReplyPort, SpawnErr,
    SupervisionEvent,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::emotion::{EmotionActor, EmotionMessage};
use super::engine::{EngineActor, EngineMessage};
use super::hardware::{HardwareActor, HardwareMessage};
use super::restart::{Decision, Failure, RestartHistory, RestartPolicy};
use super::steering::{SteeringActor, SteeringMessage};
use super::{ActorStatus, StopReason, Wiring};
use crate::backend::BackendError;
use crate::engine::EngineFailure;
use crate::error::{Cause, EngineError, Error, SteeringError};
use crate::event::{ActorName, Event, FailureKind};
use crate::settings::RuntimeSettings;
use crate::telemetry;

/// The order of starting; stopping goes the other way.
const ORDER: [ActorName; 4] = [
    ActorName::Hardware,
    ActorName::Engine,
    ActorName::Steering,
    ActorName::Emotion,
];

/// How often a starting runtime looks whether what it started still lives.
const DEATH_POLL: Duration = Duration::from_millis(10);

/// What an actor gets to stop even when the time has run out.
const MIN_STOP: Duration = Duration::from_millis(50);

/// Where each actor stands, for those who hold handles.
#[derive(Debug, Clone)]
pub struct ActorRefs {
    /// The hardware actor.
    pub hardware: Arc<watch::Sender<ActorStatus<HardwareMessage>>>,
    /// The engine actor.
    pub engine: Arc<watch::Sender<ActorStatus<EngineMessage>>>,
    /// The steering actor.
    pub steering: Arc<watch::Sender<ActorStatus<SteeringMessage>>>,
    /// The emotion actor.
    pub emotion: Arc<watch::Sender<ActorStatus<EmotionMessage>>>,
    /// Why the runtime has stopped, once it has.
    pub stopped: Arc<watch::Sender<Option<StopReason>>>,
}

impl Default for ActorRefs {
    fn default() -> Self {
        fn starting<M>() -> Arc<watch::Sender<ActorStatus<M>>> {
            Arc::new(watch::Sender::new(ActorStatus::Starting))
        }
        Self {
            hardware: starting(),
            engine: starting(),
            steering: starting(),
            emotion: starting(),
            stopped: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl ActorRefs {
    fn set_starting(&self, name: ActorName) {
        match name {
            ActorName::Hardware => drop(self.hardware.send_replace(ActorStatus::Starting)),
            ActorName::Engine => drop(self.engine.send_replace(ActorStatus::Starting)),
            ActorName::Steering => drop(self.steering.send_replace(ActorStatus::Starting)),
            ActorName::Emotion => drop(self.emotion.send_replace(ActorStatus::Starting)),
        }
    }

    /// Tells everyone that all actors are gone.
    pub fn stop(&self, reason: &StopReason) {
        fn stop<M>(actor_status: &watch::Sender<ActorStatus<M>>, reason: &StopReason) {
            actor_status.send_replace(ActorStatus::Stopped(reason.clone()));
        }
        stop(&self.hardware, reason);
        stop(&self.engine, reason);
        stop(&self.steering, reason);
        stop(&self.emotion, reason);
        self.stopped.send_replace(Some(reason.clone()));
    }
}

/// What the supervisor understands.
#[derive(Debug)]
pub enum SupervisorMessage {
    /// Starts a failed actor again.
    Restart(ActorName),
    /// An actor has been started again, or not.
    Started(ActorName, Result<ActorCell, Error>),
    /// Stops everything by this time and answers when it is done.
    Shutdown(Instant, RpcReplyPort<()>),
}

/// The root of a runtime's actors.
#[derive(Debug)]
pub struct Supervisor;

/// How and why an actor failed.
#[derive(Debug)]
struct Failed {
    kind: FailureKind,
    cause: Cause,
}

/// State of a working supervisor.
#[derive(Debug)]
pub struct SupervisorState {
    wiring: Wiring,
    actor_refs: ActorRefs,
    children: HashMap<ActorId, (ActorName, ActorCell)>,
    /// How actors failed that had not been told of as started yet.
    early: HashMap<ActorId, Failed>,
    histories: HashMap<ActorName, RestartHistory>,
    /// Starts that are under way, ended when everything stops.
    starts: HashMap<ActorName, JoinHandle<Option<ActorCell>>>,
    stopping: bool,
}

impl Drop for SupervisorState {
    fn drop(&mut self) {
        // Also if it panicked: one that waits for another would never end.
        for starting in self.starts.values() {
            starting.abort();
        }
    }
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = (Wiring, ActorRefs);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (wiring, actor_refs): (Wiring, ActorRefs),
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let policy = restart_policy(&wiring.settings.runtime);
        let mut state = SupervisorState {
            wiring,
            actor_refs,
            children: HashMap::new(),
            early: HashMap::new(),
            histories: ORDER
                .into_iter()
                .map(|name| (name, RestartHistory::new(policy)))
                .collect(),
            starts: HashMap::new(),
            stopping: false,
        };
        for name in ORDER {
            let supervisor = myself.get_cell();
            let starting = start(
                name,
                state.wiring.clone(),
                state.actor_refs.clone(),
                supervisor,
            );
            // One that waits for another would wait for ever if that one died.
            let started = tokio::select! {
                biased;
                dead = state.first_death() => {
                    let reason = format!("the {} actor failed meanwhile", dead.as_str());
                    Err(Error::failed("the start of the runtime", reason))
                }
                started = starting => started,
            };
            match started {
                Ok(cell) => drop(state.children.insert(cell.get_id(), (name, cell))),
                Err(error) => {
                    let limit = state.wiring.settings.runtime.shutdown_timeout();
                    state.stop_children(Instant::now() + limit).await;
                    return Err(error.into());
                }
            }
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.wiring.probe.at(&message);
        match message {
            SupervisorMessage::Restart(_) if state.stopping => {}
            SupervisorMessage::Restart(name) => {
                // Loading a model takes its time; the others need a supervisor
                // meanwhile.
                let (wiring, actor_refs) = (state.wiring.clone(), state.actor_refs.clone());
                let starting = tokio::spawn(async move {
                    let result = start(name, wiring, actor_refs, myself.get_cell()).await;
                    let cell = result.as_ref().ok().cloned();
                    let _ = myself.send_message(SupervisorMessage::Started(name, result));
                    cell
                });
                state.starts.insert(name, starting);
            }
            SupervisorMessage::Started(_, Ok(cell)) if state.stopping => cell.stop(None),
            SupervisorMessage::Started(name, Ok(cell)) => {
                state.starts.remove(&name);
                if let Some(failure) = state.early.remove(&cell.get_id()) {
                    state.failed(name, failure, &myself).await;
                } else {
                    state.children.insert(cell.get_id(), (name, cell));
                    let event = Event::ActorRestarted { actor: name };
                    state.wiring.bus.publish(event);
                }
            }
            SupervisorMessage::Started(name, Err(error)) => {
                state.starts.remove(&name);
                let failure = Failed {
                    kind: FailureKind::Start,
                    cause: error.into(),
                };
                state.failed(name, failure, &myself).await;
            }
            SupervisorMessage::Shutdown(deadline, reply) => {
                state
                    .stop(&StopReason::new("it was shut down"), deadline)
                    .await;
                let _ = reply.send(());
                myself.stop(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, kind, cause) = match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                (cell, kind_of(&error), Cause::from(error))
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let reason = reason.unwrap_or_else(|| "it stopped without a reason".to_owned());
                (cell, FailureKind::Stopped, Cause::from(reason))
            }
            _ => return Ok(()),
        };
        let failure = Failed { kind, cause };
        match state.children.remove(&cell.get_id()) {
            Some((name, _)) => state.failed(name, failure, &myself).await,
            // It failed as soon as it was started: the news of its start is on the way.
            None if !state.stopping => drop(state.early.insert(cell.get_id(), failure)),
            None => {}
        }
        Ok(())
    }

    /// Told to stop by nobody in particular: the last handle was dropped.
    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        if !state.stopping {
            let limit = state.wiring.settings.runtime.shutdown_timeout();
            let deadline = Instant::now() + limit;
            let reason = StopReason::new("the last handle was dropped");
            state.stop(&reason, deadline).await;
        }
        Ok(())
    }
}

impl SupervisorState {
    /// Decides what becomes of a failed actor.
    async fn failed(
        &mut self,
        actor: ActorName,
        failure: Failed,
        myself: &ActorRef<SupervisorMessage>,
    ) {
        if self.stopping {
            return;
        }
        self.actor_refs.set_starting(actor);
        let now = self.wiring.clock.now();
        let Some(history) = self.histories.get_mut(&actor) else {
            return;
        };
        let Failed { kind, cause: error } = failure;
        let cause = error.to_string();
        let failure = Failure { kind, cause };
        let decision = history.fail(now, rand::random::<f64>(), &failure);
        let story = history.story();
        let Failure { cause, .. } = failure;
        telemetry::restart(actor, kind);
        let (name, how) = (actor.as_str(), kind.as_str());
        match decision {
            Decision::Restart { after, attempt } => {
                tracing::error!(actor = name, how, cause, attempt, "actor failed");
                self.wiring.bus.publish(Event::ActorRestarting {
                    actor,
                    kind,
                    cause,
                    attempt,
                });
                myself.send_after(after, move || SupervisorMessage::Restart(actor));
            }
            Decision::GiveUp => {
                let most = self.wiring.settings.runtime.restart_max;
                let within = self.wiring.settings.runtime.restart_window_seconds;
                let reason = format!(
                    "the {name} actor failed more often than the {most} times within {within} s that it may be \
                     restarted (runtime.restart_max): {story}"
                );
                tracing::error!(actor = name, how, reason, "the runtime gives up");
                let event = Event::ActorGivenUp { actor, kind, cause };
                self.wiring.bus.publish(event);
                let limit = self.wiring.settings.runtime.shutdown_timeout();
                let reason = StopReason::failure(&reason, Some(error));
                self.stop(&reason, Instant::now() + limit).await;
                myself.stop(None);
            }
        }
    }

    /// Stops everything by a deadline, from the actors that others do not need
    /// on.
    async fn stop(&mut self, reason: &StopReason, deadline: Instant) {
        self.stopping = true;
        self.wiring.request_queue.close(reason.as_str());
        for (name, starting) in std::mem::take(&mut self.starts) {
            starting.abort();
            // It may have come to its end before.
            if let Ok(Some(cell)) = starting.await {
                self.children.insert(cell.get_id(), (name, cell));
            }
        }
        self.stop_children(deadline).await;
        // An engine that hangs ends nothing any more.
        self.wiring.request_queue.end_running(reason.as_str());
        self.actor_refs.stop(reason);
        self.wiring.bus.publish(Event::Stopped {
            reason: reason.as_str().to_owned(),
        });
    }

    async fn stop_children(&mut self, deadline: Instant) {
        for wanted in ORDER.into_iter().rev() {
            let cells = self.children.values().filter(|(name, _)| *name == wanted);
            for (name, cell) in cells {
                let left = deadline.saturating_duration_since(Instant::now());
                let left = left.max(MIN_STOP);
                if cell.stop_and_wait(None, Some(left)).await.is_err() {
                    tracing::warn!(actor = name.as_str(), "did not stop in time");
                    cell.kill();
                }
            }
        }
        self.children.clear();
    }

    /// Waits until one of the children is dead.
    async fn first_death(&self) -> ActorName {
        loop {
            let dead = |(_, cell): &&(ActorName, ActorCell)| {
                cell.get_status() >= ractor::ActorStatus::Stopping
            };
            if let Some((name, _)) = self.children.values().find(dead) {
                return *name;
            }
            tokio::time::sleep(DEATH_POLL).await;
        }
    }
}

/// Starts an actor and tells those who hold its handle.
async fn start(
    name: ActorName,
    wiring: Wiring,
    actor_refs: ActorRefs,
    supervisor: ActorCell,
) -> Result<ActorCell, Error> {
    let started = match name {
        ActorName::Hardware => spawn(HardwareActor, wiring, &actor_refs.hardware, supervisor).await,
        ActorName::Engine => spawn(EngineActor, wiring, &actor_refs.engine, supervisor).await,
        ActorName::Steering => spawn(SteeringActor, wiring, &actor_refs.steering, supervisor).await,
        ActorName::Emotion => spawn(EmotionActor, wiring, &actor_refs.emotion, supervisor).await,
    };
    started.map_err(startup_error)
}

async fn spawn<A, M>(
    actor: A,
    wiring: Wiring,
    actor_status: &watch::Sender<ActorStatus<M>>,
    supervisor: ActorCell,
) -> Result<ActorCell, SpawnErr>
where
    A: Actor<Msg = M, Arguments = Wiring>,
    M: Message,
{
    // Unnamed: several runtimes live in one process.
    let (actor, _) = Actor::spawn_linked(None, actor, wiring, supervisor).await?;
    let cell = actor.get_cell();
    actor_status.send_replace(ActorStatus::Live(actor));
    Ok(cell)
}

/// Errors of our own have our types; what has another is a panic's message.
fn kind_of(error: &ActorProcessingErr) -> FailureKind {
    match error.downcast_ref::<EngineFailure>() {
        Some(EngineFailure::Panic(_)) => FailureKind::ThreadPanic,
        Some(EngineFailure::Hung { .. }) => FailureKind::Hung,
        Some(EngineFailure::Backend(BackendError::WorkerDied { .. })) => FailureKind::WorkerDied,
        Some(_) => FailureKind::Error,
        None if error.is::<Error>() || error.is::<SteeringError>() => FailureKind::Error,
        None => FailureKind::Panic,
    }
}

fn restart_policy(settings: &RuntimeSettings) -> RestartPolicy {
    RestartPolicy {
        max_restarts: settings.restart_max,
        window_seconds: settings.restart_window_seconds,
        initial_backoff: settings.restart_backoff_initial(),
        max_backoff: settings.restart_backoff_max(),
    }
}

/// Finds the typed error inside of what an actor's start reported.
pub(crate) fn startup_error(error: SpawnErr) -> Error {
    let SpawnErr::StartupFailed(inner) = error else {
        return Error::failed("the start of the runtime", error);
    };
    let inner = match inner.downcast::<Error>() {
        Ok(error) => return *error,
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<SteeringError>() {
        Ok(error) => return Error::Steering(*error),
        Err(inner) => inner,
    };
    match inner.downcast::<EngineFailure>() {
        Ok(failure) => match *failure {
            EngineFailure::Backend(error) => Error::Backend(error),
            EngineFailure::Template(error) => Error::Engine(EngineError::Template(error)),
            EngineFailure::ChatFormat(error) => Error::ChatFormat {
                reason: error.to_string(),
            },
            EngineFailure::TemplateFile { .. } => Error::ChatFormat {
                reason: failure.to_string(),
            },
            other => Error::failed("the engine", other),
        },
        Err(other) => Error::failed("the start of the runtime", other),
    }
}
