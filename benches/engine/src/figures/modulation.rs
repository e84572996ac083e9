//! Latency from an emotion event to the first token generated under it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use elpis::inference::MODULATIONS_KEPT;
use elpis::{Coefficients, ModulationTiming};

use crate::arrivals::{Arrivals, read};
use crate::engine::{Ask, Engine, Trace, sampled};
use crate::measure::{Outcome, Run};
use crate::model::Noise;
use crate::stats::{median, percentile};

/// Minimum number of tokens between two events, so that their effects are separate.
const SPACING: usize = 3;
/// Number of tokens for each event, with some to spare for late timers.
const PER_EVENT: usize = 2 * SPACING + 1;

/// Maximum number of generations tried until the events of one arrive separately.
const TRIES: u64 = 8;

/// The measurements of one generation, in milliseconds.
struct Sample {
    /// Median time of a token.
    token: f64,
    /// Time from each event to the first token under it.
    latencies: Vec<f64>,
    /// Each latency without the time of that token. If it is above 0, the event missed the token that
    /// was being generated, or was delayed.
    over: Vec<f64>,
}

/// The source of the events.
#[derive(Debug, Clone, Copy)]
enum From {
    /// A task of the runtime, like most code of agents.
    Task,
    /// A thread that waits for the runtime and has to wake up each time.
    Outside,
}

/// Runs generations and sends events at random moments.
pub fn run(run: &Run) -> Result<Outcome> {
    let engine = Engine::start(run, 1024, 1)?;
    engine.load_vectors()?;
    let events = if run.smoke { 5 } else { 30 };
    ensure!(events < MODULATIONS_KEPT);
    let (mut late, mut rounds) = (Vec::new(), Vec::new());
    let (mut latencies, mut tokens) = (Vec::new(), Vec::new());
    let mut outside = Vec::new();
    for round in 0..=run.rounds {
        let seed = 2 * round as u64;
        let sample = sample(&engine, events, seed, From::Task)?;
        let other = self::sample(&engine, events, seed + 1, From::Outside)?;
        // The first round warms up.
        let Some(round) = round.checked_sub(1) else {
            continue;
        };
        let worst = percentile(&sample.over, 99.0);
        let token = sample.token;
        run.tell(
            round,
            &format!("{worst:.3} ms beyond its token (median {token:.3} ms)"),
        );
        rounds.push(worst);
        late.extend(sample.over);
        outside.extend(other.over);
        latencies.extend(sample.latencies);
        tokens.push(token);
    }
    let mut outcome = Outcome::median(rounds);
    outcome.value = percentile(&late, 99.0);
    Ok(outcome
        .with("events", late.len())
        .with("outside_ms", percentile(&outside, 99.0))
        .with("token_ms", median(&tokens))
        .with("latency_p50_ms", median(&latencies))
        .with("latency_p99_ms", percentile(&latencies, 99.0)))
}

/// Measures a generation, and tries again if two events met the same token.
fn sample(engine: &Engine, events: usize, seed: u64, from: From) -> Result<Sample> {
    for attempt in 0..TRIES {
        if let Some(sample) = try_sample(engine, events, seed + (attempt << 32), from)? {
            return Ok(sample);
        }
    }
    bail!("in {TRIES} generations, the events did not arrive separately");
}

fn try_sample(engine: &Engine, events: usize, seed: u64, from: From) -> Result<Option<Sample>> {
    let tokens = (events + 3) * PER_EVENT;
    let asks = engine.asks(1, tokens, seed, |_| Ok(Coefficients::new()))?;
    let ask = asks.into_iter().next().context("nothing is asked")?;
    let told = told(ask, events, Noise::new(seed));
    let (trace, felt) = engine.block_on(async {
        match from {
            From::Task => tokio::spawn(told).await?,
            From::Outside => told.await,
        }
    })?;
    measured(&trace, &felt)
}

/// Generates a reply while events arrive, and returns it with their times.
async fn told(ask: Ask, events: usize, noise: Noise) -> Result<(Trace, Vec<Instant>)> {
    let session = ask.session.clone();
    // Steering follows the mood too, so the vectors are blended anew at each event.
    let chat = sampled(session.chat(ask.prompt), ask.tokens, ask.seed);
    let stream = chat.timing(ModulationTiming::Live).stream().await?;
    let arrivals = Arrivals::default();
    let reader = tokio::spawn(read(stream, arrivals.clone()));
    ensure!(arrivals.until(1).await, "no token arrived");
    let start = Instant::now();
    let mut felt = Vec::new();
    for event in 0..events {
        if !arrivals.until(arrivals.count() + SPACING).await {
            break;
        }
        // The wait is at most the time of a token, so the event arrives at any point of its generation.
        let token = start.elapsed() / (arrivals.count() as u32);
        let share = (noise.bits(event as u64) % 100) as f64 / 100.0;
        tokio::time::sleep(token.mul_f64(share)).await;
        felt.push(Instant::now());
        let name = if event % 2 == 0 { "success" } else { "blocked" };
        session.feel(name).await?;
    }
    let report = reader.await??;
    let trace = Trace {
        arrivals: arrivals.take(),
        texts: arrivals.take_texts(),
        report,
    };
    Ok((trace, felt))
}

/// `None` if the events did not arrive separately, because a lagging reader sees many tokens at once.
fn measured(trace: &Trace, felt: &[Instant]) -> Result<Option<Sample>> {
    let arrivals = &trace.arrivals;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let gaps: Vec<f64> = arrivals
        .windows(2)
        .map(|pair| ms(pair[1] - pair[0]))
        .collect();
    let token = median(&gaps);
    // The first modulation is the one that the generation started with.
    let modulations = trace.report.modulations.get(1..).unwrap_or_default();
    ensure!(
        modulations
            .iter()
            .all(|applied| !applied.steering.is_empty()),
        "an event came without steering"
    );
    if modulations.len() != felt.len() {
        return Ok(None);
    }
    let (mut latencies, mut over) = (Vec::new(), Vec::new());
    for (&felt, modulation) in felt.iter().zip(modulations) {
        let from = modulation.from_token as usize;
        let (Some(&first), Some(&before)) = (
            arrivals.get(from),
            from.checked_sub(1).and_then(|index| arrivals.get(index)),
        ) else {
            continue;
        };
        let latency = ms(first.saturating_duration_since(felt));
        latencies.push(latency);
        over.push(latency - ms(first - before));
    }
    Ok(Some(Sample {
        token,
        latencies,
        over,
    }))
}
