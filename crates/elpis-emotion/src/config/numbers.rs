//! The numbers of a configuration, each against its range.

use super::EmotionConfig;
use crate::error::EmotionError;
use crate::ranges::{RANGES, same};

/// Checks every number against its range, in the order of the table.
pub(super) fn check(config: &EmotionConfig) -> Result<(), EmotionError> {
    let values = NUMBERS.iter().map(|(_, value)| value(config));
    RANGES
        .iter()
        .zip(values)
        .try_for_each(|(range, value)| match value {
            Some(value) => range.check(value).map(drop),
            None => Ok(()),
        })
}

/// A number as the table sees it; `None` where none is set.
trait Number {
    fn number(self) -> Option<f64>;
}

impl Number for f64 {
    fn number(self) -> Option<f64> {
        Some(self)
    }
}

impl Number for usize {
    fn number(self) -> Option<f64> {
        Some(self as f64)
    }
}

impl Number for u32 {
    fn number(self) -> Option<f64> {
        Some(f64::from(self))
    }
}

impl Number for Option<u32> {
    fn number(self) -> Option<f64> {
        self.map(f64::from)
    }
}

/// A field with its number, where one is set.
type Row = (&'static str, fn(&EmotionConfig) -> Option<f64>);

macro_rules! numbers {
    ($($field:ident),+ $(,)?) => {
        &[$((stringify!($field), |config| config.$field.number())),+]
    };
}

/// In the order of [`RANGES`].
const NUMBERS: &[Row] = numbers![
    dynamics,
    baseline_valence,
    baseline_arousal,
    decay_rate,
    max_delta,
    appraisal_max_delta,
    momentum_positive_threshold,
    momentum_negative_threshold,
    trend_improving_threshold,
    trend_declining_threshold,
    mood_inertia_resistance,
    decay_multiplier_excited,
    decay_multiplier_frustrated,
    decay_multiplier_calm,
    decay_multiplier_depleted,
    spiral_damping,
    neutral_radius,
    response_analysis_threshold,
    long_generation_seconds,
    long_generation_factor,
    idle_period_seconds,
    steering_strength,
    valence_limit,
    arousal_limit,
    strength_limit,
    events_per_minute,
    streak_compounding_factor,
    trajectory_history_size,
    spiral_history_count,
    spiral_increasing_threshold,
    retry_loop_threshold,
    failure_streak_threshold,
];

/// The program does not compile if a range has no number, or another one.
const _: () = {
    assert!(NUMBERS.len() == RANGES.len());
    let mut at = 0;
    while at < RANGES.len() {
        assert!(same(NUMBERS[at].0.as_bytes(), RANGES[at].field.as_bytes()));
        at += 1;
    }
};
