//! Settings of the emotional dynamics.

mod events;
mod numbers;

use serde::{Deserialize, Serialize};

use super::arithmetic::{DYNAMICS, SYSTEM};
use super::declared::{self, DeclaredEvent};
use super::error::EmotionError;
use super::limits::SafetyLimits;
use super::ranges::{MIN_STREAK_FACTOR, Range};
use super::state::{EmotionalState, Mood, Quadrant};

/// Smallest [`EmotionConfig::streak_compounding_factor`] other than 0.
///
/// What reads texts for feelings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppraiserChoice {
    /// A sentiment lexicon with negation, and phrases for the outcomes of tasks.
    #[default]
    Lexicon,
    /// The word lists of the reference, where one word is enough.
    Reference,
}

names!(AppraiserChoice { Lexicon = "lexicon", Reference = "reference" });

/// Settings of the emotional dynamics, as read from `ELPIS_EMOTION_*` or TOML.
///
/// Fields left out take their defaults, except for [`dynamics`](Self::dynamics); unknown fields are
/// refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmotionConfig {
    /// Version of the dynamics' arithmetic, 1 or 2; 2, which gives the same bits on every machine.
    /// Version 1 is the arithmetic of the system's math library. A serialised form without this
    /// field was made under version 1.
    #[serde(default = "unnumbered", skip_serializing_if = "is_unnumbered")]
    pub dynamics: u32,
    /// Valence that the state decays to, in [-1, 1]; 0.
    pub baseline_valence: f64,
    /// Arousal that the state decays to, in [-1, 1]; 0.
    pub baseline_arousal: f64,
    /// Decay toward the baseline, per second, in [0, 100]; 0.1.
    pub decay_rate: f64,
    /// Largest change of valence or arousal by one event, in [0, 2]; 0.5.
    pub max_delta: f64,
    /// Factor on all steering coefficients, in [0, 3]; 1.
    pub steering_strength: f64,
    /// Number of points that the trajectory is computed from, 2 to 1024; 20.
    pub trajectory_history_size: usize,
    /// Valence velocity (per minute) above which momentum is positive, in [0, 1]; 0.01.
    pub momentum_positive_threshold: f64,
    /// Valence velocity below which momentum is negative, in [-1, 0]; −0.01.
    pub momentum_negative_threshold: f64,
    /// Valence velocity above which the trend is improving, in [0, 1]; 0.02.
    pub trend_improving_threshold: f64,
    /// Valence velocity below which the trend is declining, in [-1, 0]; −0.02.
    pub trend_declining_threshold: f64,
    /// Number of latest points that a spiral is looked for in, 2 to `trajectory_history_size`; 5.
    pub spiral_history_count: usize,
    /// Steps away from the baseline that make a spiral, 1 to `spiral_history_count` − 1; 3.
    pub spiral_increasing_threshold: usize,
    /// Whether repeated failures weigh more and repeated successes less; true.
    pub streak_compounding_enabled: bool,
    /// Change of the intensity per earlier event of the streak: 0, or in
    /// [[`MIN_STREAK_FACTOR`], 1]; 0.2.
    pub streak_compounding_factor: f64,
    /// Whether events along the momentum weigh more and events against it less; true.
    pub mood_inertia_enabled: bool,
    /// The resistance of momentum to events against it, in [0, 1]; 0.4.
    pub mood_inertia_resistance: f64,
    /// Factor on `decay_rate` while excited, in [0, 10]; 1.
    pub decay_multiplier_excited: f64,
    /// Factor on `decay_rate` while frustrated, in [0, 10]; 0.7.
    pub decay_multiplier_frustrated: f64,
    /// Factor on `decay_rate` while calm, in [0, 10]; 1.2.
    pub decay_multiplier_calm: f64,
    /// Factor on `decay_rate` while depleted, in [0, 10]; 0.8.
    pub decay_multiplier_depleted: f64,
    /// Ceiling on the absolute valence, in [0, 1] and not below that of the baseline; 1.
    pub valence_limit: f64,
    /// Ceiling on the arousal, in [0, 1] and not below the baseline; 1.
    pub arousal_limit: f64,
    /// Ceiling on the steering strength, in [0, 3] and not below `steering_strength`; 3.
    pub strength_limit: f64,
    /// Events that a session may send in a minute, at least 1; no limit.
    pub events_per_minute: Option<u32>,
    /// Factor on events that drive a spiral on, in [0, 1]; 1, which damps nothing.
    pub spiral_damping: f64,
    /// Distance from the baseline within which a state is called neutral, in [0, 1]; 0.1.
    pub neutral_radius: f64,
    /// Events of one's own, which can be felt by their name; none.
    pub events: Vec<DeclaredEvent>,
    /// Whether names that are neither known nor declared are felt, as a shift of the arousal by
    /// +0.05; false.
    pub allow_unknown_events: bool,
    /// What reads texts for feelings, unless the program brings an appraiser of its own; the
    /// sentiment lexicon.
    pub appraiser: AppraiserChoice,
    /// Score from which a text counts as emotional, in [0, 1]; 0.3.
    pub response_analysis_threshold: f64,
    /// Whether the model's replies are read for feelings; true.
    pub response_analysis_enabled: bool,
    /// Whether the user's messages are read for feelings; false.
    pub message_analysis_enabled: bool,
    /// Largest way of valence or arousal, each for itself, that texts can move a session in one
    /// turn, in [0, 2] and no more than `max_delta` either; 0.5.
    pub appraisal_max_delta: f64,
    /// Whether tool calls, generations and silence raise events; true.
    pub behavioral_monitoring_enabled: bool,
    /// Calls of one tool in a row that make a retry loop, 2 to 1000; 3.
    pub retry_loop_threshold: usize,
    /// Failed tool calls in a row that make a failure streak, 1 to 1000; 2.
    pub failure_streak_threshold: usize,
    /// Seconds from which a generation is long, in [0.001, 86400]; 30.
    pub long_generation_seconds: f64,
    /// How many times as long as its tokens took the session's generations before it a long
    /// generation must take to be felt, in [1, 1000]; 3.
    pub long_generation_factor: f64,
    /// Seconds without activity that count as idle, in [0.001, 86400]; 120.
    pub idle_period_seconds: f64,
}

