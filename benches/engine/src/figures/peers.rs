//! Compares elpis with Hugging Face's `generate()` on the same libtorch.

mod written;

use anyhow::{Result, ensure};
use elpis::Coefficients;

use crate::engine::{Ask, Engine, rate};
use crate::measure::{Outcome, Run};
use crate::model::Encoding;
use crate::peer::Peer;
use crate::vectors::{self, Rows};
use written::{Text, Written};

const CONTEXT: u32 = 1024;

/// Maximum difference of two logits that count as equal. With random weights, logits have a deviation
/// of 3, and the best two differ by 0.7 on average. In f32, differences due to the order of additions
/// stay far below this.
const TIE: f64 = 0.001;

/// One session.
pub fn decode(run: &Run) -> Result<Outcome> {
    compare(run, 1, false)
}

/// Eight sessions with different vectors, compared with a batch with a hook.
pub fn batch(run: &Run) -> Result<Outcome> {
    compare(run, 8, true)
}

fn compare(run: &Run, sessions: usize, steered: bool) -> Result<Outcome> {
    let engine = Engine::start(run, CONTEXT, sessions)?;
    let steering = if steered {
        engine.load_vectors()?;
        let library = engine.elpis.steering_library();
        Some(vectors::rows(&library, sessions)?)
    } else {
        None
    };
    let mut peer = Peer::start(run)?;
    let about = peer.about.clone();
    let tokens = run.spec.tokens;
    let asks = |seed: u64| {
        let mut asks = engine.asks(sessions, tokens, seed, |session| {
            if steered {
                vectors::mix(session)
            } else {
                Ok(Coefficients::new())
            }
        })?;
        for ask in &mut asks {
            ask.greedy = true;
        }
        anyhow::Ok(asks)
    };
    let written = Written::default();
    let outcome = run.ratio(
        |seed| {
            let traces = engine.generate(asks(seed)?)?;
            let rate = rate(&traces)?;
            let texts = traces.into_iter().map(|trace| Text {
                prompt_tokens: trace.report.prompt_tokens as usize,
                texts: trace.texts,
            });
            written.add(seed, texts.collect())?;
            Ok(rate)
        },
        |seed| {
            let generated = peer.generate(&prompts(asks(seed)?), tokens, steering.as_ref())?;
            let texts = generated.texts.into_iter().map(|texts| Text {
                prompt_tokens: generated.prompt_tokens,
                texts,
            });
            written.add(seed, texts.collect())?;
            Ok(generated.rate)
        },
    )?;
    if run.spec.encoding == Encoding::F32 {
        check(&mut peer, &written, steering.as_ref(), |seed| {
            Ok(prompts(asks(seed)?))
        })?;
    }
    Ok(outcome
        .with("sessions", sessions)
        .with("context_length", CONTEXT)
        .with("prompt_tokens", written.prompt_tokens())
        .with("tokens", tokens)
        .with("same_text", written.share())
        .with("reference", about))
}

fn prompts(asks: Vec<Ask>) -> Vec<String> {
    asks.into_iter().map(|ask| ask.prompt).collect()
}

/// Checks that the sides diverge in f32 only where two tokens are equally likely. This shows that both
/// computed the same.
fn check(
    peer: &mut Peer,
    written: &Written,
    steering: Option<&Rows>,
    prompts: impl Fn(u64) -> Result<Vec<String>>,
) -> Result<()> {
    for fork in written.forks() {
        let row = steering.map(|rows| (rows.layer, &*rows.values[fork.session]));
        let prompt = &prompts(fork.seed)?[fork.session];
        let candidates = [fork.candidates.0.as_str(), fork.candidates.1.as_str()];
        let gap = peer.gap(prompt, &fork.common, candidates, row)?;
        eprintln!(
            "   {candidates:?} after {} tokens: {gap:.6} apart",
            fork.common.len()
        );
        ensure!(
            gap < TIE,
            "the sides wrote {candidates:?}, whose logits are {gap} apart, after {:?}",
            fork.common.concat()
        );
    }
    Ok(())
}
