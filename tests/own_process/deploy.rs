//! What `deploy/` holds. A real Prometheus scrapes a running runtime and answers
//! every query of the dashboard: it is found at `ELPIS_TEST_PROMETHEUS`, and only
//! where `CI` is not set may it be missing.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fragile::{self, Site};
use crate::in_own_process;
use elpis::internal::telemetry::{METRICS, MetricKind};
use elpis::settings::{MetricsSettings, ModelSettings, RuntimeSettings, StoreSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{Delivery, Elpis, SafetyLimits, Settings};
use elpis_testkit::http;
use serde_json::Value;

/// Longest wait until every query has been answered; the rates need some
/// scrapes.
const PATIENCE: Duration = Duration::from_secs(90);

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts Prometheus with the configuration of `deploy`, scraping faster and
/// elsewhere.
fn start_prometheus(program: &str, folder: &Path, runtime: SocketAddr) -> (Server, SocketAddr) {
    let own = read("deploy/prometheus/prometheus.yml");
    let config = own
        .replace("localhost:9464", &runtime.to_string())
        .replace("scrape_interval: 5s", "scrape_interval: 1s");
    assert_eq!(config.matches("interval: 1s").count(), 1);
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    let alerts = read("deploy/prometheus/alerts.yml");
    std::fs::write(folder.join("alerts.yml"), alerts).unwrap();
    let address = free_address();
    let server = Command::new(program)
        .arg(format!(
            "--config.file={}",
            folder.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Server(server), address)
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}

/// The numbers that a query gives; `None` until Prometheus answers.
fn numbers(prometheus: SocketAddr, query: &str) -> Option<Vec<f64>> {
    let path = format!("/api/v1/query?query={}", encoded(query));
    let (_, body) = http::try_get(prometheus, &path).ok()?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    let series = answer["data"]["result"].as_array().unwrap();
    let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
    Some(series.iter().map(value).collect())
}

/// The queries of the dashboard, with its variables filled in as Grafana does.
fn queries() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboards/elpis.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries: Vec<_> = targets
        .flatten()
        .map(|target| {
            let query = target["expr"].as_str().unwrap().to_owned();
            let query = query.replace("$__rate_interval", "30s");
            // What stands in for a metric that is not there would hide its name.
            assert!(!query.contains("vector("), "{query}");
            ["job", "instance", "model"]
                .into_iter()
                .fold(query, |query, name| {
                    query.replace(&format!("${name}"), ".*")
                })
        })
        .collect();
    assert!(queries.len() > 30 && queries.iter().all(|query| !query.contains('$')));
    queries
}

/// The metrics that a text names.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("elpis_"))
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let kind = |name: &str| {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        metric.map(|metric| metric.kind)
    };
    let mut texts = queries();
    texts.push(read("deploy/prometheus/alerts.yml"));
    texts.push(read("deploy/prometheus/alerts.test.yml"));
    let mut seen = 0;
    for name in texts.iter().flat_map(|text| named(text)) {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|end| {
            let base = name.strip_suffix(end);
            base.is_some_and(|base| kind(base) == Some(MetricKind::Histogram))
        });
        let plain = matches!(kind(name), Some(MetricKind::Counter | MetricKind::Gauge));
        assert!(of_histogram || plain, "{name} is no series");
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}

/// The lines of a YAML file without comments, with their indentation.
fn lines(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    lines
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .collect()
}

#[test]
fn the_compose_file_mounts_what_is_there() {
    let text = read("deploy/compose.yaml");
    assert!(!text.contains('\t'), "YAML knows no tabs");
    let all = lines(&text);
    for pair in all.windows(2) {
        let [(before, line), (after, _)] = pair else {
            continue;
        };
        assert!(after % 2 == 0, "{line}");
        // Deeper is only what belongs to a line that opens something.
        let opens = line.ends_with(':') || line.ends_with('|') || line.starts_with("- ");
        assert!(after <= before || opens, "{line}");
    }
    let top: Vec<_> = all
        .iter()
        .filter(|(indent, _)| *indent == 0)
        .map(|(_, line)| *line)
        .collect();
    assert_eq!(top, ["services:", "volumes:"]);
    let under = |name: &str| -> Vec<&str> {
        let below = all.iter().skip_while(|line| **line != (0, name)).skip(1);
        let below = below.take_while(|(indent, _)| *indent > 0);
        let names = below.filter(|(indent, _)| *indent == 2);
        names.map(|(_, line)| line.trim_end_matches(':')).collect()
    };
    assert_eq!(under("services:"), ["prometheus", "grafana"]);
    let volumes = under("volumes:");
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let mut mounts = 0;
    for (_, line) in &all {
        if let Some(image) = line.strip_prefix("image: ") {
            let tag = image.split_once(':').map(|(_, tag)| tag);
            assert!(tag.is_some_and(|tag| tag != "latest"), "{image}");
        }
        let Some((from, to)) = line.strip_prefix("- ").and_then(|it| it.split_once(":/")) else {
            continue;
        };
        mounts += 1;
        match from.strip_prefix("./") {
            Some(path) => {
                assert!(deploy.join(path).is_dir(), "{from}");
                assert!(to.ends_with(":ro"), "{line}");
            }
            None => assert!(volumes.contains(&from), "{from}"),
        }
    }
    assert_eq!(mounts, 5);
    // What is done to the configuration inside fits the file.
    for (_, line) in &all {
        if let Some((_, replaced)) = line.split_once("sed 's/") {
            let (from, _) = replaced.split_once('/').unwrap();
            assert!(read("deploy/prometheus/prometheus.yml").contains(from));
        }
        if let Some((_, path)) = line.split_once("/deploy/") {
            let file = path.split_whitespace().next().unwrap();
            assert!(deploy.join("prometheus").join(file).is_file(), "{file}");
        }
    }
}

