//! The table of the configuration's fields: one row drives the structure, its defaults and checks, and the settings.

/// Passes the rows in order to a macro: the field's description, name, type and default, the
/// minimum and maximum of a number, and the text for an unset default.
#[doc(hidden)]
#[macro_export]
macro_rules! emotion_fields {
    ($then:ident) => {
        $then! {
            /// Version of the dynamics' arithmetic: 2 gives the same bits on every machine, 1 uses
            /// the system's math library.
            dynamics: u32 = 2, in [1.0, 2.0], serde (default = "unnumbered", skip_serializing_if = "is_unnumbered");
            /// Valence that a state decays toward.
            baseline_valence: f64 = 0.0, in [-1.0, 1.0];
            /// Arousal that a state decays toward.
            baseline_arousal: f64 = 0.0, in [-1.0, 1.0];
            /// Rate of the decay toward the baseline, per second.
            decay_rate: f64 = 0.1, in [0.0, 100.0];
            /// Maximum change of valence or arousal by one event.
            max_delta: f64 = 0.5, in [0.0, 2.0];
            /// Factor on all steering coefficients.
            steering_strength: f64 = 1.0, in [0.0, 3.0];
            /// Number of states from which the trajectory is computed.
            trajectory_history_size: usize = 20, in [2.0, 1024.0];
            /// Valence velocity, per minute, above which momentum is positive.
            momentum_positive_threshold: f64 = 0.01, in [0.0, 1.0];
            /// Valence velocity, per minute, below which momentum is negative.
            momentum_negative_threshold: f64 = -0.01, in [-1.0, 0.0];
            /// Valence velocity, per minute, above which the trend is improving.
            trend_improving_threshold: f64 = 0.02, in [0.0, 1.0];
            /// Valence velocity, per minute, below which the trend is declining.
            trend_declining_threshold: f64 = -0.02, in [-1.0, 0.0];
            /// Number of latest states that are checked for a spiral.
            spiral_history_count: usize = 5, in [2.0, 1024.0];
            /// Number of steps away from the baseline, among these states, that count as a spiral.
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
            /// Maximum number of events of one session per minute; further ones are refused.
            events_per_minute: Option<u32> = None, in [1.0, f64::INFINITY], unset "no limit";
            /// Factor on events that continue a spiral; 1 does not damp it, 0 stops it.
            spiral_damping: f64 = 1.0, in [0.0, 1.0];
            /// Distance from the baseline within which a state is called `neutral`.
            neutral_radius: f64 = 0.1, in [0.0, 1.0];
            /// Custom events, each as `name valence arousal`, such as `deploy_rejected -0.3 0.2`.
            /// They can be applied by name.
            events: Vec<DeclaredEvent> = Vec::new();
            /// Whether names that are neither known nor declared slightly raise the arousal instead
            /// of being refused.
            allow_unknown_events: bool = false;
            /// Appraiser that reads feelings from texts, unless the program provides its own: a
            /// sentiment lexicon; what replies express in the residual stream; or the word lists of
            /// the reference implementation.
            appraiser: AppraiserChoice = AppraiserChoice::Lexicon;
            /// Minimum score at which a text's words count as an event.
            response_analysis_threshold: f64 = 0.3, in [0.0, 1.0];
            /// Whether the model's replies are appraised, and the session receives the resulting
            /// events.
            response_analysis_enabled: bool = true;
            /// Whether the user's messages are also appraised, before they are answered.
            message_analysis_enabled: bool = false;
            /// Maximum change of valence and of arousal by the texts of one turn; also limited by
            /// `max_delta`.
            appraisal_max_delta: f64 = 0.5, in [0.0, 2.0];
            /// Whether tool calls, long generations and silence become events.
            behavioral_monitoring_enabled: bool = true;
            /// Number of consecutive calls of the same tool that count as a retry loop.
            retry_loop_threshold: usize = 3, in [2.0, 1000.0];
            /// Number of consecutive failed tool calls that count as a failure streak.
            failure_streak_threshold: usize = 2, in [1.0, 1000.0];
            /// Time from which a generation counts as long. It causes an event only if it was
            /// also slow for its number of tokens.
            long_generation: Duration = Duration::from_secs(30), in [0.001, 86_400.0] as Seconds "long_generation_seconds",
                serde (rename = "long_generation_seconds", with = "crate::seconds");
            /// How many times as long per token as the session's earlier generations a long one
            /// must take to cause an event.
            long_generation_factor: f64 = 3.0, in [1.0, 1000.0];
            /// Time without activity that counts as idle.
            idle_period: Duration = Duration::from_mins(2), in [0.001, 86_400.0] as Seconds "idle_period_seconds",
                serde (rename = "idle_period_seconds", with = "crate::seconds");
        }
    };
}
