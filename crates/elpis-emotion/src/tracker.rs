//! The emotional state of one session over time.

mod applied;
mod record;
mod rules;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arithmetic::SYSTEM;
use super::config::{EmotionConfig, check_strength};
use super::dynamics::decay;
use super::error::{EmotionError, in_range};
use super::event::{EmotionEvent, MAX_INTENSITY};
use super::limits::SafetyLimits;
use super::modulation::{Modulation, SamplingBase};
use super::state::{EmotionalState, Mood, Quadrant, check_time};
use super::streak::Streaks;
use super::trajectory::{HistoryPoint, Spiral, Trajectory};
pub use applied::{AppliedEvent, AppliedRules};
use record::TrackerRecord;
pub use record::{MoodRecord, TrackerState};
use rules::changed;

/// The emotional state of one session: it starts at the baseline, moves with events and decays
/// between them.
///
/// Time never runs backwards: a time before the last event counts as the last event's time.
/// Reading changes nothing. A tracker can be serialised whole and restored exactly, provided that
/// the format keeps every bit of an f64 (in `serde_json`, the feature `float_roundtrip`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TrackerRecord", into = "TrackerRecord")]
pub struct EmotionTracker {
    config: Arc<EmotionConfig>,
    strength: f64,
    /// The session's own ceilings, in addition to those of the settings.
    limits: SafetyLimits,
    /// The state just after the last event.
    state: EmotionalState,
    /// Time of the last event, reset or start.
    last: f64,
    history: Vec<HistoryPoint>,
    /// Time of the event after which the quadrant of the points last changed.
    quadrant_since: f64,
    streaks: Streaks,
    events_applied: u64,
}

/// Everything about a session's emotion at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmotionSnapshot {
    /// Valence, in [-1, 1].
    pub valence: f64,
    /// Arousal, in [-1, 1].
    pub arousal: f64,
    /// The quadrant that the state lies in.
    pub quadrant: Quadrant,
    /// The name of the state: its quadrant, or neutral near the baseline.
    #[serde(default)]
    pub mood: Mood,
    /// The effect of the state on a generation.
    pub modulation: Modulation,
    /// The trend of the state.
    pub trajectory: Trajectory,
    /// Number of events since the start or the last reset.
    pub events_applied: u64,
    /// Version of the dynamics that the state was computed under.
    #[serde(default = "unnumbered")]
    pub dynamics: u32,
}

/// The version of snapshots without a version number.
fn unnumbered() -> u32 {
    SYSTEM
}

impl EmotionTracker {
    /// Starts a session at the baseline, at time `start` in seconds.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if a setting is out of range, or `start` is not finite or
    /// beyond ±1e12.
    pub fn new(config: Arc<EmotionConfig>, start: f64) -> Result<Self, EmotionError> {
        config.validate()?;
        let start = check_time("start", start)?;
        Ok(Self {
            strength: config.steering_strength,
            limits: SafetyLimits::default(),
            state: config.baseline(),
            last: start,
            quadrant_since: start,
            history: Vec::new(),
            streaks: Streaks::default(),
            events_applied: 0,
            config,
        })
    }

