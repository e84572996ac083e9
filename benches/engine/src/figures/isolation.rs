//! Compares a model in a separate process with one in this process.

use anyhow::{Result, ensure};
use elpis::Coefficients;
use elpis::settings::Isolation;

use crate::engine::{Engine, rate};
use crate::measure::{Outcome, Run};

const CONTEXT: u32 = 2048;

/// One session on each side. The side that is not measured sleeps.
pub fn run(run: &Run) -> Result<Outcome> {
    let load = |isolation| Engine::start_with(run, CONTEXT, 1, |more| more.isolation(isolation));
    let start = |round: usize| {
        let (apart, here) = if round.is_multiple_of(2) {
            let apart = load(Isolation::Process)?;
            (apart, load(Isolation::None)?)
        } else {
            let here = load(Isolation::None)?;
            (load(Isolation::Process)?, here)
        };
        ensure!(apart.facts() == here.facts(), "both have the same model");
        Ok((apart, here))
    };
    let tokens = run.spec.tokens;
    let measure = |engine: &Engine, seed| {
        let asks = engine.asks(1, tokens, seed, |_| Ok(Coefficients::new()))?;
        rate(&engine.generate(asks)?)
    };
    let outcome = run.ratio_afresh(
        start,
        |(apart, _), seed| measure(apart, seed),
        |(_, here), seed| measure(here, seed),
    )?;
    Ok(outcome
        .with("context_length", CONTEXT)
        .with("tokens", tokens))
}
