//! Elpis beside llama-cpp-python, with as many clients on either side.
//!
//! One client's rate is from its first token to its last; that of several is of all tokens,
//! from the first request to the last token.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use elpis::Coefficients;
use serde_json::json;

use crate::bare::{TEMPERATURE, TOP_K, TOP_P};
use crate::engine::{Engine, rate};
use crate::measure::{Outcome, Run};
use crate::script::{LLAMA, Script};

const CONTEXT: u32 = 1024;

/// The script that llama-cpp-python is asked by.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/llama_peer.py");

/// One client.
pub fn one(run: &Run) -> Result<Outcome> {
    compare(run, 1)
}

/// Eight clients at once. llama-cpp-python answers one after the other.
pub fn eight(run: &Run) -> Result<Outcome> {
    compare(run, 8)
}

fn compare(run: &Run, clients: usize) -> Result<Outcome> {
    let engine = Engine::start(run, CONTEXT, clients)?;
    let mut script = Script::python(LLAMA, SCRIPT)?;
    let loaded = script.ask(&json!({
        "do": "load",
        "file": run.path,
        "context": CONTEXT,
        "batch": engine.facts().batch_size,
        "threads": run.threads,
    }))?;
    ensure!(
        loaded["threads"] == run.threads,
        "it computes with other threads: {loaded}"
    );
    let tokens = run.spec.tokens;
    // Ours goes first and says how long the prompt was.
    let prompt = Cell::new(0);
    let outcome = run.ratio(
        |seed| {
            let asks = engine.asks(clients, tokens, seed, |_| Ok(Coefficients::new()))?;
            let start = Instant::now();
            let traces = engine.generate(asks)?;
            let seconds = start.elapsed().as_secs_f64();
            let first = traces.first().context("no generation")?;
            prompt.set(first.report.prompt_tokens);
            match clients {
                1 => rate(&traces),
                _ => Ok((clients * tokens) as f64 / seconds),
            }
        },
        |seed| {
            let mut answer = script.ask(&json!({
                "do": "generate",
                "prompt_tokens": prompt.get(),
                "clients": clients,
                "tokens": tokens,
                "seed": seed,
                "top_k": TOP_K,
                "top_p": TOP_P,
                "temperature": TEMPERATURE,
            }))?;
            let streams: Vec<Vec<f64>> = serde_json::from_value(answer["streams"].take())?;
            ensure!(
                streams.len() == clients && streams.iter().all(|times| times.len() == tokens),
                "{tokens} tokens were asked for, for each of {clients} clients"
            );
            let last = streams.iter().filter_map(|times| times.last().copied());
            let last = last.reduce(f64::max).context("no tokens")?;
            Ok(match &streams[..] {
                [alone] => (tokens - 1) as f64 / (last - alone[0]),
                _ => (clients * tokens) as f64 / last,
            })
        },
    )?;
    Ok(outcome
        .with("clients", clients)
        .with("context_length", CONTEXT)
        .with("tokens", tokens)
        .with("reference", loaded["about"].clone()))
}
