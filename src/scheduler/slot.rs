//! A running generation.

use std::sync::Arc;

use super::Shared;
use super::applied::apply;
use super::cells::Cells;
use super::past::{Allowed, Past, common_prefix};
use super::prefix::Ask;
use super::spelling::same_text;
use super::task::{Outcome, Task};
use crate::backend::{BackendError, Batch, SequenceId, Token};
use crate::error::EngineError;
use crate::inference::{
    AppliedModulation, ConstrainedSpan, ConstraintError, FinishReason, GenerationReport, Guide,
    MODULATIONS_KEPT, ModulationTiming, RequestError, Sampler, SessionId, TextStream,
};
use crate::settings::PrefixPolicy;
use crate::steering::SteeringPlan;

/// Engines that one generation may outlive.
const MOST_RESUMES: u32 = 2;

/// What of a prompt was in the cache.
#[derive(Debug, Clone, Copy, Default)]
struct TakenOver {
    tokens: u32,
    under_other_steering: u32,
}

/// What a generation leaves behind.
pub(super) struct Remains {
    pub(super) session: SessionId,
    pub(super) sequence: SequenceId,
    pub(super) past: Past,
    pub(super) keep: bool,
}

/// A generation with a sequence of the cache.
pub(super) struct Slot {
    task: Task,
    sequence: SequenceId,
    /// What of the sequence was evaluated or stands in the batch.
    past: Past,
    /// Whether it was decided what of the prompt is taken over.
    begun: bool,
    taken_over: TakenOver,
    /// Whether the past is kept for the session's next turn.
    keep: bool,
    /// The sampled token that was not evaluated yet.
    pending: Option<Token>,
    /// The row of the current batch whose logits are this slot's.
    logits_row: Option<usize>,
    in_batch: bool,
    generated: u32,
    /// Tokens of the prompt as it was submitted; what was said before a
    /// restart of the engine follows them.
    prompt_tokens: usize,
    said: Vec<Token>,
    resumes: u32,
    /// Whether a token is being chosen; a panic leaves this set.
    sampling: bool,
    sampler: Sampler,
    text: TextStream,
    plan: Option<Arc<SteeringPlan>>,
    modulations: Vec<AppliedModulation>,
    constrained: Option<ConstrainedSpan>,
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
        let mut text = match TextStream::new(&task.options.stop) {
            Ok(text) => text,
            Err(error) => return Err(Box::new((task, RequestError::Stop(error).into()))),
        };
        let constrained = task.guide.as_ref().is_some_and(Guide::is_active);
        if constrained {
            text.ignore_stops();
        }
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
        task.outlet.modulated(&applied);
        let positions = most_positions(&task, limit);
        Ok(Self {
            sequence,
            past: Past::with_capacity(positions),
            prompt_tokens: task.prompt.len(),
            said: Vec::with_capacity(positions.saturating_sub(task.prompt.len()) + 1),
            resumes: 0,
            sampling: false,
            begun: false,
            taken_over: TakenOver::default(),
            keep: true,
            pending: None,
            logits_row: None,
            in_batch: false,
            generated: 0,
            sampler,
            text,
            plan,
            modulations: vec![applied],
            constrained: constrained.then_some(ConstrainedSpan {
                from_token: 0,
                steered: shared.options.steer_constrained,
            }),
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

    /// Hands the outcome on and gives back what can be kept.
    pub(super) fn end(mut self, outcome: Outcome) -> Remains {
        let keep = self.keep && !matches!(&outcome, Outcome::Failed(error) if spoils(error));
        self.task.outlet.finish(outcome);
        Remains {
            session: self.task.session,
            sequence: self.sequence,
            past: self.past,
            keep,
        }
    }

    /// Whether it can go on in another engine after this one broke: not if it
    /// broke while choosing this one's token, nor if it was with it whenever
    /// one broke.
    pub(super) fn can_resume(&self) -> bool {
        !self.sampling && self.resumes < MOST_RESUMES && !self.task.outlet.is_closed()
    }

    /// Goes on in an empty sequence: the prompt and what was said are evaluated
    /// again, everything else is as it was.
    pub(super) fn resume(&mut self, sequence: SequenceId, shared: &Shared) {
        self.resumes += 1;
        self.task.prompt.truncate(self.prompt_tokens);
        self.task.prompt.extend_from_slice(&self.said);
        self.sequence = sequence;
        self.past = Past::with_capacity(most_positions(&self.task, shared.facts.context_length));
        self.begun = false;
        self.pending = None;
        self.leave_batch();
    }

    pub(super) fn session(&self) -> &SessionId {
        &self.task.session
    }

    /// Leaves nothing behind when it ends.
    pub(super) fn forget(&mut self) {
        self.keep = false;
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    /// What of the prompt could be taken over.
    pub(super) fn ask(&self, policy: PrefixPolicy) -> Ask<'_> {
        let but_last = self.task.prompt.len().saturating_sub(1);
        Ask {
            session: &self.task.session,
            prompt: &self.task.prompt[..but_last],
            key: self.prompt_plan(policy).map(|plan| plan.key),
        }
    }

    /// Spells the prompt with the tokens of the session's own past as far as
    /// both say the same, so that a reply is not evaluated again because the
    /// model wrote it in other tokens than the tokenizer would.
    pub(super) fn spell_like<'a>(
        &mut self,
        pasts: impl Iterator<Item = &'a Past>,
        rewinds: bool,
        shared: &Shared,
    ) {
        if self.resumes > 0 {
            return;
        }
        let prompt = &mut self.task.prompt;
        let but_last = &prompt[..prompt.len().saturating_sub(1)];
        let same = |past: &'a Past| {
            let (kept, said) = same_text(past.tokens(), but_last, shared.tokenizer.as_ref());
            (past, kept, said)
        };
        let best = pasts
            .map(same)
            .filter(|&(past, kept, _)| rewinds || kept == past.len())
            .max_by_key(|&(_, _, said)| said);
        let Some((past, kept, said)) = best else {
            return;
        };
        let length = prompt.len() - said + kept;
        let room = shared.facts.context_length as usize;
        if length <= prompt.len() || length + self.task.max_tokens as usize <= room {
            prompt.splice(..said, past.tokens()[..kept].iter().copied());
            self.prompt_tokens = length;
        }
    }

