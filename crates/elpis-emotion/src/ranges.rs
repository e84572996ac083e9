//! The range of each number of an [`EmotionConfig`](crate::EmotionConfig): one table for its own check, the settings and
//! their reference.

use super::arithmetic::DYNAMICS;
use super::error::EmotionError;

/// A streak's effect saturates after `1/factor` events, so this bounds the times that a tracker
/// has to remember for an exact result: 101 for each of eight events.
pub const MIN_STREAK_FACTOR: f64 = 0.01;

/// The range of a field; what fields must be to each other is not in it.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The name of the field.
    pub field: &'static str,
    /// The least value.
    pub min: f64,
    /// Infinite where there is no bound.
    pub max: f64,
    /// Whether 0 is allowed as well, which then turns something off.
    pub or_zero: bool,
}

impl Range {
    /// The range of a field. In a constant, the program does not compile if the field has none.
    ///
    /// # Panics
    /// If no number of [`EmotionConfig`](crate::EmotionConfig) has this name.
    pub const fn of(field: &str) -> Self {
        let mut at = 0;
        while at < RANGES.len() {
            if same(RANGES[at].field.as_bytes(), field.as_bytes()) {
                return RANGES[at];
            }
            at += 1;
        }
        panic!("a number without a range");
    }

    /// Checks a value of this field.
    pub(super) fn check(&self, value: f64) -> Result<f64, EmotionError> {
        let within = (self.min..=self.max).contains(&value) && value.is_finite();
        if within || (self.or_zero && value == 0.0) {
            return Ok(value);
        }
        let (min, max) = (self.min, self.max);
        let limit = match (self.or_zero, max.is_finite()) {
            (false, true) => format!("in {min}..={max}"),
            (false, false) => format!("at least {min}"),
            (true, _) => format!("0 or in {min}..={max}"),
        };
        Err(EmotionError::OutOfRange {
            field: self.field,
            value,
            limit: limit.into(),
        })
    }
}

pub(super) const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Most points of a trajectory's history.
const MAX_POINTS: f64 = 1024.0;

/// Largest threshold that counts calls.
const MAX_CALLS: f64 = 1000.0;

/// Shortest and longest period of the behaviour monitor, in seconds.
const MIN: f64 = 0.001;
const MAX: f64 = 86_400.0;

macro_rules! ranges {
    ($( $field:ident: $min:expr, $max:expr $(, $zero:ident)?; )+) => {
        &[$(Range {
            field: stringify!($field),
            min: $min,
            max: $max,
            or_zero: ranges!(@zero $($zero)?),
        }),+]
    };
    (@zero) => { false };
    (@zero or_zero) => { true };
}

pub(super) const RANGES: &[Range] = ranges! {
    dynamics: 1.0, DYNAMICS as f64;
    baseline_valence: -1.0, 1.0;
    baseline_arousal: -1.0, 1.0;
    decay_rate: 0.0, 100.0;
    max_delta: 0.0, 2.0;
    appraisal_max_delta: 0.0, 2.0;
    momentum_positive_threshold: 0.0, 1.0;
    momentum_negative_threshold: -1.0, 0.0;
    trend_improving_threshold: 0.0, 1.0;
    trend_declining_threshold: -1.0, 0.0;
    mood_inertia_resistance: 0.0, 1.0;
    decay_multiplier_excited: 0.0, 10.0;
    decay_multiplier_frustrated: 0.0, 10.0;
    decay_multiplier_calm: 0.0, 10.0;
    decay_multiplier_depleted: 0.0, 10.0;
    spiral_damping: 0.0, 1.0;
    neutral_radius: 0.0, 1.0;
    response_analysis_threshold: 0.0, 1.0;
    long_generation_seconds: MIN, MAX;
    long_generation_factor: 1.0, 1000.0;
    idle_period_seconds: MIN, MAX;
    steering_strength: 0.0, 3.0;
    valence_limit: 0.0, 1.0;
    arousal_limit: 0.0, 1.0;
    strength_limit: 0.0, 3.0;
    events_per_minute: 1.0, f64::INFINITY;
    streak_compounding_factor: MIN_STREAK_FACTOR, 1.0, or_zero;
    trajectory_history_size: 2.0, MAX_POINTS;
    spiral_history_count: 2.0, MAX_POINTS;
    spiral_increasing_threshold: 1.0, MAX_POINTS - 1.0;
    retry_loop_threshold: 2.0, MAX_CALLS;
    failure_streak_threshold: 1.0, MAX_CALLS;
};