    /// Applies an event at a time in seconds.
    ///
    /// In this order: decay; the intensity clamped to [0, 2]; streaks, with the intensity clamped
    /// again; inertia; the damping of spirals; shifts clamped to ±`max_delta`; the state clamped to
    /// the plane, then to the ceilings.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if the time is not finite or beyond ±1e12; nothing changes.
    pub fn apply(&mut self, event: &EmotionEvent, at: f64) -> Result<AppliedEvent, EmotionError> {
        let given = check_time("at", at)?;
        let at = given.max(self.last);
        let mut rules = AppliedRules::default();
        let before = self.state_at(at);
        let (shift_valence, shift_arousal) = event.shift();

        let mut intensity = event.intensity().clamp(0.0, MAX_INTENSITY);
        rules.intensity_clamped = event.intensity() > MAX_INTENSITY;
        if self.config.streak_compounding_enabled {
            let per_event = self.config.streak_compounding_factor;
            let factor = self
                .streaks
                .factor(event.name(), at, per_event)
                .unwrap_or(1.0);
            intensity *= factor;
            rules.streak = changed(factor);
            rules.intensity_clamped |= intensity > MAX_INTENSITY;
            intensity = intensity.clamp(0.0, MAX_INTENSITY);
        }
        if self.config.mood_inertia_enabled {
            let factor = self.inertia(shift_valence, at);
            intensity *= factor;
            rules.inertia = changed(factor);
        }
        let damping = self.spiral_damping(before, (shift_valence, shift_arousal));
        intensity *= damping;
        rules.spiral = changed(damping);

        let limit = self.config.max_delta;
        let delta_valence = (shift_valence * intensity).clamp(-limit, limit);
        let delta_arousal = (shift_arousal * intensity).clamp(-limit, limit);
        rules.delta_clamped =
            (shift_valence * intensity).abs() > limit || (shift_arousal * intensity).abs() > limit;

        if self.config.streak_compounding_enabled {
            self.streaks
                .record(event.name(), at, self.config.streak_capacity());
        }
        let (valence, arousal) = (
            before.valence() + delta_valence,
            before.arousal() + delta_arousal,
        );
        let inside = EmotionalState::clamped(valence, arousal);
        rules.state_clamped = valence.abs() > 1.0 || arousal.abs() > 1.0;
        let limits = self.limits();
        rules.valence_limited = inside.valence().abs() > limits.valence;
        rules.arousal_limited = inside.arousal() > limits.arousal;
        let after = limits.within(inside);
        self.state = after;
        self.last = at;
        if self
            .history
            .last()
            .is_none_or(|point| point.state.quadrant() != after.quadrant())
        {
            self.quadrant_since = at;
        }
        // Reserve room for one more instead of doubling, because there may be millions of sessions.
        self.trim_history(self.config.trajectory_history_size.saturating_sub(1));
        self.history.reserve_exact(1);
        self.history.push(HistoryPoint { at, state: after });
        self.events_applied = self.events_applied.saturating_add(1);
        Ok(AppliedEvent {
            at,
            before,
            after,
            intensity,
            delta_valence,
            delta_arousal,
            rules,
            time_clamped: given < at,
        })
    }

    /// The state at a time; a time that is not finite counts as the last event's.
    pub fn state_at(&self, at: f64) -> EmotionalState {
        let decayed = decay(self.state, &self.config, self.reading_time(at) - self.last);
        // A session's own ceiling may be below the baseline.
        self.limits().within(decayed)
    }

    /// The trajectory at a time; see [`state_at`](Self::state_at).
    pub fn trajectory_at(&self, at: f64) -> Trajectory {
        let now = self.reading_time(at);
        Trajectory::from_history(&self.history, self.quadrant_since, &self.config, now)
    }

    /// The direction in which the latest events keep leading away from the baseline.
    pub fn spiral(&self) -> Spiral {
        Spiral::of(&self.history, &self.config)
    }

    /// The effect of the state at a time on a generation; see [`state_at`](Self::state_at).
    pub fn modulation_at(&self, at: f64, base: SamplingBase) -> Modulation {
        let state = self.state_at(at);
        Modulation {
            mood: self.config.mood(state),
            ..Modulation::new(state, base, self.steering_strength())
        }
    }

    /// Everything at a time, with the default sampling base.
    pub fn snapshot_at(&self, at: f64) -> EmotionSnapshot {
        self.snapshot_with(at, SamplingBase::default())
    }

    /// Everything at a time, with a sampling base.
    pub fn snapshot_with(&self, at: f64, base: SamplingBase) -> EmotionSnapshot {
        let modulation = self.modulation_at(at, base);
        EmotionSnapshot {
            valence: modulation.valence,
            arousal: modulation.arousal,
            quadrant: modulation.quadrant,
            mood: modulation.mood,
            modulation,
            trajectory: self.trajectory_at(at),
            events_applied: self.events_applied,
            dynamics: self.config.dynamics,
        }
    }

