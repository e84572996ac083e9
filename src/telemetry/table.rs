//! What is measured.

use metrics::Unit;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// A value of now.
    Gauge,
    /// A distribution.
    Histogram,
}

impl MetricKind {
    /// Prometheus' word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels, separated by commas.
    pub labels: &'static str,
    /// Its unit, where it is no plain number.
    pub(super) unit: Option<Unit>,
    /// What it tells.
    pub help: &'static str,
}

pub(super) const REQUESTS: &str = "elpis_requests_total";
pub(super) const RUNNING: &str = "elpis_num_requests_running";
pub(super) const WAITING: &str = "elpis_num_requests_waiting";
pub(super) const QUEUE_TIME: &str = "elpis_request_queue_time_seconds";
pub(super) const TIME_TO_FIRST_TOKEN: &str = "elpis_time_to_first_token_seconds";
pub(super) const INTER_TOKEN_LATENCY: &str = "elpis_inter_token_latency_seconds";
pub(super) const LATENCY: &str = "elpis_e2e_request_latency_seconds";
pub(super) const PROMPT_TOKENS: &str = "elpis_prompt_tokens_total";
pub(super) const GENERATION_TOKENS: &str = "elpis_generation_tokens_total";
pub(super) const BATCH_ROWS: &str = "elpis_iteration_rows";
pub(super) const KV_CACHE_USAGE: &str = "elpis_kv_cache_usage_ratio";
pub(super) const PREFIX_HITS: &str = "elpis_prefix_cache_hit_tokens_total";
pub(super) const PREFIX_HITS_OTHER: &str = "elpis_prefix_cache_hit_other_steering_tokens_total";
pub(super) const RESUMES: &str = "elpis_request_resumes_total";
pub(super) const STEERING_FRACTION: &str = "elpis_steering_residual_fraction";
pub(super) const STEERING_RELOADS: &str = "elpis_steering_reloads_total";
pub(super) const STEERING_RELOAD_TIME: &str = "elpis_steering_reload_seconds";
pub(super) const STEERING_EMOTIONS: &str = "elpis_steering_emotions";
pub(super) const EMOTION_EVENTS: &str = "elpis_emotion_events_total";
pub(super) const VALENCE: &str = "elpis_emotion_valence";
pub(super) const AROUSAL: &str = "elpis_emotion_arousal";
pub(super) const SAFETY_LIMITS: &str = "elpis_safety_limits_total";
pub(super) const APPRAISALS: &str = "elpis_appraisals_total";
pub(super) const SESSIONS: &str = "elpis_sessions";
pub(super) const STORE_ENTRIES: &str = "elpis_store_entries_total";
pub(super) const STORE_COMMIT: &str = "elpis_store_commit_seconds";
pub(super) const STORE_FAILURES: &str = "elpis_store_failures_total";
pub(super) const RESTARTS: &str = "elpis_actor_restarts_total";
pub(super) const STEERING_COEFFICIENT: &str = "elpis_steering_coefficient";
pub(super) const LIBRARY_INFO: &str = "elpis_steering_library_info";
pub(super) const SPIRALS: &str = "elpis_emotion_spirals_total";
pub(super) const BY_QUADRANT: &str = "elpis_sessions_by_quadrant";
pub(super) const BY_VALENCE: &str = "elpis_sessions_by_valence";
pub(super) const BY_AROUSAL: &str = "elpis_sessions_by_arousal";
pub(super) const SESSION_VALENCE: &str = "elpis_session_valence";
pub(super) const SESSION_AROUSAL: &str = "elpis_session_arousal";
pub(super) const MAILBOX: &str = "elpis_actor_mailbox_depth";
pub(super) const BUS_LAG: &str = "elpis_bus_lag_events";
pub(super) const BUS_MISSED: &str = "elpis_bus_missed_events_total";
pub(super) const DEVICE_TOTAL: &str = "elpis_device_memory_total_bytes";
pub(super) const DEVICE_FREE: &str = "elpis_device_memory_free_bytes";

pub(super) const OTEL_TOKENS: &str = "gen_ai.client.token.usage";
pub(super) const OTEL_DURATION: &str = "gen_ai.server.request.duration";
pub(super) const OTEL_TIME_TO_FIRST_TOKEN: &str = "gen_ai.server.time_to_first_token";
pub(super) const OTEL_PER_TOKEN: &str = "gen_ai.server.time_per_output_token";

