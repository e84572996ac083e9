//! What went wrong is measured as well as what did not. One test alone: metrics
//! belong to the process.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fragile::{self, Site};
use crate::in_own_process;
use elpis::backend::{BackendError, BackendFactory};
use elpis::settings::{MetricsSettings, ModelSettings, RuntimeSettings};
use elpis::{Clock, Elpis, EngineError, Error, Settings, SystemClock};
use elpis_testkit::http;
use elpis_testkit::shelf::Shelf;

/// What the engine does next, and once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Nothing,
    /// The next step panics.
    Panic,
    /// The next step finds its model gone.
    Die,
    /// The next step waits until it is let go.
    Hang,
    /// The next step panics, and the next engine does not start.
    NoStart,
    /// The next engine does not start.
    NoLoad,
    /// The next step panics, and the next engine waits until it is let go.
    Pause,
    /// The next engine waits until it is let go.
    Hold,
}

#[derive(Debug, Clone)]
struct Planned(Arc<Mutex<Plan>>);

impl Planned {
    fn set(&self, plan: Plan) {
        *self.0.lock().unwrap() = plan;
    }

    fn take(&self, site: Site) -> Plan {
        let mut plan = self.0.lock().unwrap();
        let next = match (site, *plan) {
            (Site::Decode, Plan::NoStart) => Plan::NoLoad,
            (Site::Decode, Plan::Pause) => Plan::Hold,
            (Site::Decode, Plan::NoLoad | Plan::Hold) | (_, Plan::Nothing) => return Plan::Nothing,
            (Site::Decode, _) | (Site::Load, Plan::NoLoad | Plan::Hold) => Plan::Nothing,
            _ => return Plan::Nothing,
        };
        std::mem::replace(&mut *plan, next)
    }
}

/// Panics when it is armed, in the task that asks for the time next.
#[derive(Debug, Default)]
struct Tripwire {
    armed: AtomicBool,
    clock: SystemClock,
}

impl Clock for Tripwire {
    fn now(&self) -> f64 {
        let task = std::thread::current().name() == Some("tokio-rt-worker");
        assert!(
            !(task && self.armed.swap(false, Ordering::SeqCst)),
            "injected panic"
        );
        self.clock.now()
    }
}

fn factory(planned: Planned, held: crossbeam_channel::Receiver<()>) -> BackendFactory {
    fragile::factory(move |site, _| {
        match planned.take(site) {
            Plan::Panic | Plan::NoStart | Plan::Pause => panic!("injected"),
            Plan::Die => {
                return Err(BackendError::WorkerDied {
                    reason: "injected".into(),
                });
            }
            Plan::NoLoad => return Err(BackendError::Aborted),
            Plan::Hang | Plan::Hold => drop(held.recv()),
            Plan::Nothing => {}
        }
        Ok(())
    })
}

/// Scrapes until a series has come to a value.
async fn until(address: SocketAddr, series: &str, least: f64) -> String {
    let mut text = String::new();
    for _ in 0..1200 {
        text = http::get(address, "/metrics");
        if value(&text, series) >= least {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{series} did not come to {least}: {text}");
}

fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}: {text}"))
        .parse()
        .unwrap()
}

