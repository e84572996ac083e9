//! The cost of metrics and traces.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use elpis::Coefficients;

use crate::engine::{Engine, rate};
use crate::measure::{Outcome, Run};
use crate::stats::{median, percentile};
use crate::telemetry;

const CONTEXT: u32 = 2048;

/// The scrape interval of Prometheus.
const INTERVAL: Duration = Duration::from_secs(1);

/// Number of tokens before the measured ones.
const WARM_UP: usize = 8;

/// Maximum size of a scrape, in bytes.
const MAX_BYTES: usize = 200_000;

/// Compares a session with all metrics and traces with one without any.
pub fn overhead(run: &Run) -> Result<Outcome> {
    let address = telemetry::install()?;
    let tokens = run.spec.tokens;
    let scraping = Scraping::start(address);
    // Each measurement has its own engine, because two engines in one process slow each other down,
    // and one can be faster than another for its whole life.
    let measure = |on: bool, seed| {
        telemetry::switch(on);
        scraping.on.store(on, Ordering::SeqCst);
        let engine = Engine::start(run, CONTEXT, 1)?;
        let asks = |tokens, seed| engine.asks(1, tokens, seed, |_| Ok(Coefficients::new()));
        engine.generate(asks(WARM_UP, u64::MAX >> 9)?)?;
        rate(&engine.generate(asks(tokens, seed)?)?)
    };
    let outcome = run.ratio(|seed| measure(true, seed), |seed| measure(false, seed))?;
    Ok(outcome.with("tokens", tokens))
}

/// Scrapes once a second while it is switched on.
struct Scraping {
    on: Arc<AtomicBool>,
}

impl Scraping {
    fn start(address: SocketAddr) -> Self {
        let on = Arc::new(AtomicBool::new(false));
        let asked = Arc::downgrade(&on);
        std::thread::spawn(move || {
            while let Some(on) = asked.upgrade() {
                if on.load(Ordering::SeqCst) {
                    let _ = read(address);
                }
                drop(on);
                std::thread::sleep(INTERVAL);
            }
        });
        Self { on }
    }
}

/// Reads the metrics and returns the length of the response.
fn read(address: SocketAddr) -> Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.len())
}

/// A scrape with many live sessions.
pub fn scrape(run: &Run) -> Result<Outcome> {
    let (sessions, scrapes) = if run.smoke { (100, 5) } else { (10_000, 100) };
    let address = telemetry::install()?;
    telemetry::switch(true);
    let engine = Engine::start(run, 512, 1)?;
    engine.block_on(async {
        for number in 0..sessions {
            let session = engine.elpis.session(format!("session {number}"))?;
            let event = ["success", "failure", "insight", "blocked"][number % 4];
            session.feel(event).await?;
        }
        anyhow::Ok(())
    })?;
    let asks = engine.asks(1, run.spec.tokens, 0, |_| Ok(Coefficients::new()))?;
    engine.generate(asks)?;
    let (mut rounds, mut all, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..run.rounds {
        let mut times = Vec::new();
        for _ in 0..scrapes {
            let start = Instant::now();
            bytes.push(read(address)? as f64);
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let p99 = percentile(&times, 99.0);
        run.tell(round, &format!("{p99:.2} ms"));
        rounds.push(p99);
        all.extend(times);
    }
    telemetry::switch(false);
    let largest = bytes
        .iter()
        .copied()
        .reduce(f64::max)
        .context("no scrape")?;
    Ok(Outcome {
        value: percentile(&all, 99.0),
        sound: largest <= MAX_BYTES as f64,
        ..Outcome::median(rounds)
    }
    .with("median_ms", median(&all))
    .with("bytes", largest)
    .with("sessions", sessions))
}
