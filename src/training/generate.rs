//! Replies for training and calibration, straight from a backend.

use std::sync::Arc;

use super::error::TrainingError;
use crate::backend::{Backend, Batch, Token};
use crate::inference::{Sampler, SamplingParams, greedy};
use crate::steering::SteeringPlan;

/// A prompt with a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) prompt: Vec<Token>,
    /// The reply's tokens, without the end token.
    pub(super) tokens: Vec<Token>,
}

/// Greedy tokens after a prompt, at most `limit`, without the end token.
pub(super) fn greedy_reply(
    backend: &mut dyn Backend,
    prompt: &[Token],
    limit: usize,
) -> Result<Vec<Token>, TrainingError> {
    let tokenizer = backend.tokenizer();
    let result = (|| {
        let mut batch = Batch::default();
        let mut reply: Vec<Token> = Vec::new();
        prefill(backend, &mut batch, 0, prompt, None)?;
        let mut row = batch.len() - 1;
        while reply.len() < limit {
            let token = greedy(backend.logits(row)?)?;
            if tokenizer.is_end(token) {
                break;
            }
            batch.clear();
            let position = prompt.len() + reply.len();
            batch.push(0, position as u32, &[token], true, None);
            backend.decode(&batch)?;
            row = 0;
            reply.push(token);
        }
        Ok(reply)
    })();
    backend.truncate(0, 0)?;
    result
}

/// Evaluates a prompt in pieces; its last row asks for logits.
fn prefill(
    backend: &mut dyn Backend,
    batch: &mut Batch,
    sequence: u32,
    prompt: &[Token],
    plan: Option<&Arc<SteeringPlan>>,
) -> Result<(), TrainingError> {
    let size = backend.facts().batch_size;
    let mut position = 0;
    for piece in prompt.chunks(size.max(1)) {
        let last = position + piece.len() == prompt.len();
        batch.clear();
        batch.push(sequence, position as u32, piece, last, plan);
        backend.decode(batch)?;
        position += piece.len();
    }
    Ok(())
}

/// Samples a reply to each prompt, several side by side, all under one plan.
/// The same seed gives the same random numbers to the same prompt.
pub(super) fn replies(
    backend: &mut dyn Backend,
    prompts: &[Vec<Token>],
    plan: Option<&Arc<SteeringPlan>>,
    sampling: &SamplingParams,
    limit: usize,
) -> Result<Vec<Reply>, TrainingError> {
    let width = backend.facts().n_sequences.max(1) as usize;
    let mut all = Vec::with_capacity(prompts.len());
    for (group, part) in prompts.chunks(width).enumerate() {
        let seed = sampling.seed.wrapping_add((group * width) as u64);
        let sampling = SamplingParams { seed, ..*sampling };
        let found = side_by_side(backend, part, plan, &sampling, limit);
        for sequence in 0..part.len() as u32 {
            backend.truncate(sequence, 0)?;
        }
        let prompts = part.iter().cloned();
        all.extend(
            prompts
                .zip(found?)
                .map(|(prompt, tokens)| Reply { prompt, tokens }),
        );
    }
    Ok(all)
}

fn side_by_side(
    backend: &mut dyn Backend,
    prompts: &[Vec<Token>],
    plan: Option<&Arc<SteeringPlan>>,
    sampling: &SamplingParams,
    limit: usize,
) -> Result<Vec<Vec<Token>>, TrainingError> {
    let tokenizer = backend.tokenizer();
    let n_vocab = backend.facts().n_vocab;
    let mut batch = Batch::default();
    let mut replies: Vec<Vec<Token>> = vec![Vec::new(); prompts.len()];
    let mut running = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let seed = sampling.seed.wrapping_add(index as u64);
        let mut sampler = Sampler::new(SamplingParams { seed, ..*sampling }, n_vocab)?;
        prefill(backend, &mut batch, index as u32, prompt, plan)?;
        let token = sampler.sample(backend.logits(batch.len() - 1)?)?;
        running.push((index, sampler, token));
    }
    loop {
        running.retain(|(index, _, token)| {
            let reply = replies.get(*index).map_or(0, Vec::len);
            reply < limit && !tokenizer.is_end(*token)
        });
        if running.is_empty() {
            return Ok(replies);
        }
        batch.clear();
        for (index, _, token) in &running {
            if let (Some(reply), Some(prompt)) = (replies.get_mut(*index), prompts.get(*index)) {
                let position = prompt.len() + reply.len();
                batch.push(*index as u32, position as u32, &[*token], true, plan);
                reply.push(*token);
            }
        }
        backend.decode(&batch)?;
        for (row, (_, sampler, token)) in running.iter_mut().enumerate() {
            *token = sampler.sample(backend.logits(row)?)?;
        }
    }
}

/// Sum of the negative log-likelihoods of the replies' tokens under the
/// unsteered model, and their number.
pub(super) fn loss(
    backend: &mut dyn Backend,
    replies: &[Reply],
) -> Result<(f64, usize), TrainingError> {
    let width = backend.facts().n_sequences.max(1) as usize;
    let (mut sum, mut count) = (0.0, 0);
    for part in replies.chunks(width) {
        let found = loss_side_by_side(backend, part);
        for sequence in 0..part.len() as u32 {
            backend.truncate(sequence, 0)?;
        }
        let (part_sum, part_count) = found?;
        sum += part_sum;
        count += part_count;
    }
    Ok((sum, count))
}

fn loss_side_by_side(
    backend: &mut dyn Backend,
    replies: &[Reply],
) -> Result<(f64, usize), TrainingError> {
    let mut batch = Batch::default();
    let (mut sum, mut count) = (0.0, 0);
    for (sequence, reply) in (0..).zip(replies) {
        if let Some(&first) = reply.tokens.first() {
            prefill(backend, &mut batch, sequence, &reply.prompt, None)?;
            sum += negative_log_likelihood(backend.logits(batch.len() - 1)?, first);
            count += 1;
        }
    }
    let longest = replies.iter().map(|reply| reply.tokens.len()).max();
    for step in 1..longest.unwrap_or(0) {
        batch.clear();
        let mut targets = Vec::new();
        for (sequence, reply) in (0..).zip(replies) {
            if let Some(&[token, target]) = reply.tokens.get(step - 1..=step) {
                let position = reply.prompt.len() + step - 1;
                batch.push(sequence, position as u32, &[token], true, None);
                targets.push(target);
            }
        }
        backend.decode(&batch)?;
        for (row, target) in targets.into_iter().enumerate() {
            sum += negative_log_likelihood(backend.logits(row)?, target);
            count += 1;
        }
    }
    Ok((sum, count))
}

fn negative_log_likelihood(logits: &[f32], target: Token) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
    let target = logits.get(target as usize).copied().unwrap_or(most);
    sum.ln() - f64::from(target - most)
}

#[cfg(test)]
mod tests {
    use super::negative_log_likelihood;

    #[test]
    fn a_likelihood_is_that_of_a_softmax() {
        let logits = [1.0_f32.ln(), 2.0_f32.ln(), 5.0_f32.ln()];
        for (target, share) in [(0, 0.125), (1, 0.25), (2, 0.625)] {
            let found = negative_log_likelihood(&logits, target);
            assert!((found + f64::ln(share)).abs() < 1e-6);
        }
    }
}
