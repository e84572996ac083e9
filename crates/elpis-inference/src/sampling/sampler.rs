//! The sampler: parameters, repetition window and random stream of one generation.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::draw::{draw_from, draw_from_all, first_of, highest, inverse, unit};
use super::exp::exp;
use super::select::{self, Candidate};
use super::{MAX_REPETITION_WINDOW, SamplingError, SamplingParams, check_bias};

/// If there are more candidates than the vocabulary divided by this, reading the vocabulary again is
/// faster than sorting them.
const RESCAN_FROM: usize = 64;
/// The part of the random stream's key that separates it from other streams of the same seed.
const KEY_TAG: &[u8; 24] = b"elpis sampling stream v1";

/// The bits of a mask's word, in the order of their tokens.
const BITS: [u32; 32] = {
    let mut bits = [0; 32];
    let mut index = 0;
    while index < bits.len() {
        bits[index] = 1 << index;
        index += 1;
    }
    bits
};

/// Chooses tokens for one generation.
///
/// The same seed, parameters, logits and accepted tokens give the same tokens on every platform:
/// the random numbers are those of `ChaCha8`, and the weights use only arithmetic that IEEE 754 fixes.
/// Each draw consumes exactly one random number (64 bits). Greedy choices and refused calls consume
/// none.
///
/// The draw goes through the surviving tokens in ascending order. If logits are equal at the limit
/// of top-k or top-p, the lower token survives.
///
/// A sampler holds 4 bytes for each token of the vocabulary, 8 for each candidate (of the largest
/// set so far), and 32 KiB for the repetition window. Once these buffers have grown, no token
/// allocates memory.
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplingParams,
    /// Values that are added to the logits of tokens.
    bias: Vec<(u32, f32)>,
    vocabulary: usize,
    rng: ChaCha8Rng,
    history: VecDeque<u32>,
    /// The tokens of the window in ascending order, while penalties are applied.
    window: Vec<u32>,
    work: Vec<f32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// Creates a sampler for a vocabulary of `vocabulary` tokens, with an empty repetition window.
    ///
    /// # Errors
    /// [`SamplingError::OutOfRange`] as from [`SamplingParams::validate`];
    /// [`SamplingError::VocabularySize`].
    pub fn new(params: SamplingParams, vocabulary: usize) -> Result<Self, SamplingError> {
        params.validate()?;
        if vocabulary == 0 || vocabulary >= 1 << 24 {
            return Err(SamplingError::VocabularySize { size: vocabulary });
        }
        Ok(Self {
            params,
            bias: Vec::new(),
            vocabulary,
            rng: stream(params.seed),
            history: VecDeque::with_capacity(MAX_REPETITION_WINDOW as usize),
            window: Vec::with_capacity(MAX_REPETITION_WINDOW as usize),
            work: Vec::new(),
            candidates: Vec::new(),
        })
    }

    /// Returns the parameters in use.
    pub fn params(&self) -> &SamplingParams {
        &self.params
    }

    /// Changes the parameters from the next token on. The random stream continues, so a new seed
    /// takes effect only at [`reset`](Self::reset). The repetition window keeps its tokens: it
    /// remembers [`MAX_REPETITION_WINDOW`] of them, whatever its length.
    ///
    /// # Errors
    /// [`SamplingError::OutOfRange`]. The parameters are then unchanged.
    pub fn set_params(&mut self, params: SamplingParams) -> Result<(), SamplingError> {
        params.validate()?;
        self.params = params;
        Ok(())
    }

    /// Adds a value to the logits of these tokens from the next token on, before all other steps.
    /// Replaces an earlier bias. It does not allow a token that a mask excludes.
    ///
    /// # Errors
    /// [`SamplingError::TokenOutOfRange`], or [`SamplingError::OutOfRange`] for a value beyond
    /// [`MAX_BIAS`](super::MAX_BIAS). The bias is then unchanged.
    pub fn set_bias(&mut self, bias: Vec<(u32, f32)>) -> Result<(), SamplingError> {
        for &(token, value) in &bias {
            self.known(token)?;
            check_bias(value)?;
        }
        self.bias = bias;
        Ok(())
    }

    /// Restarts the random stream with the seed of the parameters and empties the repetition window.
    pub fn reset(&mut self, seed: u64) {
        self.params.seed = seed;
        self.rng = stream(seed);
        self.history.clear();
    }

    /// Adds a token of the prompt or the reply to the repetition window. Sampling does not add the
    /// token that it chooses.
    ///
    /// # Errors
    /// [`SamplingError::TokenOutOfRange`].
    pub fn accept(&mut self, token: u32) -> Result<(), SamplingError> {
        self.known(token)?;
        if self.history.len() >= MAX_REPETITION_WINDOW as usize {
            self.history.pop_front();
        }
        self.history.push_back(token);
        Ok(())
    }

    fn known(&self, token: u32) -> Result<(), SamplingError> {
        if (token as usize) < self.vocabulary {
            return Ok(());
        }
        Err(SamplingError::TokenOutOfRange {
            token,
            vocabulary: self.vocabulary,
        })
    }

    /// Chooses the next token. `logits` holds one natural logit per token; -∞ excludes a token.
    ///
    /// # Errors
    /// [`SamplingError::LogitsLength`], [`SamplingError::InvalidLogit`],
    /// [`SamplingError::NoCandidates`].
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, SamplingError> {
        self.sample_from(logits, None)
    }

    /// Chooses the next token among those that `allowed` permits. Token t is allowed if bit `t % 32`
    /// of word `t / 32` is set, counted from the least significant bit. Bits beyond the vocabulary
    /// are ignored. Excluded tokens do not count towards top-k and top-p.
    ///
    /// # Errors
    /// As [`sample`](Self::sample), and [`SamplingError::MaskLength`].
    pub fn sample_masked(&mut self, logits: &[f32], allowed: &[u32]) -> Result<u32, SamplingError> {
        self.sample_from(logits, Some(allowed))
    }

    fn sample_from(
        &mut self,
        logits: &[f32],
        allowed: Option<&[u32]>,
    ) -> Result<u32, SamplingError> {
        if logits.len() != self.vocabulary {
            return Err(SamplingError::LogitsLength {
                got: logits.len(),
                expected: self.vocabulary,
            });
        }
        let mut max = highest(logits)?;
        let mut work = std::mem::take(&mut self.work);
        let changed = self.prepare(logits, allowed, &mut work);
        let chosen = changed.and_then(|changed| {
            let logits = if changed { work.as_slice() } else { logits };
            if changed {
                max = highest(logits)?;
            }
            if max == f32::NEG_INFINITY {
                Err(SamplingError::NoCandidates)
            } else if self.params.temperature == 0.0 {
                Ok(first_of(logits, max))
            } else {
                Ok(self.draw(logits, max))
            }
        });
        self.work = work;
        chosen
    }

    /// Writes masked, biased and penalised logits to `work`. Returns `false`, and leaves `work`
    /// unchanged, if nothing applies.
    fn prepare(
        &mut self,
        logits: &[f32],
        allowed: Option<&[u32]>,
        work: &mut Vec<f32>,
    ) -> Result<bool, SamplingError> {
        let length = (self.params.repetition_window as usize).min(self.history.len());
        let penalised = length > 0 && has_penalties(&self.params);
        if allowed.is_none() && self.bias.is_empty() && !penalised {
            return Ok(false);
        }
        if let Some(allowed) = allowed {
            masked(logits, allowed, work)?;
        } else {
            work.clear();
            work.extend_from_slice(logits);
        }
        for &(token, value) in &self.bias {
            let logit = &mut work[token as usize];
            if *logit > f32::NEG_INFINITY {
                *logit = (*logit + value).clamp(f32::MIN, f32::MAX);
            }
        }
        if penalised {
            let oldest = self.history.len() - length;
            self.window.clear();
            self.window.extend(self.history.range(oldest..));
            self.window.sort_unstable();
            for run in self.window.chunk_by(|a, b| a == b) {
                let logit = &mut work[run[0] as usize];
                if *logit > f32::NEG_INFINITY {
                    *logit = penalise(*logit, run.len(), &self.params);
                }
            }
        }
        Ok(true)
    }

    fn draw(&mut self, logits: &[f32], max: f32) -> u32 {
        let SamplingParams {
            temperature,
            top_k,
            top_p,
            min_p,
            ..
        } = self.params;
        let out = &mut self.candidates;
        let top_k = top_k as usize;
        let random = unit(&mut self.rng);
        if top_k > 0 && top_k < logits.len() {
            select::top_k(logits, top_k, out);
            if top_p < 1.0 {
                // The sum is in token order, so that it does not depend on how the k were selected.
                out.sort_unstable_by_key(|candidate| candidate.token);
                let total = out.iter().map(|c| f64::from(exp(c.logit - max))).sum();
                select::nucleus(out, max, top_p, total);
            }
        } else if top_p < 1.0 {
            let total = select::nucleus_superset(logits, max, top_p, out);
            let last = select::nucleus(out, max, top_p, total);
            if let Some(last) = last.filter(|_| out.len() > logits.len() / RESCAN_FROM) {
                select::up_to(logits, last, out);
            }
        } else if min_p > 0.0 {
            select::min_p_superset(logits, max, min_p, out);
        } else {
            return draw_from_all(logits, max, inverse(temperature), random);
        }
        if min_p > 0.0 {
            out.retain(|candidate| exp(candidate.logit - max) >= min_p);
        }
        out.sort_unstable_by_key(|candidate| candidate.token);
        draw_from(out, max, inverse(temperature), random)
    }
}

