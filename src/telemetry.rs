//! Metrics, through the `metrics` facade: the host's recorder receives them,
//! or, with the setting `metrics.listen`, an exporter for Prometheus. And
//! spans, through `tracing`: one for each generation, [`TRACE_TARGET`].
//!
//! Names have vLLM's suffixes where vLLM has such a metric; times are in
//! seconds. [`METRICS`] lists all of them.

mod buckets;
#[cfg(feature = "prometheus")]
mod exporter;
mod moods;
mod request;
mod table;

pub use buckets::buckets;
#[cfg(feature = "prometheus")]
pub(crate) use exporter::{listen, process};
pub(crate) use moods::Moods;
pub use request::TRACE_TARGET;
pub(crate) use request::{RequestWatch, refused as generation_refused};
pub use table::{METRICS, Metric, MetricKind, OPENTELEMETRY, reference_markdown};

use std::time::Duration;

use metrics::{Unit, counter, gauge, histogram};
use table::{
    APPRAISALS, AROUSAL, BATCH_ROWS, BUS_LAG, BUS_MISSED, DEVICE_FREE, DEVICE_TOTAL,
    EMOTION_EVENTS, INTER_TOKEN_LATENCY, KV_CACHE_USAGE, LIBRARY_INFO, MAILBOX, RESTARTS, RUNNING,
    SAFETY_LIMITS, SESSION_AROUSAL, SESSION_VALENCE, SESSIONS, SPIRALS, STEERING_EMOTIONS,
    STEERING_RELOAD_TIME, STEERING_RELOADS, STORE_COMMIT, STORE_ENTRIES, STORE_FAILURES, VALENCE,
    WAITING,
};

use crate::backend::Device;
use crate::emotion::{AppliedEvent, EmotionEvent, KNOWN_EVENTS, SafetyLimit, Spiral};
use crate::error::SteeringError;
use crate::event::{ActorName, EventSource, FailureKind};
use crate::inference::SessionId;
use crate::scheduler::{CacheUsage, StepSummary};
use crate::store::{SessionChange, StoreError};

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    for metric in METRICS.iter().chain(OPENTELEMETRY) {
        let unit = metric.unit.unwrap_or(Unit::Count);
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.help),
        }
    }
}

pub(crate) fn store_written(changes: &[SessionChange], took: Duration) {
    let entries: usize = changes.iter().map(|change| change.entries.len()).sum();
    counter!(STORE_ENTRIES).increment(entries as u64);
    histogram!(STORE_COMMIT).record(took.as_secs_f64());
}

pub(crate) fn store_failed(error: &StoreError) {
    counter!(STORE_FAILURES, "reason" => error.kind()).increment(1);
}

pub(crate) fn sessions(held: usize) {
    gauge!(SESSIONS).set(held as f64);
}

pub(crate) fn emotion_event(event: &EmotionEvent, applied: &AppliedEvent) {
    let known = KNOWN_EVENTS.iter().find(|known| known.name == event.name());
    let name = known.map_or("custom", |known| known.name);
    counter!(EMOTION_EVENTS, "event" => name).increment(1);
    histogram!(VALENCE).record(applied.after.valence());
    histogram!(AROUSAL).record(applied.after.arousal());
}

pub(crate) fn spiral(kind: Spiral) {
    counter!(SPIRALS, "kind" => kind.as_str()).increment(1);
}

pub(crate) fn safety_limit(limit: SafetyLimit) {
    counter!(SAFETY_LIMITS, "limit" => limit.as_str()).increment(1);
}

pub(crate) fn appraisal(source: EventSource, outcome: &'static str) {
    counter!(APPRAISALS, "source" => source.as_str(), "outcome" => outcome).increment(1);
}

/// Metrics of the engine thread; the handles are made once, so that a step
/// costs no look-up.
pub(crate) struct StepMetrics {
    rows: metrics::Histogram,
    between_tokens: metrics::Histogram,
    running: metrics::Gauge,
    waiting: metrics::Gauge,
    cache: metrics::Gauge,
}

impl StepMetrics {
    pub(crate) fn new(model: &str) -> Self {
        let model = || model.to_owned();
        Self {
            rows: histogram!(BATCH_ROWS, "model" => model()),
            between_tokens: histogram!(INTER_TOKEN_LATENCY, "model" => model()),
            running: gauge!(RUNNING, "model" => model()),
            waiting: gauge!(WAITING, "model" => model()),
            cache: gauge!(KV_CACHE_USAGE, "model" => model()),
        }
    }

    /// Records a step that ended so long after the one before.
    pub(crate) fn step(&self, summary: StepSummary, took: Duration, cache: CacheUsage) {
        self.rows.record(summary.rows as f64);
        let decoded = summary.rows - summary.prefill_rows;
        if decoded > 0 {
            self.between_tokens.record_many(took.as_secs_f64(), decoded);
        }
        self.cache
            .set(cache.used as f64 / cache.capacity.max(1) as f64);
    }

    pub(crate) fn load(&self, running: usize, waiting: usize) {
        self.running.set(running as f64);
        self.waiting.set(waiting as f64);
    }
}

pub(crate) fn steering_reloaded(took: Duration, emotions: usize, before: &str, version: &str) {
    counter!(STEERING_RELOADS, "outcome" => "ok").increment(1);
    histogram!(STEERING_RELOAD_TIME).record(took.as_secs_f64());
    gauge!(STEERING_EMOTIONS).set(emotions as f64);
    gauge!(LIBRARY_INFO, "version" => before.to_owned()).set(0.0);
    gauge!(LIBRARY_INFO, "version" => version.to_owned()).set(1.0);
}

pub(crate) fn steering_refused(error: &SteeringError) {
    let file = error.file().unwrap_or_default().to_owned();
    counter!(STEERING_RELOADS, "outcome" => "refused", "reason" => error.kind(), "file" => file)
        .increment(1);
}

pub(crate) fn restart(actor: ActorName, kind: FailureKind) {
    counter!(RESTARTS, "actor" => actor.as_str(), "cause" => kind.as_str()).increment(1);
}

pub(crate) fn mailbox(actor: ActorName, waiting: usize) {
    gauge!(MAILBOX, "actor" => actor.as_str()).set(waiting as f64);
}

pub(crate) fn bus_lag(events: usize) {
    gauge!(BUS_LAG).set(events as f64);
}

pub(crate) fn bus_missed(events: u64) {
    counter!(BUS_MISSED).increment(events);
}

pub(crate) fn device_memory(device: &Device) {
    let name = || device.name.clone();
    gauge!(DEVICE_TOTAL, "device" => name()).set(device.memory_total as f64);
    gauge!(DEVICE_FREE, "device" => name()).set(device.memory_free as f64);
}

/// The state of a session that the operator watches by name.
pub(crate) fn listed_session(session: &SessionId, valence: f64, arousal: f64) {
    gauge!(SESSION_VALENCE, "session" => session.to_string()).set(valence);
    gauge!(SESSION_AROUSAL, "session" => session.to_string()).set(arousal);
}
