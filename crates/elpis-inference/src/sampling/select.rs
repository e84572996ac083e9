//! Selecting candidates from a whole vocabulary without sorting it.

use std::cmp::Ordering;

use super::exp::{exp, sum};

/// A token that may still be drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub logit: f32,
    pub token: u32,
}

/// Number of candidates that the search for the nucleus tries first, because most nuclei are small.
const FIRST_GUESS: usize = 128;
/// The weight 1 as an integer, 2⁴⁰: the sum over sixteen million tokens fits 64 bits.
const WEIGHT_UNIT: f64 = 1_099_511_627_776.0;
/// Number of logits compared with a threshold at once.
const STRIDE: usize = 32;
/// Margin on thresholds that only save work, so that rounding cannot change the result.
const MARGIN: f64 = 1e-3;

/// Orders by falling logit; equal logits by rising token, so that every choice is determined.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that sorting requires"
)]
fn by_rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit
        .partial_cmp(&a.logit)
        .unwrap_or(Ordering::Equal)
        .then(a.token.cmp(&b.token))
}

/// Collects the `k` tokens of the highest rank, in no order. Tokens at -∞ never count.
pub(super) fn top_k(logits: &[f32], k: usize, out: &mut Vec<Candidate>) {
    out.clear();
    let limit = k.saturating_mul(2).max(k.saturating_add(256));
    let mut threshold = f32::NEG_INFINITY;
    for (block, chunk) in logits.chunks(STRIDE).enumerate() {
        // Tokens come in rising order, so one equal to the k-th so far ranks below it: `>` is
        // enough.
        if highest(chunk) <= threshold {
            continue;
        }
        for (offset, &logit) in chunk.iter().enumerate() {
            if logit > threshold {
                let token = (block * STRIDE + offset) as u32;
                out.push(Candidate { logit, token });
            }
        }
        if out.len() >= limit {
            threshold = keep_best(out, k);
        }
    }
    if out.len() > k {
        keep_best(out, k);
    }
}

/// Collects every token whose logit is at least `threshold`, and above -∞, in token order.
pub(super) fn at_least(logits: &[f32], threshold: f32, out: &mut Vec<Candidate>) {
    out.clear();
    let threshold = threshold.max(f32::MIN);
    for (block, chunk) in logits.chunks(STRIDE).enumerate() {
        if highest(chunk) < threshold {
            continue;
        }
        for (offset, &logit) in chunk.iter().enumerate() {
            if logit >= threshold {
                let token = (block * STRIDE + offset) as u32;
                out.push(Candidate { logit, token });
            }
        }
    }
}

/// Collects a superset of the nucleus of probability `p`. Returns the sum of all weights
/// `exp(logit - max)`.
///
/// All tokens of probability below `(1 - p) / n` together have less than `1 - p`, so the nucleus
/// needs none of them.
pub(super) fn nucleus_superset(logits: &[f32], max: f32, p: f32, out: &mut Vec<Candidate>) -> f64 {
    let total = sum(logits, max, 1.0);
    let least = total * (1.0 - f64::from(p)) / logits.len().max(1) as f64;
    let threshold = f64::from(max) + least.ln() - MARGIN;
    at_least(logits, threshold as f32, out);
    total
}

/// Collects a superset of the tokens that are at least `min_p` times as probable as the best.
pub(super) fn min_p_superset(logits: &[f32], max: f32, min_p: f32, out: &mut Vec<Candidate>) {
    let threshold = f64::from(max) + f64::from(min_p).ln() - MARGIN;
    at_least(logits, threshold as f32, out);
}

/// Keeps the fewest highest-ranked candidates whose weights reach `p · total`, at least one.
/// Returns the lowest-ranked of them.
///
/// A selection that halves the range by weight, in linear time. Weights are summed as integers,
/// exactly, so that the result does not depend on the order of the sums.
pub(super) fn nucleus(
    candidates: &mut Vec<Candidate>,
    max: f32,
    p: f32,
    total: f64,
) -> Option<Candidate> {
    let goal = (f64::from(p) * total * WEIGHT_UNIT) as u64;
    let weight =
        |candidate: &Candidate| (f64::from(exp(candidate.logit - max)) * WEIGHT_UNIT) as u64;
    let (mut low, mut high, mut reached) = (0, candidates.len(), 0);
    while high - low > 1 {
        let half = FIRST_GUESS.min((high - low) / 2).max((high - low) / 8);
        candidates[low..high].select_nth_unstable_by(half, by_rank);
        let sum: u64 = candidates[low..low + half].iter().map(weight).sum();
        if reached + sum >= goal {
            high = low + half;
        } else {
            reached += sum;
            low += half;
        }
    }
    candidates.truncate(low + 1);
    candidates.last().copied()
}

/// Collects every token that ranks no lower than `last`, in token order.
pub(super) fn up_to(logits: &[f32], last: Candidate, out: &mut Vec<Candidate>) {
    at_least(logits, last.logit, out);
    out.retain(|candidate| by_rank(candidate, &last) != Ordering::Greater);
}

/// Without an early exit, so that it can be vectorised.
fn highest(chunk: &[f32]) -> f32 {
    let higher = |best: f32, &logit: &f32| if logit > best { logit } else { best };
    chunk.iter().fold(f32::NEG_INFINITY, higher)
}

/// Keeps the `k` best. Returns the lowest logit among them.
fn keep_best(candidates: &mut Vec<Candidate>, k: usize) -> f32 {
    if k > 0 && candidates.len() > k {
        candidates.select_nth_unstable_by(k - 1, by_rank);
        candidates.truncate(k);
    }
    candidates
        .last()
        .map_or(f32::NEG_INFINITY, |last| last.logit)
}
