//! Measures what nobody reports: how the sessions feel, how full mailboxes
//! and the bus are, and memory.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Wiring;
use super::emotion::EmotionHandle;
use super::steering::SteeringHandle;
use crate::backend;
use crate::event::ActorName;
use crate::inference::SessionId;
use crate::telemetry;

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Observer {
    pub wiring: Wiring,
    pub emotion: EmotionHandle,
    pub steering: SteeringHandle,
    /// Sessions with series of their own.
    pub listed: Vec<SessionId>,
}

impl Observer {
    /// Looks again and again until the runtime has stopped.
    pub async fn watch(self, mut stopped: watch::Receiver<Option<Arc<str>>>) {
        let every = self.wiring.settings.metrics.interval();
        // Just started, there is nothing to see.
        let mut ticks = interval_at(Instant::now() + every, every);
        let observer = Arc::new(self);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = async move {
            let _ = stopped.wait_for(Option::is_some).await;
        };
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                _ = ticks.tick() => {
                    let looking = Arc::clone(&observer);
                    // One look that fails is not the end of looking.
                    if let Err(error) = tokio::spawn(async move { looking.look().await }).await {
                        tracing::error!(%error, "nobody looked");
                    }
                }
            }
        }
    }

    async fn look(&self) {
        let wiring = &self.wiring;
        let now = wiring.clock.now();
        wiring.sessions.census(now).publish();
        for session in &self.listed {
            if let Some(state) = wiring.sessions.peek(session, now) {
                telemetry::listed_session(session, state.valence(), state.arousal());
            }
        }
        telemetry::mailbox(ActorName::Emotion, self.emotion.waiting());
        telemetry::mailbox(ActorName::Steering, self.steering.waiting());
        telemetry::mailbox(ActorName::Engine, wiring.intake.arrived());
        telemetry::bus_lag(wiring.bus.lag());
        #[cfg(feature = "prometheus")]
        if wiring.settings.metrics.listen.is_some() {
            telemetry::process();
        }
        self.devices().await;
    }

    async fn devices(&self) {
        let report = self.wiring.hardware.borrow().clone();
        let Some(selected) = report.map(|report| report.selected) else {
            return;
        };
        let asked = self.wiring.settings.model.backend;
        // Drivers may take a while.
        let devices = tokio::task::spawn_blocking(move || backend::devices_of(asked)).await;
        for device in devices.unwrap_or_default() {
            if device.kind == selected {
                telemetry::device_memory(&device);
            }
        }
    }
}
