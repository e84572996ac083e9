//! Generates replies for training and calibration directly from a backend.

use std::sync::Arc;

use super::ProgressReporter;
use super::error::TrainingError;
use elpis_backend::{Backend, Batch, Token, Tokenizer};
use elpis_inference::{Sampler, SamplingParams, greedy};
use elpis_steering::{PlanKey, Projection, ReadingAxes, SteeringPlan};

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

/// What the unsteered model makes of a reply.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    /// Sum of the negative log-likelihoods of the tokens. The end counts as a token, so that an
    /// unlikely early end raises the loss.
    pub(super) loss: f64,
    /// Number of these tokens.
    pub(super) count: usize,
    /// Mean projection of the reply's tokens on the axes; `None` without axes or tokens.
    pub(super) projection: Option<Projection>,
}

/// What a sequence begins with: tokens of a prompt, and the key of the plan they were evaluated
/// under.
#[derive(Debug, Clone, Default)]
struct Resident {
    plan: Option<PlanKey>,
    tokens: Vec<Token>,
}

/// Generates and judges replies.
///
/// Half of the sequences generate, the others judge. Each keeps its last prompt, so that the same
/// prompts are judged at many strengths and evaluated once, and what prompts have in common, which
/// is most of a chat template, is evaluated once for all.
pub(super) struct Speaker<'a> {
    pub(super) backend: &'a mut dyn Backend,
    /// Whether a prompt is steered as its reply is, as `runtime.prefix_policy` has it.
    steer_prompts: bool,
    resident: Vec<Resident>,
}

impl<'a> Speaker<'a> {
    pub(super) fn new(backend: &'a mut dyn Backend, steer_prompts: bool) -> Self {
        let sequences = backend.facts().n_sequences.max(1) as usize;
        Self {
            backend,
            steer_prompts,
            resident: vec![Resident::default(); sequences],
        }
    }

    /// The number of replies that are generated in parallel.
    pub(super) fn width(&self) -> usize {
        (self.resident.len() / 2).max(1)
    }

    /// Samples a reply to each prompt, several in parallel, all under one plan. The same seed gives
    /// the same random numbers to the same prompt. Each group is a step of the progress.
    pub(super) fn replies(
        &mut self,
        prompts: &[Vec<Token>],
        plan: Option<&Arc<SteeringPlan>>,
        sampling: &SamplingParams,
        limit: usize,
        progress: &mut ProgressReporter<'_>,
    ) -> Result<Vec<Reply>, TrainingError> {
        let width = self.width();
        let mut all = Vec::with_capacity(prompts.len());
        for (group, part) in prompts.chunks(width).enumerate() {
            let seed = sampling.seed.wrapping_add((group * width) as u64);
            let sampling = SamplingParams { seed, ..*sampling };
            all.extend(self.side_by_side(part, plan, &sampling, limit, progress)?);
            progress.step()?;
        }
        Ok(all)
    }

