//! What Prometheus reads of a running runtime. One test alone: metrics belong
//! to the process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::in_own_process;
use elpis::backend::BackendFactory;
use elpis::internal::telemetry::{METRICS, MetricKind, OPENTELEMETRY, PROCESS};
use elpis::settings::{MetricsSettings, ModelSettings, StoreSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{Delivery, Elpis, Error, MetricsErrorKind, SafetyLimits, Settings};
use elpis_testkit::http;
use elpis_testkit::scripted::Scripted;

fn scrape(address: SocketAddr) -> String {
    http::get(address, "/metrics")
}

/// Scrapes until there is a certain text.
async fn scrape_until(address: SocketAddr, wanted: &str) -> String {
    for _ in 0..400 {
        let text = scrape(address);
        if text.contains(wanted) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{wanted} did not come: {}", scrape(address));
}

/// Label names by metric, and the words of each kind of line.
#[derive(Default)]
struct Exposition {
    kinds: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
    labels: BTreeMap<String, BTreeSet<String>>,
}

fn read(text: &str) -> Exposition {
    let mut found = Exposition::default();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next()) {
            (Some("#"), Some("TYPE")) => {
                let name = words.next().unwrap().to_owned();
                found.kinds.insert(name, words.next().unwrap().to_owned());
            }
            (Some("#"), Some("HELP")) => {
                let name = words.next().unwrap().to_owned();
                found.helps.insert(name, words.next().unwrap().to_owned());
            }
            (Some(series), Some(_)) if !series.starts_with('#') => {
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| {
                        let base = name.strip_suffix(end)?;
                        found.kinds.contains_key(base).then_some(base)
                    })
                    .unwrap_or(name);
                let names = labels.split(',').filter_map(|label| label.split_once('='));
                let names = names.map(|(name, _)| name.to_owned());
                let known = found.labels.entry(base.to_owned()).or_default();
                let own = found.kinds.get(base).map(String::as_str) == Some("histogram");
                known.extend(names.filter(|name| name != "le" || !own));
            }
            _ => {}
        }
    }
    found
}

async fn start(folder: &std::path::Path, listen: MetricsSettings) -> Result<Elpis, Error> {
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(2, 64, 1000, usize::MAX))));
    let mut settings = Settings::default()
        .model(
            ModelSettings::default()
                .chat_format("chatml")
                .emotion_vectors_dir(folder.join("vectors")),
        )
        .store(StoreSettings::default().path(folder.join("moods.db")))
        .metrics(listen);
    settings.emotion.events_per_minute = Some(20);
    settings.runtime.bus_capacity = 2;
    Elpis::builder(settings).backend(factory).start().await
}

async fn what_is_gone_is_not_shown(elpis: Elpis, address: SocketAddr) {
    let session = elpis.session("ada").unwrap();
    // A listed session that has left memory feels nothing.
    assert!(session.forget().await.unwrap());
    let gone = "elpis_session_valence{session=\"ada\"} NaN";
    let text = scrape_until(address, gone).await;
    assert!(text.contains("elpis_sessions 0"));
    session.feel("failure").await.unwrap();
    scrape_until(
        address,
        "elpis_sessions_by_quadrant{quadrant=\"frustrated\"} 1",
    )
    .await;
    elpis.shutdown().await;

    // Nothing is left that is no longer so.
    let text = scrape(address);
    for series in [
        gone,
        "elpis_session_arousal{session=\"ada\"} NaN",
        "elpis_sessions 0",
        "elpis_sessions_by_quadrant{quadrant=\"frustrated\"} 0",
        "elpis_sessions_by_valence{le=\"+Inf\"} 0",
        "elpis_num_requests_running{model=\"scripted\"} 0",
        "elpis_num_requests_waiting{model=\"scripted\"} 0",
        "elpis_kv_cache_usage_perc{model=\"scripted\"} 0",
        "elpis_actor_mailbox_depth{actor=\"engine\"} 0",
        "elpis_steering_library_version 0",
        "elpis_steering_emotions 0",
    ] {
        assert!(text.lines().any(|line| line == series), "{series}: {text}");
    }
}

fn listening(address: SocketAddr) -> MetricsSettings {
    MetricsSettings::default()
        .listen(address)
        .interval(Duration::from_millis(100))
        .sessions(vec!["ada".to_owned(), "not here".to_owned()])
        .opentelemetry(true)
}

/// Returns the address, which is free again.
async fn a_port_that_is_taken_is_named(folder: &std::path::Path) -> SocketAddr {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = start(folder, listening(address)).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let in_use = matches!(
        error,
        Error::Metrics { ref listen, kind: MetricsErrorKind::InUse, .. } if *listen == address.to_string()
    );
    assert!(in_use, "{error:?}");
    address
}

