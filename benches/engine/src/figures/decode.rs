//! Compares elpis with bare llama.cpp.

use std::cell::RefCell;

use std::time::Instant;

use anyhow::{Result, ensure};
use elpis::Coefficients;

use crate::apart::Apart;
use crate::engine::{Engine, rate, sampled, words as words_of};
use crate::measure::{Outcome, Run};

/// One session.
pub fn overhead(run: &Run) -> Result<Outcome> {
    compare(run, 2048, 1)
}

/// Eight sessions in one batch.
pub fn batching(run: &Run) -> Result<Outcome> {
    compare(run, 1024, 8)
}

/// Number of tokens of the prompt whose first token is timed.
const LONG_PROMPT: usize = 512;

/// The time to the first token after a prompt that is not cached.
pub fn first_token(run: &Run) -> Result<Outcome> {
    let words = if run.smoke { 32 } else { LONG_PROMPT };
    let length = RefCell::new(0);
    let ours = |engine: &Engine, seed: u64| {
        let session = engine.elpis.session(format!("first {seed}"))?;
        let chat = sampled(session.chat(words_of(words, seed)), 2, seed);
        let start = Instant::now();
        let (seconds, report) = engine.block_on(async {
            let mut stream = chat.stream().await?;
            stream.next().await;
            let seconds = start.elapsed().as_secs_f64();
            anyhow::Ok((seconds, stream.completion().await?.report))
        })?;
        ensure!(
            (report.cached_prompt_tokens as usize) < words / 8,
            "the prompt was already cached"
        );
        *length.borrow_mut() = report.prompt_tokens as usize;
        anyhow::Ok(seconds.recip())
    };
    let start = |round: usize| {
        let engine = Engine::start(run, 2048, 1)?;
        let bare = engine.bare(run)?;
        // This run determines the lengths of the prompts and warms the caches.
        ours(&engine, (u64::MAX >> 9) - round as u64)?;
        Ok((engine, bare))
    };
    // This is a ratio of times, and less time is better, so the sides are swapped.
    let outcome = run.ratio_afresh_of(
        "first_tokens",
        start,
        |(_, bare), seed| Ok(bare.first_token(*length.borrow(), seed)?.recip()),
        |(engine, _), seed| ours(engine, seed),
    )?;
    Ok(outcome
        .with("first", "bare llama.cpp")
        .with("prompt_tokens", *length.borrow()))
}

fn compare(run: &Run, context: u32, sessions: usize) -> Result<Outcome> {
    let options = Engine::start(run, context, sessions)?.bare_options();
    // The sides alternate in being loaded first, as they do in going first.
    let start = |round: usize| {
        if round.is_multiple_of(2) {
            let engine = Engine::start(run, context, sessions)?;
            let bare = Apart::load(run, options)?;
            Ok((engine, bare))
        } else {
            let bare = Apart::load(run, options)?;
            Ok((Engine::start(run, context, sessions)?, bare))
        }
    };
    let tokens = run.spec.tokens;
    // Elpis goes first, because its reports contain the lengths of the prompts.
    let prompts = RefCell::new(Vec::new());
    let outcome = run.ratio_afresh(
        start,
        |(engine, _), seed| {
            let asks = engine.asks(sessions, tokens, seed, |_| Ok(Coefficients::new()))?;
            let traces = engine.generate(asks)?;
            let lengths = traces
                .iter()
                .map(|trace| trace.report.prompt_tokens as usize);
            *prompts.borrow_mut() = lengths.collect();
            rate(&traces)
        },
        |(_, bare), seed| bare.decode_rate(&prompts.borrow(), tokens, seed),
    )?;
    let prompt = prompts.borrow().first().copied();
    Ok(outcome
        .with("sessions", sessions)
        .with("context_length", context)
        .with("prompt_tokens", prompt)
        .with("tokens", tokens))
}
