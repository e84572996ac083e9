//! Concurrent sessions and their figures.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use serde::Serialize;

use crate::Failure;
use elpis::emotion::Coefficients;
use elpis::{Elpis, GenerationEvent, Session};

/// Words that most tokenizers know.
const WORDS: &[&str] = &[
    "the", "river", "under", "light", "morning", "house", "seven", "open", "small", "letter",
    "garden", "over", "winter", "blue", "train", "paper", "long", "stone", "music", "first",
    "window", "after", "green", "table", "quiet", "street", "bread", "north", "silver", "story",
];

/// The figures for a number of sessions.
#[derive(Debug, Serialize)]
pub(super) struct Level {
    pub(super) sessions: usize,
    pub(super) prompt_tokens: u32,
    /// Throughput of all sessions together, including prompts: the median of the rounds.
    pub(super) tokens_per_second: f64,
    /// Time from the request to the first text.
    pub(super) first_token_seconds: f64,
    /// Median time between two texts of a session.
    pub(super) token_gap_p50_seconds: f64,
    pub(super) token_gap_p99_seconds: f64,
    /// The throughput with steering vectors; `None` if the model has none.
    pub(super) steered_tokens_per_second: Option<f64>,
    /// The median of the rounds' ratios of steered to unsteered throughput.
    pub(super) steered_ratio: Option<f64>,
}

/// The load of the sessions.
pub(super) struct Load<'a> {
    elpis: &'a Elpis,
    words: u32,
    tokens: u32,
    emotions: Vec<String>,
    seed: u64,
}

/// The results of one session in a round.
#[derive(Default)]
struct Given {
    tokens: u64,
    prompt_tokens: u32,
    firsts: Vec<Duration>,
    gaps: Vec<Duration>,
}

impl<'a> Load<'a> {
    pub(super) fn new(elpis: &'a Elpis, words: u32, tokens: u32) -> Self {
        let library = elpis.steering_library();
        Self {
            elpis,
            words,
            tokens,
            emotions: library.emotions().map(|info| info.name.clone()).collect(),
            seed: 0,
        }
    }

    /// Number of turns of a round: one, or one without and one with vectors.
    pub(super) fn ways(&self) -> usize {
        if self.emotions.is_empty() { 1 } else { 2 }
    }

    /// Measures with `sessions` sessions. `tell` is called after each turn.
    pub(super) async fn level(
        &mut self,
        sessions: usize,
        rounds: u16,
        tell: impl Fn(),
    ) -> Result<Level, Failure> {
        let mut plain = Turns::new()?;
        let mut steered = Turns::new()?;
        let mut ratios = histogram()?;
        // The first pass warms up caches.
        self.turn(sessions, false).await?;
        for round in 0..rounds {
            // The order alternates, so that a machine that slows down favours neither.
            let order = if round % 2 == 0 {
                [false, true]
            } else {
                [true, false]
            };
            let mut rates = [0.0; 2];
            for with_vectors in order {
                if with_vectors && self.emotions.is_empty() {
                    continue;
                }
                let (seconds, given) = self.turn(sessions, with_vectors).await?;
                let turns = if with_vectors {
                    &mut steered
                } else {
                    &mut plain
                };
                rates[usize::from(with_vectors)] = turns.add(seconds, &given);
                tell();
            }
            if rates[1] > 0.0 {
                record(&mut ratios, rates[1] / rates[0]);
            }
        }
        let steering = !self.emotions.is_empty();
        Ok(Level {
            sessions,
            prompt_tokens: plain.prompt_tokens,
            tokens_per_second: middle(&plain.rates),
            first_token_seconds: middle(&plain.firsts),
            token_gap_p50_seconds: middle(&plain.gaps),
            token_gap_p99_seconds: unscaled(plain.gaps.value_at_quantile(0.99)),
            steered_tokens_per_second: steering.then(|| middle(&steered.rates)),
            steered_ratio: steering.then(|| middle(&ratios)),
        })
    }

    async fn turn(&mut self, sessions: usize, steered: bool) -> Result<(f64, Vec<Given>), Failure> {
        self.seed += 1;
        let start = Instant::now();
        let mut asking = Vec::new();
        for index in 0..sessions {
            let session = self.elpis.session(format!("bench {index}"))?;
            let mix = if steered {
                self.mix(index)?
            } else {
                Coefficients::new()
            };
            let seed = self.seed << 8 | index as u64;
            asking.push(tokio::spawn(ask(
                session,
                mix,
                seed,
                self.words,
                self.tokens,
            )));
        }
        let mut given = Vec::new();
        for asked in asking {
            given.push(asked.await??);
        }
        Ok((start.elapsed().as_secs_f64(), given))
    }