async fn wait_for_model(elpis: &Elpis) {
    while elpis.model().is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const MODEL: &str = "{model=\"scripted\"}";

#[tokio::test(flavor = "multi_thread")]
#[allow(
    clippy::too_many_lines,
    reason = "one runtime goes through everything in turn"
)]
async fn failures_are_counted_by_cause_and_measured_as_far_as_they_came() {
    in_own_process!(failures_are_counted_by_cause_and_measured_as_far_as_they_came);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let address = address.unwrap();
    let planned = Planned(Arc::new(Mutex::new(Plan::Nothing)));
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let clock = Arc::new(Tripwire::default());
    let shelf = Shelf::default();
    let runtime = RuntimeSettings::default()
        .n_parallel(1_usize)
        .queue_limit(1_usize)
        .watchdog(Duration::from_secs(2))
        .restart_max(1000_u32)
        .restart_backoff_initial(Duration::from_millis(5))
        .shutdown_timeout(Duration::from_secs(2));
    let settings = Settings::default()
        .model(ModelSettings::default().chat_format("chatml"))
        .runtime(runtime)
        .metrics(
            MetricsSettings::default()
                .listen(address)
                .interval(Duration::from_millis(100)),
        );
    let elpis = Elpis::builder(settings)
        .backend(factory(planned.clone(), held))
        .clock(Arc::clone(&clock) as _)
        .store(Arc::new(shelf.clone()))
        .start()
        .await
        .unwrap();
    let ada = elpis.session("ada").unwrap();

    // An engine that breaks in the middle: nothing succeeded, and all is measured.
    let mut broken = ada.chat("one").max_tokens(900).stream().await.unwrap();
    broken.next().await.unwrap().unwrap();
    planned.set(Plan::Panic);
    let error = broken.completion().await.unwrap_err();
    assert_eq!(error, EngineError::EngineRestarted);
    let text = until(
        address,
        "elpis_actor_restarts_total{actor=\"engine\",cause=\"thread_panic\"}",
        1.0,
    )
    .await;
    assert!(text.contains("outcome=\"engine_restarted\"} 1"));
    for name in [
        "request_queue_time_seconds",
        "time_to_first_token_seconds",
        "e2e_request_latency_seconds",
        "request_prefill_time_seconds",
        "request_decode_time_seconds",
        "request_inference_time_seconds",
        "request_prompt_tokens",
    ] {
        let count = value(&text, &format!("elpis_{name}_count{MODEL}"));
        assert!((count - 1.0).abs() < 0.1, "{name}: {count}");
    }
    assert!(value(&text, &format!("elpis_generation_tokens_total{MODEL}")) >= 1.0);
    let prompt = value(&text, &format!("elpis_prompt_tokens_total{MODEL}"));
    let queried = value(&text, &format!("elpis_prefix_cache_queries_total{MODEL}"));
    assert!(prompt >= 3.0 && (prompt - queried).abs() < 0.1);

    // One runs and one waits; the third is refused; both are dropped.
    wait_for_model(&elpis).await;
    let running = ada.chat("one").max_tokens(900).stream().await.unwrap();
    let waiting = ada.chat("two").max_tokens(900).stream().await.unwrap();
    until(address, &format!("elpis_num_requests_running{MODEL}"), 1.0).await;
    let text = until(address, &format!("elpis_num_requests_waiting{MODEL}"), 1.0).await;
    let whole = format!("elpis_e2e_request_latency_seconds_count{MODEL}");
    let before = value(&text, &whole);
    let refused = ada.chat("three").max_tokens(5).stream().await.unwrap_err();
    let overloaded = matches!(refused, Error::Engine(EngineError::Overloaded { .. }));
    assert!(overloaded, "{refused}");
    drop((running, waiting));
    let outcome =
        |name: &str| format!("elpis_requests_total{{model=\"scripted\",outcome=\"{name}\"}}");
    let text = until(address, &outcome("cancelled"), 2.0).await;
    let series = format!("{} 1\n", outcome("overloaded"));
    assert!(text.contains(&series), "{text}");
    let series = format!("{} 0\n", outcome("length"));
    assert!(text.contains(&series), "{text}");
    let after = value(&text, &whole);
    assert!((after - before - 2.0).abs() < 0.1, "{before} {after}");
    let queue = format!("elpis_request_queue_time_seconds_count{MODEL}");
    assert!((value(&text, &queue) - 3.0).abs() < 0.1, "{text}");
    let late = ada.chat("late").timeout(Duration::from_nanos(1));
    late.complete().await.unwrap_err();
    let text = until(address, &outcome("timeout"), 1.0).await;
    assert!((value(&text, &whole) - after - 1.0).abs() < 0.1);

    // While there is no engine nothing runs, and what waits is seen.
    wait_for_model(&elpis).await;
    let running = ada.chat("one").max_tokens(900).stream().await.unwrap();
    let waiting = ada.chat("two").max_tokens(5).stream().await.unwrap();
    until(address, &format!("elpis_num_requests_running{MODEL}"), 1.0).await;
    planned.set(Plan::Pause);
    running.completion().await.unwrap_err();
    let text = until(address, &format!("elpis_num_requests_waiting{MODEL}"), 1.0).await;
    for gauge in ["num_requests_running", "kv_cache_usage_perc"] {
        let now = value(&text, &format!("elpis_{gauge}{MODEL}"));
        assert!(now.abs() < f64::EPSILON, "{gauge}: {now}");
    }
    release.send(()).unwrap();
    waiting.completion().await.unwrap();

    // Every cause that can be brought about from outside.
    for (plan, cause) in [
        (Plan::Die, "worker_died"),
        (Plan::Hang, "hung"),
        (Plan::NoStart, "start"),
    ] {
        wait_for_model(&elpis).await;
        planned.set(plan);
        ada.chat("x").max_tokens(5).complete().await.unwrap_err();
        let series = format!("elpis_actor_restarts_total{{actor=\"engine\",cause=\"{cause}\"}}");
        until(address, &series, 1.0).await;
    }
    drop(release);
    let panics = "elpis_actor_restarts_total{actor=\"emotion\",cause=\"panic\"}";
    for _ in 0..100 {
        clock.armed.store(true, Ordering::SeqCst);
        // The observer may be the one that trips.
        let ada = ada.clone();
        let felt = tokio::spawn(async move { ada.feel("success").await });
        felt.await.unwrap().unwrap();
        if value(&http::get(address, "/metrics"), panics) >= 1.0 {
            break;
        }
    }
    clock.armed.store(false, Ordering::SeqCst);
    let text = http::get(address, "/metrics");
    assert!(value(&text, panics) >= 1.0, "{text}");
    let stopped = "elpis_actor_restarts_total{actor=\"emotion\",cause=\"stopped\"}";
    assert!(value(&text, stopped).abs() < 0.1);

    // A store that takes nothing.
    shelf.broken.store(true, Ordering::SeqCst);
    ada.feel("failure").await.unwrap();
    let full = "elpis_store_failures_total{reason=\"full\"}";
    until(address, full, 1.0).await;
    shelf.broken.store(false, Ordering::SeqCst);
    elpis.shutdown().await;
    let text = http::get(address, "/metrics");
    assert!(text.contains(&format!("elpis_num_requests_running{MODEL} 0")));
}