/// All metrics.
pub const METRICS: &[Metric] = &[
    Metric {
        name: REQUESTS,
        kind: MetricKind::Counter,
        labels: "model, outcome",
        unit: None,
        help: "Generations that ended; the outcome is a finish reason, an error's short name, or `cancelled`.",
    },
    Metric {
        name: RUNNING,
        kind: MetricKind::Gauge,
        labels: "model",
        unit: None,
        help: "Generations that hold a slot.",
    },
    Metric {
        name: WAITING,
        kind: MetricKind::Gauge,
        labels: "model",
        unit: None,
        help: "Generations that wait for a slot.",
    },
    Metric {
        name: QUEUE_TIME,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: Some(Unit::Seconds),
        help: "From submission to a slot.",
    },
    Metric {
        name: TIME_TO_FIRST_TOKEN,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: Some(Unit::Seconds),
        help: "From submission to the first token.",
    },
    Metric {
        name: INTER_TOKEN_LATENCY,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: Some(Unit::Seconds),
        help: "Between two tokens of one generation, measured at the engine's step.",
    },
    Metric {
        name: LATENCY,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: Some(Unit::Seconds),
        help: "From submission to the end.",
    },
    Metric {
        name: PROMPT_TOKENS,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens of prompts, those from the cache included.",
    },
    Metric {
        name: GENERATION_TOKENS,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens generated.",
    },
    Metric {
        name: BATCH_ROWS,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: None,
        help: "Rows evaluated in one step.",
    },
    Metric {
        name: KV_CACHE_USAGE,
        kind: MetricKind::Gauge,
        labels: "model",
        unit: None,
        help: "Part of the key-value cache's cells in use.",
    },
    Metric {
        name: PREFIX_HITS,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens of prompts that were not evaluated again.",
    },
    Metric {
        name: PREFIX_HITS_OTHER,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens among them that had been evaluated under another steering.",
    },
    Metric {
        name: RESUMES,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Times that a generation went on after a restart of the engine.",
    },
    Metric {
        name: STEERING_FRACTION,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: None,
        help: "Norm of what was added to the residual stream, in units of its median norm there.",
    },
    Metric {
        name: STEERING_COEFFICIENT,
        kind: MetricKind::Histogram,
        labels: "model, emotion",
        unit: None,
        help: "Coefficients that generations were steered with.",
    },
    Metric {
        name: STEERING_RELOADS,
        kind: MetricKind::Counter,
        labels: "outcome, reason, file",
        unit: None,
        help: "Reloads of the steering library; refused ones with reason and file.",
    },
    Metric {
        name: STEERING_RELOAD_TIME,
        kind: MetricKind::Histogram,
        labels: "",
        unit: Some(Unit::Seconds),
        help: "From the order to reload until the new library is in force.",
    },
    Metric {
        name: STEERING_EMOTIONS,
        kind: MetricKind::Gauge,
        labels: "",
        unit: None,
        help: "Emotions of the steering library in force.",
    },
    Metric {
        name: LIBRARY_INFO,
        kind: MetricKind::Gauge,
        labels: "version",
        unit: None,
        help: "1 for the steering library in force, by its content hash; 0 for those before it.",
    },
    Metric {
        name: EMOTION_EVENTS,
        kind: MetricKind::Counter,
        labels: "event",
        unit: None,
        help: "Emotion events; names of one's own count as `custom`.",
    },
    Metric {
        name: VALENCE,
        kind: MetricKind::Histogram,
        labels: "",
        unit: None,
        help: "Valence just after each event.",
    },
    Metric {
        name: AROUSAL,
        kind: MetricKind::Histogram,
        labels: "",
        unit: None,
        help: "Arousal just after each event.",
    },
    Metric {
        name: SPIRALS,
        kind: MetricKind::Counter,
        labels: "kind",
        unit: None,
        help: "Times that a session began to leave its baseline event by event: `positive`, `negative`, `escalating` or `withdrawing`.",
    },
    Metric {
        name: BY_QUADRANT,
        kind: MetricKind::Gauge,
        labels: "quadrant",
        unit: None,
        help: "Sessions in each quadrant, decayed to now, of the 4,096 used last.",
    },
    Metric {
        name: BY_VALENCE,
        kind: MetricKind::Gauge,
        labels: "le",
        unit: None,
        help: "A histogram of now: sessions up to each valence, of the 4,096 used last.",
    },
    Metric {
        name: BY_AROUSAL,
        kind: MetricKind::Gauge,
        labels: "le",
        unit: None,
        help: "A histogram of now: sessions up to each arousal, of the 4,096 used last.",
    },
    Metric {
        name: SESSION_VALENCE,
        kind: MetricKind::Gauge,
        labels: "session",
        unit: None,
        help: "Valence of each session that `metrics.sessions` lists.",
    },
    Metric {
        name: SESSION_AROUSAL,
        kind: MetricKind::Gauge,
        labels: "session",
        unit: None,
        help: "Arousal of each session that `metrics.sessions` lists.",
    },
    Metric {
        name: SAFETY_LIMITS,
        kind: MetricKind::Counter,
        labels: "limit",
        unit: None,
        help: "Safety limits that acted.",
    },
    Metric {
        name: APPRAISALS,
        kind: MetricKind::Counter,
        labels: "source, outcome",
        unit: None,
        help: "Texts read for feelings; the source is `reply` or `message`, the outcome `felt`, `nothing`, `limited`, `refused` (by the session) or an error's short name.",
    },
    Metric {
        name: SESSIONS,
        kind: MetricKind::Gauge,
        labels: "",
        unit: None,
        help: "Sessions in memory.",
    },
    Metric {
        name: STORE_ENTRIES,
        kind: MetricKind::Counter,
        labels: "",
        unit: None,
        help: "Journal entries written to the store.",
    },
    Metric {
        name: STORE_COMMIT,
        kind: MetricKind::Histogram,
        labels: "",
        unit: Some(Unit::Seconds),
        help: "Time of a transaction of the store.",
    },
    Metric {
        name: STORE_FAILURES,
        kind: MetricKind::Counter,
        labels: "reason",
        unit: None,
        help: "Transactions of the store that failed.",
    },
    Metric {
        name: RESTARTS,
        kind: MetricKind::Counter,
        labels: "actor, cause",
        unit: None,
        help: "Restarts of actors; the cause is `panic`, `error`, `thread_panic`, `hung`, `start` or `stopped`.",
    },
    Metric {
        name: MAILBOX,
        kind: MetricKind::Gauge,
        labels: "actor",
        unit: None,
        help: "Calls that an actor has not answered yet; for the engine, generations and orders on their way to its thread.",
    },
    Metric {
        name: BUS_LAG,
        kind: MetricKind::Gauge,
        labels: "",
        unit: None,
        help: "Events on the bus that the slowest subscriber has not received.",
    },
    Metric {
        name: BUS_MISSED,
        kind: MetricKind::Counter,
        labels: "",
        unit: None,
        help: "Events that slow subscribers of the bus missed.",
    },
    Metric {
        name: DEVICE_TOTAL,
        kind: MetricKind::Gauge,
        labels: "device",
        unit: Some(Unit::Bytes),
        help: "Memory of a device that the model may use.",
    },
    Metric {
        name: DEVICE_FREE,
        kind: MetricKind::Gauge,
        labels: "device",
        unit: Some(Unit::Bytes),
        help: "Free memory of a device that the model may use.",
    },
];

