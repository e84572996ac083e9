//! Metrics through the `metrics` facade and spans through `tracing`. The program's own recorder
//! receives the metrics or, with the setting `metrics.listen`, an exporter for Prometheus. Each
//! generation has a span with the target [`TRACE_TARGET`].
//!
//! Metrics that vLLM also has use its suffixes; times are in seconds. [`METRICS`] lists all
//! metrics.

mod buckets;
mod engine;
#[cfg(feature = "prometheus")]
mod exporter;
mod known;
mod moods;
mod request;
mod table;

pub(crate) use engine::{StepMetrics, engine_gone, waiting};
#[cfg(feature = "prometheus")]
pub(crate) use exporter::{listen, process};
#[cfg(feature = "prometheus")]
pub use exporter::{record_metrics, render_metrics};
pub(crate) use moods::Moods;
pub(crate) use request::RequestWatch;
pub use request::TRACE_TARGET;
pub use table::{METRICS, Metric, MetricKind, OPENTELEMETRY, PROCESS, buckets, reference_markdown};

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use table::{
    APPRAISALS, AROUSAL, BUILD_INFO, BUS_LAG, BUS_MISSED, DEVICE_FREE, DEVICE_TOTAL,
    EMOTION_EVENTS, LIBRARY_VERSION, MAILBOX, RESTARTS, SAFETY_LIMITS, SESSION_AROUSAL,
    SESSION_VALENCE, SESSIONS, SPIRALS, STEERING_EMOTIONS, STEERING_RELOAD_TIME, STEERING_RELOADS,
    STORE_COMMIT, STORE_ENTRIES, STORE_FAILURES, VALENCE,
};

use crate::backend::Device;
use crate::emotion::{
    AppliedEvent, EmotionEvent, EmotionalState, KNOWN_EVENTS, READ_EVENTS, SafetyLimit, Spiral,
};
use crate::error::SteeringError;
use crate::event::{ActorName, EventSource, FailureKind};
use crate::inference::SessionId;
use crate::steering::SteeringLibrary;
use crate::store::{SessionChange, StoreError};

/// Registers the description of each metric, and the series that exist from the start.
pub(crate) fn describe(backend: &'static str) {
    let process = if cfg!(feature = "prometheus") {
        PROCESS
    } else {
        &[]
    };
    for metric in METRICS.iter().chain(OPENTELEMETRY).chain(process) {
        let unit = metric.unit;
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.help),
        }
    }
    known::register();
    let labels = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("backend", backend.to_owned()),
        ("features", features()),
    ];
    gauge!(BUILD_INFO, &labels).set(1.0);
}

/// The cargo features of this build, in order.
fn features() -> String {
    let known = [
        ("bundled-model", cfg!(feature = "bundled-model")),
        ("cuda", cfg!(feature = "cuda")),
        ("fault-injection", cfg!(feature = "fault-injection")),
        ("hub", cfg!(feature = "hub")),
        ("llama-cpp", cfg!(feature = "llama-cpp")),
        ("metal", cfg!(feature = "metal")),
        ("prometheus", cfg!(feature = "prometheus")),
        ("rocm", cfg!(feature = "rocm")),
        ("sqlite", cfg!(feature = "sqlite")),
        ("testing", cfg!(feature = "testing")),
        ("tools", cfg!(feature = "tools")),
        ("tower", cfg!(feature = "tower")),
        ("transformers", cfg!(feature = "transformers")),
        ("vulkan", cfg!(feature = "vulkan")),
    ];
    let built = known.into_iter().filter(|(_, built)| *built);
    built.map(|(name, _)| name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[test]
fn every_cargo_feature_is_told() {
    let manifest = include_str!("../Cargo.toml");
    let (_, rest) = manifest.split_once("\n[features]\n").unwrap();
    let section = rest.split("\n[").next().unwrap();
    let own = include_str!("telemetry.rs");
    for line in section.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        let told = own.contains(&format!("cfg!(feature = \"{name}\")"));
        assert!(told || name == "default" || name.starts_with('_'), "{name}");
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
    let mut known = KNOWN_EVENTS.iter().chain(&READ_EVENTS);
    let known = known.find(|known| known.name == event.name());
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

pub(crate) fn steering_reloaded(took: Duration, library: &SteeringLibrary) {
    counter!(STEERING_RELOADS, "outcome" => "ok").increment(1);
    histogram!(STEERING_RELOAD_TIME).record(took.as_secs_f64());
    steering_library(library);
}

/// Sets the gauges of the steering library in force. A series for each version would remain until
/// the process ends, so the version is the value.
pub(crate) fn steering_library(library: &SteeringLibrary) {
    gauge!(STEERING_EMOTIONS).set(library.emotions().len() as f64);
    gauge!(LIBRARY_VERSION).set(version_number(library.version()));
}

/// The first 12 hexadecimal digits of a version, which a float holds exactly.
fn version_number(version: &str) -> f64 {
    let digits = version.get(..12).unwrap_or(version);
    u64::from_str_radix(digits, 16).map_or(0.0, |number| number as f64)
}

pub(crate) fn steering_refused(error: &SteeringError) {
    counter!(STEERING_RELOADS, "outcome" => "refused", "reason" => error.kind()).increment(1);
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
    show_device(
        device,
        device.memory_total as f64,
        device.memory_free as f64,
    );
}

/// Clears the gauges of a device that is no longer sampled.
pub(crate) fn device_left(device: &Device) {
    show_device(device, f64::NAN, f64::NAN);
}

fn show_device(device: &Device, total: f64, free: f64) {
    let (name, index) = (|| device.name.clone(), || device.index.to_string());
    gauge!(DEVICE_TOTAL, "device" => name(), "index" => index()).set(total);
    gauge!(DEVICE_FREE, "device" => name(), "index" => index()).set(free);
}

/// Sets the gauges of a session listed in the settings; `None` once it is evicted.
pub(crate) fn listed_session(session: &SessionId, state: Option<EmotionalState>) {
    let valence = state.map_or(f64::NAN, EmotionalState::valence);
    let arousal = state.map_or(f64::NAN, EmotionalState::arousal);
    gauge!(SESSION_VALENCE, "session" => session.to_string()).set(valence);
    gauge!(SESSION_AROUSAL, "session" => session.to_string()).set(arousal);
}

/// Clears the gauges of a runtime that is gone.
pub(crate) fn runtime_gone() {
    gauge!(STEERING_EMOTIONS).set(0.0);
    gauge!(LIBRARY_VERSION).set(0.0);
    sessions(0);
    Moods::default().publish();
    for actor in [ActorName::Emotion, ActorName::Steering, ActorName::Engine] {
        mailbox(actor, 0);
    }
    bus_lag(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_that_can_be_read_back() {
        let number = version_number("00ab34ff9012cdef");
        assert_eq!(format!("{:012x}", number as u64), "00ab34ff9012");
        let most = version_number("ffffffffffffffff");
        assert_eq!(format!("{:012x}", most as u64), "ffffffffffff");
        assert!(version_number("").abs() < f64::EPSILON);
    }
}
