//! Memory of a loaded model besides its weights and its cache.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use elpis::Coefficients;
use serde_json::{Value, json};

use crate::engine::{Engine, words};
use crate::measure::{Outcome, Run};
use crate::model;
use crate::process::peak;
use crate::stats::median;

const CONTEXT: u32 = 512;
const PROMPT_WORDS: usize = 400;

/// Loads the model and decodes, in a new process for each round.
pub fn run(run: &Run) -> Result<Outcome> {
    let checkpoint = fs::metadata(run.path.join(model::WEIGHTS))?.len() as f64;
    let (mut ratios, mut peaks, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let mut cache = 0.0;
    for round in 0..run.rounds {
        let footprint = child(run)?;
        let bytes = |name: &str| footprint[name].as_f64().context("no footprint");
        let (start, peak) = (bytes("start")?, bytes("peak")?);
        cache = run.spec.cache_bytes(bytes("positions")? as usize) as f64;
        let ratio = (peak - start) / (checkpoint + cache);
        run.tell(
            round,
            &format!(
                "({:.1} - {:.1}) / ({:.1} + {:.1}) MB = {ratio:.4}",
                peak / 1e6,
                start / 1e6,
                checkpoint / 1e6,
                cache / 1e6
            ),
        );
        ratios.push(ratio);
        peaks.push(peak);
        bare.push(start);
    }
    Ok(Outcome::median(ratios)
        .with("peak_mb", median(&peaks) / 1e6)
        .with("libtorch_mb", median(&bare) / 1e6)
        .with("checkpoint_mb", checkpoint / 1e6)
        .with("cache_mb", cache / 1e6)
        .with("context_length", CONTEXT))
}

fn child(run: &Run) -> Result<Value> {
    let cache = run.path.parent().context("the model has no folder")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--footprint", run.spec.name, "--cache"])
        .arg(cache)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the process that loads failed");
    serde_json::from_slice(&output.stdout)
        .context("the process that loads the model printed nothing")
}

/// Loads the model, decodes, and returns the peak of this process's memory. `start` is its memory in
/// bytes after libtorch was loaded.
pub fn footprint(run: &Run, start: u64) -> Result<Value> {
    let engine = Engine::start(run, CONTEXT, 1)?;
    let mut asks = engine.asks(1, run.spec.tokens, 0, |_| Ok(Coefficients::new()))?;
    for ask in &mut asks {
        ask.prompt = words(PROMPT_WORDS, ask.seed);
        ask.greedy = true;
    }
    let traces = engine.generate(asks)?;
    let report = &traces.first().context("nothing was generated")?.report;
    // The last token is not evaluated.
    let positions = report.prompt_tokens + report.completion_tokens - 1;
    Ok(json!({"start": start, "peak": peak()?, "positions": positions}))
}
