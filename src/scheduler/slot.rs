//! A running generation.

mod prompt;
mod reply;

use std::sync::Arc;

use super::applied::{Correction, apply};
use super::cached_sequence::CachedSequence;
use super::cells::Cells;
use super::expression_control::ExpressionControl;
use super::repetition_guard::RepetitionGuard;
use super::shared::Shared;
use super::task::{Outcome, Task};
use crate::backend::{Batch, SequenceId, Token};
use crate::emotion::Modulation;
use crate::error::EngineError;
use crate::inference::{
    AppliedModulation, ConstrainedSpan, Guide, RequestError, RequestId, Sampler, SessionId,
    TextStream, ThinkingSpan,
};
use crate::steering::{ExpressionMeter, SteeringLibrary, SteeringPlan};

/// How many engine failures a generation survives. A hang counts as two, because it takes long and
/// leaks the model.
const RESUME_BUDGET: u32 = 2;

/// How much of a prompt was in the cache.
#[derive(Debug, Clone, Copy, Default)]
struct TakenOver {
    tokens: u32,
    under_other_steering: u32,
}

/// What remains of a finished generation.
pub(super) struct Remains {
    pub(super) session: SessionId,
    pub(super) sequence: SequenceId,
    pub(super) cached: CachedSequence,
    pub(super) keep: bool,
}

/// A running generation that owns a sequence of the cache.
pub(super) struct Slot {
    task: Task,
    sequence: SequenceId,
    /// The positions that were evaluated or are in the batch.
    cached: CachedSequence,
    /// Whether the reuse of cached positions has been decided.
    begun: bool,
    taken_over: TakenOver,
    /// Whether the cached sequence is kept for the session's next turn.
    keep: bool,
    /// The sampled token that is not evaluated yet.
    pending: Option<Token>,
    /// The row of the current batch whose logits are this slot's.
    logits_row: Option<usize>,
    in_batch: bool,
    /// Number of positions that the current batch adds.
    rows: usize,
    generated: u32,
    /// Length of the submitted prompt, in tokens. After an engine restart, the reply so far follows
    /// it.
    prompt_tokens: usize,
    said: Vec<Token>,
    resumes: u32,
    /// The rest of [`RESUME_BUDGET`].
    resume_budget: u32,
    /// Whether a token is being sampled. A panic leaves this set.
    sampling: bool,
    sampler: Sampler,
    text: TextStream,
    /// The vectors that it is steered with: those it started with, or the newest at its last event.
    library: Arc<SteeringLibrary>,
    plan: Option<Arc<SteeringPlan>>,
    guard: RepetitionGuard,
    meter: ExpressionMeter,
    control: ExpressionControl,
    /// The modulation in force.
    modulation: Option<Modulation>,
    modulations: Vec<AppliedModulation>,
    constrained: Option<ConstrainedSpan>,
    thinking: Option<ThinkingSpan>,
    steer_thinking: bool,
    started: f64,
    first_token: Option<f64>,
}

