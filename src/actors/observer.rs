//! Measures what nobody reports: how the sessions feel, how full mailboxes
//! and the bus are, and memory.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

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
        let mut ticks = interval(self.wiring.settings.metrics.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = async move {
            let _ = stopped.wait_for(Option::is_some).await;
        };
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                _ = ticks.tick() => self.look().await,
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
