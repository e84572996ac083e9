//! Writes a reply: samples a token, sends its text, and goes on or ends.

use std::sync::Arc;
use std::time::Duration;

use super::super::applied::{Correction, apply};
use super::super::shared::Shared;
use super::super::task::{Outcome, PromptAccount};
use super::Slot;
use crate::backend::Token;
use crate::error::EngineError;
use crate::inference::{
    AppliedModulation, ConstrainedSpan, ConstraintError, FinishReason, GenerationReport,
    MODULATIONS_KEPT, ModulationTiming, ThinkingSpan, ThinkingTracker,
};
use crate::steering::{Place, Projection, SteeringPlan};

impl Slot {
    /// Applies the modulation of an event that came since the last token. If the next token's
    /// logits are already computed (`evaluated`), the event affects the sampling of that token, and
    /// the steering only from the token after it.
    pub(in super::super) fn follow_events(&mut self, evaluated: bool, shared: &Shared) {
        if self.task.timing != ModulationTiming::Live {
            return;
        }
        let Some(mood) = self.task.mood.as_mut().filter(|mood| mood.has_changed()) else {
            return;
        };
        self.modulation = Some(mood.modulation(shared.clock.now()));
        self.library = Arc::clone(&shared.library);
        let (mut applied, plan) = self.applied(shared);
        applied.steering_from_token += u32::from(evaluated);
        if let Err(error) = self.sampler.set_params(applied.sampling) {
            tracing::warn!(%error, "modulation cannot be applied; the previous one stays");
            return;
        }
        self.take_effect(applied, plan);
    }

    /// The modulation in force with its corrections, from the next token on.
    fn applied(&self, shared: &Shared) -> (AppliedModulation, Option<Arc<SteeringPlan>>) {
        let correction = Correction {
            factor: self.guard.factor(),
            offset: self.control.offset(),
        };
        apply(
            &self.task,
            self.modulation.as_ref(),
            self.generated,
            correction,
            &self.library,
            shared.options.blend,
        )
    }

    /// Reads what the row of the last token expresses. The row of the prompt's last token and
    /// thinking do not count.
    pub(in super::super) fn read(&mut self, projection: Projection, shared: &Shared) {
        let thinking = self.task.thinking.as_ref();
        let Some(reading) = &shared.reading else {
            return;
        };
        if self.generated == 0 || thinking.is_some_and(ThinkingTracker::is_thinking) {
            return;
        }
        self.meter.add(projection, reading);
    }

    /// Corrects the steering if the reply expresses something other than what is felt.
    fn hold_expression(&mut self, shared: &Shared) {
        let (Some(modulation), Some(expressed), None) = (
            &self.modulation,
            self.meter.place(),
            &self.task.options.coefficients,
        ) else {
            return;
        };
        let felt = Place {
            valence: modulation.valence,
            arousal: modulation.arousal,
        };
        if self.reply_plan().is_none()
            || !self.control.examine(felt, expressed, self.meter.tokens())
        {
            return;
        }
        let (applied, plan) = self.applied(shared);
        self.take_effect(applied, plan);
    }

    fn take_effect(&mut self, applied: AppliedModulation, plan: Option<Arc<SteeringPlan>>) {
        self.plan = plan;
        self.task.sink.modulated(&applied, &self.library);
        if self.modulations.len() == MODULATIONS_KEPT {
            self.modulations.remove(1);
        }
        self.modulations.push(applied);
    }

    /// Lowers the steering if the reply has begun to loop.
    fn guard_repetition(&mut self, shared: &Shared) {
        if self.reply_plan().is_none() || !self.guard.examine(&self.said) {
            return;
        }
        let factor = self.guard.factor();
        tracing::debug!(id = %self.task.id, factor, "the reply loops; its steering is lowered");
        let (applied, plan) = self.applied(shared);
        self.take_effect(applied, plan);
    }

    /// The plan of the rows that generate.
    pub(super) fn reply_plan(&self) -> Option<Arc<SteeringPlan>> {
        let thinking = self.task.thinking.as_ref();
        if !self.steer_thinking && thinking.is_some_and(ThinkingTracker::is_thinking) {
            return None;
        }
        match self.constrained {
            Some(ConstrainedSpan { steered: false, .. }) => None,
            _ => self.plan.clone(),
        }
    }

    /// Samples the next token. Returns the outcome if it was the last.
    pub(in super::super) fn sample(
        &mut self,
        logits: &[f32],
        shared: &mut Shared,
    ) -> Option<Outcome> {
        self.sampling = true;
        let outcome = self.choose(logits, shared);
        self.sampling = false;
        outcome
    }

