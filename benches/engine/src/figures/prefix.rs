//! Long chats. The repeated part of each turn should be evaluated only once, even if another
//! conversation takes place in between.

use std::time::Instant;

use anyhow::{Context, Result};
use elpis::{ChatMessage, Coefficients, GenerationEvent, Session};

use crate::engine::{Engine, sampled, words};
use crate::measure::{Outcome, Run};
use crate::stats::median;

const CONTEXT: u32 = 4096;
const REPLY_TOKENS: usize = 32;
const QUESTION_WORDS: usize = 16;

/// Holds a chat in each round, each with a different system prompt.
pub fn run(run: &Run) -> Result<Outcome> {
    let (system_words, turns) = if run.smoke { (300, 3) } else { (1500, 10) };
    let engine = Engine::start(run, CONTEXT, 2)?;
    // The first evaluation warms the caches.
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

/// Alternates between two conversations, with two turns of each at a time.
pub fn alternating(run: &Run) -> Result<Outcome> {
    let (system_words, turns) = if run.smoke { (300, 1) } else { (1500, 4) };
    let engine = Engine::start(run, CONTEXT, 2)?;
    let (mut ratios, mut after_other_seconds, mut after_own_seconds) =
        (Vec::new(), Vec::new(), Vec::new());
    for round in 0..run.rounds {
        let mut chats = Vec::new();
        for one in 0..2 {
            let mut chat = Conversation::new(&engine, system_words, round as u64 * 2 + one)?;
            chat.turn(&engine)?;
            chats.push(chat);
        }
        let (mut after_other, mut after_own) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            for chat in &mut chats {
                after_other.push(chat.turn(&engine)?);
                after_own.push(chat.turn(&engine)?);
            }
        }
        let (switched, stayed) = (median(&after_other), median(&after_own));
        run.tell(
            round,
            &format!(
                "{:.1} ms / {:.1} ms = {:.4}",
                switched * 1e3,
                stayed * 1e3,
                switched / stayed
            ),
        );
        ratios.push(switched / stayed);
        after_other_seconds.push(switched);
        after_own_seconds.push(stayed);
    }
    Ok(Outcome::median(ratios)
        .with("after_other_seconds", median(&after_other_seconds))
        .with("after_own_seconds", median(&after_own_seconds))
        .with("turns", turns)
        .with("system_tokens", system_words)
        .with("context_length", CONTEXT))
}

/// Seconds from the call to the first token that reaches its caller, for each turn.
fn chat(engine: &Engine, system_words: usize, turns: usize, round: u64) -> Result<Vec<f64>> {
    let mut chat = Conversation::new(engine, system_words, round)?;
    (0..turns).map(|_| chat.turn(engine)).collect()
}

/// A chat with its own system prompt.
struct Conversation {
    session: Session,
    messages: Vec<ChatMessage>,
    number: u64,
    turns: u64,
}

impl Conversation {
    fn new(engine: &Engine, system_words: usize, number: u64) -> Result<Self> {
        Ok(Self {
            session: engine.elpis.session(format!("chat {number}"))?,
            messages: vec![ChatMessage::system(words(system_words, number << 8))],
            number,
            turns: 0,
        })
    }

    /// Adds a turn. Returns the seconds from the call to the first token that reaches its caller.
    fn turn(&mut self, engine: &Engine) -> Result<f64> {
        self.turns += 1;
        let seed = self.number << 8 | self.turns;
        self.messages
            .push(ChatMessage::user(words(QUESTION_WORDS, seed)));
        let chat = sampled(self.session.chat(&self.messages), REPLY_TOKENS, seed);
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
            anyhow::Ok((first.context("no token arrived")?, text))
        })?;
        self.messages.push(ChatMessage::assistant(text));
        Ok(first)
    }
}
