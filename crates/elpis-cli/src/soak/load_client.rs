//! A session that chats and receives events until it is told to stop.

use std::sync::{Arc, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;

use super::token_auditor::{FAULT, TokenAuditor};
use super::{Counters, count};
use elpis::Session;
use elpis::backend::BackendError;
use elpis::emotion::{EmotionEvent, KNOWN_EVENTS};
use elpis::{EngineError, Error};

/// Maximum number of tokens of a reply.
const MAX_TOKENS: u32 = 32;

/// Number of bytes at the end of a reply that are ignored, because the last token is never
/// evaluated and a character may be cut.
const UNSEEN_END: usize = 24;

const QUESTIONS: [&str; 4] = [
    "What do you make of the sea?",
    "Tell me about trains.",
    "The tests failed again. What now?",
    "How was your day?",
];

type Parts = (Arc<TokenAuditor>, Arc<Counters>, watch::Receiver<bool>);

/// Chats until stopped. Returns how many of the acknowledged events are lost.
pub(super) async fn chat_on(
    session: Session,
    number: usize,
    seed: u64,
    (token_auditor, counters, stop): Parts,
) -> Result<u64, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed << 16 | number as u64);
    session.forget().await?;
    let mut acknowledged = 0;
    let mut turn = 0_u64;
    while !*stop.borrow() {
        turn += 1;
        for _ in 0..rng.random_range(0..3) {
            let event = KNOWN_EVENTS[rng.random_range(0..KNOWN_EVENTS.len())];
            match session.feel(EmotionEvent::from(event)).await {
                Ok(_) => {
                    acknowledged += 1;
                    count(&counters.events);
                }
                Err(Error::Store(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Unique within this trial, and plain text for every tokenizer.
        let mark = format!("({seed}-{number}-{turn})");
        let question = QUESTIONS[rng.random_range(0..QUESTIONS.len())];
        let cancels = rng.random_bool(0.1);
        let chat = session
            .chat(format!("{mark} {question}"))
            .max_tokens(rng.random_range(4..=MAX_TOKENS))
            .seed(rng.random());
        match converse(chat, cancels).await {
            Ok(None) => count(&counters.cancelled),
            Ok(Some(reply)) => {
                count(&counters.replies);
                let tokens = u64::from(reply.report.completion_tokens);
                counters
                    .tokens
                    .fetch_add(tokens, std::sync::atomic::Ordering::Relaxed);
                check(&session, &token_auditor, &counters, &mark, &reply.text).await;
            }
            Err(Error::Engine(EngineError::EngineRestarted)) => count(&counters.ended_by_faults),
            Err(Error::Engine(EngineError::Backend(BackendError::Native { call, .. })))
                if call == FAULT =>
            {
                count(&counters.ended_by_faults);
            }
            Err(error @ (Error::Stopped { .. } | Error::Engine(EngineError::Stopped { .. }))) => {
                return Err(error);
            }
            Err(error) => {
                count(&counters.failed);
                let first = counters.first_failure.lock();
                let mut first = first.unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| error.to_string());
            }
        }
    }
    let known = session.state().await?.events_applied;
    session.forget().await?;
    Ok(u64::abs_diff(acknowledged, known))
}

async fn converse(
    chat: elpis::Chat,
    cancels: bool,
) -> Result<Option<elpis::inference::Completion>, Error> {
    let mut stream = chat.stream().await?;
    if cancels {
        // Reads the first text, then drops the stream.
        if let Some(event) = stream.next().await {
            event?;
        }
        return Ok(None);
    }
    Ok(Some(stream.completion().await?))
}

/// Checks that every token of a reply was evaluated after its own prompt.
async fn check(
    session: &Session,
    token_auditor: &TokenAuditor,
    counters: &Counters,
    mark: &str,
    reply: &str,
) {
    let Some(tokenizer) = session.elpis().tokenizer().await else {
        return;
    };
    let end = reply.floor_char_boundary(reply.len().saturating_sub(UNSEEN_END));
    if end == 0 {
        // It is too short to check.
        return;
    }
    match token_auditor.saw(mark, &reply[..end], tokenizer.as_ref()) {
        Some(true) => count(&counters.witnessed_replies),
        Some(false) => count(&counters.foreign_replies),
        // Its engine is gone already.
        None => {}
    }
}
