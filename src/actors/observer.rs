//! Samples gauges: the moods of sessions, the fill levels of mailboxes and the bus, and memory. It
//! also refreshes gauges that other parts set, so that they stay right after those parts are gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::hardware::HardwareReport;
use super::mailbox::Mailbox;
use crate::backend::{self, Device};
use crate::bus::EventBus;
use crate::clock::Clock;
use crate::engine::{LoadedModel, RequestQueue};
use crate::error::{SteeringError, StopReason};
use crate::event::ActorName;
use crate::inference::SessionId;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::steering::SteeringLibrary;
use crate::telemetry;

/// Samples gauges of these parts of the runtime.
#[derive(Debug)]
pub(crate) struct Observer {
    pub settings: Arc<Settings>,
    pub clock: Arc<dyn Clock>,
    pub bus: EventBus,
    pub hardware: watch::Receiver<Option<Arc<HardwareReport>>>,
    pub model: watch::Receiver<Option<Arc<LoadedModel>>>,
    pub library: watch::Receiver<Arc<SteeringLibrary>>,
    pub sessions: Arc<Sessions>,
    pub request_queue: Arc<RequestQueue>,
    pub steering: Mailbox<Result<Arc<SteeringLibrary>, SteeringError>>,
    /// Sessions with their own time series.
    pub listed: Vec<SessionId>,
    pub shown: Mutex<Shown>,
}

/// Series that must be removed when they no longer apply.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// The model's name.
    model: String,
    /// The listed sessions that are in memory.
    sessions: BTreeSet<SessionId>,
    devices: Vec<Device>,
}

impl Observer {
    /// Samples periodically until the runtime has stopped, then sets the final values. `_watching`
    /// is dropped at the end.
    pub async fn watch(
        self,
        mut stopped: watch::Receiver<Option<StopReason>>,
        _watching: watch::Sender<()>,
    ) {
        let every = self.settings.metrics.interval;
        // There is nothing to sample right after the start.
        let mut ticks = interval_at(Instant::now() + every, every);
        let observer = Arc::new(self);
        observer.note_model();
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = async move {
            let _ = stopped.wait_for(Option::is_some).await;
        };
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = ticks.tick() => {}
            }
            let looking = Arc::clone(&observer);
            let mut look = tokio::spawn(async move { looking.look().await });
            tokio::select! {
                biased;
                () = &mut end => {
                    // Drivers may take a while, and the shutdown must not wait for them.
                    look.abort();
                    let _ = look.await;
                    break;
                }
                // A failed sample does not end the sampling.
                looked = &mut look => if let Err(error) = looked {
                    tracing::error!(%error, "observer task failed; metrics are stale");
                }
            }
        }
        observer.leave();
    }

    async fn look(&self) {
        let now = self.clock.now();
        self.sessions.mood_histogram(now).publish();
        telemetry::sessions(self.sessions.resident());
        self.listed_sessions(now);
        self.engine();
        telemetry::steering_library(&self.library.borrow());
        telemetry::mailbox(ActorName::Emotion, self.sessions.waiting());
        telemetry::mailbox(ActorName::Steering, self.steering.waiting());
        telemetry::mailbox(ActorName::Engine, self.request_queue.arrived());
        telemetry::bus_lag(self.bus.lag());
        #[cfg(feature = "prometheus")]
        telemetry::process();
        self.devices().await;
    }

    fn listed_sessions(&self, now: f64) {
        for session in &self.listed {
            let state = self.sessions.peek(session, now);
            let mut shown = self.shown();
            let was_shown = match state {
                Some(_) => !shown.sessions.insert(session.clone()),
                None => shown.sessions.remove(session),
            };
            if state.is_some() || was_shown {
                telemetry::listed_session(session, state);
            }
        }
    }

    /// The engine thread sets its own gauges, but not once it is gone or hangs.
    fn engine(&self) {
        let there = self.note_model();
        let shown = self.shown();
        telemetry::waiting(&shown.model, self.request_queue.waiting());
        if !there {
            telemetry::engine_gone(&shown.model);
        }
    }

    /// Remembers the model's name for the time when no model is loaded. Returns whether one is
    /// loaded.
    fn note_model(&self) -> bool {
        let model = self.model.borrow();
        if let Some(model) = &*model {
            let label = self.settings.metrics.model_label(&model.facts.name);
            label.clone_into(&mut self.shown().model);
        }
        model.is_some()
    }

    async fn devices(&self) {
        let report = self.hardware.borrow().clone();
        let Some(selected) = report.map(|report| report.selected) else {
            return;
        };
        let asked = self.settings.model.backend;
        // Drivers may take a while.
        let devices = tokio::task::spawn_blocking(move || backend::devices_of(asked)).await;
        let mut devices = devices.unwrap_or_default();
        devices.retain(|device| device.kind == selected);
        for device in &devices {
            telemetry::device_memory(device);
        }
        self.shown().devices = devices;
    }

    /// Removes series that no longer apply.
    fn leave(&self) {
        telemetry::runtime_gone();
        let shown = self.shown();
        telemetry::waiting(&shown.model, 0);
        telemetry::engine_gone(&shown.model);
        for session in &shown.sessions {
            telemetry::listed_session(session, None);
        }
        for device in &shown.devices {
            telemetry::device_left(device);
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // Each change is a single assignment, so the value is consistent after a panic.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