impl Default for EmotionConfig {
    fn default() -> Self {
        Self {
            dynamics: DYNAMICS,
            baseline_valence: 0.0,
            baseline_arousal: 0.0,
            decay_rate: 0.1,
            max_delta: 0.5,
            steering_strength: 1.0,
            trajectory_history_size: 20,
            momentum_positive_threshold: 0.01,
            momentum_negative_threshold: -0.01,
            trend_improving_threshold: 0.02,
            trend_declining_threshold: -0.02,
            spiral_history_count: 5,
            spiral_increasing_threshold: 3,
            streak_compounding_enabled: true,
            streak_compounding_factor: 0.2,
            mood_inertia_enabled: true,
            mood_inertia_resistance: 0.4,
            decay_multiplier_excited: 1.0,
            decay_multiplier_frustrated: 0.7,
            decay_multiplier_calm: 1.2,
            decay_multiplier_depleted: 0.8,
            valence_limit: 1.0,
            arousal_limit: 1.0,
            strength_limit: 3.0,
            events_per_minute: None,
            spiral_damping: 1.0,
            neutral_radius: 0.1,
            events: Vec::new(),
            allow_unknown_events: false,
            appraiser: AppraiserChoice::default(),
            response_analysis_threshold: 0.3,
            response_analysis_enabled: true,
            message_analysis_enabled: false,
            appraisal_max_delta: 0.5,
            behavioral_monitoring_enabled: true,
            retry_loop_threshold: 3,
            failure_streak_threshold: 2,
            long_generation_seconds: 30.0,
            long_generation_factor: 3.0,
            idle_period_seconds: 120.0,
        }
    }
}

