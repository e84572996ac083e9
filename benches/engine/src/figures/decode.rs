//! Elpis beside bare llama.cpp.

use std::cell::RefCell;

use anyhow::Result;
use elpis::Coefficients;

use crate::engine::{Engine, rate};
use crate::measure::{Outcome, Run};

/// One session.
pub fn overhead(run: &Run) -> Result<Outcome> {
    compare(run, 2048, 1)
}

/// Eight sessions in one batch.
pub fn batching(run: &Run) -> Result<Outcome> {
    compare(run, 1024, 8)
}

fn compare(run: &Run, context: u32, sessions: usize) -> Result<Outcome> {
    let engine = Engine::start(run, context, sessions)?;
    let mut bare = engine.bare(run)?;
    let tokens = run.spec.tokens;
    // Ours goes first and says how long the prompts were.
    let prompts = RefCell::new(Vec::new());
    let outcome = run.ratio(
        |seed| {
            let asks = engine.asks(sessions, tokens, seed, |_| Ok(Coefficients::new()))?;
            let traces = engine.generate(asks)?;
            let lengths = traces
                .iter()
                .map(|trace| trace.report.prompt_tokens as usize);
            *prompts.borrow_mut() = lengths.collect();
            rate(&traces)
        },
        |seed| bare.decode_rate(&prompts.borrow(), tokens, seed),
    )?;
    let prompt = prompts.borrow().first().copied();
    Ok(outcome
        .with("sessions", sessions)
        .with("context_length", context)
        .with("prompt_tokens", prompt)
        .with("tokens", tokens))
}
