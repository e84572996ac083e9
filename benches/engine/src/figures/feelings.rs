//! Emotional states: the rate of events, and the memory of sessions.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use elpis::emotion::{EmotionConfig, EmotionEvent, EmotionTracker, KNOWN_EVENTS};
use elpis::settings::{ModelSettings, RuntimeSettings, StoreSettings};
use elpis::{Elpis, Settings};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::measure::{Outcome, Run};
use crate::model::Noise;
use crate::process;
use crate::stats::{median, percentile};

const PRODUCERS: usize = 4;
/// Time limit of an event with a million sessions in memory, at the 99th percentile.
const MAX_MICROSECONDS: f64 = 100.0;

/// Events per second that one thread applies, without a runtime.
pub fn apply(run: &Run) -> Result<Outcome> {
    let count: u32 = if run.smoke { 10_000 } else { 2_000_000 };
    let events: Vec<EmotionEvent> = KNOWN_EVENTS.iter().copied().map(Into::into).collect();
    let mut rates = Vec::new();
    for round in 0..run.rounds {
        let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0)?;
        let start = Instant::now();
        for (number, event) in (0..count).zip(events.iter().cycle()) {
            tracker.apply(event, f64::from(number))?;
        }
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        ensure!(tracker.events_applied() == u64::from(count));
        run.tell(round, &format!("{rate:.0} events/s"));
        rates.push(rate);
    }
    Ok(Outcome::median(rates))
}

/// A runtime and its store, if it has one, which is removed with it.
struct Feelings {
    elpis: Elpis,
    runtime: Runtime,
    _folder: Option<TempDir>,
}

impl Feelings {
    fn start(run: &Run, sessions: usize, stored: bool) -> Result<Self> {
        let model = ModelSettings::default()
            .path(run.path.display().to_string())
            .hardware_backend(run.hardware);
        let mut settings = Settings::default()
            .model(model)
            .runtime(RuntimeSettings::default().max_sessions(sessions));
        let folder = stored.then(tempfile::tempdir).transpose()?;
        if let Some(folder) = &folder {
            let file = folder.path().join("moods.db");
            settings = settings.store(StoreSettings::default().path(file));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            elpis: runtime.block_on(Elpis::start(settings))?,
            runtime,
            _folder: folder,
        })
    }

    /// Lets each producer apply `count` events, each after the previous one is acknowledged. The time
    /// includes the writes that the store has not finished by then.
    fn rate(&self, count: usize) -> Result<f64> {
        let start = Instant::now();
        self.runtime.block_on(async {
            let mut producers = Vec::new();
            for producer in 0..PRODUCERS {
                let session = self.elpis.session(format!("producer {producer}"))?;
                producers.push(tokio::spawn(async move {
                    for event in (0..count).zip(KNOWN_EVENTS.iter().cycle()) {
                        session.feel(EmotionEvent::from(*event.1)).await?;
                    }
                    anyhow::Ok(())
                }));
            }
            for producer in producers {
                producer.await??;
            }
            self.elpis.flush().await?;
            anyhow::Ok(())
        })?;
        Ok((PRODUCERS * count) as f64 / start.elapsed().as_secs_f64())
    }
}

impl Drop for Feelings {
    fn drop(&mut self) {
        self.runtime.block_on(self.elpis.shutdown());
    }
}

/// Acknowledged events per second of a runtime with four producers.
pub fn feel(run: &Run) -> Result<Outcome> {
    let count = if run.smoke { 200 } else { 100_000 };
    let feelings = Feelings::start(run, 100, false)?;
    feelings.rate(count / 10 + 1)?;
    let mut rates = Vec::new();
    for round in 0..run.rounds {
        let rate = feelings.rate(count)?;
        run.tell(round, &format!("{rate:.0} events/s"));
        rates.push(rate);
    }
    Ok(Outcome::median(rates).with("producers", PRODUCERS))
}

/// The rate with a store over that without.
pub fn feel_sqlite(run: &Run) -> Result<Outcome> {
    let count = if run.smoke { 200 } else { 100_000 };
    let kept = Feelings::start(run, 100, true)?;
    let plain = Feelings::start(run, 100, false)?;
    let outcome = run.ratio_of("events", |_| kept.rate(count), |_| plain.rate(count))?;
    Ok(outcome.with("producers", PRODUCERS))
}

/// Bytes of memory of each of a million sessions that each had an event.
pub fn sessions(run: &Run) -> Result<Outcome> {
    let count: usize = if run.smoke { 2000 } else { 1_000_000 };
    let (each, asked) = if run.smoke { (4, 100) } else { (4, 50_000) };
    let feelings = Feelings::start(run, count, false)?;
    feelings.rate(100)?;
    let before = process::resident()?;
    let start = Instant::now();
    feelings.runtime.block_on(async {
        let mut producers = Vec::new();
        for producer in 0..PRODUCERS {
            let elpis = feelings.elpis.clone();
            producers.push(tokio::spawn(async move {
                for number in (producer..count - PRODUCERS).step_by(PRODUCERS) {
                    let session = elpis.session(format!("session {number}"))?;
                    for event in 0..each {
                        let event = KNOWN_EVENTS[(number + event) % KNOWN_EVENTS.len()];
                        session.feel(EmotionEvent::from(event)).await?;
                    }
                }
                anyhow::Ok(())
            }));
        }
        for producer in producers {
            producer.await??;
        }
        anyhow::Ok(())
    })?;
    let filled = start.elapsed();
    let bytes = process::resident()?.saturating_sub(before) as f64 / count as f64;
    let ask = |seed: u64| {
        let elpis = feelings.elpis.clone();
        async move {
            let noise = Noise::new(seed);
            let mut taken = Vec::with_capacity(asked);
            for number in 0..asked {
                let name = noise.bits(number as u64) % (count - PRODUCERS) as u64;
                let session = elpis.session(format!("session {name}"))?;
                let event = KNOWN_EVENTS[number % KNOWN_EVENTS.len()];
                let start = Instant::now();
                session.feel(EmotionEvent::from(event)).await?;
                taken.push(start.elapsed().as_secs_f64() * 1e6);
            }
            anyhow::Ok(taken)
        }
    };
    // First in a task, as in an agent; then from a thread outside of the runtime, which has to wake up
    // each time.
    let taken = feelings
        .runtime
        .block_on(async { tokio::spawn(ask(1)).await? })?;
    let outside = feelings.runtime.block_on(ask(2))?;
    let p99 = percentile(&taken, 99.0);
    run.tell(
        0,
        &format!("{bytes:.0} bytes each, a feel takes {p99:.1} µs (p99)"),
    );
    let mut outcome = Outcome::median(vec![bytes])
        .with("sessions", count)
        .with("events_each", each)
        .with("filled_seconds", filled.as_secs_f64())
        .with("feel_p50_us", median(&taken))
        .with("feel_p99_us", p99)
        .with("outside_feel_p99_us", percentile(&outside, 99.0));
    outcome.sound = run.smoke || p99 <= MAX_MICROSECONDS;
    Ok(outcome)
}
