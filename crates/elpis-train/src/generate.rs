//! Generates replies for training and calibration directly from a backend.

use std::sync::Arc;

use super::ProgressReporter;
use super::error::TrainingError;
use elpis_backend::{Backend, Batch, Token};
use elpis_inference::{Sampler, SamplingParams, greedy};
use elpis_steering::SteeringPlan;

/// A prompt with a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) prompt: Vec<Token>,
    /// The reply's tokens, without the end token.
    pub(super) tokens: Vec<Token>,
    /// The end token, unless the reply was cut off at its limit.
    pub(super) end: Option<Token>,
}

impl Reply {
    /// The token at an index of the reply, including the end token.
    fn token(&self, index: usize) -> Option<Token> {
        match self.tokens.get(index) {
            Some(&token) => Some(token),
            None => self.end.filter(|_| index == self.tokens.len()),
        }
    }
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

/// Samples a reply to each prompt, several in parallel, all under one plan. The same seed gives the
/// same random numbers to the same prompt. Each group is a step of the progress.
pub(super) fn replies(
    backend: &mut dyn Backend,
    prompts: &[Vec<Token>],
    plan: Option<&Arc<SteeringPlan>>,
    sampling: &SamplingParams,
    limit: usize,
    progress: &mut ProgressReporter<'_>,
) -> Result<Vec<Reply>, TrainingError> {
    let width = backend.facts().n_sequences.max(1) as usize;
    let mut all = Vec::with_capacity(prompts.len());
    for (group, part) in prompts.chunks(width).enumerate() {
        let seed = sampling.seed.wrapping_add((group * width) as u64);
        let sampling = SamplingParams { seed, ..*sampling };
        let found = side_by_side(backend, part, plan, &sampling, limit, progress);
        for sequence in 0..part.len() as u32 {
            backend.truncate(sequence, 0)?;
        }
        all.extend(found?);
        progress.step()?;
    }
    Ok(all)
}

fn side_by_side(
    backend: &mut dyn Backend,
    prompts: &[Vec<Token>],
    plan: Option<&Arc<SteeringPlan>>,
    sampling: &SamplingParams,
    limit: usize,
    progress: &mut ProgressReporter<'_>,
) -> Result<Vec<Reply>, TrainingError> {
    let tokenizer = backend.tokenizer();
    let n_vocab = backend.facts().n_vocab;
    let mut batch = Batch::default();
    let mut replies = Vec::with_capacity(prompts.len());
    let mut running = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let seed = sampling.seed.wrapping_add(index as u64);
        let mut sampler = Sampler::new(SamplingParams { seed, ..*sampling }, n_vocab)?;
        prefill(backend, &mut batch, index as u32, prompt, plan)?;
        let token = sampler.sample(backend.logits(batch.len() - 1)?)?;
        running.push((index, sampler, token));
        replies.push(Reply {
            prompt: prompt.clone(),
            tokens: Vec::new(),
            end: None,
        });
        progress.look()?;
    }
    loop {
        batch.clear();
        running.retain(|(index, _, token)| {
            let Some(reply) = replies.get_mut(*index) else {
                return false;
            };
            if tokenizer.is_end(*token) {
                reply.end = Some(*token);
                return false;
            }
            if reply.tokens.len() >= limit {
                return false;
            }
            let position = reply.prompt.len() + reply.tokens.len();
            batch.push(*index as u32, position as u32, &[*token], true, plan);
            reply.tokens.push(*token);
            true
        });
        if running.is_empty() {
            return Ok(replies);
        }
        backend.decode(&batch)?;
        for (row, (_, sampler, token)) in running.iter_mut().enumerate() {
            *token = sampler.sample(backend.logits(row)?)?;
        }
        progress.look()?;
    }
}

/// Sum of the negative log-likelihoods of the replies' tokens under the unsteered model, and their
/// number. The end counts as a token, so that an unlikely early end raises the loss.
pub(super) fn loss(
    backend: &mut dyn Backend,
    replies: &[Reply],
    progress: &mut ProgressReporter<'_>,
) -> Result<(f64, usize), TrainingError> {
    let width = backend.facts().n_sequences.max(1) as usize;
    let (mut sum, mut count) = (0.0, 0);
    for part in replies.chunks(width) {
        let found = loss_side_by_side(backend, part, progress);
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
    progress: &mut ProgressReporter<'_>,
) -> Result<(f64, usize), TrainingError> {
    let mut batch = Batch::default();
    let (mut sum, mut count) = (0.0, 0);
    for (sequence, reply) in (0..).zip(replies) {
        if let Some(first) = reply.token(0) {
            prefill(backend, &mut batch, sequence, &reply.prompt, None)?;
            sum += negative_log_likelihood(backend.logits(batch.len() - 1)?, first);
            count += 1;
            progress.look()?;
        }
    }
    for step in 1.. {
        batch.clear();
        let mut targets = Vec::new();
        for (sequence, reply) in (0..).zip(replies) {
            if let (Some(token), Some(target)) = (reply.token(step - 1), reply.token(step)) {
                let position = reply.prompt.len() + step - 1;
                batch.push(sequence, position as u32, &[token], true, None);
                targets.push(target);
            }
        }
        if targets.is_empty() {
            break;
        }
        backend.decode(&batch)?;
        for (row, target) in targets.into_iter().enumerate() {
            sum += negative_log_likelihood(backend.logits(row)?, target);
            count += 1;
        }
        progress.look()?;
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
