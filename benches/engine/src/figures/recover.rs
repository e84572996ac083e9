//! Faults: the time until the engine is back, and memory under long load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elpis::backend::{Backend, BackendError, BackendFactory, BackendLayer, Batch, create_backend};
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::{Elpis, Settings};
use elpis_cli::soak::{SoakOptions, soak};

use crate::engine::words;
use crate::measure::{Outcome, Run};

/// State shared between the panicking backend and the figure.
#[derive(Default)]
struct Switch {
    armed: AtomicBool,
    /// The time of the latest load.
    load_nanoseconds: AtomicU64,
}

/// A backend whose next evaluation panics on request.
struct Brittle {
    inner: Box<dyn Backend>,
    switch: Arc<Switch>,
}

impl BackendLayer for Brittle {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut *self.inner
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        assert!(!self.switch.armed.swap(false, Ordering::SeqCst), "a fault");
        self.inner.decode(batch)
    }
}

fn settings(run: &Run) -> Settings {
    let model = ModelSettings::default()
        .path(run.path.display().to_string())
        .hardware_backend(run.hardware)
        .context_length(512_u32)
        .n_threads(run.threads);
    let runtime = RuntimeSettings::default().restart_max(1000_u32);
    Settings::default().model(model).runtime(runtime)
}

/// Seconds from a panic of the engine to the next token, less the time to load the model.
pub fn run(run: &Run) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let switch = Arc::<Switch>::default();
    let own = Arc::clone(&switch);
    let factory = BackendFactory::new(move |options| {
        let start = Instant::now();
        let inner = create_backend(options)?;
        let took = start.elapsed().as_nanos() as u64;
        own.load_nanoseconds.store(took, Ordering::SeqCst);
        let switch = Arc::clone(&own);
        Ok(Box::new(Brittle { inner, switch }))
    });
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let (mut rounds, mut loads) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for round in 0..run.rounds {
            // A runtime waits longer before each further restart.
            let elpis = Elpis::builder(settings(run))
                .backend(factory.clone())
                .start()
                .await?;
            let session = elpis.session("a")?;
            let chat = session.chat(words(8, round as u64)).max_tokens(300);
            let mut broken = chat.stream().await?;
            ensure!(broken.next().await.is_some_and(|event| event.is_ok()));
            let start = Instant::now();
            switch.armed.store(true, Ordering::SeqCst);
            ensure!(broken.completion().await.is_err());
            let chat = session.chat(words(8, round as u64)).max_tokens(2);
            let mut next = chat.stream().await?;
            ensure!(next.next().await.is_some_and(|event| event.is_ok()));
            let all = start.elapsed();
            let load = Duration::from_nanos(switch.load_nanoseconds.load(Ordering::SeqCst));
            drop(next);
            let beyond = all.saturating_sub(load).as_secs_f64();
            run.tell(
                round,
                &format!("{beyond:.3} s and {:.3} s to load", load.as_secs_f64()),
            );
            rounds.push(beyond);
            loads.push(load.as_secs_f64());
            elpis.shutdown().await;
        }
        anyhow::Ok(())
    })?;
    std::panic::set_hook(hook);
    Ok(Outcome::median(rounds).with("load_seconds", crate::stats::median(&loads)))
}

/// Growth of resident memory under load and faults, in percent. All rounds, of one minute each, are
/// one continuous run, so `--rounds 30` takes half an hour.
pub fn trial(run: &Run) -> Result<Outcome> {
    let seconds = if run.smoke { 3 } else { 60 * run.rounds as u64 };
    let options = SoakOptions {
        duration: Duration::from_secs(seconds),
        ..SoakOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let never = std::future::pending();
    let report = runtime.block_on(soak(settings(run), &options, |_| {}, never))?;
    std::panic::set_hook(hook);
    let findings = report.findings();
    run.tell(
        run.rounds - 1,
        &format!(
            "{} replies, {} events, {} faults; {}",
            report.replies,
            report.events,
            report.faults,
            findings.join("; ")
        ),
    );
    let growth = report.growth().unwrap_or(0.0) * 100.0;
    let mut outcome = Outcome::median(vec![growth])
        .with("seconds", seconds)
        .with("replies", report.replies)
        .with("events", report.events)
        .with("lost_events", report.lost_events)
        .with("foreign_replies", report.foreign_replies)
        .with("faults", report.faults)
        .with("reloads", report.reloads);
    outcome.sound = findings.is_empty();
    Ok(outcome)
}
