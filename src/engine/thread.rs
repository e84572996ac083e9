//! The engine thread, which alone owns the model.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::failure::EngineFailure;
use super::heartbeat::Heartbeat;
use super::model::LoadedModel;
use super::overdue::until;
use super::queue::RequestQueue;
use super::stop::{StopHandle, StopWord};
use crate::backend::{BackendError, BackendFactory, LoadOptions, ModelFacts};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::scheduler::{
    InFlightSlots, Outcome, PrefixOptions, Recovered, Scheduler, SchedulerOptions,
};
use crate::settings::Settings;
use crate::steering::{BlendOptions, SteeringLibrary};
use crate::telemetry::StepMetrics;

/// The parts of the runtime that the engine thread uses.
#[derive(Debug, Clone)]
pub struct EngineContext {
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// Creates the backend.
    pub factory: BackendFactory,
    /// The runtime's clock.
    pub clock: Arc<dyn Clock>,
    /// The loaded model, while there is one.
    pub model: Arc<watch::Sender<Option<Arc<LoadedModel>>>>,
    /// The steering library in force.
    pub library: watch::Receiver<Arc<SteeringLibrary>>,
    /// Waiting generations and their admission.
    pub request_queue: Arc<RequestQueue>,
}

impl EngineContext {
    /// Removes a loaded model, unless another one has replaced it.
    fn withdraw(&self, facts: &Arc<ModelFacts>) {
        self.model.send_if_modified(|model| {
            let own = |model: &mut Arc<LoadedModel>| Arc::ptr_eq(&model.facts, facts);
            model.take_if(own).is_some()
        });
    }
}

/// How the thread ended.
#[derive(Debug)]
pub enum ThreadEnd {
    /// It was told to stop.
    Stopped,
    /// It failed.
    Failed(EngineFailure),
}

/// A running engine thread. When this is dropped, the thread ends as if it had failed.
#[derive(Debug)]
pub struct EngineThread {
    stop: Option<StopHandle>,
    handle: Option<JoinHandle<()>>,
    /// Ends with an error when the thread does.
    over: oneshot::Receiver<()>,
    heartbeat: Arc<Heartbeat>,
    in_flight: Arc<InFlightSlots>,
}

impl EngineThread {
    /// Starts the thread and waits until the model is loaded. The thread calls `ended` when it ends
    /// later.
    pub(crate) async fn start(
        options: LoadOptions,
        context: EngineContext,
        ended: impl FnOnce(ThreadEnd) + Send + 'static,
    ) -> Result<(Self, LoadedModel), EngineFailure> {
        // If this future is dropped, dropping the handle ends the thread.
        let (stop, stopped) = StopHandle::new(context.request_queue.signals());
        let (report, loaded) = oneshot::channel();
        let (alive, over) = oneshot::channel();
        let heartbeat = Arc::<Heartbeat>::default();
        let own = Arc::clone(&heartbeat);
        let handle = std::thread::Builder::new()
            .name("elpis-engine".to_owned())
            .spawn(move || {
                let _alive = alive;
                run(&options, &context, &stopped, &own, report, ended);
            })
            .map_err(|error| EngineFailure::Spawn(Arc::new(error)))?;
        match loaded.await {
            Ok(Ok((model, in_flight))) => {
                let thread = Self {
                    stop: Some(stop),
                    handle: Some(handle),
                    over,
                    heartbeat,
                    in_flight,
                };
                Ok((thread, model))
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(EngineFailure::Panic(
                "while the model was loaded".to_owned(),
            )),
        }
    }

    /// Returns whether the thread has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.handle.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Returns how long the current step has taken; `None` while the thread is idle.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        self.heartbeat.busy_for()
    }

    /// Tells the thread to stop without waiting for it.
    pub(crate) fn leave_behind(&mut self) {
        self.stop = None;
        self.handle = None;
    }

    /// Takes the generations that another engine can resume from a thread that hangs while the
    /// model evaluates.
    pub(crate) fn recover(&self) -> Vec<Recovered> {
        self.in_flight.recover()
    }

    /// Tells the thread to stop and waits for it, at most `limit`.
    pub(crate) async fn stop(&mut self, limit: Duration) {
        if let Some(stop) = self.stop.take() {
            stop.stop();
        }
        let Some(handle) = self.handle.take() else {
            return;
        };
        // Nothing is ever sent; an error means that the thread has ended.
        if tokio::time::timeout(limit, &mut self.over).await.is_err() {
            tracing::warn!("the engine thread did not stop in time and is abandoned");
            return;
        }
        let _ = handle.join();
    }
}

