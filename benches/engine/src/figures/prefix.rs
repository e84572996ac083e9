//! A long chat: what every turn repeats should be evaluated once.

use std::time::Instant;

use anyhow::{Context, Result};
use elpis::{ChatMessage, Coefficients, GenerationEvent};

use crate::engine::{Engine, sampled, words};
use crate::measure::{Outcome, Run};
use crate::stats::median;

const CONTEXT: u32 = 4096;
const REPLY_TOKENS: usize = 32;
const QUESTION_WORDS: usize = 16;

/// Holds a chat in each round, each with a system prompt of its own.
pub fn run(run: &Run) -> Result<Outcome> {
    let (system_words, turns) = if run.smoke { (300, 3) } else { (1500, 10) };
    let engine = Engine::start(run, CONTEXT, 2)?;
    // The first evaluation pays for cold caches.
    let asks = engine.asks(1, REPLY_TOKENS, 0, |_| Ok(Coefficients::new()))?;
    engine.generate(asks)?;
    let (mut ratios, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..run.rounds {
        let turns = chat(&engine, system_words, turns, round as u64)?;
        let (first, last) = turns.first().zip(turns.last()).context("no turns")?;
        run.tell(
            round,
            &format!("{last:.3} s / {first:.3} s = {:.4}", last / first),
        );
        ratios.push(last / first);
        firsts.push(*first);
        lasts.push(*last);
    }
    Ok(Outcome::median(ratios)
        .with("first_turn_seconds", median(&firsts))
        .with("last_turn_seconds", median(&lasts))
        .with("turns", turns)
        .with("system_tokens", system_words)
        .with("context_length", CONTEXT))
}

/// Seconds from the call to the first token that reaches its caller, for each turn.
fn chat(engine: &Engine, system_words: usize, turns: usize, round: u64) -> Result<Vec<f64>> {
    let session = engine.elpis.session(format!("chat {round}"))?;
    let seed = |turn: usize| round << 8 | turn as u64;
    let mut messages = vec![ChatMessage::system(words(system_words, seed(0)))];
    let mut seconds = Vec::new();
    for turn in 1..=turns {
        messages.push(ChatMessage::user(words(QUESTION_WORDS, seed(turn))));
        let chat = sampled(session.chat(&messages), REPLY_TOKENS, seed(turn));
        let start = Instant::now();
        let (first, text) = engine.block_on(async {
            let mut stream = chat.stream().await?;
            let mut text = String::new();
            let mut first = None;
            while let Some(event) = stream.next().await {
                if let GenerationEvent::Text(more) = event? {
                    first.get_or_insert_with(|| start.elapsed().as_secs_f64());
                    text.push_str(&more);
                }
            }
            anyhow::Ok((first.context("no token came")?, text))
        })?;
        seconds.push(first);
        messages.push(ChatMessage::assistant(text));
    }
    Ok(seconds)
}
