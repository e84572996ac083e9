//! Reads the states of sessions: for generations that follow one, and for observers without marking
//! them as used.

use std::sync::Arc;

use tokio::sync::watch;

use super::Sessions;
use crate::emotion::{EmotionTracker, EmotionalState, Modulation, SamplingBase};
use crate::inference::SessionId;
use crate::scheduler::MoodSource;
use crate::telemetry::Moods;

/// Maximum number of sessions that are counted, so that counting takes at most about half a
/// millisecond.
const COUNTED: usize = 4096;

/// A session's emotion as the scheduler reads it.
#[derive(Debug)]
pub(crate) struct FollowedMood {
    tracker: watch::Receiver<Arc<EmotionTracker>>,
    base: SamplingBase,
}

impl FollowedMood {
    /// Follows a tracker. Modulation builds on the `base` sampling parameters.
    pub(super) fn new(tracker: watch::Receiver<Arc<EmotionTracker>>, base: SamplingBase) -> Self {
        Self { tracker, base }
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

impl Sessions {
    /// The current moods of the most recently used sessions.
    pub(crate) fn mood_histogram(&self, now: f64) -> Moods {
        let mut moods = Moods::default();
        for tracker in self.cache.latest_used(COUNTED) {
            let state = tracker.state_at(now);
            moods.add(state, tracker.config().mood(state));
        }
        moods
    }

    /// Number of sessions in memory.
    pub(crate) fn resident(&self) -> usize {
        self.cache.places().resident()
    }

    /// The state of a session at this time, if it is in memory.
    pub(crate) fn peek(&self, session: &SessionId, now: f64) -> Option<EmotionalState> {
        let cell = self.cache.find(session)?;
        let tracker = {
            let state = cell.lock();
            Arc::clone(state.resident.as_ref()?.tracker())
        };
        Some(tracker.state_at(now))
    }
}
