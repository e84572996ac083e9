//! Steering vectors that change while streams run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use elpis::{Delivery, Event, Events};

use crate::arrivals::{Arrivals, read};
use crate::engine::Engine;
use crate::measure::{Outcome, Run};
use crate::stats::{greatest, median, percentile};
use crate::vectors;

const SESSIONS: usize = 8;
const CONTEXT: u32 = 2048;

/// Number of tokens left for the prompt and for the time of the last reload.
const MARGIN: usize = 256;

/// Maximum wait for a reload.
const LIMIT: Duration = Duration::from_secs(20);

/// The wait between two reloads, in which the usual time between tokens is measured.
const QUIET: Duration = Duration::from_millis(150);

/// The times from the write of a file until its library is in force.
struct Reload {
    written: Instant,
    closed: Instant,
    in_force: Instant,
}

/// The times between tokens in one round, in milliseconds.
#[derive(Default)]
struct Gaps {
    reloading: Vec<f64>,
    quiet: Vec<f64>,
}

/// Replaces vector files while eight streams run.
pub fn run(run: &Run) -> Result<Outcome> {
    let reloads = if run.smoke {
        2
    } else {
        100_usize.div_ceil(run.rounds)
    };
    let engine = Engine::start(run, CONTEXT, SESSIONS)?;
    engine.load_vectors()?;
    let (mut all, mut rounds) = (Vec::new(), Vec::new());
    let (mut gaps, mut broken) = (Gaps::default(), 0);
    let mut version = 0;
    for round in 0..run.rounds {
        let mut times = Vec::new();
        // Streams whose context is full are replaced by new ones.
        while times.len() < reloads {
            let done = segment(&engine, reloads - times.len(), &mut version, &mut gaps)?;
            broken += done.1;
            times.extend(done.0);
        }
        run.tell(round, &format!("{:.1} ms at most", greatest(&times)));
        rounds.push(percentile(&times, 99.0));
        all.extend(times);
    }
    let usual: Vec<f64> = gaps.reloading.iter().chain(&gaps.quiet).copied().collect();
    let (token, usual_p99) = (median(&usual), percentile(&gaps.quiet, 99.0));
    let lateness = |gaps: &[f64]| (greatest(gaps) - usual_p99) / token;
    let mut outcome = Outcome::median(rounds);
    outcome.value = percentile(&all, 99.0);
    outcome.sound = broken == 0 && lateness(&gaps.reloading) <= 1.0;
    Ok(outcome
        .with("reloads", all.len())
        .with("p50_ms", median(&all))
        .with("streams_broken", broken)
        .with("worst_lateness_tokens", lateness(&gaps.reloading))
        .with(
            "worst_lateness_without_reload_tokens",
            lateness(&gaps.quiet),
        )
        .with("token_ms", token)
        .with("token_p99_ms", usual_p99)
        .with("sessions", SESSIONS)
        .with("context_length", CONTEXT))
}

/// Reloads at most `reloads` times while one set of streams runs. Returns the times in milliseconds and
/// the number of broken streams.
fn segment(
    engine: &Engine,
    reloads: usize,
    version: &mut u64,
    gaps: &mut Gaps,
) -> Result<(Vec<f64>, usize)> {
    let tokens = CONTEXT as usize - MARGIN;
    let asks = engine.asks(SESSIONS, tokens, *version + 1, vectors::mix)?;
    let (reloads, streams, broken) = engine.block_on(async {
        let mut events = engine.elpis.events();
        let (mut readers, mut streams) = (Vec::new(), Vec::new());
        for ask in asks {
            let stream = ask.chat().stream().await?;
            let arrivals = Arrivals::default();
            readers.push(tokio::spawn(read(stream, arrivals.clone())));
            streams.push(arrivals);
        }
        let all_beyond = |tokens| streams.iter().all(|arrivals| arrivals.count() > tokens);
        let one_ended = || readers.iter().any(tokio::task::JoinHandle::is_finished);
        while !all_beyond(4) && !one_ended() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut done = Vec::new();
        while done.len() < reloads && !one_ended() && !all_beyond(tokens - MARGIN) {
            *version += 1;
            done.push(reload(engine, &mut events, *version).await?);
            tokio::time::sleep(QUIET).await;
        }
        let streams: Vec<_> = streams.iter().map(Arrivals::take).collect();
        let mut broken = 0;
        for reader in readers {
            // The rest of the replies is not measured.
            let ended = reader.is_finished();
            reader.abort();
            broken += usize::from(ended && reader.await?.is_err());
        }
        anyhow::Ok((done, streams, broken))
    })?;
    for arrivals in &streams {
        gaps.sort_in(arrivals, &reloads);
    }
    let times = reloads.iter().map(|r| ms(r.in_force - r.closed)).collect();
    Ok((times, broken))
}

async fn reload(engine: &Engine, events: &mut Events, version: u64) -> Result<Reload> {
    let written = Instant::now();
    let index = (version % vectors::COUNT as u64) as usize;
    vectors::replace(engine.vectors(), index, engine.facts(), version)?;
    let closed = Instant::now();
    let news = async {
        loop {
            match events.next().await.context("the runtime has stopped")? {
                Delivery::Event(event) => match &*event {
                    Event::SteeringReloaded { .. } => return Ok(Instant::now()),
                    Event::SteeringRefused { reason, .. } => bail!("refused: {reason}"),
                    _ => {}
                },
                Delivery::Lagged(missed) => bail!("{missed} events were missed"),
            }
        }
    };
    let in_force = tokio::time::timeout(LIMIT, news)
        .await
        .context("no reload within the time limit")??;
    Ok(Reload {
        written,
        closed,
        in_force,
    })
}

impl Gaps {
    /// Sorts the times between a stream's tokens by whether vectors were being reloaded.
    fn sort_in(&mut self, arrivals: &[Instant], reloads: &[Reload]) {
        let Some(start) = reloads.first().map(|reload| reload.written) else {
            return;
        };
        for pair in arrivals.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            // Before the first reload, prompts were still being evaluated.
            if from < start {
                continue;
            }
            let overlaps = |r: &Reload| from <= r.in_force && r.written <= to;
            let gaps = if reloads.iter().any(overlaps) {
                &mut self.reloading
            } else {
                &mut self.quiet
            };
            gaps.push(ms(to - from));
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_apart_by_the_reloads_they_overlap() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let reload = |written, in_force| Reload {
            written: at(written),
            closed: at(written),
            in_force: at(in_force),
        };
        let arrivals = [0, 10, 20, 30, 45, 55].map(at);
        let mut gaps = Gaps::default();
        gaps.sort_in(&arrivals, &[reload(8, 9), reload(35, 40)]);
        let rounded = |gaps: &[f64]| {
            gaps.iter()
                .map(|gap| gap.round() as u32)
                .collect::<Vec<_>>()
        };
        assert_eq!(rounded(&gaps.reloading), [15]);
        assert_eq!(rounded(&gaps.quiet), [10, 10, 10]);
    }
}
