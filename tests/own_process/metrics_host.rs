//! A recorder of the host program receives the metrics. One test alone: the
//! recorder belongs to the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::in_own_process;
use elpis::backend::BackendFactory;
use elpis::internal::telemetry::{METRICS, OPENTELEMETRY};
use elpis::settings::{MetricsSettings, ModelSettings};
use elpis::{Elpis, Error, MetricsErrorKind, Settings};
use elpis_testkit::scripted::Scripted;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// How often something was recorded, and the last value of a gauge.
#[derive(Debug, Default)]
struct Cell {
    count: AtomicU64,
    value: Mutex<f64>,
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.count.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, value: u64) {
        self.count.store(value, Ordering::SeqCst);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        *self.value.lock().unwrap() += value;
    }

    fn decrement(&self, value: f64) {
        *self.value.lock().unwrap() -= value;
    }

    fn set(&self, value: f64) {
        *self.value.lock().unwrap() = value;
    }
}

impl HistogramFn for Cell {
    fn record(&self, _: f64) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Keeps everything by name and labels.
#[derive(Debug, Clone, Default)]
struct Host {
    cells: Arc<Mutex<BTreeMap<String, Arc<Cell>>>>,
    described: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Host {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels: BTreeSet<_> = key.labels().map(|l| (l.key(), l.value())).collect();
        let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        let mut cells = self.cells.lock().unwrap();
        Arc::clone(cells.entry(name.trim().to_owned()).or_default())
    }

    fn count(&self, series: &str) -> Option<u64> {
        let cells = self.cells.lock().unwrap();
        Some(cells.get(series)?.count.load(Ordering::SeqCst))
    }

    fn value(&self, series: &str) -> Option<f64> {
        let cells = self.cells.lock().unwrap();
        Some(*cells.get(series)?.value.lock().unwrap())
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        let mut described = self.described.lock().unwrap();
        described.insert(name.as_str().to_owned(), help.to_string());
    }
}

impl Recorder for Host {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

async fn start(metrics: MetricsSettings) -> Result<Elpis, Error> {
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(2, 64, 1000, usize::MAX))));
    let settings = Settings::default()
        .model(ModelSettings::default().chat_format("chatml"))
        .metrics(metrics);
    Elpis::builder(settings).backend(factory).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_of_the_host_receives_the_metrics() {
    in_own_process!(a_recorder_of_the_host_receives_the_metrics);
    let host = Host::default();
    metrics::set_global_recorder(host.clone()).unwrap();
    let elpis = start(MetricsSettings::default().interval(Duration::from_millis(100)))
        .await
        .unwrap();
    for metric in METRICS.iter().chain(OPENTELEMETRY) {
        let described = host.described.lock().unwrap();
        let help = described.get(metric.name).map(String::as_str);
        assert_eq!(help, Some(metric.help), "{}", metric.name);
    }
    let stopped = "elpis_requests_total model=scripted outcome=length";
    assert_eq!(host.count(stopped), Some(0), "there from the start");
    let ada = elpis.session("ada").unwrap();
    ada.feel("success").await.unwrap();
    ada.chat("hello").max_tokens(8).complete().await.unwrap();
    assert_eq!(host.count(stopped), Some(1));
    // The step is measured once it is over, which may be after its last token.
    for _ in 0..400 {
        if host.count("elpis_generation_tokens_total model=scripted") == Some(8) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    for (series, count) in [
        ("elpis_generation_tokens_total model=scripted", 8),
        ("elpis_time_to_first_token_seconds model=scripted", 1),
        ("elpis_emotion_events_total event=success", 1),
    ] {
        assert_eq!(host.count(series), Some(count), "{series}");
    }
    for _ in 0..400 {
        if host.value("elpis_sessions_by_quadrant quadrant=excited") == Some(1.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let excited = host.value("elpis_sessions_by_quadrant quadrant=excited");
    assert_eq!(excited, Some(1.0), "the observer looks");
    #[cfg(all(feature = "prometheus", target_os = "linux"))]
    for _ in 0..400 {
        if host.value("process_resident_memory_bytes") > Some(0.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    #[cfg(all(feature = "prometheus", target_os = "linux"))]
    assert!(host.value("process_resident_memory_bytes") > Some(0.0));
    elpis.shutdown().await;
    assert_eq!(host.value("elpis_sessions"), Some(0.0));

    // A recorder and a listener of our own do not go together.
    let error = start(MetricsSettings::default().listen(0_u16))
        .await
        .unwrap_err();
    let expected = if cfg!(feature = "prometheus") {
        MetricsErrorKind::Taken
    } else {
        MetricsErrorKind::NotBuilt
    };
    assert!(
        matches!(&error, Error::Metrics { kind, .. } if *kind == expected),
        "{error:?}"
    );
}
