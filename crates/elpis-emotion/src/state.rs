//! The valence–arousal plane and its quadrants.

use serde::{Deserialize, Serialize};

use super::arithmetic::{self, DYNAMICS};
use super::error::{EmotionError, in_range};

/// Largest magnitude of a time, in seconds (about 31,700 years).
pub const MAX_TIME_SECONDS: f64 = 1e12;

/// A point on the valence–arousal plane (Russell's circumplex), both in [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "RawState")]
pub struct EmotionalState {
    valence: f64,
    arousal: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawState {
    valence: f64,
    arousal: f64,
}

impl TryFrom<RawState> for EmotionalState {
    type Error = EmotionError;

    fn try_from(raw: RawState) -> Result<Self, EmotionError> {
        Self::new(raw.valence, raw.arousal)
    }
}

impl EmotionalState {
    /// Creates a state.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if a value is NaN or outside [-1, 1].
    pub fn new(valence: f64, arousal: f64) -> Result<Self, EmotionError> {
        Ok(Self {
            valence: in_range("valence", valence, -1.0, 1.0)?,
            arousal: in_range("arousal", arousal, -1.0, 1.0)?,
        })
    }

    /// Creates a state from finite values, clamped to the plane.
    pub(super) fn clamped(valence: f64, arousal: f64) -> Self {
        Self {
            valence: valence.clamp(-1.0, 1.0),
            arousal: arousal.clamp(-1.0, 1.0),
        }
    }

    /// Pleasantness, in [-1, 1].
    pub fn valence(self) -> f64 {
        self.valence
    }

    /// Activation, in [-1, 1].
    pub fn arousal(self) -> f64 {
        self.arousal
    }

    /// The quadrant that the state lies in; an axis belongs to its positive side.
    pub fn quadrant(self) -> Quadrant {
        Quadrant::from_sides(self.valence >= 0.0, self.arousal >= 0.0)
    }

    /// Euclidean distance on the plane, in [0, 2√2].
    pub fn distance(self, other: Self) -> f64 {
        self.distance_under(DYNAMICS, other)
    }

    /// The distance as a version of the dynamics computes it.
    pub(super) fn distance_under(self, dynamics: u32, other: Self) -> f64 {
        let (valence, arousal) = (self.valence - other.valence, self.arousal - other.arousal);
        arithmetic::hypot(dynamics, valence, arousal)
    }
}

/// A quadrant of the plane, named by its base emotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quadrant {
    /// Valence ≥ 0, arousal ≥ 0.
    Excited,
    /// Valence < 0, arousal ≥ 0.
    Frustrated,
    /// Valence ≥ 0, arousal < 0.
    Calm,
    /// Valence < 0, arousal < 0.
    Depleted,
}

names!(Quadrant {
    Excited = "excited",
    Frustrated = "frustrated",
    Calm = "calm",
    Depleted = "depleted",
});

impl Quadrant {
    pub(super) fn from_sides(valence_positive: bool, arousal_positive: bool) -> Self {
        match (valence_positive, arousal_positive) {
            (true, true) => Self::Excited,
            (false, true) => Self::Frustrated,
            (true, false) => Self::Calm,
            (false, false) => Self::Depleted,
        }
    }

    /// The outer corner of the quadrant, where its base emotion is purest: (valence, arousal).
    pub fn corner(self) -> (f64, f64) {
        match self {
            Self::Excited => (1.0, 1.0),
            Self::Frustrated => (-1.0, 1.0),
            Self::Calm => (1.0, -1.0),
            Self::Depleted => (-1.0, -1.0),
        }
    }
}

/// The name of a state: its quadrant, or neutral near the baseline.
///
/// It is meant for people, logs and metrics. Generations are affected by the point on the plane.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    /// Within [`EmotionConfig::neutral_radius`](super::EmotionConfig::neutral_radius) of the
    /// baseline.
    #[default]
    Neutral,
    /// Beyond it, with valence ≥ 0 and arousal ≥ 0.
    Excited,
    /// Beyond it, with valence < 0 and arousal ≥ 0.
    Frustrated,
    /// Beyond it, with valence ≥ 0 and arousal < 0.
    Calm,
    /// Beyond it, with valence < 0 and arousal < 0.
    Depleted,
}

names!(Mood {
    Neutral = "neutral",
    Excited = "excited",
    Frustrated = "frustrated",
    Calm = "calm",
    Depleted = "depleted",
});

impl From<Quadrant> for Mood {
    fn from(quadrant: Quadrant) -> Self {
        match quadrant {
            Quadrant::Excited => Self::Excited,
            Quadrant::Frustrated => Self::Frustrated,
            Quadrant::Calm => Self::Calm,
            Quadrant::Depleted => Self::Depleted,
        }
    }
}

/// Checks a time in seconds.
pub(super) fn check_time(field: &'static str, at: f64) -> Result<f64, EmotionError> {
    if at.abs() <= MAX_TIME_SECONDS {
        return Ok(at);
    }
    Err(EmotionError::OutOfRange {
        field,
        value: at,
        limit: "finite and within ±1e12 seconds".into(),
    })
}