/// The exporter belongs to the process.
async fn the_next_runtime_is_exposed_too(folder: &std::path::Path, address: SocketAddr) {
    let vectors = folder.join("vectors");
    let listen = MetricsSettings::default().listen(address);
    let elpis = start(folder, listen).await.unwrap_err();
    assert!(matches!(elpis, Error::Steering(_)), "{elpis}");
    std::fs::remove_file(vectors.join("calm.safetensors")).unwrap();
    let listen = MetricsSettings::default().listen(address);
    let elpis = start(folder, listen).await.unwrap();
    assert!(scrape(address).contains("elpis_requests_total"));
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_exposed_as_it_is_documented() {
    in_own_process!(every_metric_is_exposed_as_it_is_documented);
    let folder = tempfile::tempdir().unwrap();
    let vectors = folder.path().join("vectors");
    std::fs::create_dir(&vectors).unwrap();
    let vector = SteeringVector::bare(vec![0.1, 0.2, 0.0, 0.1]).unwrap();
    let bytes = write(VectorFormat::Safetensors, &vector).unwrap();
    std::fs::write(vectors.join("excited.safetensors"), bytes).unwrap();
    crate::axes::add(&vectors);

    let address = a_port_that_is_taken_is_named(folder.path()).await;
    let listen = listening(address);

    // A port alone is the port of this machine.
    let listen = listen.listen(address.port());
    let elpis = start(folder.path(), listen).await.unwrap();
    if cfg!(target_os = "linux") {
        // All of 127.0.0.0/8 is this machine: what listens everywhere would answer.
        TcpStream::connect(("127.0.0.2", address.port())).unwrap_err();
    }
    let session = elpis.session("ada").unwrap();
    let mut events = elpis.events();
    for _ in 0..3 {
        session.feel("success").await.unwrap();
        session
            .chat("hello")
            .max_tokens(8)
            .complete()
            .await
            .unwrap();
    }
    assert!(matches!(events.next().await, Some(Delivery::Lagged(_))));
    for _ in 0..4 {
        session.feel("success").await.unwrap();
    }
    let tight = SafetyLimits {
        valence: 0.1,
        ..SafetyLimits::default()
    };
    session.set_limits(tight).await.unwrap();
    session.feel("insight").await.unwrap();
    let late = session.chat("late").timeout(Duration::from_nanos(1));
    late.complete().await.unwrap_err();
    elpis.flush().await.unwrap();
    std::fs::write(vectors.join("calm.safetensors"), "no vector").unwrap();
    elpis.reload_vectors().await.unwrap_err();

    // The observer has looked since the last event, up to what it publishes last.
    let mut text = scrape_until(address, "elpis_sessions_by_valence{le=\"0.2\"} 1").await;
    if cfg!(target_os = "linux") {
        text = scrape_until(address, "\nprocess_threads ").await;
    }
    if cfg!(feature = "llama-cpp") {
        text = scrape_until(address, "\nelpis_device_memory_free_bytes{").await;
    }
    let found = read(&text);
    for metric in METRICS.iter().chain(OPENTELEMETRY).chain(PROCESS) {
        // Devices are those of a backend that is built in, and not every
        // system tells all of a process.
        let device = metric.labels.starts_with("device") && !cfg!(feature = "llama-cpp");
        let process = metric.name.starts_with("process_") && !cfg!(target_os = "linux");
        if device || process {
            continue;
        }
        let name = metric.name.replace('.', "_");
        let kind = found.kinds.get(&name).map(String::as_str);
        assert_eq!(kind, Some(metric.kind.as_str()), "{name}");
        assert_eq!(found.helps[&name], metric.help);
        let expected: BTreeSet<_> = metric
            .labels
            .split(", ")
            .filter(|label| !label.is_empty())
            .map(|label| label.replace('.', "_"))
            .collect();
        assert_eq!(found.labels[&name], expected, "{name}");
        if metric.kind == MetricKind::Histogram {
            assert!(
                text.contains(&format!("{name}_bucket")),
                "{name} has buckets"
            );
        }
    }
    let documented: BTreeSet<_> = METRICS
        .iter()
        .chain(OPENTELEMETRY)
        .chain(PROCESS)
        .map(|metric| metric.name.replace('.', "_"))
        .collect();
    for name in found.kinds.keys() {
        assert!(documented.contains(name), "{name} is not documented");
    }
    assert!(text.contains("process_resident_memory_bytes "));
    assert!(!text.contains("session=\"not here\""));
    assert!(text.contains("elpis_sessions_by_quadrant{quadrant=\"excited\"} 1"));
    assert!(text.contains("elpis_sessions_by_valence{le=\"0.05\"} 0"));
    assert!(text.contains("elpis_emotion_spirals_total{kind=\"positive\"} 1"));
    assert!(text.contains("elpis_generation_tokens_total{model=\"scripted\"} 24"));
    assert!(text.contains("elpis_sessions 1"));
    assert!(text.contains("error_type=\"timeout\""));
    // What is counted is there before it happens.
    for series in [
        "elpis_store_failures_total{reason=\"full\"} 0",
        "elpis_actor_restarts_total{actor=\"steering\",cause=\"stopped\"} 0",
        "elpis_requests_total{model=\"scripted\",outcome=\"overloaded\"} 0",
    ] {
        assert!(text.contains(series), "{series}");
    }

    what_is_gone_is_not_shown(elpis, address).await;

    the_next_runtime_is_exposed_too(folder.path(), address).await;
}
