//! The effect of an event on a state, and the rules that acted.

use serde::{Deserialize, Serialize};

use crate::limits::SafetyLimit;
use crate::state::EmotionalState;

/// The effect of an event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppliedEvent {
    /// Time that the event counted at, in seconds.
    pub at: f64,
    /// The state just before the event, decayed to its time.
    pub before: EmotionalState,
    /// The state just after the event.
    pub after: EmotionalState,
    /// The intensity after all rules, in [0, 2.2].
    pub intensity: f64,
    /// Shift of the valence after `max_delta`, before the edge of the plane.
    pub delta_valence: f64,
    /// Shift of the arousal after `max_delta`, before the edge of the plane.
    pub delta_arousal: f64,
    /// The rules that acted.
    pub rules: AppliedRules,
    /// Whether the given time was before the last event, and counted as that event's time.
    pub time_clamped: bool,
}

impl AppliedEvent {
    /// The larger of the changes of valence and arousal, in [0, 2].
    pub fn way(&self) -> f64 {
        let valence = self.after.valence() - self.before.valence();
        let arousal = self.after.arousal() - self.before.arousal();
        valence.abs().max(arousal.abs())
    }
}

/// The rules that changed an event's effect; `None` and `false` if they changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppliedRules {
    /// Factor of the streak, in [0.5, 2].
    pub streak: Option<f64>,
    /// Factor of the inertia, in [0.6, 1.1].
    pub inertia: Option<f64>,
    /// The intensity was clamped to 2, as given or after the streak.
    pub intensity_clamped: bool,
    /// A shift was clamped to ±`max_delta`.
    pub delta_clamped: bool,
    /// The state reached the edge of the plane.
    pub state_clamped: bool,
    /// Factor of [`EmotionConfig::spiral_damping`](crate::EmotionConfig::spiral_damping), in [0, 1).
    #[serde(default)]
    pub spiral: Option<f64>,
    /// The ceiling on the absolute valence acted.
    #[serde(default)]
    pub valence_limited: bool,
    /// The ceiling on the arousal acted.
    #[serde(default)]
    pub arousal_limited: bool,
}

impl AppliedRules {
    /// The safety limits that acted.
    pub fn safety_limits(&self) -> impl Iterator<Item = SafetyLimit> {
        let acted = [
            (self.valence_limited, SafetyLimit::Valence),
            (self.arousal_limited, SafetyLimit::Arousal),
            (self.spiral.is_some(), SafetyLimit::Spiral),
        ];
        acted
            .into_iter()
            .filter_map(|(acted, limit)| acted.then_some(limit))
    }
}