impl Slot {
    /// Starts a generation under the current modulation.
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
        if task.guide.as_ref().is_some_and(Guide::is_binding) {
            text.ignore_stops();
        }
        let modulation = task
            .mood
            .as_mut()
            .map(|mood| mood.modulation(shared.clock.now()));
        let guard = RepetitionGuard::new(shared.options.repetition_guard);
        let control = ExpressionControl::new(shared.options.expression_feedback);
        let correction = Correction {
            factor: guard.factor(),
            offset: control.offset(),
        };
        let library = Arc::clone(&shared.library);
        let blend = shared.options.blend;
        let (applied, plan) = apply(&task, modulation.as_ref(), 0, correction, &library, blend);
        let mut sampler = match Sampler::new(applied.sampling, shared.facts.n_vocab) {
            Ok(sampler) => sampler,
            Err(error) => return Err(Box::new((task, RequestError::Sampling(error).into()))),
        };
        let bias = task.options.logit_bias.iter().flatten();
        let bias = bias.map(|(token, value)| (*token, *value)).collect();
        if let Err(error) = sampler.set_bias(bias) {
            return Err(Box::new((task, RequestError::Sampling(error).into())));
        }
        for &token in &task.prompt {
            if let Err(error) = sampler.accept(token) {
                return Err(Box::new((task, RequestError::Sampling(error).into())));
            }
        }
        task.sink.started();
        task.sink.modulated(&applied, &library);
        let positions = most_positions(&task, limit);
        Ok(Self {
            sequence,
            cached: CachedSequence::with_capacity(positions),
            prompt_tokens: task.prompt.len(),
            said: Vec::with_capacity(positions.saturating_sub(task.prompt.len()) + 1),
            resumes: 0,
            resume_budget: RESUME_BUDGET,
            sampling: false,
            begun: false,
            taken_over: TakenOver::default(),
            keep: true,
            pending: None,
            logits_row: None,
            in_batch: false,
            rows: 0,
            generated: 0,
            sampler,
            text,
            library,
            plan,
            guard,
            meter: ExpressionMeter::default(),
            control,
            modulation,
            modulations: vec![applied],
            constrained: constrained.then_some(ConstrainedSpan {
                from_token: 0,
                steered: shared.options.steer_constrained,
            }),
            thinking: None,
            steer_thinking: shared.options.steer_thinking,
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
        self.task.sink.has_room()
    }

    pub(super) fn ended_early(&self, now: f64) -> Option<Outcome> {
        self.task.ended_early(now)
    }

    pub(super) fn deadline(&self) -> Option<f64> {
        self.task.deadline()
    }

    /// Reports the outcome and returns what can be kept.
    pub(super) fn end(mut self, outcome: Outcome) -> Remains {
        let keep = self.keep && !matches!(&outcome, Outcome::Failed(error) if spoils(error));
        self.task.sink.generated(self.generated);
        self.task.sink.finish(outcome);
        Remains {
            session: self.task.session,
            sequence: self.sequence,
            cached: self.cached,
            keep,
        }
    }

    /// Whether it can resume in another engine after this one failed. It cannot if the failure
    /// happened while its own token was sampled, or if its resume budget is spent.
    pub(super) fn can_resume(&self) -> bool {
        !self.sampling && self.resume_budget > 0 && !self.task.sink.is_closed()
    }

    /// Spends one resume of its budget.
    pub(super) fn spend_resume(&mut self) {
        self.resume_budget = self.resume_budget.saturating_sub(1);
    }

    /// Resumes in an empty sequence. The prompt and the reply so far are evaluated again;
    /// everything else is unchanged.
    pub(super) fn resume(&mut self, sequence: SequenceId, shared: &Shared) {
        self.resumes += 1;
        self.spend_resume();
        self.task.prompt.truncate(self.prompt_tokens);
        self.task.prompt.extend_from_slice(&self.said);
        self.sequence = sequence;
        self.cached =
            CachedSequence::with_capacity(most_positions(&self.task, shared.facts.context_length));
        self.begun = false;
        self.pending = None;
        self.leave_batch();
    }

    pub(super) fn id(&self) -> RequestId {
        self.task.id
    }

    pub(super) fn session(&self) -> &SessionId {
        &self.task.session
    }

    /// Makes it leave nothing in the prefix cache when it ends.
    pub(super) fn forget(&mut self) {
        self.keep = false;
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn cached(&self) -> &CachedSequence {
        &self.cached
    }

    /// Clears what belongs to the previous batch.
    pub(super) fn leave_batch(&mut self) {
        self.in_batch = false;
        self.rows = 0;
        self.logits_row = None;
    }

    /// Undoes its part of a batch that was not evaluated.
    pub(super) fn take_back_rows(&mut self, cells: &mut Cells) {
        let evaluated = self.cached.len() - self.rows;
        if self.rows > 0 && evaluated >= self.task.prompt.len() {
            self.pending = self.cached.tokens().last().copied();
        }
        self.cached.shorten(evaluated, cells);
        self.leave_batch();
    }

    /// Whether a sampled token waits to be evaluated.
    pub(super) fn wants_decode(&self) -> bool {
        self.pending.is_some() && self.is_ready()
    }

    /// Appends the row of the pending token.
    pub(super) fn push_decode(&mut self, batch: &mut Batch, cells: &mut Cells) {
        if let Some(token) = self.pending.take() {
            let plan = self.reply_plan();
            self.push(batch, &[token], true, plan.as_ref(), cells);
        }
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
        batch.push(
            self.sequence,
            self.cached.len() as u32,
            tokens,
            logits,
            plan,
        );
        self.cached.append(tokens, plan.map(|plan| plan.key), cells);
        self.in_batch = true;
        self.rows += tokens.len();
        if logits {
            self.logits_row = Some(batch.len() - 1);
        }
    }

    /// Tokens generated so far.
    pub(super) fn generated(&self) -> u32 {
        self.generated
    }

    pub(super) fn take_logits_row(&mut self) -> Option<usize> {
        self.logits_row.take()
    }
}

/// Maximum number of positions that a generation can hold.
fn most_positions(task: &Task, context: u32) -> usize {
    let most = task.prompt.len().saturating_add(task.max_tokens as usize);
    most.min(context as usize)
}

/// Whether the cache of a generation that failed with this error cannot be trusted.
fn spoils(error: &EngineError) -> bool {
    matches!(error, EngineError::Backend(_))
}
