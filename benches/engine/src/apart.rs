//! Bare llama.cpp in a separate process, which sleeps between requests.
//!
//! In the same process it would slow elpis down even while it sleeps: libgomp counts all threads of
//! a process that evaluate or have evaluated, and if they outnumber the processors, each spins for a
//! shorter time.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bare::BareOptions;
use crate::kind::{self, Kind};
use crate::measure::Run;
use crate::script::Script;

/// A model and a context.
pub struct Apart(Script);

impl Apart {
    /// Loads a model with the same parameters as elpis.
    pub fn load(run: &Run, options: BareOptions) -> Result<Self> {
        let mut script = kind::start(Kind::Bare, run)?;
        let loaded = script.ask(&json!({
            "do": "load",
            "clients": options.sequences,
            "context": options.context,
            "batch": options.batch,
            "offload": options.offload,
        }))?;
        ensure!(
            loaded["threads"] == options.threads,
            "it uses a different number of threads: {loaded}"
        );
        Ok(Self(script))
    }

    /// Decodes `tokens` tokens after each prompt of the given lengths, and returns the rate in tokens
    /// per second from the first tokens to the last.
    pub fn decode_rate(&mut self, prompts: &[usize], tokens: usize, seed: u64) -> Result<f64> {
        let streams = self.streams(prompts, tokens, seed)?;
        let latest = |times: &mut dyn Iterator<Item = f64>| times.reduce(f64::max);
        let start = latest(&mut streams.iter().filter_map(|times| times.first().copied()));
        let end = latest(&mut streams.iter().filter_map(|times| times.last().copied()));
        let (start, end) = start.zip(end).context("no tokens")?;
        Ok(((tokens - 1) * prompts.len()) as f64 / (end - start))
    }

    /// Evaluates a prompt and chooses the next token. Returns the time in seconds.
    pub fn first_token(&mut self, prompt: usize, seed: u64) -> Result<f64> {
        let streams = self.streams(&[prompt], 2, seed)?;
        let first = streams.first().and_then(|times| times.first());
        first.copied().context("no token")
    }

    fn streams(&mut self, prompts: &[usize], tokens: usize, seed: u64) -> Result<Vec<Vec<f64>>> {
        let mut answer = self.0.ask(&json!({
            "do": "generate",
            "prompts": vec![Value::Null; prompts.len()],
            "prompt_tokens": prompts,
            "tokens": tokens,
            "seed": seed,
        }))?;
        let streams: Vec<Vec<f64>> = serde_json::from_value(answer["streams"].take())?;
        let whole = |times: &Vec<f64>| times.len() == tokens;
        ensure!(streams.len() == prompts.len() && streams.iter().all(whole));
        Ok(streams)
    }
}