    /// A mix of two emotions, distinct for each session as long as there are enough.
    fn mix(&self, session: usize) -> Result<Coefficients, Failure> {
        let count = self.emotions.len();
        let mut mix = Coefficients::new();
        mix.insert(self.emotions[session % count].clone(), 0.8)?;
        if count > 1 {
            let second = (0.1 * (1 + session / count) as f64).min(0.7);
            mix.insert(self.emotions[(session + 1) % count].clone(), second)?;
        }
        Ok(mix)
    }
}

/// Sends requests until there are enough tokens, because a reply may end early.
async fn ask(
    session: Session,
    mix: Coefficients,
    seed: u64,
    words: u32,
    tokens: u32,
) -> Result<Given, elpis::Error> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut given = Given::default();
    while given.tokens < u64::from(tokens) {
        let words = (0..words).filter_map(|_| WORDS.choose(&mut random).copied());
        let prompt = words.collect::<Vec<_>>().join(" ");
        let missing = u64::from(tokens) - given.tokens;
        let chat = session
            .chat(prompt)
            .emotional_modulation(false)
            .coefficients(mix.clone())
            .seed(seed)
            .max_tokens(u32::try_from(missing).unwrap_or(tokens));
        let asked = Instant::now();
        let mut stream = chat.stream().await?;
        let mut last = None;
        while let Some(event) = stream.next().await {
            match event? {
                GenerationEvent::Text(_) => {
                    let now = Instant::now();
                    match last.replace(now) {
                        None => given.firsts.push(now - asked),
                        Some(last) => given.gaps.push(now - last),
                    }
                }
                GenerationEvent::Finished(report) => {
                    given.prompt_tokens = report.prompt_tokens;
                    // An empty reply counts as an answer.
                    given.tokens += u64::from(report.completion_tokens.max(1));
                }
                _ => {}
            }
        }
    }
    Ok(given)
}

/// The turns of all rounds.
struct Turns {
    rates: Histogram<u64>,
    firsts: Histogram<u64>,
    gaps: Histogram<u64>,
    prompt_tokens: u32,
}

impl Turns {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            rates: histogram()?,
            firsts: histogram()?,
            gaps: histogram()?,
            prompt_tokens: 0,
        })
    }

    /// Adds a turn and returns its tokens per second.
    fn add(&mut self, seconds: f64, given: &[Given]) -> f64 {
        let tokens: u64 = given.iter().map(|given| given.tokens).sum();
        let rate = tokens as f64 / seconds;
        record(&mut self.rates, rate);
        for given in given {
            self.prompt_tokens = given.prompt_tokens;
            for first in &given.firsts {
                record(&mut self.firsts, first.as_secs_f64());
            }
            for gap in &given.gaps {
                record(&mut self.gaps, gap.as_secs_f64());
            }
        }
        rate
    }
}

fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new(4)?)
}

/// Records a value in millionths, because histograms count integers.
fn record(values: &mut Histogram<u64>, value: f64) {
    let _ = values.record((value * 1e6) as u64);
}

fn unscaled(value: u64) -> f64 {
    value as f64 / 1e6
}

fn middle(values: &Histogram<u64>) -> f64 {
    unscaled(values.value_at_quantile(0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_all_sessions_and_gaps_are_of_each() {
        let millis = |values: &[u64]| values.iter().copied().map(Duration::from_millis).collect();
        let given = |gaps: &[u64]| Given {
            tokens: 4,
            prompt_tokens: 9,
            firsts: millis(&[100]),
            gaps: millis(gaps),
        };
        let mut turns = Turns::new().unwrap();
        let rate = turns.add(2.0, &[given(&[10, 10, 10]), given(&[10, 10, 30])]);
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-3, "{a} {b}");
        close(rate, 4.0);
        close(middle(&turns.rates), 4.0);
        close(middle(&turns.gaps), 0.01);
        close(unscaled(turns.gaps.value_at_quantile(0.99)), 0.03);
        close(middle(&turns.firsts), 0.1);
        assert_eq!(turns.prompt_tokens, 9);
    }
}