/// What is measured in addition with `metrics.opentelemetry`, under the names
/// of OpenTelemetry's conventions for generative AI. Prometheus shows `.` as
/// `_`.
pub const OPENTELEMETRY: &[Metric] = &[
    Metric {
        name: OTEL_TOKENS,
        kind: MetricKind::Histogram,
        labels: "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model, gen_ai.token.type",
        unit: Some(Unit::Count),
        help: "Tokens of prompts and replies.",
    },
    Metric {
        name: OTEL_DURATION,
        kind: MetricKind::Histogram,
        labels: "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model",
        unit: Some(Unit::Seconds),
        help: "From submission to the end.",
    },
    Metric {
        name: OTEL_TIME_TO_FIRST_TOKEN,
        kind: MetricKind::Histogram,
        labels: "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model",
        unit: Some(Unit::Seconds),
        help: "From submission to the first token.",
    },
    Metric {
        name: OTEL_PER_TOKEN,
        kind: MetricKind::Histogram,
        labels: "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model",
        unit: Some(Unit::Seconds),
        help: "Time of each token after the first, the mean of a generation.",
    },
];

/// Metrics as a Markdown table.
pub fn reference_markdown(metrics: &[Metric]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("| name | kind | labels | what it tells |\n|---|---|---|---|\n");
    for metric in metrics {
        let labels: Vec<_> = metric
            .labels
            .split(", ")
            .filter(|label| !label.is_empty())
            .map(|label| format!("`{label}`"))
            .collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind.as_str(),
            labels.join(", "),
            metric.help
        );
    }
    text
}
