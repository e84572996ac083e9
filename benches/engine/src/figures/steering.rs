//! Compares sessions that have different vectors with unsteered ones.

use anyhow::{Result, ensure};
use elpis::Coefficients;

use crate::engine::{Engine, rate};
use crate::measure::{Outcome, Run};
use crate::vectors;

/// Eight sessions.
pub fn eight(run: &Run) -> Result<Outcome> {
    compare(run, 1024, 8, run.spec.tokens)
}

/// Sixty-four sessions.
pub fn sixty_four(run: &Run) -> Result<Outcome> {
    // With this many rows a token takes so long that 24 tokens take longer than all prompts. A tiny
    // model needs more tokens.
    let tokens = if run.smoke { 128 } else { 24 };
    compare(run, 512, 64, tokens)
}

fn compare(run: &Run, context: u32, sessions: usize, tokens: usize) -> Result<Outcome> {
    let engine = Engine::start(run, context, sessions)?;
    engine.load_vectors()?;
    let measure = |seed: u64, steered: bool| {
        let asks = engine.asks(sessions, tokens, seed, |session| {
            if steered {
                vectors::mix(session)
            } else {
                Ok(Coefficients::new())
            }
        })?;
        let traces = engine.generate(asks)?;
        for trace in &traces {
            let modulation = trace.report.modulation();
            let is_steered = modulation.is_some_and(|applied| !applied.steering.is_empty());
            ensure!(
                is_steered == steered,
                "a generation should be steered: {steered}, is steered: {is_steered}"
            );
        }
        rate(&traces)
    };
    // The sides have separate sessions and prompts, because both are in one runtime.
    let outcome = run.ratio(
        |seed| measure(2 * seed, true),
        |seed| measure(2 * seed + 1, false),
    )?;
    Ok(outcome
        .with("sessions", sessions)
        .with("context_length", context)
        .with("tokens", tokens))
}

/// Eight steered sessions whose replies are read, and eight whose are not.
pub fn reading(run: &Run) -> Result<Outcome> {
    let (context, sessions, tokens) = (1024, 8, run.spec.tokens);
    let engine = Engine::start(run, context, sessions)?;
    let measure = |seed: u64, reads: bool| {
        engine.load_vectors()?;
        if reads {
            vectors::add_axes(engine.vectors(), engine.facts())?;
            engine.reload_vectors()?;
        }
        let asks = engine.asks(sessions, tokens, seed, vectors::mix)?;
        let traces = engine.generate(asks)?;
        for trace in &traces {
            let is_read = trace.report.expressed.is_some();
            ensure!(
                is_read == reads,
                "it should be read: {reads}, is read: {is_read}"
            );
        }
        rate(&traces)
    };
    let outcome = run.ratio(
        |seed| measure(2 * seed, true),
        |seed| measure(2 * seed + 1, false),
    )?;
    Ok(outcome
        .with("sessions", sessions)
        .with("context_length", context)
        .with("tokens", tokens))
}
