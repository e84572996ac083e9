//! The texts that reach the reader of a stream, with their times.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use elpis::{GenerationEvent, GenerationReport, GenerationStream};
use tokio::sync::Notify;

/// The arrival of a stream's tokens, which other tasks can wait for.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    state: Arc<Mutex<ArrivalState>>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct ArrivalState {
    times: Vec<Instant>,
    texts: Vec<String>,
    ended: bool,
}

impl Arrivals {
    /// Number of tokens that have arrived.
    pub fn count(&self) -> usize {
        self.with(|state| state.times.len())
    }

    /// Waits until `count` tokens have arrived. Returns `false` if the stream ended before.
    pub async fn until(&self, tokens: usize) -> bool {
        loop {
            let news = self.news.notified();
            let (enough, ended) = self.with(|state| (state.times.len() >= tokens, state.ended));
            if enough || ended {
                return enough;
            }
            news.await;
        }
    }

    /// The time at which each token arrived.
    pub fn take(&self) -> Vec<Instant> {
        self.with(|state| std::mem::take(&mut state.times))
    }

    /// The text of each token.
    pub fn take_texts(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.texts))
    }

    fn with<T>(&self, change: impl FnOnce(&mut ArrivalState) -> T) -> T {
        let state = self.state.lock();
        change(&mut state.unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads a stream to its end.
pub async fn read(stream: GenerationStream, arrivals: Arrivals) -> Result<Arc<GenerationReport>> {
    let report = receive(stream, &arrivals).await;
    arrivals.with(|state| state.ended = true);
    arrivals.news.notify_waiters();
    report
}

async fn receive(
    mut stream: GenerationStream,
    arrivals: &Arrivals,
) -> Result<Arc<GenerationReport>> {
    while let Some(event) = stream.next().await {
        match event? {
            GenerationEvent::Text(text) => {
                let now = Instant::now();
                arrivals.with(|state| {
                    state.times.push(now);
                    state.texts.push(text);
                });
                arrivals.news.notify_waiters();
            }
            GenerationEvent::Finished(report) => return Ok(report),
            _ => {}
        }
    }
    anyhow::bail!("a stream ended without a report")
}

/// Total rate of concurrent streams in tokens per second, over the time in which all of them decode:
/// from the latest first token to the earliest last token.
pub fn rate(streams: &[&[Instant]]) -> Result<f64> {
    let firsts = streams.iter().filter_map(|arrivals| arrivals.first());
    let lasts = streams.iter().filter_map(|arrivals| arrivals.last());
    let (start, end) = firsts.max().zip(lasts.min()).context("no tokens")?;
    // Each stream is timed between its own tokens. The tokens of one batch arrive one after the
    // other, so a common start and end would split some batches.
    let rates = streams.iter().map(|arrivals| {
        let mut inside = arrivals.iter().filter(|at| (start..=end).contains(at));
        let (first, last) = (inside.next()?, inside.next_back()?);
        Some((inside.count() + 1) as f64 / (*last - *first).as_secs_f64())
    });
    rates
        .sum::<Option<f64>>()
        .context("the streams did not run concurrently")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_counts_what_comes_while_all_decode() {
        let start = Instant::now();
        let at = |seconds: &[u64]| -> Vec<Instant> {
            let times = seconds.iter().map(|&s| start + Duration::from_secs(s));
            times.collect()
        };
        let alone = at(&[5, 6, 7, 9]);
        assert!((rate(&[&alone]).unwrap() - 0.75).abs() < 1e-12);
        // From 2 s to 6 s, one stream has a token each second and the other one every two seconds.
        let (one, other) = (at(&[1, 2, 3, 4, 5, 6]), at(&[2, 4, 6, 8]));
        assert!((rate(&[&one, &other]).unwrap() - 1.5).abs() < 1e-12);
        assert!(rate(&[&one, &at(&[7, 8])]).is_err());
        assert!(rate(&[&[]]).is_err());
    }

    #[tokio::test]
    async fn waiting_ends_with_the_stream() {
        let arrivals = Arrivals::default();
        arrivals.with(|state| state.times.push(Instant::now()));
        assert!(arrivals.until(1).await);
        let waiting = arrivals.clone();
        let waiting = tokio::spawn(async move { waiting.until(2).await });
        tokio::task::yield_now().await;
        arrivals.with(|state| state.ended = true);
        arrivals.news.notify_waiters();
        assert!(!waiting.await.unwrap());
        assert_eq!((arrivals.take().len(), arrivals.count()), (1, 0));
    }
}
