//! A session's emotion as the scheduler reads it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::actors::Wiring;
use crate::emotion::{EmotionTracker, Modulation, SamplingBase};
use crate::scheduler::MoodSource;

/// Follows the tracker of a session.
#[derive(Debug)]
pub struct FollowedMood {
    tracker: watch::Receiver<Arc<EmotionTracker>>,
    base: SamplingBase,
}

impl FollowedMood {
    /// Follows a tracker; modulation builds on the settings' sampling.
    pub fn new(tracker: watch::Receiver<Arc<EmotionTracker>>, wiring: &Wiring) -> Self {
        Self {
            tracker,
            base: sampling_base(wiring),
        }
    }
}

impl MoodSource for FollowedMood {
    fn modulation(&mut self, now: f64) -> Modulation {
        self.tracker
            .borrow_and_update()
            .modulation_at(now, self.base)
    }

    fn has_changed(&self) -> bool {
        self.tracker.has_changed().unwrap_or(false)
    }
}

/// The sampling parameters that modulation builds on.
pub(super) fn sampling_base(wiring: &Wiring) -> SamplingBase {
    SamplingBase {
        temperature: wiring.settings.model.temperature,
        top_p: wiring.settings.model.top_p,
    }
}