    fn choose(&mut self, logits: &[f32], shared: &mut Shared) -> Option<Outcome> {
        let sampled = match &mut self.task.guide {
            None => self.sampler.sample(logits).map_err(EngineError::from),
            Some(guide) => guide
                .choose(&mut self.sampler, logits)
                .map_err(EngineError::from),
        };
        let token = match sampled {
            Ok(token) => token,
            Err(error) => return Some(Outcome::Failed(error)),
        };
        if let Err(error) = self.sampler.accept(token) {
            return Some(Outcome::Failed(error.into()));
        }
        if self.first_token.is_none() {
            self.first_token = Some(shared.clock.now());
            self.task.sink.first_token(PromptAccount {
                tokens: self.prompt_tokens as u32,
                cached: self.taken_over.tokens,
                under_other_steering: self.taken_over.under_other_steering,
            });
        }
        if shared.tokenizer.is_end(token) {
            return Some(self.finish(FinishReason::Stop, shared));
        }
        self.generated += 1;
        self.said.push(token);
        shared.piece.clear();
        shared.tokenizer.append_piece(token, &mut shared.piece);
        self.think(token, shared);
        if let Some(control) = self.task.visible.iter().find(|control| control.id == token) {
            shared.piece.extend_from_slice(control.text.as_bytes());
        }
        let mut complete = false;
        if let Some(guide) = &mut self.task.guide {
            match guide.accept(token, &mut shared.piece) {
                Ok(progress) => {
                    complete = progress.complete;
                    if progress.entered {
                        self.text.ignore_stops();
                        self.constrained = Some(ConstrainedSpan {
                            from_token: self.generated - 1,
                            steered: shared.options.steer_constrained,
                        });
                    }
                }
                Err(error) => return Some(Outcome::Failed(error.into())),
            }
        }
        let pushed = self.text.push(&shared.piece);
        if !pushed.text.is_empty() {
            self.task.sink.text(pushed.text);
        }
        let reason = if pushed.stopped.is_some() {
            FinishReason::StopString
        } else if complete {
            FinishReason::Stop
        } else if self.generated >= self.task.max_tokens {
            FinishReason::Length
        } else if self.cached.len() >= shared.facts.context_length as usize {
            FinishReason::ContextFull
        } else {
            self.pending = Some(token);
            self.guard_repetition(shared);
            self.hold_expression(shared);
            return None;
        };
        Some(self.finish(reason, shared))
    }

    /// Follows the reply through the model's thinking.
    fn think(&mut self, token: Token, shared: &Shared) {
        let Some(tracker) = &mut self.task.thinking else {
            return;
        };
        let before = tracker.is_thinking();
        tracker.push(token, &shared.piece);
        if before || tracker.is_thinking() {
            let steered = self.steer_thinking;
            let span = ThinkingSpan { tokens: 0, steered };
            self.thinking.get_or_insert(span).tokens += 1;
        }
    }

    fn finish(&mut self, mut reason: FinishReason, shared: &Shared) -> Outcome {
        if let Some(guide) = &mut self.task.guide {
            let is_finished = guide.is_accepting();
            if !is_finished && self.task.options.allow_unfinished != Some(true) {
                return Outcome::Failed(EngineError::Constraint(ConstraintError::Unfinished {
                    finish_reason: reason,
                    tokens: self.generated,
                }));
            }
            if is_finished && guide.is_active() && guide.writes_calls() {
                reason = FinishReason::ToolCalls;
            }
        }
        let rest = self.text.finish();
        if !rest.text.is_empty() {
            self.task.sink.text(rest.text);
        }
        let now = shared.clock.now();
        let since =
            |time: f64| Duration::try_from_secs_f64(time - self.task.submitted).unwrap_or_default();
        Outcome::Done(Box::new(GenerationReport {
            id: self.task.id,
            session: self.task.session.clone(),
            model: shared.facts.name.clone(),
            finish_reason: reason,
            prompt_tokens: self.prompt_tokens as u32,
            cached_prompt_tokens: self.taken_over.tokens,
            cached_under_other_steering: self.taken_over.under_other_steering,
            completion_tokens: self.generated,
            resumes: self.resumes,
            modulations: std::mem::take(&mut self.modulations),
            thinking: self.thinking,
            constrained: self.constrained,
            expressed: self.meter.expressed(),
            queue_time: since(self.started),
            time_to_first_token: since(self.first_token.unwrap_or(now)),
            total_time: since(now),
        }))
    }
}