    /// How much of a prompt this slot will have evaluated when its own prompt
    /// is.
    pub(super) fn will_offer(&self, ask: &Ask<'_>, policy: PrefixPolicy) -> usize {
        let own = self.ask(policy);
        let fits = match ask.allowed(own.session, policy) {
            Allowed::Any => true,
            Allowed::Under(key) => own.key == key,
        };
        if fits && self.is_ready() {
            common_prefix(own.prompt, ask.prompt)
        } else {
            0
        }
    }

    /// Starts with nothing taken over.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Starts with what `take` puts into the slot's sequence and past.
    pub(super) fn begin_with(
        &mut self,
        policy: PrefixPolicy,
        take: impl FnOnce(&SessionId, &mut SequenceId, &mut Past) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        self.begun = true;
        take(&self.task.session, &mut self.sequence, &mut self.past)?;
        let length = self.past.len();
        let key = self.prompt_plan(policy).map(|plan| plan.key);
        if self.resumes == 0 {
            self.taken_over = TakenOver {
                tokens: length as u32,
                under_other_steering: self.past.under_other(length, key) as u32,
            };
        }
        Ok(())
    }

    /// The plan of the prompt's rows but the last, which already generates.
    fn prompt_plan(&self, policy: PrefixPolicy) -> Option<&Arc<SteeringPlan>> {
        match policy {
            PrefixPolicy::PromptUnsteered => None,
            PrefixPolicy::Keep | PrefixPolicy::Exact => self.plan.as_ref(),
        }
    }

    /// The plan of the rows that generate.
    fn reply_plan(&self) -> Option<Arc<SteeringPlan>> {
        match self.constrained {
            Some(ConstrainedSpan { steered: false, .. }) => None,
            _ => self.plan.clone(),
        }
    }

    /// Forgets the batch that was evaluated before.
    pub(super) fn leave_batch(&mut self) {
        self.in_batch = false;
        self.logits_row = None;
    }

    /// Takes over the modulation of an event that came since the last token.
    /// If the next token's logits are there already (`evaluated`), its
    /// sampling follows the event and the steering from the token after it.
    pub(super) fn follow_events(&mut self, evaluated: bool, shared: &Shared) {
        if self.task.timing != ModulationTiming::Live {
            return;
        }
        let Some(mood) = self.task.mood.as_mut().filter(|mood| mood.has_changed()) else {
            return;
        };
        let modulation = mood.modulation(shared.clock.now());
        let (mut applied, plan) = apply(&self.task, Some(&modulation), self.generated, shared);
        applied.steering_from_token += u32::from(evaluated);
        if let Err(error) = self.sampler.set_params(applied.sampling) {
            tracing::warn!(%error, "a modulation was not taken over");
            return;
        }
        self.plan = plan;
        self.task.outlet.modulated(&applied);
        if self.modulations.len() == MODULATIONS_KEPT {
            self.modulations.remove(1);
        }
        self.modulations.push(applied);
    }

    /// Whether a sampled token waits for its evaluation.
    pub(super) fn wants_decode(&self) -> bool {
        self.pending.is_some() && self.is_ready()
    }

    /// Number of rows of the prompt that could be evaluated now.
    pub(super) fn wants_prefill(&self) -> usize {
        if self.begun && self.is_ready() {
            self.task.prompt.len().saturating_sub(self.past.len())
        } else {
            0
        }
    }

