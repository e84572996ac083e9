//! Metrics, through the `metrics` facade: the host's recorder receives them.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::emotion::{EmotionEvent, KNOWN_EVENTS, SafetyLimit};
use crate::error::{EngineError, SteeringError};
use crate::event::{ActorName, FailureKind};
use crate::inference::GenerationReport;
use crate::scheduler::StepSummary;
use crate::store::{SessionChange, StoreError};

/// Generations that ended, by `model` and `outcome`.
pub const REQUESTS: &str = "elpis_requests_total";
/// Tokens of evaluated prompts, by `model`.
pub const PROMPT_TOKENS: &str = "elpis_prompt_tokens_total";
/// Tokens generated, by `model`.
pub const GENERATION_TOKENS: &str = "elpis_generation_tokens_total";
/// Seconds from submission to the first token, by `model`.
pub const TIME_TO_FIRST_TOKEN: &str = "elpis_time_to_first_token_seconds";
/// Seconds from submission to a slot, by `model`.
pub const QUEUE_TIME: &str = "elpis_request_queue_time_seconds";
/// Seconds from submission to the end, by `model`.
pub const LATENCY: &str = "elpis_e2e_request_latency_seconds";
/// Rows of a step, by `model`.
pub const BATCH_ROWS: &str = "elpis_iteration_rows";
/// Generations that hold a slot, by `model`.
pub const RUNNING: &str = "elpis_num_requests_running";
/// Generations that wait, by `model`.
pub const WAITING: &str = "elpis_num_requests_waiting";
/// Emotion events, by `event`; names of one's own count as `custom`.
pub const EMOTION_EVENTS: &str = "elpis_emotion_events_total";
/// Safety limits that acted, by `limit`.
pub const SAFETY_LIMITS: &str = "elpis_safety_limits_total";
/// Reloads of the steering library, by `outcome` (`ok` or `refused`); refused
/// ones with `reason` and `file`.
pub const STEERING_RELOADS: &str = "elpis_steering_reloads_total";
/// Restarts, by `actor` and `cause` (`panic`, `error`, `thread_panic`, `hung`,
/// `start` or `stopped`).
pub const RESTARTS: &str = "elpis_actor_restarts_total";

/// Journal entries written to the store.
pub const STORE_ENTRIES: &str = "elpis_store_entries_total";
/// Seconds that a transaction of the store took.
pub const STORE_COMMIT: &str = "elpis_store_commit_seconds";
/// Transactions that failed, by `reason`.
pub const STORE_FAILURES: &str = "elpis_store_failures_total";

pub(crate) fn store_written(changes: &[SessionChange], took: Duration) {
    let entries: usize = changes.iter().map(|change| change.entries.len()).sum();
    counter!(STORE_ENTRIES).increment(entries as u64);
    histogram!(STORE_COMMIT).record(took.as_secs_f64());
}

pub(crate) fn store_failed(error: &StoreError) {
    counter!(STORE_FAILURES, "reason" => error.kind()).increment(1);
}

pub(crate) fn emotion_event(event: &EmotionEvent) {
    let known = KNOWN_EVENTS.iter().find(|known| known.name == event.name());
    let name = known.map_or("custom", |known| known.name);
    counter!(EMOTION_EVENTS, "event" => name).increment(1);
}

pub(crate) fn safety_limit(limit: SafetyLimit) {
    counter!(SAFETY_LIMITS, "limit" => limit.as_str()).increment(1);
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
    running: metrics::Gauge,
    waiting: metrics::Gauge,
}

impl StepMetrics {
    pub(crate) fn new(model: &str) -> Self {
        Self {
            rows: histogram!(BATCH_ROWS, "model" => model.to_owned()),
            running: gauge!(RUNNING, "model" => model.to_owned()),
            waiting: gauge!(WAITING, "model" => model.to_owned()),
        }
    }

    pub(crate) fn step(&self, summary: StepSummary) {
        self.rows.record(summary.rows as f64);
    }

    pub(crate) fn load(&self, running: usize, waiting: usize) {
        self.running.set(running as f64);
        self.waiting.set(waiting as f64);
    }
}

pub(crate) fn steering_reloaded() {
    counter!(STEERING_RELOADS, "outcome" => "ok").increment(1);
}

pub(crate) fn steering_refused(error: &SteeringError) {
    let file = error.file().unwrap_or_default().to_owned();
    counter!(STEERING_RELOADS, "outcome" => "refused", "reason" => error.kind(), "file" => file)
        .increment(1);
}

pub(crate) fn restart(actor: ActorName, kind: FailureKind) {
    counter!(RESTARTS, "actor" => actor.as_str(), "cause" => kind.as_str()).increment(1);
}
