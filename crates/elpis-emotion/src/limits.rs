//! Safety limits: how far a mood may go, and how fast events may come.
//!
//! Strong moods change what a model is willing to say; raised arousal in particular reduces its
//! refusals. A ceiling bounds the state itself, so that sampling, steering and all reports stay
//! within it.

use serde::{Deserialize, Serialize};

use super::error::EmotionError;
use super::ranges::Range;
use super::state::EmotionalState;

/// Seconds over which the events of a session are counted.
const RATE_SECONDS: f64 = 60.0;

const VALENCE: Range = Range::of("valence_limit");
const AROUSAL: Range = Range::of("arousal_limit");
const STRENGTH: Range = Range::of("strength_limit");

/// Ceilings on a session's mood.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SafetyLimits {
    /// Largest absolute valence, in [0, 1].
    pub valence: f64,
    /// Largest arousal, in [0, 1].
    pub arousal: f64,
    /// Largest steering strength, in [0, 3].
    pub strength: f64,
}

impl Default for SafetyLimits {
    /// The whole plane, and every strength.
    fn default() -> Self {
        Self {
            valence: 1.0,
            arousal: 1.0,
            strength: 3.0,
        }
    }
}

impl SafetyLimits {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), EmotionError> {
        VALENCE.check(self.valence)?;
        AROUSAL.check(self.arousal)?;
        STRENGTH.check(self.strength)?;
        Ok(())
    }

    /// The tighter of the two in each field.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        Self {
            valence: self.valence.min(other.valence),
            arousal: self.arousal.min(other.arousal),
            strength: self.strength.min(other.strength),
        }
    }

    /// The nearest state within the limits.
    pub(super) fn within(&self, state: EmotionalState) -> EmotionalState {
        EmotionalState::clamped(
            state.valence().clamp(-self.valence, self.valence),
            state.arousal().min(self.arousal),
        )
    }
}

/// A limit that bounds a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SafetyLimit {
    /// The ceiling on the absolute valence.
    Valence,
    /// The ceiling on the arousal.
    Arousal,
    /// The ceiling on the steering strength.
    Strength,
    /// The number of events per minute.
    EventRate,
    /// The damping of spirals.
    Spiral,
    /// The change that texts may cause in one turn.
    Appraisal,
}

names!(SafetyLimit {
    Valence = "valence",
    Arousal = "arousal",
    Strength = "strength",
    EventRate = "event_rate",
    Spiral = "spiral",
    Appraisal = "appraisal",
});

/// The events that a session may still send: a token bucket that holds a minute's worth and fills
/// evenly, so that no minute has more than twice the limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EventBudget {
    spent: f64,
    at: f64,
}

impl EventBudget {
    /// Takes an event from the budget, if one is left at this time.
    pub fn take(&mut self, now: f64, per_minute: u32) -> bool {
        let limit = f64::from(per_minute);
        let refilled = (now - self.at).max(0.0) * limit / RATE_SECONDS;
        let spent = (self.spent - refilled).max(0.0);
        if spent + 1.0 > limit {
            return false;
        }
        self.spent = spent + 1.0;
        self.at = self.at.max(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_fills_again() {
        let mut budget = EventBudget::default();
        let taken = (0..10).filter(|_| budget.take(100.0, 6)).count();
        assert_eq!(taken, 6);
        assert!(!budget.take(109.0, 6));
        assert!(budget.take(110.0, 6) && !budget.take(110.0, 6));
        // Time that runs backwards adds nothing.
        assert!(!budget.take(0.0, 6));
        let taken = (0..10).filter(|_| budget.take(1000.0, 6)).count();
        assert_eq!(taken, 6);
        assert!(!EventBudget::default().take(1e9, 0));
    }

    #[test]
    fn the_tighter_limit_counts() {
        let model = SafetyLimits {
            arousal: 0.5,
            ..SafetyLimits::default()
        };
        let session = SafetyLimits {
            valence: 0.25,
            arousal: 0.75,
            strength: 1.0,
        };
        let both = model.tightest(session);
        assert_eq!(
            (both.valence, both.arousal, both.strength),
            (0.25, 0.5, 1.0)
        );
        let far = EmotionalState::clamped(-0.9, 0.9);
        let near = both.within(far);
        assert_eq!((near.valence(), near.arousal()), (-0.25, 0.5));
        let calm = EmotionalState::clamped(0.2, -1.0);
        assert_eq!(both.within(calm), calm);
    }
}