    /// Returns to the baseline and forgets all events; the steering strength stays.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn reset(&mut self, at: f64) -> Result<(), EmotionError> {
        self.last = check_time("at", at)?.max(self.last);
        self.state = self.config.baseline();
        self.history.clear();
        self.quadrant_since = self.last;
        self.streaks = Streaks::default();
        self.events_applied = 0;
        Ok(())
    }

    /// Replaces the settings from a time on. The state, its history and the steering strength stay.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if a setting or the time is out of range; nothing changes.
    pub fn reconfigure(&mut self, config: Arc<EmotionConfig>, at: f64) -> Result<(), EmotionError> {
        config.validate()?;
        let at = check_time("at", at)?.max(self.last);
        self.state = self.state_at(at);
        self.last = at;
        self.config = config;
        self.trim_history(self.config.trajectory_history_size);
        self.streaks.trim(at, self.config.streak_capacity());
        Ok(())
    }

    /// Uses this copy of the settings if it equals its own. Returns whether it does.
    pub fn share_config(&mut self, config: &Arc<EmotionConfig>) -> bool {
        let same = self.config == *config;
        if same {
            self.config = Arc::clone(config);
        }
        same
    }

    /// Shifts the whole history by a number of seconds, onto another clock.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if a time would not be finite or beyond ±1e12; nothing changes.
    pub fn shift_time(&mut self, seconds: f64) -> Result<(), EmotionError> {
        let first = self.history.first().map_or(self.last, |point| point.at);
        let first = self
            .streaks
            .first()
            .map_or(first, |streak| streak.min(first));
        let first = first.min(self.quadrant_since);
        check_time("seconds", first + seconds)?;
        let last = check_time("seconds", self.last + seconds)?;
        self.last = last;
        self.quadrant_since += seconds;
        for point in &mut self.history {
            point.at += seconds;
        }
        self.streaks.shift_time(seconds);
        Ok(())
    }

    /// Sets the factor on all steering coefficients, in [0, 3] and within the ceiling.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if it is NaN or out of range; nothing changes.
    pub fn set_steering_strength(&mut self, strength: f64) -> Result<(), EmotionError> {
        check_strength(strength)?;
        in_range("steering_strength", strength, 0.0, self.limits().strength)?;
        self.strength = strength;
        Ok(())
    }

    /// The factor on all steering coefficients, within the ceiling.
    pub fn steering_strength(&self) -> f64 {
        self.strength.min(self.limits().strength)
    }

    /// Sets ceilings for this session; they can only tighten those of the settings.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if one is out of range; nothing changes.
    pub fn set_limits(&mut self, limits: SafetyLimits) -> Result<(), EmotionError> {
        limits.validate()?;
        self.limits = limits;
        Ok(())
    }

    /// The ceilings in force: the tighter of the session's and the settings'.
    pub fn limits(&self) -> SafetyLimits {
        self.limits.tightest(self.config.limits())
    }

    /// The settings.
    pub fn config(&self) -> &Arc<EmotionConfig> {
        &self.config
    }

    /// The states just after the latest events, oldest first.
    pub fn history(&self) -> &[HistoryPoint] {
        &self.history
    }

    /// Time of the last event, reset or start, in seconds.
    pub fn last_at(&self) -> f64 {
        self.last
    }

    /// Number of events since the start or the last reset.
    pub fn events_applied(&self) -> u64 {
        self.events_applied
    }

    fn reading_time(&self, at: f64) -> f64 {
        if at.is_finite() {
            at.max(self.last)
        } else {
            self.last
        }
    }

    fn trim_history(&mut self, most: usize) {
        let surplus = self.history.len().saturating_sub(most);
        self.history.drain(..surplus);
    }
}
