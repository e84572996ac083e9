//! Metrics and spans that can be switched off again, although recorders are installed for the whole
//! process.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;

static ON: AtomicBool = AtomicBool::new(false);
static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

/// Switches the measurements on or off.
pub fn switch(on: bool) {
    ON.store(on, Ordering::SeqCst);
}

/// A recorder that receives metrics only while it is switched on.
struct Switched(PrometheusRecorder);

impl Recorder for Switched {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe_counter(key, unit, text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe_gauge(key, unit, text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe_histogram(key, unit, text);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        if ON.load(Ordering::Relaxed) {
            self.0.register_counter(key, metadata)
        } else {
            Counter::noop()
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        if ON.load(Ordering::Relaxed) {
            self.0.register_gauge(key, metadata)
        } else {
            Gauge::noop()
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        if ON.load(Ordering::Relaxed) {
            self.0.register_histogram(key, metadata)
        } else {
            Histogram::noop()
        }
    }
}

/// Installs the recorder, exporter and subscriber of this process, once. Returns the address of the
/// metrics.
pub fn install() -> Result<SocketAddr> {
    if let Some(address) = ADDRESS.get() {
        return Ok(*address);
    }
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut builder = PrometheusBuilder::new().with_http_listener(address);
    for (name, buckets) in elpis::internal::telemetry::buckets() {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    let (report, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async move {
            let (recorder, exporter) = builder.build()?;
            metrics::set_global_recorder(Switched(recorder))
                .map_err(|_| anyhow::anyhow!("there is a recorder already"))?;
            report.send(())?;
            exporter.await.map_err(|error| anyhow::anyhow!("{error:?}"))
        })
    });
    started.recv().context("the exporter did not start")?;
    // Every span is formatted and discarded, which is the work of a cheap exporter.
    let spans = tracing_subscriber::fmt::layer()
        .json()
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(std::io::sink)
        .with_filter(dynamic_filter_fn(|metadata, _| {
            ON.load(Ordering::Relaxed) && *metadata.level() <= tracing::Level::INFO
        }));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans))?;
    Ok(*ADDRESS.get_or_init(|| address))
}
