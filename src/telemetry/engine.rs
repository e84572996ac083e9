//! Metrics that the engine thread records at each step.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::known;
use super::table::{
    GENERATION_TOKENS, INTER_TOKEN_LATENCY, ITERATION_TOKENS, KV_CACHE_USAGE, RUNNING, WAITING,
};
use crate::scheduler::{CacheUsage, StepSummary};

/// Metrics of the engine thread. The handles are created once, so that a step needs no look-up.
/// Dropping this resets the thread's gauges.
pub(crate) struct StepMetrics {
    rows: metrics::Histogram,
    between_tokens: metrics::Histogram,
    generated: metrics::Counter,
    running: metrics::Gauge,
    waiting: metrics::Gauge,
    cache: metrics::Gauge,
}

impl StepMetrics {
    pub(crate) fn new(model: &str) -> Self {
        known::register_model(model);
        let model = || model.to_owned();
        Self {
            rows: histogram!(ITERATION_TOKENS, "model" => model()),
            between_tokens: histogram!(INTER_TOKEN_LATENCY, "model" => model()),
            generated: counter!(GENERATION_TOKENS, "model" => model()),
            running: gauge!(RUNNING, "model" => model()),
            waiting: gauge!(WAITING, "model" => model()),
            cache: gauge!(KV_CACHE_USAGE, "model" => model()),
        }
    }

    /// Records a step that ended `took` after the previous one.
    pub(crate) fn step(&self, summary: StepSummary, took: Duration, cache: CacheUsage) {
        self.rows.record(summary.rows as f64);
        self.generated.increment(summary.generated as u64);
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

impl Drop for StepMetrics {
    fn drop(&mut self) {
        self.running.set(0.0);
        self.cache.set(0.0);
    }
}

/// Sets the number of requests that wait for an engine, even if there is none.
pub(crate) fn waiting(model: &str, waiting: usize) {
    gauge!(WAITING, "model" => model.to_owned()).set(waiting as f64);
}

/// Resets the gauges when there is no engine.
pub(crate) fn engine_gone(model: &str) {
    gauge!(RUNNING, "model" => model.to_owned()).set(0.0);
    gauge!(KV_CACHE_USAGE, "model" => model.to_owned()).set(0.0);
}
