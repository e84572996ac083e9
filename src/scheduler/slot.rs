//! A running generation.

use std::sync::Arc;

use super::Shared;
use super::task::{Outcome, Task};
use crate::backend::{Batch, SequenceId, Token};
use crate::emotion::{Coefficients, EmotionalState, Modulation};
use crate::error::EngineError;
use crate::inference::{
    AppliedModulation, AppliedSteering, FinishReason, GenerationReport, MODULATIONS_KEPT,
    ModulationTiming, RequestError, Sampler, SamplingParams, TextStream,
};
use crate::steering::SteeringPlan;

/// A generation with a sequence of the cache.
pub(super) struct Slot {
    task: Task,
    sequence: SequenceId,
    /// Tokens of the prompt that were evaluated or stand in the batch.
    prefilled: usize,
    /// Positions of the sequence that were evaluated or stand in the batch.
    position: u32,
    /// The sampled token that was not evaluated yet.
    pending: Option<Token>,
    /// The row of the current batch whose logits are this slot's.
    logits_row: Option<usize>,
    in_batch: bool,
    generated: u32,
    sampler: Sampler,
    text: TextStream,
    plan: Option<Arc<SteeringPlan>>,
    modulations: Vec<AppliedModulation>,
    started: f64,
    first_token: Option<f64>,
}

impl Slot {
    /// Starts a generation under the modulation of this moment.
    pub(super) fn new(
        mut task: Task,
        sequence: SequenceId,
        shared: &Shared,
    ) -> Result<Self, Box<(Task, EngineError)>> {
        let limit = shared.facts.context_length;
        if task.prompt.is_empty() {
            return Err(Box::new((task, RequestError::EmptyPrompt.into())));
        }
        if task.prompt.len() >= limit as usize {
            let error = RequestError::PromptTooLong {
                prompt: task.prompt.len(),
                context: limit,
            };
            return Err(Box::new((task, error.into())));
        }
        let text = match TextStream::new(&task.options.stop) {
            Ok(text) => text,
            Err(error) => return Err(Box::new((task, RequestError::Stop(error).into()))),
        };
        let modulation = task
            .mood
            .as_mut()
            .map(|mood| mood.modulation(shared.clock.now()));
        let (applied, plan) = apply(&task, modulation.as_ref(), 0, shared);
        let mut sampler = match Sampler::new(applied.sampling, shared.facts.n_vocab) {
            Ok(sampler) => sampler,
            Err(error) => return Err(Box::new((task, RequestError::Sampling(error).into()))),
        };
        for &token in &task.prompt {
            if let Err(error) = sampler.accept(token) {
                return Err(Box::new((task, RequestError::Sampling(error).into())));
            }
        }
        task.outlet.started();
        Ok(Self {
            sequence,
            prefilled: 0,
            position: 0,
            pending: None,
            logits_row: None,
            in_batch: false,
            generated: 0,
            sampler,
            text,
            plan,
            modulations: vec![applied],
            started: shared.clock.now(),
            first_token: None,
            task,
        })
    }

    pub(super) fn sequence(&self) -> SequenceId {
        self.sequence
    }

    pub(super) fn in_batch(&self) -> bool {
        self.in_batch
    }

    pub(super) fn is_ready(&self) -> bool {
        self.task.outlet.has_room()
    }

    pub(super) fn ended_early(&self, now: f64) -> Option<Outcome> {
        self.task.ended_early(now)
    }

    pub(super) fn end(mut self, outcome: Outcome) {
        self.task.outlet.finish(outcome);
    }

    /// Takes over the modulation of an event that came since the last token.
    pub(super) fn follow_events(&mut self, shared: &Shared) {
        self.in_batch = false;
        self.logits_row = None;
        if self.task.timing != ModulationTiming::Live {
            return;
        }
        let Some(mood) = self.task.mood.as_mut().filter(|mood| mood.has_changed()) else {
            return;
        };
        let modulation = mood.modulation(shared.clock.now());
        let (applied, plan) = apply(&self.task, Some(&modulation), self.generated, shared);
        if let Err(error) = self.sampler.set_params(applied.sampling) {
            tracing::warn!(%error, "a modulation was not taken over");
            return;
        }
        self.plan = plan;
        if self.modulations.len() == MODULATIONS_KEPT {
            self.modulations.remove(1);
        }
        self.modulations.push(applied);
    }

    /// Appends the row of the pending token.
    pub(super) fn push_decode(&mut self, batch: &mut Batch) {
        if !self.is_ready() {
            return;
        }
        let Some(token) = self.pending.take() else {
            return;
        };
        self.push(batch, &[token], true);
    }

