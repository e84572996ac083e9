//! The table of the configuration's fields: one row drives the structure, its defaults and checks, and the settings.

/// Gives a macro the rows in their order: what the field is, its name, type and default, the least and the greatest
/// value of a number, and how a default that is no value reads.
#[doc(hidden)]
#[macro_export]
macro_rules! emotion_fields {
    ($then:ident) => {
        $then! {
            /// Version of the dynamics' arithmetic: 2 gives the same bits on every machine, 1 is the arithmetic of the system's math library.
            dynamics: u32 = 2, in [1.0, 2.0], serde (default = "unnumbered", skip_serializing_if = "is_unnumbered");
            /// Valence that a state decays toward.
            baseline_valence: f64 = 0.0, in [-1.0, 1.0];
            /// Arousal that a state decays toward.
            baseline_arousal: f64 = 0.0, in [-1.0, 1.0];
            /// Rate of the decay toward the baseline, per second.
            decay_rate: f64 = 0.1, in [0.0, 100.0];
            /// Largest change of valence or arousal that one event may make.
            max_delta: f64 = 0.5, in [0.0, 2.0];
            /// Factor on all steering coefficients.
            steering_strength: f64 = 1.0, in [0.0, 3.0];
            /// States that the trajectory is computed from.
            trajectory_history_size: usize = 20, in [2.0, 1024.0];
            /// Valence velocity, per minute, above which momentum is positive.
            momentum_positive_threshold: f64 = 0.01, in [0.0, 1.0];
            /// Valence velocity, per minute, below which momentum is negative.
            momentum_negative_threshold: f64 = -0.01, in [-1.0, 0.0];
            /// Valence velocity, per minute, above which the trend is improving.
            trend_improving_threshold: f64 = 0.02, in [0.0, 1.0];
            /// Valence velocity, per minute, below which the trend is declining.
            trend_declining_threshold: f64 = -0.02, in [-1.0, 0.0];
            /// States that are looked at for a spiral.
            spiral_history_count: usize = 5, in [2.0, 1024.0];
            /// Steps away from the baseline, among these states, that make a spiral.
            spiral_increasing_threshold: usize = 3, in [1.0, 1023.0];
            /// Whether repeated failures weigh more and repeated successes less.
            streak_compounding_enabled: bool = true;
            /// How much each repetition adds to or takes from an event's intensity.
            streak_compounding_factor: f64 = 0.2, in [0.01, 1.0, or_zero];
            /// Whether a mood resists events that go against it.
            mood_inertia_enabled: bool = true;
            /// How strongly a mood resists events that go against it.
            mood_inertia_resistance: f64 = 0.4, in [0.0, 1.0];
            /// Factor on the decay rate while excited.
            decay_multiplier_excited: f64 = 1.0, in [0.0, 10.0];
            /// Factor on the decay rate while frustrated.
            decay_multiplier_frustrated: f64 = 0.7, in [0.0, 10.0];
            /// Factor on the decay rate while calm.
            decay_multiplier_calm: f64 = 1.2, in [0.0, 10.0];
            /// Factor on the decay rate while depleted.
            decay_multiplier_depleted: f64 = 0.8, in [0.0, 10.0];
            /// Ceiling on the absolute valence of every session.
            valence_limit: f64 = 1.0, in [0.0, 1.0];
            /// Ceiling on the arousal of every session; raised arousal lowers a model's refusals.
            arousal_limit: f64 = 1.0, in [0.0, 1.0];
            /// Ceiling on the steering strength of every session.
            strength_limit: f64 = 3.0, in [0.0, 3.0];
            /// Events that one session may send in a minute; more are refused.
            events_per_minute: Option<u32> = None, in [1.0, f64::INFINITY], unset "no limit";
            /// Factor on events that drive a spiral on; 1 damps nothing, 0 stops it.
            spiral_damping: f64 = 1.0, in [0.0, 1.0];
            /// Distance from the baseline within which a state is called `neutral`.
            neutral_radius: f64 = 0.1, in [0.0, 1.0];
            /// Events of one's own, each as `name valence arousal`, such as `deploy_rejected -0.3 0.2`; they can be felt by their name.
            events: Vec<DeclaredEvent> = Vec::new();
            /// Whether names that are neither known nor declared are felt, as a small stir of the arousal, instead of refused.
            allow_unknown_events: bool = false;
            /// What reads texts for feelings, where the program brings no appraiser of its own: a sentiment lexicon, or the word lists of the reference.
            appraiser: AppraiserChoice = AppraiserChoice::Lexicon;
            /// Score from which a text's words count as an event.
            response_analysis_threshold: f64 = 0.3, in [0.0, 1.0];
            /// Whether the model's replies are read for feelings, which the session then feels.
            response_analysis_enabled: bool = true;
            /// Whether the user's messages are read for feelings too, before they are answered.
            message_analysis_enabled: bool = false;
            /// Largest way of valence or arousal, each for itself, that the texts of one turn can move a session; no more than `max_delta` either.
            appraisal_max_delta: f64 = 0.5, in [0.0, 2.0];
            /// Whether tool calls, long generations and silence become events.
            behavioral_monitoring_enabled: bool = true;
            /// Calls of the same tool in a row that count as a retry loop.
            retry_loop_threshold: usize = 3, in [2.0, 1000.0];
            /// Failed tool calls in a row that count as a failure streak.
            failure_streak_threshold: usize = 2, in [1.0, 1000.0];
            /// Time from which a generation counts as long; it is felt only if it also was slow for its number of tokens.
            long_generation: Duration = Duration::from_secs(30), in [0.001, 86_400.0] as Seconds "long_generation_seconds",
                serde (rename = "long_generation_seconds", with = "crate::seconds");
            /// How many times as long as the session's earlier generations, token for token, a long one must take to be felt.
            long_generation_factor: f64 = 3.0, in [1.0, 1000.0];
            /// Time without activity that counts as idle.
            idle_period: Duration = Duration::from_mins(2), in [0.001, 86_400.0] as Seconds "idle_period_seconds",
                serde (rename = "idle_period_seconds", with = "crate::seconds");
        }
    };
}
