//! Settings of the emotional dynamics.

mod events;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arithmetic::SYSTEM;
use super::declared::{self, DeclaredEvent};
use super::error::EmotionError;
use super::limits::SafetyLimits;
use super::ranges::{MIN_STREAK_FACTOR, Range};
use super::state::{EmotionalState, Mood, Quadrant};

/// The appraiser that reads feelings from texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppraiserChoice {
    /// A sentiment lexicon with negation, and phrases for the outcomes of tasks.
    #[default]
    Lexicon,
    /// What replies express in the model's residual stream, if the steering vectors have axes to
    /// read by; messages, and replies that were not read, as with `lexicon`.
    Expressed,
    /// The word lists of the reference implementation, where a single word is enough.
    Reference,
}

names!(AppraiserChoice { Lexicon = "lexicon", Expressed = "expressed", Reference = "reference" });

/// Declares the configuration.
macro_rules! config {
    ($(
        $(#[doc = $doc:literal])+ $name:ident : $ty:ty = $default:expr
        $(, in [$min:expr, $max:expr $(, $zero:ident)?] $(as $Unit:ident $key:literal)?)? $(, unset $unset:literal)?
        $(, serde $serde:tt)?;
    )+) => {
        /// Settings of the emotional dynamics, as read from `ELPIS_EMOTION_*` or TOML.
        ///
        /// In code, start with the default and set the fields that differ:
        /// `EmotionConfig::default().decay_rate(0.01)`. In a file, missing fields take their
        /// defaults, except [`dynamics`](Self::dynamics), which is then 1. Unknown fields are
        /// refused.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct EmotionConfig {
            $(
                $(#[doc = $doc])+
                ///
                #[doc = concat!(
                    "By default `", stringify!($default), "`"
                    $(, "; from `", stringify!($min), "` to `", stringify!($max), "`")?, "."
                )]
                $(#[serde $serde])?
                pub $name: $ty,
            )+
        }

        impl Default for EmotionConfig {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl EmotionConfig {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, value: $ty) -> Self {
                    self.$name = value;
                    self
                }
            )+

            /// Checks every number against its range, in the order of the fields.
            fn check_numbers(&self) -> Result<(), EmotionError> {
                $($(
                    const { Range::new(config!(@key $name $($key)?), $min, $max, config!(@zero $($zero)?)) }
                        .check_number(self.$name)?;
                )?)+
                Ok(())
            }
        }
    };
    (@key $name:ident) => { stringify!($name) };
    (@key $name:ident $key:literal) => { $key };
    (@zero) => { false };
    (@zero or_zero) => { true };
}
emotion_fields!(config);

impl EmotionConfig {
    /// Checks every field against its range, and against the others.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] with the first field that is out of range, its value and the
    /// limit.
    pub fn validate(&self) -> Result<(), EmotionError> {
        self.check_numbers()?;
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

    /// The mood of a state: neutral within [`neutral_radius`](Self::neutral_radius) of the
    /// baseline, otherwise its quadrant.
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

/// The version of records without a version number.
fn unnumbered() -> u32 {
    SYSTEM
}

/// Omits the version of records that had none, so that old records are written unchanged.
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
