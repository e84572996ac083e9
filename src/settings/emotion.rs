//! `[emotion]`: the table rows of [`EmotionConfig`], which the emotion layer owns.
//!
//! The ranges are those that hold for one field alone; what fields must be to each other is the business of
//! [`EmotionConfig::validate`].

use super::schema::{above, at_least, between, table};
use crate::emotion::EmotionConfig;

table! {
    Emotion, emotion, "emotion", EmotionConfig;

    /// Valence that a state decays toward.
    baseline_valence: f64, in between(-1.0, 1.0);
    /// Arousal that a state decays toward.
    baseline_arousal: f64, in between(-1.0, 1.0);
    /// Rate of the decay toward the baseline, per second.
    decay_rate: f64, in at_least(0.0);
    /// Largest change of valence or arousal that one event may make.
    max_delta: f64, in between(0.0, 2.0);
    /// Factor on all steering coefficients.
    steering_strength: f64, in between(0.0, 3.0);
    /// States that the trajectory is computed from.
    trajectory_history_size: usize, in between(1.0, 1_000_000.0);
    /// Valence velocity, per minute, above which momentum is positive.
    momentum_positive_threshold: f64, in between(-1.0, 1.0);
    /// Valence velocity, per minute, below which momentum is negative.
    momentum_negative_threshold: f64, in between(-1.0, 1.0);
    /// Valence velocity, per minute, above which the trend is improving.
    trend_improving_threshold: f64, in between(-1.0, 1.0);
    /// Valence velocity, per minute, below which the trend is declining.
    trend_declining_threshold: f64, in between(-1.0, 1.0);
    /// States that are looked at for a spiral.
    spiral_history_count: usize, in between(1.0, 1_000_000.0);
    /// Steps away from the baseline, among these states, that make a spiral.
    spiral_increasing_threshold: usize, in between(1.0, 1_000_000.0);
    /// Whether repeated failures weigh more and repeated successes less.
    streak_compounding_enabled: bool;
    /// How much each repetition adds to or takes from an event's intensity.
    streak_compounding_factor: f64, in between(0.0, 2.0);
    /// Whether a mood resists events that go against it.
    mood_inertia_enabled: bool;
    /// How strongly a mood resists events that go against it.
    mood_inertia_resistance: f64, in between(0.0, 1.0);
    /// Factor on the decay rate while excited.
    decay_multiplier_excited: f64, in at_least(0.0);
    /// Factor on the decay rate while frustrated.
    decay_multiplier_frustrated: f64, in at_least(0.0);
    /// Factor on the decay rate while calm.
    decay_multiplier_calm: f64, in at_least(0.0);
    /// Factor on the decay rate while depleted.
    decay_multiplier_depleted: f64, in at_least(0.0);
    /// Ceiling on the absolute valence of every session.
    valence_limit: f64, in between(0.0, 1.0);
    /// Ceiling on the arousal of every session; raised arousal lowers a model's refusals.
    arousal_limit: f64, in between(0.0, 1.0);
    /// Ceiling on the steering strength of every session.
    strength_limit: f64, in between(0.0, 3.0);
    /// Events that one session may send in a minute; more are refused.
    events_per_minute: Option<u32>, in at_least(1.0), unset "no limit";
    /// Factor on events that drive a spiral on; 1 damps nothing, 0 stops it.
    spiral_damping: f64, in between(0.0, 1.0);
    /// Score from which a reply's own words count as an event.
    response_analysis_threshold: f64, in between(0.0, 1.0);
    /// Whether the model's replies are read for feelings, which the session then feels.
    response_analysis_enabled: bool;
    /// Whether the user's messages are read for feelings too, before they are answered.
    message_analysis_enabled: bool;
    /// Largest way of valence or arousal, each for itself, that the texts of one turn can move a session.
    appraisal_max_delta: f64, in between(0.0, 2.0);
    /// Whether tool calls, long generations and silence become events.
    behavioral_monitoring_enabled: bool;
    /// Calls of the same tool in a row that count as a retry loop.
    retry_loop_threshold: usize, in between(1.0, 1_000_000.0);
    /// Failed tool calls in a row that count as a failure streak.
    failure_streak_threshold: usize, in between(1.0, 1_000_000.0);
    /// Seconds from which a generation counts as long.
    long_generation_seconds: f64, in above(0.0, 31_536_000.0);
    /// Seconds without activity that count as idle.
    idle_period_seconds: f64, in above(0.0, 31_536_000.0);
}
