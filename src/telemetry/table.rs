//! The table of metrics: one row each, from which registration, reference and buckets are derived.

use metrics::Unit;

use super::buckets::{
    BETWEEN_TOKENS, COEFFICIENT, DEVIATIONS, FIRST_TOKEN, FRACTION, ITERATION, OTEL_COUNTS,
    OTEL_FIRST_TOKEN, OTEL_PER_TOKEN_SECONDS, OTEL_SECONDS, PLANE, REQUEST, SHORT, TOKENS,
};

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum MetricKind {
    /// A value that only increases.
    Counter,
    /// A current value.
    Gauge,
    /// A distribution.
    Histogram,
}

impl MetricKind {
    /// Returns Prometheus' name of the type.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// Its labels, separated by commas.
    pub labels: &'static str,
    /// Its unit; [`Unit::Count`] for a plain number.
    pub(super) unit: Unit,
    /// The upper bounds of a histogram's buckets.
    pub(super) buckets: &'static [f64],
    /// Its description.
    pub help: &'static str,
}

/// Declares a table of metrics, and a constant with the name of each metric recorded here.
macro_rules! metrics {
    (
        $(#[$meta:meta])* $TABLE:ident;
        $( $($NAME:ident =)? $name:literal, $Kind:ident $(in $Unit:ident)? $(, by $labels:literal)?
           $(, buckets $buckets:ident)?: $help:literal; )+
    ) => {
        $( $(pub(super) const $NAME: &str = $name;)? )+

        $(#[$meta])*
        pub const $TABLE: &[Metric] = &[$(
            Metric {
                name: $name,
                kind: MetricKind::$Kind,
                labels: metrics!(@or "" $(, $labels)?),
                unit: metrics!(@or Unit::Count $(, Unit::$Unit)?),
                buckets: metrics!(@or &[] $(, $buckets)?),
                help: $help,
            },
        )+];
    };
    (@or $default:expr) => { $default };
    (@or $default:expr, $given:expr) => { $given };
}

metrics! {
    /// All metrics.
    METRICS;

    REQUESTS = "elpis_requests_total", Counter, by "model, outcome":
        "Generations that ended or were refused; the outcome is a finish reason, an error's short name, or `cancelled`.";
    RUNNING = "elpis_num_requests_running", Gauge, by "model":
        "Generations that hold a slot.";
    WAITING = "elpis_num_requests_waiting", Gauge, by "model":
        "Generations that wait for a slot.";
    QUEUE_TIME = "elpis_request_queue_time_seconds", Histogram in Seconds, by "model", buckets REQUEST:
        "Time from submission to a slot, or to the end of generations that got none.";
    TIME_TO_FIRST_TOKEN = "elpis_time_to_first_token_seconds", Histogram in Seconds, by "model", buckets FIRST_TOKEN:
        "Time from submission to the first token.";
    INTER_TOKEN_LATENCY = "elpis_inter_token_latency_seconds", Histogram in Seconds, by "model", buckets BETWEEN_TOKENS:
        "Time between two tokens of one generation, measured at the engine's step.";
    LATENCY = "elpis_e2e_request_latency_seconds", Histogram in Seconds, by "model", buckets REQUEST:
        "Time from submission to the end, whatever the outcome; requests refused before they were queued are excluded.";
    INFERENCE_TIME = "elpis_request_inference_time_seconds", Histogram in Seconds, by "model", buckets REQUEST:
        "Time from getting a slot to the end, whatever the outcome.";
    PREFILL_TIME = "elpis_request_prefill_time_seconds", Histogram in Seconds, by "model", buckets REQUEST:
        "Time from getting a slot to the first token.";
    DECODE_TIME = "elpis_request_decode_time_seconds", Histogram in Seconds, by "model", buckets REQUEST:
        "Time from the first token to the end, whatever the outcome.";
    PROMPT_TOKENS = "elpis_prompt_tokens_total", Counter, by "model":
        "Prompt tokens, including those from the cache; counted at the first token.";
    GENERATION_TOKENS = "elpis_generation_tokens_total", Counter, by "model":
        "Generated tokens, counted at each step.";
    REQUEST_PROMPT_TOKENS = "elpis_request_prompt_tokens", Histogram, by "model", buckets TOKENS:
        "Prompt tokens of each generation that reached its first token.";
    REQUEST_GENERATION_TOKENS = "elpis_request_generation_tokens", Histogram, by "model", buckets TOKENS:
        "Reply tokens of each generation that had a slot, whatever the outcome; generations lost with a failed engine are excluded.";
    ITERATION_TOKENS = "elpis_iteration_tokens_total", Histogram, by "model", buckets ITERATION:
        "Prompt and reply tokens evaluated in one step.";
    KV_CACHE_USAGE = "elpis_kv_cache_usage_perc", Gauge, by "model":
        "Fraction of the KV cache's cells in use, from 0 to 1.";
    PREFIX_QUERIES = "elpis_prefix_cache_queries_total", Counter, by "model":
        "Prompt tokens looked up in the cache.";
    PREFIX_HITS = "elpis_prefix_cache_hits_total", Counter, by "model":
        "Prompt tokens found in the cache and not evaluated again.";
    PREFIX_HITS_OTHER = "elpis_prefix_cache_hits_other_steering_total", Counter, by "model":
        "Prompt tokens found in the cache that had been evaluated under different steering.";
    RESUMES = "elpis_request_resumes_total", Counter, by "model":
        "Generations resumed after a restart of the engine.";
    STEERING_FRACTION = "elpis_steering_residual_fraction", Histogram, by "model", buckets FRACTION:
        "Norm of the vector added to the residual stream, in units of the stream's median norm at that layer.";
    STEERING_COEFFICIENT = "elpis_steering_coefficient", Histogram, by "model, emotion", buckets COEFFICIENT:
        "Nonzero steering coefficients of generations, by emotion of the library; from the 33rd emotion of the process on, they count as `other`.";
    STEERING_RELOADS = "elpis_steering_reloads_total", Counter, by "outcome, reason":
        "Reloads of the steering library; refused ones carry the error's short name (the log and the bus name the file).";
    STEERING_RELOAD_TIME = "elpis_steering_reload_seconds", Histogram in Seconds, buckets SHORT:
        "Time from the reload request until the new library is in force.";
    STEERING_EMOTIONS = "elpis_steering_emotions", Gauge:
        "Number of emotions in the steering library in force.";
    LIBRARY_VERSION = "elpis_steering_library_version", Gauge:
        "The steering library in force: the first 12 hexadecimal digits of its version, as a number. Reports, spans and the log have all 16.";
    EMOTION_EVENTS = "elpis_emotion_events_total", Counter, by "event":
        "Emotion events; custom names count as `custom`.";
    VALENCE = "elpis_emotion_valence", Histogram, buckets PLANE:
        "Valence right after each event.";
    AROUSAL = "elpis_emotion_arousal", Histogram, buckets PLANE:
        "Arousal right after each event.";
    SPIRALS = "elpis_emotion_spirals_total", Counter, by "kind":
        "Spirals, in which a session moves away from its baseline event by event, by kind: `positive`, `negative`, `escalating` or `withdrawing`.";
    BY_QUADRANT = "elpis_sessions_by_quadrant", Gauge, by "quadrant":
        "Sessions by mood: `neutral` near the baseline, otherwise the quadrant. Decayed to the present, of the 4,096 most recently used sessions.";
    BY_VALENCE = "elpis_sessions_by_valence", Gauge, by "le":
        "Current histogram: sessions up to each valence, of the 4,096 most recently used.";
    BY_AROUSAL = "elpis_sessions_by_arousal", Gauge, by "le":
        "Current histogram: sessions up to each arousal, of the 4,096 most recently used.";
    SESSION_VALENCE = "elpis_session_valence", Gauge, by "session":
        "Valence of each session listed in `metrics.sessions`; NaN once it is evicted.";
    SESSION_AROUSAL = "elpis_session_arousal", Gauge, by "session":
        "Arousal of each session listed in `metrics.sessions`; NaN once it is evicted.";
    EXPRESSED_VALENCE = "elpis_expressed_valence", Histogram, by "model", buckets DEVIATIONS:
        "Valence that each reply expresses, read from the residual stream, in standard deviations of the model's neutral replies.";
    EXPRESSED_AROUSAL = "elpis_expressed_arousal", Histogram, by "model", buckets DEVIATIONS:
        "Arousal that each reply expresses, read from the residual stream, in standard deviations of the model's neutral replies.";
    REPETITION_GUARD = "elpis_repetition_guard_total", Counter, by "model":
        "Times that the steering of a reply was lowered because the reply began to loop.";
    SAFETY_LIMITS = "elpis_safety_limits_total", Counter, by "limit":
        "Safety limits that acted.";
    APPRAISALS = "elpis_appraisals_total", Counter, by "source, outcome":
        "Appraised texts; the source is `reply` or `message`, the outcome `felt`, `nothing`, `limited`, `refused` (by the session) or an error's short name.";
    SESSIONS = "elpis_sessions", Gauge:
        "Sessions in memory.";
    STORE_ENTRIES = "elpis_store_entries_total", Counter:
        "Journal entries written to the store.";
    STORE_COMMIT = "elpis_store_commit_seconds", Histogram in Seconds, buckets SHORT:
        "Duration of a store transaction.";
    STORE_FAILURES = "elpis_store_failures_total", Counter, by "reason":
        "Failed store transactions.";
    RESTARTS = "elpis_actor_restarts_total", Counter, by "actor, cause":
        "Restarts of actors; the cause is `panic`, `error`, `thread_panic`, `hung`, `worker_died`, `start` or `stopped`.";
    MAILBOX = "elpis_actor_mailbox_depth", Gauge, by "actor":
        "Calls that an actor has not answered yet; for the engine, generations and commands on their way to its thread.";
    BUS_LAG = "elpis_bus_lag_events", Gauge:
        "Events on the bus that the slowest subscriber has not received.";
    BUS_MISSED = "elpis_bus_missed_events_total", Counter:
        "Events that slow subscribers of the bus missed.";
    BUILD_INFO = "elpis_build_info", Gauge, by "version, backend, features":
        "Always 1: the version of elpis, the backend in use, and the cargo features of the build.";
    DEVICE_TOTAL = "elpis_device_memory_total_bytes", Gauge in Bytes, by "device, index":
        "Memory of a device that the model may use.";
    DEVICE_FREE = "elpis_device_memory_free_bytes", Gauge in Bytes, by "device, index":
        "Free memory of a device that the model may use.";
}

metrics! {
    /// Metrics of the process with the cargo feature `prometheus`, under the names that Prometheus
    /// clients use, as far as the operating system provides them.
    PROCESS;

    "process_cpu_seconds_total", Counter in Seconds:
        "User and system CPU time together.";
    "process_resident_memory_bytes", Gauge in Bytes:
        "Resident memory.";
    "process_virtual_memory_bytes", Gauge in Bytes:
        "Virtual memory.";
    "process_virtual_memory_max_bytes", Gauge in Bytes:
        "Maximum virtual memory of the process.";
    "process_threads", Gauge:
        "Threads.";
    "process_open_fds", Gauge:
        "Open files.";
    "process_max_fds", Gauge:
        "Maximum number of open files of the process.";
    "process_start_time_seconds", Gauge in Seconds:
        "Start time of the process, in seconds since the Unix epoch.";
}

metrics! {
    /// Additional metrics with `metrics.opentelemetry`, under the names of OpenTelemetry's
    /// conventions for generative AI. Prometheus shows `.` as `_`.
    OPENTELEMETRY;

    OTEL_TOKENS = "gen_ai.client.token.usage", Histogram in Count, by "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model, gen_ai.token.type", buckets OTEL_COUNTS:
        "Tokens of prompts and replies.";
    OTEL_DURATION = "gen_ai.server.request.duration", Histogram in Seconds, by "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model, error.type", buckets OTEL_SECONDS:
        "Time from submission to the end; generations without a reply carry the error's short name, or `cancelled`.";
    OTEL_TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token", Histogram in Seconds, by "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model", buckets OTEL_FIRST_TOKEN:
        "Time from submission to the first token.";
    OTEL_PER_TOKEN = "gen_ai.server.time_per_output_token", Histogram in Seconds, by "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model", buckets OTEL_PER_TOKEN_SECONDS:
        "Mean time per token after the first, for each generation.";
}

/// Returns the upper bounds of each histogram's buckets, for a custom recorder.
pub fn buckets() -> impl Iterator<Item = (&'static str, &'static [f64])> {
    let all = METRICS.iter().chain(OPENTELEMETRY);
    all.filter(|metric| metric.kind == MetricKind::Histogram)
        .map(|metric| (metric.name, metric.buckets))
}

/// Renders metrics as a Markdown table.
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
