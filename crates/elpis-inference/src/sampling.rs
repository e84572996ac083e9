//! Sampling parameters and the sampler: from logits to the next token.
//!
//! The order of the steps is llama.cpp's default: token mask → logit bias → repetition, frequency and presence
//! penalties → top-k → top-p → min-p → temperature → draw. Temperature comes after truncation, so a
//! higher temperature makes the choice among the surviving tokens more even but adds no further
//! tokens. The most likely token survives every truncation.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

mod draw;
mod exp;
mod sampler;
mod select;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use sampler::{Sampler, greedy, masked};

/// Maximum length of the repetition window, in tokens.
pub const MAX_REPETITION_WINDOW: u32 = 4096;

/// Maximum temperature.
pub const MAX_TEMPERATURE: f32 = 2.0;

/// Maximum absolute value of the presence and frequency penalties.
pub const MAX_PENALTY: f32 = 2.0;

/// Maximum absolute value of a logit bias.
pub const MAX_BIAS: f32 = 100.0;

/// Checks a logit bias.
///
/// # Errors
/// [`SamplingError::OutOfRange`] if its absolute value is not at most [`MAX_BIAS`].
pub fn check_bias(value: f32) -> Result<(), SamplingError> {
    if value.abs() <= MAX_BIAS {
        return Ok(());
    }
    Err(SamplingError::OutOfRange {
        field: "logit_bias",
        value: value.into(),
        limit: "-100 to 100",
    })
}

/// Why parameters, logits or a token were refused.
#[derive(Debug, Clone, PartialEq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum SamplingError {
    /// A parameter is outside its range, or not a number.
    #[error("sampling parameter {field} is {value}, allowed is {limit}")]
    OutOfRange {
        /// The field of [`SamplingParams`].
        field: &'static str,
        /// Its value.
        value: f64,
        /// The allowed range, as text.
        limit: &'static str,
    },
    /// The vocabulary has no token, or 2²⁴ or more.
    #[error("the vocabulary has {size} tokens, allowed is 1 to 16777215")]
    VocabularySize {
        /// The given size.
        size: usize,
    },
    /// The number of logits does not match the vocabulary.
    #[error("got {got} logits for a vocabulary of {expected} tokens")]
    LogitsLength {
        /// The number of logits.
        got: usize,
        /// The size of the vocabulary.
        expected: usize,
    },
    /// The token mask is too short for the vocabulary.
    #[error("the token mask has {got} words, the vocabulary needs {expected}")]
    MaskLength {
        /// The number of words.
        got: usize,
        /// The required number: one per 32 tokens, rounded up.
        expected: usize,
    },
    /// A logit is NaN or +∞, so the model or the steering is broken.
    #[error("the logit of token {token} is {value}")]
    InvalidLogit {
        /// The first such token.
        token: u32,
        /// Its logit.
        value: f32,
    },
    /// No token has a finite logit, or the mask excludes all that have.
    #[error("no token is possible: every logit is -inf or masked out")]
    NoCandidates,
    /// A token is outside the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocabulary} tokens")]
    TokenOutOfRange {
        /// The given token.
        token: u32,
        /// The size of the vocabulary.
        vocabulary: usize,
    },
}

impl SamplingError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// Parameters for choosing the next token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Divides the logits of the surviving tokens; 0 picks the most likely token. 0 to
    /// [`MAX_TEMPERATURE`].
    pub temperature: f32,
    /// Keeps the k most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the smallest set of most likely tokens whose probabilities, at temperature 1 and
    /// relative to the tokens kept by top-k, reach this sum (Holtzman et al. 2020). Above 0, to 1;
    /// 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this probable relative to the most likely one, at temperature 1
    /// (Nguyen et al. 2024). 0 to below 1; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in the repetition window, once
    /// per distinct token (CTRL, Keskar et al. 2019). Finite and above 0; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of each token in the repetition window, after the repetition
    /// penalty. −[`MAX_PENALTY`] to [`MAX_PENALTY`]; 0 changes nothing.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit once for each of its occurrences in the repetition window.
    /// −[`MAX_PENALTY`] to [`MAX_PENALTY`]; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Number of the last tokens, of prompt and reply, that the three penalties consider. 0 to
    /// [`MAX_REPETITION_WINDOW`]; 0 disables them.
    pub repetition_window: u32,
    /// The seed of the random stream.
    pub seed: u64,
}

impl Default for SamplingParams {
    /// Temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, no penalties, a window of 64 tokens,
    /// seed 0: llama.cpp's defaults, with a fixed seed.
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_window: 64,
            seed: 0,
        }
    }
}

impl SamplingParams {
    /// Returns parameters that always pick the most likely token, without penalties or truncation.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            ..Self::default()
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`SamplingError::OutOfRange`] for the first field that is outside its range or NaN.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let check = |valid: bool, field, value: f64, limit| {
            if valid {
                Ok(())
            } else {
                Err(SamplingError::OutOfRange {
                    field,
                    value,
                    limit,
                })
            }
        };
        let Self {
            temperature,
            top_p,
            min_p,
            repetition_penalty: penalty,
            presence_penalty: presence,
            frequency_penalty: frequency,
            repetition_window: window,
            ..
        } = *self;
        check(
            (0.0..=MAX_TEMPERATURE).contains(&temperature),
            "temperature",
            temperature.into(),
            "0 to 2",
        )?;
        check(
            top_p > 0.0 && top_p <= 1.0,
            "top_p",
            top_p.into(),
            "above 0, to 1",
        )?;
        check(
            (0.0..1.0).contains(&min_p),
            "min_p",
            min_p.into(),
            "0 to below 1",
        )?;
        check(
            penalty > 0.0 && penalty.is_finite(),
            "repetition_penalty",
            penalty.into(),
            "above 0 and finite",
        )?;
        let additive = -MAX_PENALTY..=MAX_PENALTY;
        check(
            additive.contains(&presence),
            "presence_penalty",
            presence.into(),
            "-2 to 2",
        )?;
        check(
            additive.contains(&frequency),
            "frequency_penalty",
            frequency.into(),
            "-2 to 2",
        )?;
        check(
            window <= MAX_REPETITION_WINDOW,
            "repetition_window",
            window.into(),
            "0 to 4096",
        )
    }
}