    /// Appends at most `room` rows of the prompt.
    pub(super) fn push_prefill(&mut self, batch: &mut Batch, room: usize) {
        let rest = self.task.prompt.len() - self.prefilled;
        let count = rest.min(room);
        if count == 0 || !self.is_ready() {
            return;
        }
        let prompt = std::mem::take(&mut self.task.prompt);
        let chunk = &prompt[self.prefilled..self.prefilled + count];
        self.push(batch, chunk, count == rest);
        self.prefilled += count;
        self.task.prompt = prompt;
    }

    fn push(&mut self, batch: &mut Batch, tokens: &[Token], logits: bool) {
        batch.push(
            self.sequence,
            self.position,
            tokens,
            logits,
            self.plan.as_ref(),
        );
        self.position += tokens.len() as u32;
        self.in_batch = true;
        self.logits_row = logits.then(|| batch.len() - 1);
    }

    pub(super) fn take_logits_row(&mut self) -> Option<usize> {
        self.logits_row.take()
    }

    /// Samples the next token; returns the outcome if it was the last.
    pub(super) fn sample(&mut self, logits: &[f32], shared: &mut Shared) -> Option<Outcome> {
        let token = match self.sampler.sample(logits) {
            Ok(token) => token,
            Err(error) => {
                return Some(Outcome::Failed(EngineError::Sampling(error.to_string())));
            }
        };
        if let Err(error) = self.sampler.accept(token) {
            return Some(Outcome::Failed(EngineError::Sampling(error.to_string())));
        }
        if self.first_token.is_none() {
            self.first_token = Some(shared.clock.now());
        }
        if shared.tokenizer.is_end(token) {
            return Some(self.finish(FinishReason::Stop, shared));
        }
        self.generated += 1;
        shared.piece.clear();
        shared.tokenizer.append_piece(token, &mut shared.piece);
        let pushed = self.text.push(&shared.piece);
        if !pushed.text.is_empty() {
            self.task.outlet.text(pushed.text);
        }
        let reason = if pushed.stopped.is_some() {
            FinishReason::StopString
        } else if self.generated >= self.task.max_tokens {
            FinishReason::Length
        } else if self.position >= shared.facts.context_length {
            FinishReason::ContextFull
        } else {
            self.pending = Some(token);
            return None;
        };
        Some(self.finish(reason, shared))
    }

    fn finish(&mut self, reason: FinishReason, shared: &Shared) -> Outcome {
        let rest = self.text.finish();
        if !rest.text.is_empty() {
            self.task.outlet.text(rest.text);
        }
        let now = shared.clock.now();
        let since = |time: f64| time - self.task.submitted;
        Outcome::Done(Box::new(GenerationReport {
            id: self.task.id,
            session: self.task.session.clone(),
            model: shared.facts.name.clone(),
            finish_reason: reason,
            prompt_tokens: self.task.prompt.len() as u32,
            completion_tokens: self.generated,
            modulations: std::mem::take(&mut self.modulations),
            queue_seconds: since(self.started),
            first_token_seconds: since(self.first_token.unwrap_or(now)),
            total_seconds: since(now),
        }))
    }
}

/// Turns a modulation into sampling parameters and a steering plan.
fn apply(
    task: &Task,
    modulation: Option<&Modulation>,
    from_token: u32,
    shared: &Shared,
) -> (AppliedModulation, Option<Arc<SteeringPlan>>) {
    let mut base = task.sampling;
    let mut coefficients = Coefficients::default();
    let mut state = EmotionalState::default();
    if let Some(modulation) = modulation {
        base.temperature = modulation.temperature as f32;
        base.top_p = modulation.top_p as f32;
        coefficients = shared.library.coefficients(
            modulation.valence,
            modulation.arousal,
            modulation.strength,
        );
        state = modulation.state();
    }
    if let Some(asked) = &task.options.coefficients {
        coefficients = asked.clone();
    }
    let sampling: SamplingParams = task.options.sampling(&base);
    let plan = shared
        .library
        .blend(coefficients.iter(), &shared.options.blend)
        .map(Arc::new);
    let applied = AppliedModulation {
        valence: state.valence(),
        arousal: state.arousal(),
        quadrant: state.quadrant(),
        from_token,
        sampling: SamplingParams {
            seed: task.sampling.seed,
            ..sampling
        },
        coefficients,
        library_version: shared.library.version().to_string(),
        steering: plan
            .iter()
            .flat_map(|plan| applied_steering(plan))
            .collect(),
    };
    (applied, plan)
}

fn applied_steering(plan: &SteeringPlan) -> impl Iterator<Item = AppliedSteering> + '_ {
    plan.layers.iter().map(|layer| AppliedSteering {
        layer: layer.layer,
        norm: layer.norm,
        residual_fraction: layer.residual_fraction,
        clamped: layer.clamped,
    })
}
