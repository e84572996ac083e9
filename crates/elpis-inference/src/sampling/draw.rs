//! Draws a token by its weight.

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::SamplingError;
use super::exp::{exp, sum};
use super::select::Candidate;

const LANES: usize = 16;

/// Logits per block of the draw over a whole vocabulary.
const BLOCK: usize = 1024;

/// A random number from 0 to below 1, in steps of 2⁻⁵³.
pub(super) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// The inverse of a temperature. It is finite even if the temperature is subnormal, so that the best
/// token keeps the weight 1.
pub(super) fn inverse(temperature: f32) -> f32 {
    temperature.recip().min(f32::MAX)
}

/// Checks all logits and returns the highest one, or -∞ if there is none above.
pub(super) fn highest(logits: &[f32]) -> Result<f32, SamplingError> {
    let mut best = [f32::NEG_INFINITY; LANES];
    let mut valid = true;
    let chunks = logits.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (best, &logit) in best.iter_mut().zip(chunk) {
            valid &= logit < f32::INFINITY;
            *best = if logit > *best { logit } else { *best };
        }
    }
    for (best, &logit) in best.iter_mut().zip(rest) {
        valid &= logit < f32::INFINITY;
        *best = if logit > *best { logit } else { *best };
    }
    if !valid {
        let broken = |logit: &f32| logit.is_nan() || *logit == f32::INFINITY;
        if let Some(token) = logits.iter().position(broken) {
            return Err(SamplingError::InvalidLogit {
                token: token as u32,
                value: logits[token],
            });
        }
    }
    Ok(best.into_iter().fold(f32::NEG_INFINITY, f32::max))
}

pub(super) fn first_of(logits: &[f32], max: f32) -> u32 {
    logits
        .iter()
        .position(|&logit| logit >= max)
        .unwrap_or_default() as u32
}

/// Draws from candidates in token order by their weights `exp((logit - max) / temperature)`.
pub(super) fn draw_from(
    candidates: &[Candidate],
    max: f32,
    inverse_temperature: f32,
    random: f64,
) -> u32 {
    let weight = |logit: f32| f64::from(exp((logit - max) * inverse_temperature));
    let total: f64 = candidates.iter().map(|c| weight(c.logit)).sum();
    let goal = random * total;
    let mut reached = 0.0;
    let mut last = candidates.first().map_or(0, |first| first.token);
    for candidate in candidates {
        let weight = weight(candidate.logit);
        if weight > 0.0 {
            reached += weight;
            last = candidate.token;
            if reached > goal {
                break;
            }
        }
    }
    last
}

/// As [`draw_from`], over the whole vocabulary: finds the block first, then the token in it.
pub(super) fn draw_from_all(
    logits: &[f32],
    max: f32,
    inverse_temperature: f32,
    random: f64,
) -> u32 {
    let total: f64 = logits
        .chunks(BLOCK)
        .map(|block| sum(block, max, inverse_temperature))
        .sum();
    let goal = random * total;
    let mut reached = 0.0;
    let mut chosen = (0, logits.get(..BLOCK).unwrap_or(logits), 0.0);
    for (index, block) in logits.chunks(BLOCK).enumerate() {
        let weight = sum(block, max, inverse_temperature);
        if weight > 0.0 {
            chosen = (index * BLOCK, block, reached);
            reached += weight;
            if reached > goal {
                break;
            }
        }
    }
    let (start, block, mut reached) = chosen;
    let mut last = start;
    for (offset, &logit) in block.iter().enumerate() {
        let weight = f64::from(exp((logit - max) * inverse_temperature));
        if weight > 0.0 {
            reached += weight;
            last = start + offset;
            if reached > goal {
                break;
            }
        }
    }
    last as u32
}
