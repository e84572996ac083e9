//! Starts the actors in dependency order, restarts those that fail, and stops the runtime if
//! restarting does not help.

mod children;
mod failure;

pub use children::Children;
pub(crate) use failure::startup_error;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent,
};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use self::failure::kind_of;
use super::restart::{Decision, Failure, RestartHistory, RestartPolicy};
use crate::bus::EventBus;
use crate::clock::Clock;
use crate::engine::RequestQueue;
use crate::error::{Cause, Error, StopReason};
use crate::event::{ActorName, Event, FailureKind};
use crate::fault_injection::Probe;
use crate::settings::RuntimeSettings;
use crate::telemetry;

/// The start order. Actors are stopped in reverse.
const ORDER: [ActorName; 4] = [
    ActorName::Hardware,
    ActorName::Engine,
    ActorName::Steering,
    ActorName::Emotion,
];

/// Minimum time that an actor gets to stop, even after the deadline.
const MIN_STOP: Duration = Duration::from_millis(50);

/// Messages of the supervisor.
#[derive(Debug)]
pub enum SupervisorMessage {
    /// Restarts a failed actor.
    Restart(ActorName),
    /// The restart of an actor has succeeded or failed.
    Started(ActorName, Result<ActorCell, Error>),
    /// Stops everything by this time and answers when done.
    Shutdown(Instant, RpcReplyPort<()>),
}

impl SupervisorMessage {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Restart(_) => "restart",
            Self::Started(..) => "started",
            Self::Shutdown(..) => "shutdown",
        }
    }
}

/// The root of a runtime's actors.
#[derive(Debug)]
pub struct Supervisor;

/// Arguments of the supervisor.
#[derive(Debug)]
pub struct SupervisorArguments {
    /// Bounds of restarts and of the time that actors get to stop.
    pub settings: RuntimeSettings,
    /// Source of the time.
    pub clock: Arc<dyn Clock>,
    /// Where failures and restarts are published.
    pub bus: EventBus,
    /// Generations that end with the runtime.
    pub request_queue: Arc<RequestQueue>,
    /// Arguments of the actors.
    pub children: Children,
    /// Why the runtime has stopped; `None` while it runs.
    pub stopped: Arc<watch::Sender<Option<StopReason>>>,
    #[doc(hidden)]
    pub probe: Probe,
}

/// How and why an actor failed.
#[derive(Debug)]
struct Failed {
    kind: FailureKind,
    cause: Cause,
}

/// State of a working supervisor.
#[derive(Debug)]
pub struct SupervisorState {
    arguments: SupervisorArguments,
    children: HashMap<ActorId, (ActorName, ActorCell)>,
    /// Failures of actors whose start has not been reported yet.
    early: HashMap<ActorId, Failed>,
    histories: HashMap<ActorName, RestartHistory>,
    /// Starts in progress, which are aborted when everything stops.
    starts: HashMap<ActorName, JoinHandle<Option<ActorCell>>>,
    stopping: bool,
}

impl Drop for SupervisorState {
    fn drop(&mut self) {
        // This also runs after a panic: a start that waits for another actor would never end.
        for starting in self.starts.values() {
            starting.abort();
        }
    }
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: SupervisorArguments,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let policy = restart_policy(&arguments.settings);
        let mut state = SupervisorState {
            arguments,
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
            let children = state.arguments.children.clone();
            let starting = children.start(name, supervisor);
            // An actor that waits for another would wait forever if that one died.
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
                    let limit = state.arguments.settings.shutdown_timeout;
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
        state.arguments.probe.at("supervisor", message.kind());
        match message {
            SupervisorMessage::Restart(_) if state.stopping => {}
            SupervisorMessage::Restart(name) => {
                // Loading a model takes a while, and the other actors need a supervisor meanwhile.
                let children = state.arguments.children.clone();
                let starting = tokio::spawn(async move {
                    let result = children.start(name, myself.get_cell()).await;
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
                    state.arguments.bus.publish(event);
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
            // It failed right after its start, whose report is still on the way.
            None if !state.stopping => drop(state.early.insert(cell.get_id(), failure)),
            None => {}
        }
        Ok(())
    }

    /// Runs without a shutdown request when the last handle was dropped.
    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        if !state.stopping {
            let limit = state.arguments.settings.shutdown_timeout;
            let deadline = Instant::now() + limit;
            let reason = StopReason::new("the last handle was dropped");
            state.stop(&reason, deadline).await;
        }
        Ok(())
    }
}

impl SupervisorState {
    /// Handles a failed actor.
    async fn failed(
        &mut self,
        actor: ActorName,
        failure: Failed,
        myself: &ActorRef<SupervisorMessage>,
    ) {
        if self.stopping {
            return;
        }
        let now = self.arguments.clock.now();
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
                self.arguments.bus.publish(Event::ActorRestarting {
                    actor,
                    kind,
                    cause,
                    attempt,
                });
                myself.send_after(after, move || SupervisorMessage::Restart(actor));
            }
            Decision::GiveUp => {
                let most = self.arguments.settings.restart_max;
                let within = self.arguments.settings.restart_window.as_secs_f64();
                let reason = format!(
                    "the {name} actor failed more often than the {most} times within {within} s that it may be \
                     restarted (runtime.restart_max): {story}"
                );
                tracing::error!(
                    actor = name,
                    how,
                    reason,
                    "restart limit exceeded; stopping the runtime"
                );
                let event = Event::ActorGivenUp { actor, kind, cause };
                self.arguments.bus.publish(event);
                let limit = self.arguments.settings.shutdown_timeout;
                let reason = StopReason::failure(&reason, Some(error));
                self.stop(&reason, Instant::now() + limit).await;
                myself.stop(None);
            }
        }
    }

    /// Stops everything by a deadline, beginning with the actors that no other actor needs.
    async fn stop(&mut self, reason: &StopReason, deadline: Instant) {
        self.stopping = true;
        self.arguments.request_queue.close(reason.as_str());
        for (name, starting) in std::mem::take(&mut self.starts) {
            starting.abort();
            // The start may have finished before.
            if let Ok(Some(cell)) = starting.await {
                self.children.insert(cell.get_id(), (name, cell));
            }
        }
        self.stop_children(deadline).await;
        // A hanging engine no longer ends its generations.
        self.arguments.request_queue.end_running(reason.as_str());
        self.arguments.stopped.send_replace(Some(reason.clone()));
        self.arguments.bus.publish(Event::Stopped {
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
        let mut deaths = JoinSet::new();
        for (name, cell) in self.children.values().cloned() {
            deaths.spawn(async move {
                // Waiting without a limit does not fail.
                let _ = cell.wait(None).await;
                name
            });
        }
        match deaths.join_next().await {
            Some(Ok(name)) => name,
            _ => std::future::pending().await,
        }
    }
}

fn restart_policy(settings: &RuntimeSettings) -> RestartPolicy {
    RestartPolicy {
        max_restarts: settings.restart_max,
        window: settings.restart_window,
        initial_backoff: settings.restart_backoff_initial,
        max_backoff: settings.restart_backoff_max,
    }
}
