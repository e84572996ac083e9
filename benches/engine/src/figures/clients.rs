//! Compares elpis with llama-cpp-python, with the same number of clients on each side.
//!
//! The rate of one client is measured from its first token to its last. The rate of several clients
//! counts all tokens, from the first request to the last token.

use std::cell::RefCell;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use elpis::Coefficients;
use serde_json::json;

use crate::bare::{TEMPERATURE, TOP_K, TOP_P};
use crate::engine::{Engine, prompts, rate};
use crate::measure::{Outcome, Run};
use crate::model;
use crate::script::{LLAMA, Script};
use crate::stats::median;

const CONTEXT: u32 = 1024;

/// The script that runs llama-cpp-python.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/llama_peer.py");

/// Number of tokens of a reply to one of several clients, which is a few sentences.
const REPLY: usize = 96;

/// One client.
pub fn one(run: &Run) -> Result<Outcome> {
    compare(run, 1, run.spec.tokens)
}

/// Eight clients at once. llama-cpp-python answers one after the other.
pub fn eight(run: &Run) -> Result<Outcome> {
    let tokens = if run.smoke { run.spec.tokens } else { REPLY };
    // A turn takes half a minute.
    let run = Run {
        path: run.path.clone(),
        gpu: run.gpu.clone(),
        turns: 1,
        ..*run
    };
    compare(&run, 8, tokens)
}

fn compare(run: &Run, clients: usize, tokens: usize) -> Result<Outcome> {
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
    // Elpis goes first, because its reports contain the lengths of the prompts.
    let lengths = RefCell::new(Vec::new());
    let (our_parts, their_parts) = (RefCell::default(), RefCell::default());
    let outcome = run.ratio(
        |seed| {
            let asks = engine.asks(clients, tokens, seed, |_| Ok(Coefficients::new()))?;
            let start = Instant::now();
            let traces = engine.generate(asks)?;
            let seconds = start.elapsed().as_secs_f64();
            let told = traces.iter().map(|trace| trace.report.prompt_tokens);
            *lengths.borrow_mut() = told.collect();
            let streams = traces.iter().map(|trace| {
                let since = trace.arrivals.iter().map(|at| *at - start);
                since.map(|since| since.as_secs_f64()).collect()
            });
            Parts::of(&streams.collect::<Vec<_>>()).keep(&our_parts);
            match clients {
                1 => rate(&traces),
                _ => Ok((clients * tokens) as f64 / seconds),
            }
        },
        |seed| {
            let mut answer = script.ask(&json!({
                "do": "generate",
                "prompts": rendered(clients, seed),
                "tokens": tokens,
                "seed": seed,
                "top_k": TOP_K,
                "top_p": TOP_P,
                "temperature": TEMPERATURE,
            }))?;
            let streams: Vec<Vec<f64>> = serde_json::from_value(answer["streams"].take())?;
            ensure!(
                streams.len() == clients && streams.iter().all(|times| times.len() == tokens),
                "{tokens} tokens were requested for each of {clients} clients"
            );
            let told: Vec<u32> = serde_json::from_value(answer["prompt_tokens"].take())?;
            ensure!(
                told == *lengths.borrow(),
                "the prompts have {told:?} tokens there, {:?} here",
                lengths.borrow()
            );
            Parts::of(&streams).keep(&their_parts);
            let last = streams.iter().filter_map(|times| times.last().copied());
            let last = last.reduce(f64::max).context("no tokens")?;
            Ok(match &streams[..] {
                [alone] => (tokens - 1) as f64 / (last - alone[0]),
                _ => (clients * tokens) as f64 / last,
            })
        },
    )?;
    Ok(outcome
        .with("prompt_seconds", our_parts.borrow().prompts())
        .with("decode_seconds", our_parts.borrow().replies())
        .with("reference_prompt_seconds", their_parts.borrow().prompts())
        .with("reference_decode_seconds", their_parts.borrow().replies())
        .with("prompt_tokens", lengths.borrow().clone())
        .with("clients", clients)
        .with("context_length", CONTEXT)
        .with("tokens", tokens)
        .with("reference", loaded["about"].clone()))
}

/// The prompts as rendered by the model's template.
pub fn rendered(clients: usize, seed: u64) -> Vec<String> {
    let prompts = prompts(clients, seed);
    prompts
        .iter()
        .map(|prompt| model::rendered(prompt))
        .collect()
}

/// The parts of a turn's time.
struct Parts {
    /// Seconds in which prompts were evaluated and no client received a token.
    prompts: f64,
    /// All other seconds.
    replies: f64,
}

impl Parts {
    /// Computes the parts from the times of each client's tokens, in seconds.
    fn of(streams: &[Vec<f64>]) -> Self {
        let mut spans: Vec<_> = streams
            .iter()
            .filter_map(|times| Some((*times.first()?, *times.last()?)))
            .collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut prompts, mut end) = (0.0, 0.0_f64);
        for (first, last) in spans {
            prompts += (first - end).max(0.0);
            end = end.max(last);
        }
        Self {
            prompts,
            replies: end - prompts,
        }
    }

    fn keep(self, all: &RefCell<AllParts>) {
        all.borrow_mut().0.push(self);
    }
}

/// The sum over all turns.
#[derive(Default)]
struct AllParts(Vec<Parts>);

impl AllParts {
    fn prompts(&self) -> f64 {
        median(&self.0.iter().map(|parts| parts.prompts).collect::<Vec<_>>())
    }

    fn replies(&self) -> f64 {
        median(&self.0.iter().map(|parts| parts.replies).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_into_prompts_until_somebody_has_a_token() {
        let close = |parts: &Parts, prompts: f64, replies: f64| {
            assert!((parts.prompts - prompts).abs() < 1e-12, "{}", parts.prompts);
            assert!((parts.replies - replies).abs() < 1e-12, "{}", parts.replies);
        };
        // First one after the other, then concurrently.
        let serial = Parts::of(&[vec![5.0, 6.0], vec![1.0, 2.0, 3.0]]);
        close(&serial, 3.0, 3.0);
        let batch = Parts::of(&[vec![1.0, 4.0], vec![2.0, 5.0]]);
        close(&batch, 1.0, 4.0);
    }
}
