//! What is measured.

use metrics::Unit;

use super::names::{
    APPRAISALS, AROUSAL, BUILD_INFO, BUS_LAG, BUS_MISSED, BY_AROUSAL, BY_QUADRANT, BY_VALENCE,
    DECODE_TIME, DEVICE_FREE, DEVICE_TOTAL, EMOTION_EVENTS, GENERATION_TOKENS, INFERENCE_TIME,
    INTER_TOKEN_LATENCY, ITERATION_TOKENS, KV_CACHE_USAGE, LATENCY, LIBRARY_VERSION, MAILBOX,
    PREFILL_TIME, PREFIX_HITS, PREFIX_HITS_OTHER, PREFIX_QUERIES, PROMPT_TOKENS, QUEUE_TIME,
    REQUEST_GENERATION_TOKENS, REQUEST_PROMPT_TOKENS, REQUESTS, RESTARTS, RESUMES, RUNNING,
    SAFETY_LIMITS, SESSION_AROUSAL, SESSION_VALENCE, SESSIONS, SPIRALS, STEERING_COEFFICIENT,
    STEERING_EMOTIONS, STEERING_FRACTION, STEERING_RELOAD_TIME, STEERING_RELOADS, STORE_COMMIT,
    STORE_ENTRIES, STORE_FAILURES, TIME_TO_FIRST_TOKEN, VALENCE, WAITING,
};

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

/// All metrics.
pub const METRICS: &[Metric] = &[
    Metric {
        name: REQUESTS,
        kind: MetricKind::Counter,
        labels: "model, outcome",
        unit: None,
        help: "Generations that ended or were refused; the outcome is a finish reason, an error's short name, or `cancelled`.",
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
        help: "From submission to a slot, or to the end of those that got none.",
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
        help: "From submission to the end, however it ended; what was refused before it could wait is not in it.",
    },
    Metric {
        name: INFERENCE_TIME,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: Some(Unit::Seconds),
        help: "From a slot to the end, however it ended.",
    },
    Metric {
        name: PREFILL_TIME,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: Some(Unit::Seconds),
        help: "From a slot to the first token.",
    },
    Metric {
        name: DECODE_TIME,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: Some(Unit::Seconds),
        help: "From the first token to the end, however it ended.",
    },
    Metric {
        name: PROMPT_TOKENS,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens of prompts, those from the cache included; counted at the first token.",
    },
    Metric {
        name: GENERATION_TOKENS,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens generated, counted step by step.",
    },
    Metric {
        name: REQUEST_PROMPT_TOKENS,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: None,
        help: "Tokens of the prompt of each generation that got to its first token.",
    },
    Metric {
        name: REQUEST_GENERATION_TOKENS,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: None,
        help: "Tokens of the reply of each generation that had a slot, however it ended; not of those that an engine took with it.",
    },
    Metric {
        name: ITERATION_TOKENS,
        kind: MetricKind::Histogram,
        labels: "model",
        unit: None,
        help: "Tokens evaluated in one step, of prompts and replies.",
    },
    Metric {
        name: KV_CACHE_USAGE,
        kind: MetricKind::Gauge,
        labels: "model",
        unit: None,
        help: "Part of the key-value cache's cells in use; 1 is all of it.",
    },
    Metric {
        name: PREFIX_QUERIES,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens of prompts that were looked for in the cache.",
    },
    Metric {
        name: PREFIX_HITS,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens among them that were found there and not evaluated again.",
    },
    Metric {
        name: PREFIX_HITS_OTHER,
        kind: MetricKind::Counter,
        labels: "model",
        unit: None,
        help: "Tokens among those that had been evaluated under another steering.",
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
        help: "Coefficients that generations were steered with, other than 0, by emotion of the library; the 33rd emotion of the process and all after it count as `other`.",
    },
    Metric {
        name: STEERING_RELOADS,
        kind: MetricKind::Counter,
        labels: "outcome, reason",
        unit: None,
        help: "Reloads of the steering library; refused ones with the error's short name (the log and the bus name the file).",
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
        name: LIBRARY_VERSION,
        kind: MetricKind::Gauge,
        labels: "",
        unit: None,
        help: "The steering library in force: the first 12 hexadecimal digits of its version, as a number. Reports, spans and the log have all 16.",
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
        help: "Sessions by mood: `neutral` near their baseline, their quadrant beyond. Decayed to now, of the 4,096 used last.",
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
        help: "Valence of each session that `metrics.sessions` lists; NaN once it has left memory.",
    },
    Metric {
        name: SESSION_AROUSAL,
        kind: MetricKind::Gauge,
        labels: "session",
        unit: None,
        help: "Arousal of each session that `metrics.sessions` lists; NaN once it has left memory.",
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
        help: "Restarts of actors; the cause is `panic`, `error`, `thread_panic`, `hung`, `worker_died`, `start` or `stopped`.",
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
        name: BUILD_INFO,
        kind: MetricKind::Gauge,
        labels: "version, backend, features",
        unit: None,
        help: "Always 1: the version of elpis, the backend in use, and the cargo features of the build.",
    },
    Metric {
        name: DEVICE_TOTAL,
        kind: MetricKind::Gauge,
        labels: "device, index",
        unit: Some(Unit::Bytes),
        help: "Memory of a device that the model may use.",
    },
    Metric {
        name: DEVICE_FREE,
        kind: MetricKind::Gauge,
        labels: "device, index",
        unit: Some(Unit::Bytes),
        help: "Free memory of a device that the model may use.",
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