fn run(
    options: &LoadOptions,
    context: &EngineContext,
    stopped: &StopWord,
    heartbeat: &Heartbeat,
    report: oneshot::Sender<Result<(LoadedModel, Arc<InFlightSlots>), EngineFailure>>,
    ended: impl FnOnce(ThreadEnd),
) {
    let loaded = guarded(|| load(options, context));
    let (mut scheduler, metrics) = match loaded {
        Ok((scheduler, model)) => {
            // The metrics must exist before the model is announced.
            let label = context.settings.metrics.model_label(&model.facts.name);
            let metrics = StepMetrics::new(label);
            if report.send(Ok((model, scheduler.in_flight()))).is_err() {
                return;
            }
            (scheduler, metrics)
        }
        Err(failure) => {
            let _ = report.send(Err(failure));
            return;
        }
    };
    let facts = Arc::clone(scheduler.facts());
    let result = guarded(|| {
        for recovered in context.request_queue.take_recovered() {
            scheduler.resume(recovered);
        }
        // The gauges are removed with the model, before its end is announced.
        let metrics = metrics;
        serve(&mut scheduler, context, &metrics, stopped, heartbeat)
    });
    // Unloading has its own time limit.
    heartbeat.work();
    // The actor must be notified of the end even if the following code panics.
    let kept = guarded(|| {
        // If the actor is gone, the next engine may be running already and has taken the kept
        // generations.
        let deserted = matches!(result, Err(EngineFailure::Deserted));
        if result.is_err() && !deserted && context.settings.runtime.resume_generations {
            context.request_queue.keep(scheduler.recover());
        }
        Ok(())
    });
    // A caller that asks again after the end must wait for the next model.
    context.withdraw(&facts);
    // Ends the running streams before the end is announced.
    let dropped = guarded(move || {
        drop(scheduler);
        Ok(())
    });
    ended(match result.and(kept).and(dropped) {
        Ok(()) => ThreadEnd::Stopped,
        Err(failure) => ThreadEnd::Failed(failure),
    });
}

fn guarded<T>(work: impl FnOnce() -> Result<T, EngineFailure>) -> Result<T, EngineFailure> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(EngineFailure::Panic(panic_message(panic.as_ref()))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

fn load(
    options: &LoadOptions,
    context: &EngineContext,
) -> Result<(Scheduler, LoadedModel), EngineFailure> {
    let backend = context.factory.create(options)?;
    let facts = backend.facts();
    tracing::info!(
        model = facts.name,
        backend = %facts.backend,
        description = facts.description,
        context_length = facts.context_length,
        "model loaded"
    );
    let model = LoadedModel::new(
        backend.as_ref(),
        context.settings.model.chat_format.as_deref(),
    )?;
    let scheduler = Scheduler::new(
        backend,
        Arc::clone(&context.library.borrow()),
        Arc::clone(&context.clock),
        SchedulerOptions {
            blend: BlendOptions {
                max_residual_fraction: context.settings.model.max_residual_fraction as f32,
                ..BlendOptions::default()
            },
            prefix: PrefixOptions {
                policy: context.settings.runtime.prefix_policy,
                memory: context.settings.runtime.prefix_cache_memory(),
            },
            steer_constrained: context.settings.model.steer_constrained,
            steer_thinking: context.settings.model.steer_thinking,
            repetition_guard: context.settings.model.repetition_guard,
            expression_feedback: context.settings.model.expression_feedback,
        },
    );
    Ok((scheduler, model))
}

/// Serves generations until told to stop.
fn serve(
    scheduler: &mut Scheduler,
    context: &EngineContext,
    metrics: &StepMetrics,
    stopped: &StopWord,
    heartbeat: &Heartbeat,
) -> Result<(), EngineFailure> {
    let request_queue = &context.request_queue;
    let signals = request_queue.signals();
    let died = Arc::<OnceLock<BackendError>>::default();
    let (tell, wake) = (Arc::clone(&died), Arc::clone(signals));
    scheduler.on_death(Box::new(move |error| {
        let _ = tell.set(error);
        wake.engine.raise();
    }));
    let mut library = context.library.clone();
    let mut last = Instant::now();
    // A library that arrived between loading and subscribing counts as new.
    library.mark_changed();
    loop {
        heartbeat.work();
        // Any later change ends the sleep below.
        let seen = signals.engine.seen();
        if stopped.is_stop()? {
            return stop(scheduler);
        }
        request_queue.collect();
        // After the new generations, which may have been submitted under this library.
        if library.has_changed().unwrap_or(false) {
            scheduler.set_library(Arc::clone(&library.borrow_and_update()));
        }
        while let Some(command) = request_queue.next_command() {
            command.carry_out(scheduler);
        }
        admit(scheduler, request_queue, context.clock.now());
        metrics.load(scheduler.running(), request_queue.queued());
        if scheduler.can_step() {
            let summary = scheduler.step()?;
            // The step of an abandoned thread does not count.
            if stopped.is_stop()? {
                return stop(scheduler);
            }
            let took = last.elapsed();
            last = Instant::now();
            metrics.step(summary, took, scheduler.cache_usage());
            continue;
        }
        scheduler.retire()?;
        if let Some(error) = died.get() {
            return Err(error.clone().into());
        }
        // Readers that make room, callers that leave and new work wake the thread. Only the time
        // limits of generations that wait for their readers need a timer.
        let limit = until(scheduler.next_deadline(), context.clock.now());
        heartbeat.rest();
        signals.engine.wait(seen, limit);
        // The first step after an idle time does not follow a token.
        last = Instant::now();
    }
}

/// Ends the running generations, because the engine stops.
fn stop(scheduler: &mut Scheduler) -> Result<(), EngineFailure> {
    let outcome = Outcome::Failed(EngineError::Stopped {
        reason: "the engine was told to stop".to_owned(),
    });
    Ok(scheduler.end_all(&outcome)?)
}

/// Moves waiting generations into free slots.
fn admit(scheduler: &mut Scheduler, request_queue: &RequestQueue, now: f64) {
    while scheduler.free_slots() > 0 {
        let Some(mut task) = request_queue.next_task() else {
            return;
        };
        if task.retire(now) {
            continue;
        }
        // A slot is free, so the scheduler takes the task.
        if let Err(task) = scheduler.admit(task) {
            request_queue.put_back(*task);
            return;
        }
    }
}
