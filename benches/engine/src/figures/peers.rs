//! Elpis beside Hugging Face's `generate()`, on the same libtorch.

use std::cell::RefCell;

use anyhow::{Result, ensure};
use elpis::Coefficients;

use crate::engine::{Engine, rate};
use crate::measure::{Outcome, Run};
use crate::model::Encoding;
use crate::peer::Peer;
use crate::vectors;

const CONTEXT: u32 = 1024;

/// One session.
pub fn decode(run: &Run) -> Result<Outcome> {
    compare(run, 1, false)
}

/// Eight sessions with vectors of their own, beside a batch with a hook.
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
    let written = Written::new(run.spec.encoding == Encoding::F32);
    let outcome = run.ratio(
        |seed| {
            let traces = engine.generate(asks(seed)?)?;
            let prompts = traces.iter().map(|trace| trace.report.prompt_tokens);
            let texts = traces.iter().map(|trace| trace.text.clone());
            written.add(seed, prompts.map(|n| n as usize).zip(texts).collect())?;
            rate(&traces)
        },
        |seed| {
            let prompts: Vec<String> = asks(seed)?.into_iter().map(|ask| ask.prompt).collect();
            let generated = peer.generate(&prompts, tokens, steering.as_ref())?;
            let texts = generated.texts.into_iter();
            written.add(
                seed,
                texts.map(|text| (generated.prompt_tokens, text)).collect(),
            )?;
            Ok(generated.rate)
        },
    )?;
    Ok(outcome
        .with("sessions", sessions)
        .with("context_length", CONTEXT)
        .with("prompt_tokens", written.prompt_tokens())
        .with("tokens", tokens)
        .with("same_text", written.share()?)
        .with("reference", about))
}

/// Texts that must be the same on both sides in f32.
const NEARLY_ALL: f64 = 0.8;

/// What both sides wrote of the same prompts: the proof that the same thing was measured.
struct Written {
    /// In f32 nearly all texts are the same: kernels for other shapes round differently, which
    /// now and then decides between two close candidates. bf16 rounds too coarsely for that.
    exact: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The seed of the side that went first, and for each session the length of the prompt and
    /// the text.
    first: Option<(u64, Vec<(usize, String)>)>,
    prompt_tokens: usize,
    compared: usize,
    same: usize,
}

impl Written {
    fn new(exact: bool) -> Self {
        Self {
            exact,
            state: RefCell::default(),
        }
    }

    /// Takes what a side wrote, and compares it once the other side has written too.
    fn add(&self, seed: u64, texts: Vec<(usize, String)>) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let other = match state.first.take() {
            Some((known, other)) if known == seed => other,
            _ => {
                state.first = Some((seed, texts));
                return Ok(());
            }
        };
        ensure!(texts.len() == other.len(), "a side wrote too few texts");
        for (one, other) in texts.iter().zip(&other) {
            ensure!(
                one.0 == other.0,
                "prompts of {} and {} tokens",
                one.0,
                other.0
            );
            state.prompt_tokens = one.0;
            state.compared += 1;
            state.same += usize::from(one.1 == other.1);
        }
        Ok(())
    }

    fn prompt_tokens(&self) -> usize {
        self.state.borrow().prompt_tokens
    }

    /// The share of texts that are the same on both sides.
    fn share(&self) -> Result<f64> {
        let state = self.state.borrow();
        let share = state.same as f64 / state.compared as f64;
        ensure!(
            !self.exact || share >= NEARLY_ALL,
            "the sides wrote the same in {share} of the texts only"
        );
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        vec![(9, text.to_owned())]
    }

    #[test]
    fn texts_of_one_seed_are_compared() {
        let written = Written::new(true);
        written.add(0, texts("a")).unwrap();
        written.add(0, texts("a")).unwrap();
        written.add(1, texts("b")).unwrap();
        assert!((written.share().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(written.prompt_tokens(), 9);
        written.add(1, texts("c")).unwrap();
        assert!(written.share().is_err());
    }

    #[test]
    fn what_is_not_exact_is_only_counted() {
        let written = Written::new(false);
        for (seed, text) in [(0, "a"), (0, "a"), (1, "b"), (1, "c")] {
            written.add(seed, texts(text)).unwrap();
        }
        assert!((written.share().unwrap() - 0.5).abs() < 1e-12);
        let longer = vec![(8, "a".to_owned())];
        written.add(2, texts("a")).unwrap();
        assert!(written.add(2, longer).is_err());
    }
}
