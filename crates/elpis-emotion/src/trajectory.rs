//! The trend of the emotional state.

use serde::{Deserialize, Serialize};

use super::config::EmotionConfig;
use super::state::EmotionalState;

/// Number of latest points that velocities are fitted to.
const VELOCITY_POINTS: usize = 10;

/// Denominator of the fit below which the time axis is degenerate, in minutes squared.
const DEGENERATE: f64 = 1e-10;

/// Change below which a spiral's direction is read from its end point.
const SMALL_CHANGE: f64 = 0.05;

/// The state just after an event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HistoryPoint {
    /// Time of the event, in seconds.
    pub at: f64,
    /// The state after it.
    pub state: EmotionalState,
}

/// The trend of a state, from the points just after the latest events.
///
/// With fewer than two points all is neutral: zeros, stable, neutral, none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trajectory {
    /// Least-squares slope of the valence over the last ten points, per minute, in [-1, 1].
    pub valence_velocity: f64,
    /// Least-squares slope of the arousal over the last ten points, per minute, in [-1, 1].
    pub arousal_velocity: f64,
    /// The course of the valence.
    pub trend: Trend,
    /// The direction of the valence.
    pub momentum: Momentum,
    /// Whether and where the state keeps leaving the baseline.
    pub spiral: Spiral,
    /// Seconds since the event that last changed the quadrant, as seen just after each event;
    /// decay between events does not count as a change. It may reach back beyond the history.
    pub time_in_quadrant: f64,
}

/// The course of the valence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    /// Rising.
    Improving,
    /// Falling.
    Declining,
    /// Neither rising nor falling.
    #[default]
    Stable,
    /// Up and down at each of the last three events.
    Oscillating,
}

names!(Trend {
    Improving = "improving",
    Declining = "declining",
    Stable = "stable",
    Oscillating = "oscillating",
});

/// The direction of the valence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Momentum {
    /// Rising.
    Positive,
    /// Falling.
    Negative,
    /// Neither.
    #[default]
    Neutral,
}

names!(Momentum { Positive = "positive", Negative = "negative", Neutral = "neutral" });

/// The direction in which the state keeps leaving the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spiral {
    /// It does not.
    #[default]
    None,
    /// Toward higher valence.
    Positive,
    /// Toward lower valence.
    Negative,
    /// Toward higher arousal.
    Escalating,
    /// Toward lower arousal.
    Withdrawing,
}

names!(Spiral {
    None = "none",
    Positive = "positive",
    Negative = "negative",
    Escalating = "escalating",
    Withdrawing = "withdrawing",
});

impl Trajectory {
    /// Computes the trajectory at time `now` (seconds) from points in order of time.
    ///
    /// Velocities are slopes of a least-squares line over time in minutes; they are 0 if
    /// `n·Σ(t − t̄)²` is below 1e-10 min².
    ///
    /// `quadrant_since` is the time of the event after which the quadrant of the points last
    /// changed. That point may no longer be in the history.
    pub fn from_history(
        points: &[HistoryPoint],
        quadrant_since: f64,
        config: &EmotionConfig,
        now: f64,
    ) -> Self {
        if points.len() < 2 {
            return Self::default();
        }
        let valence_velocity = velocity(points, EmotionalState::valence);
        let arousal_velocity = velocity(points, EmotionalState::arousal);
        let momentum = if valence_velocity > config.momentum_positive_threshold {
            Momentum::Positive
        } else if valence_velocity < config.momentum_negative_threshold {
            Momentum::Negative
        } else {
            Momentum::Neutral
        };
        let trend = if oscillates(points) {
            Trend::Oscillating
        } else if valence_velocity > config.trend_improving_threshold {
            Trend::Improving
        } else if valence_velocity < config.trend_declining_threshold {
            Trend::Declining
        } else {
            Trend::Stable
        };
        Self {
            valence_velocity,
            arousal_velocity,
            trend,
            momentum,
            spiral: Spiral::of(points, config),
            time_in_quadrant: (now - quadrant_since).max(0.0),
        }
    }
}

fn velocity(points: &[HistoryPoint], value: fn(EmotionalState) -> f64) -> f64 {
    let points = &points[points.len().saturating_sub(VELOCITY_POINTS)..];
    let Some(first) = points.first() else {
        return 0.0;
    };
    let n = points.len() as f64;
    let minutes = |point: &HistoryPoint| (point.at - first.at) / 60.0;
    let mean_time = points.iter().map(minutes).sum::<f64>() / n;
    let mean_value = points.iter().map(|point| value(point.state)).sum::<f64>() / n;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for point in points {
        let offset = minutes(point) - mean_time;
        covariance += offset * (value(point.state) - mean_value);
        variance += offset * offset;
    }
    if n * variance < DEGENERATE {
        return 0.0;
    }
    (covariance / variance).clamp(-1.0, 1.0)
}

fn oscillates(points: &[HistoryPoint]) -> bool {
    let Some([a, b, c, d]) = points.last_chunk::<4>() else {
        return false;
    };
    let rises =
        |from: &HistoryPoint, to: &HistoryPoint| to.state.valence() - from.state.valence() > 0.0;
    rises(a, b) != rises(b, c) && rises(b, c) != rises(c, d)
}

fn direction(valence: f64, arousal: f64, by_valence: bool) -> Spiral {
    match (by_valence, valence > 0.0, arousal > 0.0) {
        (true, true, _) => Spiral::Positive,
        (true, false, _) => Spiral::Negative,
        (false, _, true) => Spiral::Escalating,
        (false, _, false) => Spiral::Withdrawing,
    }
}

impl Spiral {
    /// The spiral in the latest points.
    pub(super) fn of(points: &[HistoryPoint], config: &EmotionConfig) -> Self {
        let Some(start) = points.len().checked_sub(config.spiral_history_count) else {
            return Self::None;
        };
        let points = &points[start..];
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Self::None;
        };
        let baseline = config.baseline();
        let away = |point: &HistoryPoint| point.state.distance_under(config.dynamics, baseline);
        let leaving = points
            .windows(2)
            .filter(|pair| away(&pair[1]) > away(&pair[0]))
            .count();
        if leaving < config.spiral_increasing_threshold {
            return Self::None;
        }
        let from = |origin: EmotionalState| {
            (
                last.state.valence() - origin.valence(),
                last.state.arousal() - origin.arousal(),
            )
        };
        let (valence, arousal) = from(first.state);
        if valence.abs() < SMALL_CHANGE && arousal.abs() < SMALL_CHANGE {
            let (valence, arousal) = from(baseline);
            return direction(valence, arousal, valence.abs() > arousal.abs());
        }
        direction(valence, arousal, valence.abs() >= arousal.abs())
    }
}
