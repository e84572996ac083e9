//! Compares the texts that both sides wrote for the same prompts.

use std::cell::RefCell;

use anyhow::{Result, ensure};

/// The reply of one side to a prompt.
#[derive(Debug, Clone)]
pub struct Text {
    pub prompt_tokens: usize,
    /// The text of each token.
    pub texts: Vec<String>,
}

/// The first difference between the sides.
#[derive(Debug, Clone)]
pub struct Fork {
    pub seed: u64,
    pub session: usize,
    /// The text that both wrote before it.
    pub common: Vec<String>,
    /// The next token of each side.
    pub candidates: (String, String),
}

/// Compares the sides while they take turns.
#[derive(Default)]
pub struct Written {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The seed of the side that went first, and its texts.
    first: Option<(u64, Vec<Text>)>,
    prompt_tokens: usize,
    compared: usize,
    forks: Vec<Fork>,
}

impl Written {
    /// Adds the texts of one side, and compares them once those of the other side are there.
    pub fn add(&self, seed: u64, texts: Vec<Text>) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let other = match state.first.take() {
            Some((known, other)) if known == seed => other,
            _ => {
                state.first = Some((seed, texts));
                return Ok(());
            }
        };
        ensure!(texts.len() == other.len(), "a side wrote too few texts");
        for (session, (one, other)) in texts.iter().zip(&other).enumerate() {
            let lengths = (one.prompt_tokens, other.prompt_tokens);
            ensure!(lengths.0 == lengths.1, "prompts of {lengths:?} tokens");
            state.prompt_tokens = lengths.0;
            state.compared += 1;
            let (one, other) = (&one.texts, &other.texts);
            ensure!(one.len() == other.len(), "a side wrote too few tokens");
            if let Some(at) = one.iter().zip(other).position(|(one, other)| one != other) {
                state.forks.push(Fork {
                    seed,
                    session,
                    common: one[..at].to_vec(),
                    candidates: (one[at].clone(), other[at].clone()),
                });
            }
        }
        Ok(())
    }

    /// Number of tokens of the last prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.state.borrow().prompt_tokens
    }

    /// The first difference of each pair of texts that differ.
    pub fn forks(&self) -> Vec<Fork> {
        self.state.borrow().forks.clone()
    }

    /// The fraction of texts that are the same on both sides.
    pub fn share(&self) -> f64 {
        let state = self.state.borrow();
        1.0 - state.forks.len() as f64 / state.compared as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prompt_tokens: usize, texts: &str) -> Vec<Text> {
        let texts = texts.chars().map(String::from).collect();
        vec![Text {
            prompt_tokens,
            texts,
        }]
    }

    #[test]
    fn texts_of_one_seed_are_compared() {
        let written = Written::default();
        for (seed, text) in [(0, "abc"), (0, "abc"), (1, "abc"), (1, "aXc")] {
            written.add(seed, texts(9, text)).unwrap();
        }
        assert!((written.share() - 0.5).abs() < 1e-12);
        assert_eq!(written.prompt_tokens(), 9);
        let [fork] = &written.forks()[..] else {
            panic!("{:?}", written.forks());
        };
        assert_eq!((fork.seed, fork.session), (1, 0));
        assert_eq!(fork.common, ["a"]);
        assert_eq!(fork.candidates, ("X".to_owned(), "b".to_owned()));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let written = Written::default();
        written.add(0, texts(9, "abc")).unwrap();
        assert!(written.add(0, texts(8, "abc")).is_err());
        written.add(1, texts(9, "abc")).unwrap();
        assert!(written.add(1, texts(9, "ab")).is_err());
    }
}
