//! `[emotion]`: the table rows of [`EmotionConfig`], which the emotion layer owns.
//!
//! The ranges are those that hold for one field alone; what fields must be to each other is the business of
//! [`EmotionConfig::validate`].

use super::schema::{Limit, limit, table};
use super::value::{Fault, Raw, SettingValue, choices};
use crate::emotion::{AppraiserChoice, DeclaredEvent, EmotionConfig, Range};

/// The emotion layer's own range of a field.
const fn own(field: &str) -> Limit {
    let range = Range::of(field);
    limit(range.min, range.max, range.or_zero)
}

impl SettingValue for DeclaredEvent {
    fn type_name() -> String {
        "event".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Fault> {
        let text = String::read(raw)?;
        text.parse().map_err(|error| Fault::Type {
            found: format!("`{text}`: {error}"),
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

choices!(AppraiserChoice);

table! {
    Emotion, emotion, "emotion", EmotionConfig;

    /// Version of the dynamics' arithmetic: 2 gives the same bits on every machine, 1 is the arithmetic of the system's math library.
    dynamics: u32, in own("dynamics");
    /// Valence that a state decays toward.
    baseline_valence: f64, in own("baseline_valence");
    /// Arousal that a state decays toward.
    baseline_arousal: f64, in own("baseline_arousal");
    /// Rate of the decay toward the baseline, per second.
    decay_rate: f64, in own("decay_rate");
    /// Largest change of valence or arousal that one event may make.
    max_delta: f64, in own("max_delta");
    /// Factor on all steering coefficients.
    steering_strength: f64, in own("steering_strength");
    /// States that the trajectory is computed from.
    trajectory_history_size: usize, in own("trajectory_history_size");
    /// Valence velocity, per minute, above which momentum is positive.
    momentum_positive_threshold: f64, in own("momentum_positive_threshold");
    /// Valence velocity, per minute, below which momentum is negative.
    momentum_negative_threshold: f64, in own("momentum_negative_threshold");
    /// Valence velocity, per minute, above which the trend is improving.
    trend_improving_threshold: f64, in own("trend_improving_threshold");
    /// Valence velocity, per minute, below which the trend is declining.
    trend_declining_threshold: f64, in own("trend_declining_threshold");
    /// States that are looked at for a spiral.
    spiral_history_count: usize, in own("spiral_history_count");
    /// Steps away from the baseline, among these states, that make a spiral.
    spiral_increasing_threshold: usize, in own("spiral_increasing_threshold");
    /// Whether repeated failures weigh more and repeated successes less.
    streak_compounding_enabled: bool;
    /// How much each repetition adds to or takes from an event's intensity.
    streak_compounding_factor: f64, in own("streak_compounding_factor");
    /// Whether a mood resists events that go against it.
    mood_inertia_enabled: bool;
    /// How strongly a mood resists events that go against it.
    mood_inertia_resistance: f64, in own("mood_inertia_resistance");
    /// Factor on the decay rate while excited.
    decay_multiplier_excited: f64, in own("decay_multiplier_excited");
    /// Factor on the decay rate while frustrated.
    decay_multiplier_frustrated: f64, in own("decay_multiplier_frustrated");
    /// Factor on the decay rate while calm.
    decay_multiplier_calm: f64, in own("decay_multiplier_calm");
    /// Factor on the decay rate while depleted.
    decay_multiplier_depleted: f64, in own("decay_multiplier_depleted");
    /// Ceiling on the absolute valence of every session.
    valence_limit: f64, in own("valence_limit");
    /// Ceiling on the arousal of every session; raised arousal lowers a model's refusals.
    arousal_limit: f64, in own("arousal_limit");
    /// Ceiling on the steering strength of every session.
    strength_limit: f64, in own("strength_limit");
    /// Events that one session may send in a minute; more are refused.
    events_per_minute: Option<u32>, in own("events_per_minute"), unset "no limit";
    /// Factor on events that drive a spiral on; 1 damps nothing, 0 stops it.
    spiral_damping: f64, in own("spiral_damping");
    /// Distance from the baseline within which a state is called `neutral`.
    neutral_radius: f64, in own("neutral_radius");
    /// Events of one's own, each as `name valence arousal`, such as `deploy_rejected -0.3 0.2`; they can be felt by their name.
    events: Vec<DeclaredEvent>;
    /// Whether names that are neither known nor declared are felt, as a small stir of the arousal, instead of refused.
    allow_unknown_events: bool;
    /// What reads texts for feelings, where the program brings no appraiser of its own: a sentiment lexicon, or the word lists of the reference.
    appraiser: AppraiserChoice;
    /// Score from which a text's words count as an event.
    response_analysis_threshold: f64, in own("response_analysis_threshold");
    /// Whether the model's replies are read for feelings, which the session then feels.
    response_analysis_enabled: bool;
    /// Whether the user's messages are read for feelings too, before they are answered.
    message_analysis_enabled: bool;
    /// Largest way of valence or arousal, each for itself, that the texts of one turn can move a session; no more than `max_delta` either.
    appraisal_max_delta: f64, in own("appraisal_max_delta");
    /// Whether tool calls, long generations and silence become events.
    behavioral_monitoring_enabled: bool;
    /// Calls of the same tool in a row that count as a retry loop.
    retry_loop_threshold: usize, in own("retry_loop_threshold");
    /// Failed tool calls in a row that count as a failure streak.
    failure_streak_threshold: usize, in own("failure_streak_threshold");
    /// Seconds from which a generation counts as long; it is felt only if it also was slow for its number of tokens.
    long_generation_seconds: f64, in own("long_generation_seconds");
    /// How many times as long as the session's earlier generations, token for token, a long one must take to be felt.
    long_generation_factor: f64, in own("long_generation_factor");
    /// Seconds without activity that count as idle.
    idle_period_seconds: f64, in own("idle_period_seconds");
}
