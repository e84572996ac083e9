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
];

/// The metrics as a Markdown table.
pub fn reference_markdown() -> String {
    use std::fmt::Write as _;
    let mut text = String::from("| name | kind | labels | what it tells |\n|---|---|---|---|\n");
    for metric in METRICS {
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