async fn start(folder: &Path, listen: SocketAddr, broken: &Arc<AtomicBool>) -> Elpis {
    let vectors = folder.join("vectors");
    std::fs::create_dir(&vectors).unwrap();
    let vector = SteeringVector::bare(vec![0.1, 0.2, 0.0, 0.1]).unwrap();
    for emotion in ["excited", "frustrated"] {
        let bytes = write(VectorFormat::Safetensors, &vector).unwrap();
        std::fs::write(vectors.join(format!("{emotion}.safetensors")), bytes).unwrap();
    }
    crate::axes::add(&vectors);
    let breaks = Arc::clone(broken);
    let factory = fragile::factory(move |site, _| {
        let breaks = site == Site::Decode && breaks.swap(false, Ordering::SeqCst);
        assert!(!breaks, "injected");
        Ok(())
    });
    let model = ModelSettings::default()
        .chat_format("chatml")
        .emotion_vectors_dir(vectors);
    let metrics = MetricsSettings::default()
        .listen(listen)
        .interval(Duration::from_millis(500))
        .sessions(vec!["ada".to_owned()]);
    let runtime = RuntimeSettings::default()
        .bus_capacity(2_usize)
        .restart_max(1000_u32)
        .restart_backoff_initial(Duration::from_millis(1));
    let settings = Settings::default()
        .model(model)
        .runtime(runtime)
        .store(StoreSettings::default().path(folder.join("moods.db")))
        .metrics(metrics);
    Elpis::builder(settings)
        .backend(factory)
        .start()
        .await
        .unwrap()
}

/// A little of everything.
async fn live(elpis: &Elpis, folder: &Path, round: u32, broken: &AtomicBool) {
    let mut events = elpis.events();
    let ada = elpis.session("ada").unwrap();
    let tight = SafetyLimits {
        valence: 0.3,
        ..SafetyLimits::default()
    };
    ada.set_limits(tight).await.unwrap();
    for event in [
        "success", "failure", "insight", "success", "success", "success",
    ] {
        ada.feel(event).await.unwrap();
    }
    let bob = elpis.session(format!("bob {round}")).unwrap();
    for _ in 0..6 {
        bob.feel("failure").await.unwrap();
    }
    let prompt = "the same long beginning of every prompt, and then ";
    for number in 0..2 {
        let reply = ada.chat(format!("{prompt}{number}")).max_tokens(8);
        reply.complete().await.unwrap();
    }
    broken.store(true, Ordering::SeqCst);
    ada.chat("broken")
        .max_tokens(8)
        .complete()
        .await
        .unwrap_err();
    assert!(matches!(events.next().await, Some(Delivery::Lagged(_))));
    let file = folder.join("vectors/calm.safetensors");
    let scale = f32::from(u8::try_from(round % 100).unwrap()) / 1000.0;
    let vector = SteeringVector::bare(vec![0.1, scale, 0.0, 0.2]).unwrap();
    std::fs::write(file, write(VectorFormat::Safetensors, &vector).unwrap()).unwrap();
    elpis.reload_vectors().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers_every_query_of_the_dashboard() {
    in_own_process!(prometheus_answers_every_query_of_the_dashboard);
    let Ok(program) = std::env::var("ELPIS_TEST_PROMETHEUS") else {
        assert!(std::env::var_os("CI").is_none(), "CI has a prometheus");
        eprintln!("skipped: ELPIS_TEST_PROMETHEUS names no prometheus");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let listen = free_address();
    let elpis = start(folder.path(), listen, &broken).await;
    let (server, prometheus) = start_prometheus(&program, folder.path(), listen);
    let start = Instant::now();
    let mut open = queries();
    let mut round = 0;
    while !open.is_empty() {
        round += 1;
        live(&elpis, folder.path(), round, &broken).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        open.retain(|query| {
            let found = numbers(prometheus, query).unwrap_or_default();
            !found.iter().any(|number| number.is_finite())
        });
        assert!(start.elapsed() < PATIENCE, "no data: {open:#?}");
    }
    assert_eq!(numbers(prometheus, "up{job=\"elpis\"}"), Some(vec![1.0]));
    // The rules are evaluated, and what they look for is there.
    let rules = http::get(prometheus, "/api/v1/rules");
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        let query = rule["query"].as_str().unwrap();
        for name in query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if name.starts_with("elpis_") {
                let there = numbers(prometheus, name).unwrap_or_default();
                assert!(!there.is_empty(), "{}: no {name}", rule["name"]);
            }
        }
    }
    drop(server);
    elpis.shutdown().await;
}