/// Copies logits to `out`, with -∞ for the tokens that `allowed` excludes; see
/// [`Sampler::sample_masked`].
///
/// # Errors
/// [`SamplingError::MaskLength`] if `allowed` is too short.
pub fn masked(logits: &[f32], allowed: &[u32], out: &mut Vec<f32>) -> Result<(), SamplingError> {
    let expected = logits.len().div_ceil(32);
    if allowed.len() < expected {
        return Err(SamplingError::MaskLength {
            got: allowed.len(),
            expected,
        });
    }
    out.clear();
    out.reserve(logits.len());
    for (chunk, &word) in logits.chunks(32).zip(allowed) {
        if word == 0 {
            out.resize(out.len() + chunk.len(), f32::NEG_INFINITY);
        } else if word == u32::MAX {
            out.extend_from_slice(chunk);
        } else {
            // A branch for each token would be mispredicted half of the time.
            let kept = chunk.iter().zip(BITS).map(|(&logit, bit)| {
                let allowed = word & bit != 0;
                if allowed { logit } else { f32::NEG_INFINITY }
            });
            out.extend(kept);
        }
    }
    Ok(())
}

/// Returns the token with the highest logit. If several tokens have it, the lowest of them.
///
/// # Errors
/// [`SamplingError::InvalidLogit`] if a logit is NaN or +∞, [`SamplingError::NoCandidates`] if all
/// are -∞ or `logits` is empty.
pub fn greedy(logits: &[f32]) -> Result<u32, SamplingError> {
    let max = highest(logits)?;
    if max == f32::NEG_INFINITY {
        return Err(SamplingError::NoCandidates);
    }
    Ok(first_of(logits, max))
}

fn stream(seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(KEY_TAG);
    ChaCha8Rng::from_seed(key)
}

fn has_penalties(params: &SamplingParams) -> bool {
    (params.repetition_penalty - 1.0).abs() > 0.0
        || params.presence_penalty != 0.0
        || params.frequency_penalty != 0.0
}

/// The penalised logit of a token that occurs `count` ≥ 1 times in the window.
fn penalise(logit: f32, count: usize, params: &SamplingParams) -> f32 {
    let scaled = if logit > 0.0 {
        logit / params.repetition_penalty
    } else {
        logit * params.repetition_penalty
    };
    let subtracted = count as f32 * params.frequency_penalty + params.presence_penalty;
    (scaled - subtracted).clamp(f32::MIN, f32::MAX)
}
