//! Metrics, through the `metrics` facade: the host's recorder receives them,
//! or, with the setting `metrics.listen`, an exporter for Prometheus.
//!
//! Names have vLLM's suffixes where vLLM has such a metric; times are in
//! seconds. [`METRICS`] lists all of them.

#[cfg(feature = "prometheus")]
mod exporter;
mod table;

#[cfg(feature = "prometheus")]
pub(crate) use exporter::listen;
pub use table::{METRICS, Metric, MetricKind, reference_markdown};

use std::time::Duration;

use metrics::{Unit, counter, gauge, histogram};
use table::{
    APPRAISALS, AROUSAL, BATCH_ROWS, EMOTION_EVENTS, GENERATION_TOKENS, INTER_TOKEN_LATENCY,
    KV_CACHE_USAGE, LATENCY, PREFIX_HITS, PREFIX_HITS_OTHER, PROMPT_TOKENS, QUEUE_TIME, REQUESTS,
    RESTARTS, RESUMES, RUNNING, SAFETY_LIMITS, SESSIONS, STEERING_EMOTIONS, STEERING_FRACTION,
    STEERING_RELOAD_TIME, STEERING_RELOADS, STORE_COMMIT, STORE_ENTRIES, STORE_FAILURES,
    TIME_TO_FIRST_TOKEN, VALENCE, WAITING,
};

use crate::emotion::{AppliedEvent, EmotionEvent, KNOWN_EVENTS, SafetyLimit};
use crate::error::{EngineError, SteeringError};
use crate::event::{ActorName, EventSource, FailureKind};
use crate::inference::GenerationReport;
use crate::scheduler::{CacheUsage, StepSummary};
use crate::store::{SessionChange, StoreError};

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    for metric in METRICS {
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

pub(crate) fn safety_limit(limit: SafetyLimit) {
    counter!(SAFETY_LIMITS, "limit" => limit.as_str()).increment(1);
}

pub(crate) fn appraisal(source: EventSource, outcome: &'static str) {
    counter!(APPRAISALS, "source" => source.as_str(), "outcome" => outcome).increment(1);
}

pub(crate) fn generation_done(report: &GenerationReport) {
    let model = report.model.clone();
    counter!(REQUESTS, "model" => model.clone(), "outcome" => report.finish_reason.as_str())
        .increment(1);
    counter!(PROMPT_TOKENS, "model" => model.clone()).increment(report.prompt_tokens.into());
    counter!(GENERATION_TOKENS, "model" => model.clone())
        .increment(report.completion_tokens.into());
    histogram!(TIME_TO_FIRST_TOKEN, "model" => model.clone()).record(report.first_token_seconds);
    histogram!(QUEUE_TIME, "model" => model.clone()).record(report.queue_seconds);
    counter!(PREFIX_HITS, "model" => model.clone()).increment(report.cached_prompt_tokens.into());
    counter!(PREFIX_HITS_OTHER, "model" => model.clone())
        .increment(report.cached_under_other_steering.into());
    counter!(RESUMES, "model" => model.clone()).increment(report.resumes.into());
    for steering in report.modulations.iter().flat_map(|m| &m.steering) {
        if let Some(fraction) = steering.residual_fraction {
            histogram!(STEERING_FRACTION, "model" => model.clone()).record(f64::from(fraction));
        }
    }
    histogram!(LATENCY, "model" => model).record(report.total_seconds);
}

pub(crate) fn generation_failed(model: &str, error: &EngineError) {
    counter!(REQUESTS, "model" => model.to_owned(), "outcome" => error.kind()).increment(1);
}

pub(crate) fn generation_cancelled(model: &str) {
    counter!(REQUESTS, "model" => model.to_owned(), "outcome" => "cancelled").increment(1);
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

pub(crate) fn steering_reloaded(took: Duration, emotions: usize) {
    counter!(STEERING_RELOADS, "outcome" => "ok").increment(1);
    histogram!(STEERING_RELOAD_TIME).record(took.as_secs_f64());
    gauge!(STEERING_EMOTIONS).set(emotions as f64);
}

pub(crate) fn steering_refused(error: &SteeringError) {
    let file = error.file().unwrap_or_default().to_owned();
    counter!(STEERING_RELOADS, "outcome" => "refused", "reason" => error.kind(), "file" => file)
        .increment(1);
}

pub(crate) fn restart(actor: ActorName, kind: FailureKind) {
    counter!(RESTARTS, "actor" => actor.as_str(), "cause" => kind.as_str()).increment(1);
}
