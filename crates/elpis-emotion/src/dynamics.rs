//! Exact decay of the state toward the baseline.
//!
//! The path is the straight line from the state to the baseline: `x(s) = b + (x₀ − b)·s` with `s`
//! falling from 1 to 0 by `ds/dt = −k·s`, where `k` is the decay rate times the multiplier of the
//! quadrant that the path is in. Within a quadrant `s` shrinks by `e^(−k·t)`, and it takes
//! `ln(s₁/s₂)/k` seconds from `s₁` to `s₂`. The line crosses each axis at most once, so at most
//! three such pieces give the state at any time in closed form.

use super::arithmetic::{exp, log};
use super::config::EmotionConfig;
use super::state::{EmotionalState, Quadrant};

/// A state that decayed to an axis may be off by a few rounding errors. A crossing this near counts
/// as made; two crossings this near to each other count as one.
const ROUNDING: f64 = 32.0 * f64::EPSILON;

/// Returns the state after `seconds` without events.
///
/// With rate `k = decay_rate · multiplier(quadrant)` per second, the distance from the baseline is
/// multiplied by `e^(−∫k dt)`. `decay(decay(x, t₁), t₂)` equals `decay(x, t₁ + t₂)` up to rounding.
/// A time that is NaN, zero or negative leaves the state unchanged. `config` is expected to be
/// valid ([`EmotionConfig::validate`]). Under version 2 of the dynamics the result has the same
/// bits on every processor.
pub fn decay(state: EmotionalState, config: &EmotionConfig, seconds: f64) -> EmotionalState {
    if seconds.is_nan() || seconds <= 0.0 {
        return state;
    }
    let mut left = seconds.min(f64::MAX);
    let mut valence = Axis::new(state.valence(), config.baseline_valence);
    let mut arousal = Axis::new(state.arousal(), config.baseline_arousal);
    let mut scale = 1.0;
    loop {
        let quadrant = Quadrant::from_sides(valence.positive, arousal.positive);
        let rate = config.decay_rate * config.decay_multiplier(quadrant);
        if rate <= 0.0 {
            break;
        }
        let next = valence.crossing.max(arousal.crossing);
        let needed = if next > 0.0 {
            log(config.dynamics, scale / next) / rate
        } else {
            f64::INFINITY
        };
        if left < needed {
            scale *= exp(config.dynamics, -rate * left);
            break;
        }
        left -= needed;
        scale = next;
        valence.cross(next);
        arousal.cross(next);
    }
    EmotionalState::clamped(valence.at(scale), arousal.at(scale))
}

/// One coordinate of the path.
struct Axis {
    start: f64,
    baseline: f64,
    /// The side that the path runs on, from `scale` on.
    positive: bool,
    /// The scale at which the path will cross zero; 0 if it will not.
    crossing: f64,
    /// The scale at which the path crossed zero, if it did.
    crossed: Option<f64>,
}

impl Axis {
    fn new(start: f64, baseline: f64) -> Self {
        let positive = start >= 0.0;
        let crossing = if positive == (baseline >= 0.0) {
            0.0
        } else {
            baseline / (baseline - start)
        };
        let mut axis = Self {
            start,
            baseline,
            positive,
            crossing,
            crossed: None,
        };
        if crossing >= 1.0 - ROUNDING {
            axis.positive = !positive;
            axis.crossing = 0.0;
        }
        axis
    }

    fn cross(&mut self, scale: f64) {
        if self.crossing > 0.0 && self.crossing >= scale * (1.0 - ROUNDING) {
            self.positive = !self.positive;
            self.crossing = 0.0;
            self.crossed = Some(scale);
        }
    }

    fn at(&self, scale: f64) -> f64 {
        if scale >= 1.0 {
            self.start
        } else if self.crossed.is_some_and(|crossed| crossed <= scale) {
            // Exactly on the axis. A sum would leave a rounding error of either sign.
            0.0
        } else {
            self.baseline + (self.start - self.baseline) * scale
        }
    }
}
