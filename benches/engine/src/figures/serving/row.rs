//! The results of one contestant at one number of clients.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::contestant::{Contestant, Served};
use crate::stats::{median, percentile, rounded};

#[derive(Default)]
pub struct Row {
    /// Total rate of all clients in tokens per second, for each round.
    rates: Vec<f64>,
    /// Seconds until each client's first token.
    firsts: Vec<f64>,
    /// Seconds between two tokens of a client.
    gaps: Vec<f64>,
    /// Processor time in seconds and number of tokens of each round.
    processor: Vec<f64>,
    /// Peak of memory over all rounds, in bytes.
    peak: Option<f64>,
}

impl Row {
    pub fn add(&mut self, served: &Served) {
        let tokens: usize = served.streams.iter().map(Vec::len).sum();
        let lasts = served.streams.iter().filter_map(|times| times.last());
        let end = lasts.copied().reduce(f64::max).unwrap_or(f64::NAN);
        self.rates.push(tokens as f64 / end);
        for times in &served.streams {
            self.firsts.extend(times.first());
            self.gaps
                .extend(times.windows(2).map(|pair| pair[1] - pair[0]));
        }
        self.peak = served.peak.into_iter().chain(self.peak).reduce(f64::max);
        let processor = served.processor;
        self.processor
            .extend(processor.map(|seconds| seconds / tokens as f64));
    }

    /// The rate of the last round.
    pub fn last(&self) -> Option<f64> {
        self.rates.last().copied()
    }

    pub fn json(&self, contestant: &Contestant, clients: usize) -> Result<Value> {
        self.rates.first().context("nothing was served")?;
        let milliseconds = |seconds: f64| rounded(seconds * 1e3);
        let memory = self.peak.map(|bytes| rounded(bytes / 1e6));
        let processor = (!self.processor.is_empty()).then(|| median(&self.processor));
        Ok(json!({
            "who": contestant.name,
            "clients": clients,
            "tokens_per_second": rounded(median(&self.rates)),
            "first_token_ms": milliseconds(median(&self.firsts)),
            "between_p50_ms": milliseconds(median(&self.gaps)),
            "between_p99_ms": milliseconds(percentile(&self.gaps, 99.0)),
            "processor_ms_per_token": processor.map(milliseconds),
            "peak_mb": memory,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_all_tokens_until_the_last() {
        let mut row = Row::default();
        row.add(&Served {
            streams: vec![vec![0.5, 1.0], vec![1.5, 2.0]],
            prompt_tokens: vec![1, 1],
            peak: None,
            processor: Some(4.0),
        });
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(row.last().unwrap(), 2.0);
        close(median(&row.firsts), 1.0);
        close(median(&row.gaps), 0.5);
        close(median(&row.processor), 1.0);
    }
}