impl EmotionConfig {
    /// Checks every field against its range, and against the others.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] with the first field that is out of range, its value and the
    /// limit.
    pub fn validate(&self) -> Result<(), EmotionError> {
        numbers::check(self)?;
        self.validate_limits()?;
        declared::check(&self.events)?;
        let history = self.trajectory_history_size;
        let spiral = self.spiral_history_count;
        at_most(
            "spiral_history_count",
            spiral,
            history,
            "trajectory_history_size",
        )?;
        at_most(
            "spiral_increasing_threshold",
            self.spiral_increasing_threshold,
            spiral - 1,
            "spiral_history_count - 1",
        )
    }

    /// The state that decay leads to; values outside the plane are clamped to it.
    pub fn baseline(&self) -> EmotionalState {
        EmotionalState::clamped(self.baseline_valence, self.baseline_arousal)
    }

    /// What a state is called: neutral within [`neutral_radius`](Self::neutral_radius) of the
    /// baseline, the name of its quadrant beyond.
    pub fn mood(&self, state: EmotionalState) -> Mood {
        let away = state.distance_under(self.dynamics, self.baseline());
        if away <= self.neutral_radius {
            Mood::Neutral
        } else {
            state.quadrant().into()
        }
    }

    /// The factor on [`decay_rate`](Self::decay_rate) in a quadrant.
    pub fn decay_multiplier(&self, quadrant: Quadrant) -> f64 {
        match quadrant {
            Quadrant::Excited => self.decay_multiplier_excited,
            Quadrant::Frustrated => self.decay_multiplier_frustrated,
            Quadrant::Calm => self.decay_multiplier_calm,
            Quadrant::Depleted => self.decay_multiplier_depleted,
        }
    }

    /// Number of times that a tracker remembers for each event that streaks apply to.
    ///
    /// With `n` earlier events the factor on the intensity is at most `min(1 + f·n, 2)`, which no
    /// longer changes beyond `n = ⌈1/f⌉`; one more is kept against rounding.
    pub fn streak_capacity(&self) -> usize {
        if !self.streak_compounding_enabled || self.streak_compounding_factor < MIN_STREAK_FACTOR {
            return 0;
        }
        (1.0 / self.streak_compounding_factor).ceil() as usize + 1
    }

    /// The ceilings on every session's mood.
    pub fn limits(&self) -> SafetyLimits {
        SafetyLimits {
            valence: self.valence_limit,
            arousal: self.arousal_limit,
            strength: self.strength_limit,
        }
    }

    fn validate_limits(&self) -> Result<(), EmotionError> {
        for (field, value, low, of) in [
            (
                "valence_limit",
                self.valence_limit,
                self.baseline_valence.abs(),
                "the absolute baseline_valence",
            ),
            (
                "arousal_limit",
                self.arousal_limit,
                self.baseline_arousal,
                "baseline_arousal",
            ),
            (
                "strength_limit",
                self.strength_limit,
                self.steering_strength,
                "steering_strength",
            ),
        ] {
            if value < low {
                return Err(EmotionError::OutOfRange {
                    field,
                    value,
                    limit: format!("at least {low} ({of})").into(),
                });
            }
        }
        Ok(())
    }
}

/// The version of what names none.
fn unnumbered() -> u32 {
    SYSTEM
}

/// Leaves out what was not there, so that old records stay as they are written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_unnumbered(dynamics: &u32) -> bool {
    *dynamics == SYSTEM
}

/// Checks a steering strength, in [0, 3].
pub(super) fn check_strength(strength: f64) -> Result<f64, EmotionError> {
    const STRENGTH: Range = Range::of("steering_strength");
    STRENGTH.check(strength)
}

fn at_most(field: &'static str, value: usize, most: usize, name: &str) -> Result<(), EmotionError> {
    if value <= most {
        return Ok(());
    }
    Err(EmotionError::OutOfRange {
        field,
        value: value as f64,
        limit: format!("at most {most} ({name})").into(),
    })
}
