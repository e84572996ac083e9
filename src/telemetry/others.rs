//! What is measured under the names of others.

use metrics::Unit;

use super::names::{OTEL_DURATION, OTEL_PER_TOKEN, OTEL_TIME_TO_FIRST_TOKEN, OTEL_TOKENS};
use super::table::{Metric, MetricKind};

/// What is measured of the process with the cargo feature `prometheus`, under
/// the names that all clients of Prometheus give it, as far as the system
/// tells.
pub const PROCESS: &[Metric] = &[
    Metric {
        name: "process_cpu_seconds_total",
        kind: MetricKind::Counter,
        labels: "",
        unit: Some(Unit::Seconds),
        help: "Time of the processor, of the user and the system together.",
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: MetricKind::Gauge,
        labels: "",
        unit: Some(Unit::Bytes),
        help: "Memory that is resident.",
    },
    Metric {
        name: "process_virtual_memory_bytes",
        kind: MetricKind::Gauge,
        labels: "",
        unit: Some(Unit::Bytes),
        help: "Virtual memory.",
    },
    Metric {
        name: "process_virtual_memory_max_bytes",
        kind: MetricKind::Gauge,
        labels: "",
        unit: Some(Unit::Bytes),
        help: "Virtual memory that the process may have.",
    },
    Metric {
        name: "process_threads",
        kind: MetricKind::Gauge,
        labels: "",
        unit: None,
        help: "Threads.",
    },
    Metric {
        name: "process_open_fds",
        kind: MetricKind::Gauge,
        labels: "",
        unit: None,
        help: "Open files.",
    },
    Metric {
        name: "process_max_fds",
        kind: MetricKind::Gauge,
        labels: "",
        unit: None,
        help: "Files that the process may have open.",
    },
    Metric {
        name: "process_start_time_seconds",
        kind: MetricKind::Gauge,
        labels: "",
        unit: Some(Unit::Seconds),
        help: "When the process started, in seconds since the Unix epoch.",
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
        labels: "gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model, error.type",
        unit: Some(Unit::Seconds),
        help: "From submission to the end; of those without a reply with the error's short name, or `cancelled`.",
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