    fn side_by_side(
        &mut self,
        prompts: &[Vec<Token>],
        plan: Option<&Arc<SteeringPlan>>,
        sampling: &SamplingParams,
        limit: usize,
        progress: &mut ProgressReporter<'_>,
    ) -> Result<Vec<Reply>, TrainingError> {
        let tokenizer = self.backend.tokenizer();
        let n_vocab = self.backend.facts().n_vocab;
        let mut batch = Batch::default();
        let mut replies = Vec::with_capacity(prompts.len());
        let mut running = Vec::new();
        for (index, prompt) in prompts.iter().enumerate() {
            let seed = sampling.seed.wrapping_add(index as u64);
            let mut sampler = Sampler::new(SamplingParams { seed, ..*sampling }, n_vocab)?;
            let row = self.enter(&mut batch, index, prompt, plan)?;
            let token = sampler.sample(self.backend.logits(row)?)?;
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
                let position = reply.prompt.len() + reply.tokens.len();
                reply.tokens.push(*token);
                let goes_on = reply.tokens.len() < limit;
                if goes_on {
                    batch.push(*index as u32, position as u32, &[*token], true, plan);
                }
                goes_on
            });
            if running.is_empty() {
                return Ok(replies);
            }
            self.backend.decode(&batch)?;
            for (row, (_, sampler, token)) in running.iter_mut().enumerate() {
                *token = sampler.sample(self.backend.logits(row)?)?;
            }
            progress.look()?;
        }
    }

    /// Evaluates a prompt in a sequence, except for what the sequence still has of it, and returns
    /// the row of the last batch whose logits predict the reply's first token. That row already
    /// generates, and is steered whatever holds for prompts.
    pub(super) fn enter(
        &mut self,
        batch: &mut Batch,
        sequence: usize,
        prompt: &[Token],
        plan: Option<&Arc<SteeringPlan>>,
    ) -> Result<usize, TrainingError> {
        let last = prompt.len().saturating_sub(1);
        let of_prompt = plan.filter(|_| self.steer_prompts);
        let id = sequence as u32;
        let kept = self.reuse(sequence, prompt, of_prompt.map(|plan| plan.key), last)?;
        let size = self.backend.facts().batch_size.max(1);
        let rest = prompt.get(kept..).unwrap_or_default();
        for (piece, start) in rest.chunks(size).zip((kept..).step_by(size)) {
            batch.clear();
            let of_turn = last.saturating_sub(start).min(piece.len());
            let (turn, reply) = piece.split_at(of_turn);
            batch.push(id, start as u32, turn, false, of_prompt);
            batch.push(id, (start + of_turn) as u32, reply, true, plan);
            self.backend.decode(batch)?;
        }
        if let Some(resident) = self.resident.get_mut(sequence) {
            let tokens = prompt.get(..last).unwrap_or_default().to_vec();
            let plan = of_prompt.map(|plan| plan.key);
            *resident = Resident { plan, tokens };
        }
        Ok(batch.len().saturating_sub(1))
    }

    /// Leaves in a sequence what can be had of a prompt, at most `limit` tokens, and returns their
    /// number. Some models cannot return to the middle of a sequence, and get the whole prompt.
    fn reuse(
        &mut self,
        sequence: usize,
        prompt: &[Token],
        plan: Option<PlanKey>,
        limit: usize,
    ) -> Result<usize, TrainingError> {
        let shared = |resident: &Resident| {
            if resident.plan == plan {
                common_prefix(&resident.tokens, prompt).min(limit)
            } else {
                0
            }
        };
        let own = self.resident.get(sequence).map_or(0, shared);
        let others = self.resident.iter().map(shared).enumerate();
        let (from, most) = others.max_by_key(|(_, most)| *most).unwrap_or_default();
        if let Some(resident) = self.resident.get_mut(sequence) {
            resident.tokens.clear();
        }
        let id = sequence as u32;
        if own > 0 && own == most && self.backend.truncate(id, own as u32).is_ok() {
            return Ok(own);
        }
        self.backend.truncate(id, 0)?;
        let copied = from != sequence
            && most > 0
            && self
                .backend
                .share_prefix(from as u32, id, most as u32)
                .is_ok();
        if !copied {
            self.backend.truncate(id, 0)?;
        }
        Ok(if copied { most } else { 0 })
    }

    /// Evaluates replies without steering, and reads them if there are axes. A backend that cannot
    /// read gives no projections.
    pub(super) fn judge(
        &mut self,
        replies: &[Reply],
        axes: Option<&Arc<ReadingAxes>>,
        progress: &mut ProgressReporter<'_>,
    ) -> Result<Vec<Judged>, TrainingError> {
        if let Some(axes) = axes {
            // A refusal leaves no axes in force, and therefore no projections.
            let _ = self.backend.set_reading(Some(Arc::clone(axes)));
        }
        let width = self.width();
        let first = self.resident.len() - width;
        let found = replies
            .iter()
            .enumerate()
            .map(|(index, reply)| {
                progress.look()?;
                self.judge_one(first + index % width, reply)
            })
            .collect();
        self.backend.set_reading(None)?;
        found
    }

    fn judge_one(&mut self, sequence: usize, reply: &Reply) -> Result<Judged, TrainingError> {
        let mut judged = Judged::default();
        let mut batch = Batch::default();
        let row = self.enter(&mut batch, sequence, &reply.prompt, None)?;
        if let Some(target) = reply.token(0) {
            judged.loss += negative_log_likelihood(self.backend.logits(row)?, target);
            judged.count += 1;
        }
        // A backend gives logits for as many rows at a time as it has sequences.
        let rows = self
            .resident
            .len()
            .min(self.backend.facts().batch_size)
            .max(1);
        let (mut valence, mut arousal, mut projected) = (0.0, 0.0, 0_u32);
        for (piece, first) in reply.tokens.chunks(rows).zip((0..).step_by(rows)) {
            batch.clear();
            for (token, place) in piece.iter().zip(first..) {
                let position = reply.prompt.len() + place;
                batch.push(sequence as u32, position as u32, &[*token], true, None);
            }
            self.backend.decode(&batch)?;
            for row in 0..piece.len() {
                if let Some(target) = reply.token(first + row + 1) {
                    judged.loss += negative_log_likelihood(self.backend.logits(row)?, target);
                    judged.count += 1;
                }
                if let Some(found) = self.backend.projection(row) {
                    valence += f64::from(found.valence);
                    arousal += f64::from(found.arousal);
                    projected += 1;
                }
            }
        }
        let mean = |sum: f64| (sum / f64::from(projected)) as f32;
        judged.projection = (projected > 0).then(|| Projection::new(mean(valence), mean(arousal)));
        Ok(judged)
    }
}

impl Drop for Speaker<'_> {
    fn drop(&mut self) {
        for sequence in 0..self.resident.len() as u32 {
            // A backend that fails here also fails when it is used next, and says why.
            let _ = self.backend.truncate(sequence, 0);
        }
    }
}

/// The text of tokens, without space around it.
pub(super) fn text(tokenizer: &dyn Tokenizer, tokens: &[Token]) -> String {
    let mut bytes = Vec::new();
    for &token in tokens {
        tokenizer.append_piece(token, &mut bytes);
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn common_prefix(one: &[Token], other: &[Token]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

pub(super) fn negative_log_likelihood(logits: &[f32], target: Token) -> f64 {
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
