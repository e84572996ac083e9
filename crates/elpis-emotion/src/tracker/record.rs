//! The serialised form of a tracker.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::EmotionTracker;
use crate::config::{EmotionConfig, check_strength};
use crate::dynamics::decay;
use crate::error::EmotionError;
use crate::limits::SafetyLimits;
use crate::state::{EmotionalState, check_time};
use crate::streak::Streaks;
use crate::trajectory::HistoryPoint;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackerRecord {
    config: EmotionConfig,
    steering_strength: f64,
    #[serde(default)]
    limits: SafetyLimits,
    state: EmotionalState,
    last_at: f64,
    history: Vec<HistoryPoint>,
    quadrant_since: f64,
    streaks: BTreeMap<String, Vec<f64>>,
    events_applied: u64,
}

/// A tracker without its settings, which many sessions share.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerState {
    steering_strength: f64,
    #[serde(default)]
    limits: SafetyLimits,
    state: EmotionalState,
    last_at: f64,
    history: Vec<HistoryPoint>,
    quadrant_since: f64,
    streaks: BTreeMap<String, Vec<f64>>,
    events_applied: u64,
}

/// The part of a [`TrackerState`] that determines the session's mood.
#[derive(Debug, Deserialize)]
pub struct MoodRecord {
    #[serde(default)]
    limits: SafetyLimits,
    state: EmotionalState,
    last_at: f64,
}

impl MoodRecord {
    /// As [`EmotionTracker::state_at`], for a finite time.
    pub fn state_at(&self, config: &EmotionConfig, at: f64) -> EmotionalState {
        let seconds = at.max(self.last_at) - self.last_at;
        let limits = self.limits.tightest(config.limits());
        limits.within(decay(self.state, config, seconds))
    }
}

impl From<&EmotionTracker> for TrackerState {
    fn from(tracker: &EmotionTracker) -> Self {
        Self {
            steering_strength: tracker.strength,
            limits: tracker.limits,
            state: tracker.state,
            last_at: tracker.last,
            history: tracker.history.clone(),
            quadrant_since: tracker.quadrant_since,
            streaks: tracker.streaks.to_record(),
            events_applied: tracker.events_applied,
        }
    }
}

impl From<EmotionTracker> for TrackerRecord {
    fn from(tracker: EmotionTracker) -> Self {
        Self {
            steering_strength: tracker.strength,
            limits: tracker.limits,
            state: tracker.state,
            last_at: tracker.last,
            streaks: tracker.streaks.to_record(),
            history: tracker.history,
            quadrant_since: tracker.quadrant_since,
            events_applied: tracker.events_applied,
            config: Arc::unwrap_or_clone(tracker.config),
        }
    }
}

impl TryFrom<TrackerRecord> for EmotionTracker {
    type Error = EmotionError;

    fn try_from(record: TrackerRecord) -> Result<Self, EmotionError> {
        let state = TrackerState {
            steering_strength: record.steering_strength,
            limits: record.limits,
            state: record.state,
            last_at: record.last_at,
            history: record.history,
            quadrant_since: record.quadrant_since,
            streaks: record.streaks,
            events_applied: record.events_applied,
        };
        Self::restore(Arc::new(record.config), state)
    }
}

impl EmotionTracker {
    /// Restores a tracker.
    ///
    /// # Errors
    /// [`EmotionError`] if the record is not a possible state of a tracker.
    pub fn restore(config: Arc<EmotionConfig>, record: TrackerState) -> Result<Self, EmotionError> {
        config.validate()?;
        let last = check_time("last_at", record.last_at)?;
        let quadrant_since = check_time("quadrant_since", record.quadrant_since)?;
        let malformed = |reason: &str| EmotionError::Malformed {
            field: "history",
            reason: reason.to_owned(),
        };
        if record.history.len() > config.trajectory_history_size {
            return Err(malformed("longer than trajectory_history_size"));
        }
        for point in &record.history {
            check_time("history", point.at)?;
        }
        let newest = record.history.last().map(|point| point.at);
        if !record.history.is_sorted_by_key(|point| point.at)
            || newest.is_some_and(|newest| newest > last || quadrant_since > newest)
        {
            return Err(malformed("times are not in order"));
        }
        Ok(Self {
            strength: check_strength(record.steering_strength)?,
            limits: record.limits.validate().map(|()| record.limits)?,
            state: record.state,
            last,
            history: record.history,
            quadrant_since,
            streaks: Streaks::from_record(record.streaks, config.streak_capacity(), last)?,
            events_applied: record.events_applied,
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmotionEvent;

    #[test]
    fn a_mood_is_read_as_the_whole_tracker_has_it() {
        let config = Arc::new(EmotionConfig {
            valence_limit: 0.4,
            ..EmotionConfig::default()
        });
        let mut tracker = EmotionTracker::new(Arc::clone(&config), 10.0).unwrap();
        for (name, at) in [("success", 11.0), ("insight", 12.5), ("failure", 13.0)] {
            tracker
                .apply(&EmotionEvent::named(name).unwrap(), at)
                .unwrap();
        }
        let text = serde_json::to_string(&TrackerState::from(&tracker)).unwrap();
        let mood: MoodRecord = serde_json::from_str(&text).unwrap();
        for at in [0.0, 13.0, 14.0, 1e6] {
            assert_eq!(mood.state_at(&config, at), tracker.state_at(at), "{at}");
        }
        let whole: TrackerState = serde_json::from_str(&text).unwrap();
        assert_eq!(EmotionTracker::restore(config, whole).unwrap(), tracker);
    }
}