    /// Appends the row of the pending token.
    pub(super) fn push_decode(&mut self, batch: &mut Batch, cells: &mut Cells) {
        if let Some(token) = self.pending.take() {
            let plan = self.reply_plan();
            self.push(batch, &[token], true, plan.as_ref(), cells);
        }
    }

    /// Appends the next `count` rows of the prompt.
    pub(super) fn push_prefill(
        &mut self,
        batch: &mut Batch,
        count: usize,
        policy: PrefixPolicy,
        cells: &mut Cells,
    ) {
        let prompt = std::mem::take(&mut self.task.prompt);
        let start = self.past.len();
        let end = (start + count).min(prompt.len());
        // The last token of the prompt already generates, and so does what
        // was said before a restart.
        let turn = self.prompt_tokens.saturating_sub(1).clamp(start, end);
        let plan = self.prompt_plan(policy).cloned();
        self.push(batch, &prompt[start..turn], false, plan.as_ref(), cells);
        let (plan, last) = (self.reply_plan(), end == prompt.len());
        self.push(batch, &prompt[turn..end], last, plan.as_ref(), cells);
        self.task.prompt = prompt;
    }

    fn push(
        &mut self,
        batch: &mut Batch,
        tokens: &[Token],
        logits: bool,
        plan: Option<&Arc<SteeringPlan>>,
        cells: &mut Cells,
    ) {
        if tokens.is_empty() {
            return;
        }
        batch.push(self.sequence, self.past.len() as u32, tokens, logits, plan);
        self.past.append(tokens, plan.map(|plan| plan.key), cells);
        self.in_batch = true;
        if logits {
            self.logits_row = Some(batch.len() - 1);
        }
    }

    pub(super) fn take_logits_row(&mut self) -> Option<usize> {
        self.logits_row.take()
    }

    /// Samples the next token; returns the outcome if it was the last.
    pub(super) fn sample(&mut self, logits: &[f32], shared: &mut Shared) -> Option<Outcome> {
        self.sampling = true;
        let outcome = self.choose(logits, shared);
        self.sampling = false;
        outcome
    }

    fn choose(&mut self, logits: &[f32], shared: &mut Shared) -> Option<Outcome> {
        let sampled = match &mut self.task.guide {
            None => self
                .sampler
                .sample(logits)
                .map_err(|error| EngineError::Sampling(error.to_string())),
            Some(guide) => guide
                .choose(&mut self.sampler, logits)
                .map_err(EngineError::from),
        };
        let token = match sampled {
            Ok(token) => token,
            Err(error) => return Some(Outcome::Failed(error)),
        };
        if let Err(error) = self.sampler.accept(token) {
            return Some(Outcome::Failed(EngineError::Sampling(error.to_string())));
        }
        if self.first_token.is_none() {
            self.first_token = Some(shared.clock.now());
            self.task.outlet.first_token();
        }
        if shared.tokenizer.is_end(token) {
            return Some(self.finish(FinishReason::Stop, shared));
        }
        self.generated += 1;
        self.said.push(token);
        shared.piece.clear();
        shared.tokenizer.append_piece(token, &mut shared.piece);
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
            self.task.outlet.text(pushed.text);
        }
        let reason = if pushed.stopped.is_some() {
            FinishReason::StopString
        } else if complete {
            FinishReason::Stop
        } else if self.generated >= self.task.max_tokens {
            FinishReason::Length
        } else if self.past.len() >= shared.facts.context_length as usize {
            FinishReason::ContextFull
        } else {
            self.pending = Some(token);
            return None;
        };
        Some(self.finish(reason, shared))
    }

    fn finish(&mut self, mut reason: FinishReason, shared: &Shared) -> Outcome {
        if let Some(guide) = self.task.guide.as_mut().filter(|guide| guide.is_active()) {
            if !guide.is_accepting() {
                return Outcome::Failed(EngineError::Constraint(ConstraintError::Unfinished {
                    finish_reason: reason,
                    tokens: self.generated,
                }));
            }
            if guide.writes_calls() {
                reason = FinishReason::ToolCalls;
            }
        }
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
            prompt_tokens: self.prompt_tokens as u32,
            cached_prompt_tokens: self.taken_over.tokens,
            cached_under_other_steering: self.taken_over.under_other_steering,
            completion_tokens: self.generated,
            resumes: self.resumes,
            modulations: std::mem::take(&mut self.modulations),
            constrained: self.constrained,
            queue_seconds: since(self.started),
            first_token_seconds: since(self.first_token.unwrap_or(now)),
            total_seconds: since(now),
        }))
    }
}

/// Positions that a generation can come to hold.
fn most_positions(task: &Task, context: u32) -> usize {
    let most = task.prompt.len().saturating_add(task.max_tokens as usize);
    most.min(context as usize)
}

/// Whether the cache of a generation that failed so is not to be trusted.
fn spoils(error: &EngineError) -> bool {
    matches!(error, EngineError::Backend(_))
}
