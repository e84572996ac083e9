//! The rules that strengthen or weaken an event.

use super::EmotionTracker;
use crate::error::EmotionError;
use crate::event::{EmotionEvent, MAX_INTENSITY};
use crate::state::EmotionalState;
use crate::trajectory::{Momentum, Spiral};

/// Factor on an event along the momentum.
const ALIGNED_FACTOR: f64 = 1.1;

/// Smallest factor on an event against the momentum.
const OPPOSED_FLOOR: f64 = 0.6;

/// Halvings in the search for the strongest event within a bound.
const BOUND_STEPS: u32 = 24;

impl EmotionTracker {
    /// Weakens the event until it changes valence and arousal each by at most `bound` when applied
    /// at a time; `None` if even its weakest form goes further.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn bounded(
        &self,
        event: &EmotionEvent,
        at: f64,
        bound: f64,
    ) -> Result<Option<EmotionEvent>, EmotionError> {
        let fits = |event: &EmotionEvent| {
            let applied = self.clone().apply(event, at)?;
            Ok::<_, EmotionError>(applied.way() <= bound)
        };
        if fits(event)? {
            return Ok(Some(event.clone()));
        }
        let (mut low, mut high) = (0.0, event.intensity().min(MAX_INTENSITY));
        // Streaks and clamps make the effect nonlinear in the intensity, but it stays monotonic.
        for _ in 0..BOUND_STEPS {
            let middle = f64::midpoint(low, high);
            if fits(&event.clone().with_intensity(middle)?)? {
                low = middle;
            } else {
                high = middle;
            }
        }
        let weaker = event.clone().with_intensity(low)?;
        Ok((low > 0.0 && fits(&weaker)?).then_some(weaker))
    }

    pub(super) fn inertia(&self, shift_valence: f64, at: f64) -> f64 {
        let trajectory = self.trajectory_at(at);
        if trajectory.momentum == Momentum::Neutral {
            return 1.0;
        }
        if (shift_valence > 0.0) == (trajectory.momentum == Momentum::Positive) {
            return ALIGNED_FACTOR;
        }
        let pull = (2.0 * trajectory.valence_velocity.abs()).min(1.0);
        (1.0 - self.config.mood_inertia_resistance * pull).max(OPPOSED_FLOOR)
    }

    /// The factor on an event that leads away from the baseline during a spiral.
    pub(super) fn spiral_damping(&self, before: EmotionalState, shift: (f64, f64)) -> f64 {
        let damping = self.config.spiral_damping;
        if damping >= 1.0 || self.spiral() == Spiral::None {
            return 1.0;
        }
        let baseline = self.config.baseline();
        let after = EmotionalState::clamped(before.valence() + shift.0, before.arousal() + shift.1);
        let away = |state: EmotionalState| state.distance_under(self.config.dynamics, baseline);
        if away(after) > away(before) {
            damping
        } else {
            1.0
        }
    }
}

/// The factor, unless it is 1.
pub(super) fn changed(factor: f64) -> Option<f64> {
    ((factor - 1.0).abs() > 0.0).then_some(factor)
}
