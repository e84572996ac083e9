//! Brings a prompt into the cache: reuses cached positions and evaluates the rest.

use std::sync::Arc;

use super::super::cached_sequence::{Allowed, CachedSequence, common_prefix};
use super::super::cells::Cells;
use super::super::prefix::PrefixQuery;
use super::super::shared::Shared;
use super::super::token_realignment::same_text;
use super::{Slot, TakenOver};
use crate::backend::{BackendError, Batch, SequenceId};
use crate::inference::SessionId;
use crate::settings::PrefixPolicy;
use crate::steering::SteeringPlan;

impl Slot {
    /// The query for reusable positions of the prompt.
    pub(in super::super) fn query(&self, policy: PrefixPolicy) -> PrefixQuery<'_> {
        let but_last = self.task.prompt.len().saturating_sub(1);
        PrefixQuery {
            session: &self.task.session,
            prompt: &self.task.prompt[..but_last],
            key: self.prompt_plan(policy).map(|plan| plan.key),
        }
    }

    /// Replaces the prompt's tokens with those of the session's own cached sequence as far as both
    /// have the same text. Otherwise a reply would be evaluated again whenever the model wrote it
    /// in tokens other than the tokenizer's.
    pub(in super::super) fn realign<'a>(
        &mut self,
        cached_sequences: impl Iterator<Item = &'a CachedSequence>,
        supports_truncation: bool,
        shared: &Shared,
    ) {
        if self.resumes > 0 {
            return;
        }
        let prompt = &mut self.task.prompt;
        let but_last = &prompt[..prompt.len().saturating_sub(1)];
        let same = |cached: &'a CachedSequence| {
            let (kept, said) = same_text(cached.tokens(), but_last, shared.tokenizer.as_ref());
            (cached, kept, said)
        };
        let best = cached_sequences
            .map(same)
            .filter(|&(cached, kept, _)| supports_truncation || kept == cached.len())
            .max_by_key(|&(_, _, said)| said);
        let Some((cached, kept, said)) = best else {
            return;
        };
        let length = prompt.len() - said + kept;
        let room = shared.facts.context_length as usize;
        if length <= prompt.len() || length + self.task.max_tokens as usize <= room {
            prompt.splice(..said, cached.tokens()[..kept].iter().copied());
            self.prompt_tokens = length;
        }
    }

    /// How many positions of another prompt will be available once this slot's own prompt is
    /// evaluated.
    pub(in super::super) fn will_offer(
        &self,
        query: &PrefixQuery<'_>,
        policy: PrefixPolicy,
    ) -> usize {
        let own = self.query(policy);
        let fits = match query.allowed(own.session, policy) {
            Allowed::Any => true,
            Allowed::Under(key) => own.key == key,
        };
        if fits && self.is_ready() {
            common_prefix(own.prompt, query.prompt)
        } else {
            0
        }
    }

    /// Starts without reusing anything.
    pub(in super::super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Starts with the positions that `take` puts into the slot's sequence.
    pub(in super::super) fn begin_with(
        &mut self,
        policy: PrefixPolicy,
        take: impl FnOnce(&SessionId, &mut SequenceId, &mut CachedSequence) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        self.begun = true;
        take(&self.task.session, &mut self.sequence, &mut self.cached)?;
        let length = self.cached.len();
        let key = self.prompt_plan(policy).map(|plan| plan.key);
        if self.resumes == 0 {
            self.taken_over = TakenOver {
                tokens: length as u32,
                under_other_steering: self.cached.under_other(length, key) as u32,
            };
        }
        Ok(())
    }

    /// The plan of all prompt rows except the last, which already generates.
    fn prompt_plan(&self, policy: PrefixPolicy) -> Option<&Arc<SteeringPlan>> {
        match policy {
            PrefixPolicy::PromptUnsteered => None,
            PrefixPolicy::Keep | PrefixPolicy::Exact => self.plan.as_ref(),
        }
    }

    /// Number of rows of the prompt that could be evaluated now.
    pub(in super::super) fn wants_prefill(&self) -> usize {
        if self.begun && self.is_ready() {
            self.task.prompt.len().saturating_sub(self.cached.len())
        } else {
            0
        }
    }

    /// Appends the next `count` rows of the prompt.
    pub(in super::super) fn push_prefill(
        &mut self,
        batch: &mut Batch,
        count: usize,
        policy: PrefixPolicy,
        cells: &mut Cells,
    ) {
        let prompt = std::mem::take(&mut self.task.prompt);
        let start = self.cached.len();
        let end = (start + count).min(prompt.len());
        // The last token of the prompt already generates, and so do the tokens of the reply before
        // a restart.
        let turn = self.prompt_tokens.saturating_sub(1).clamp(start, end);
        let plan = self.prompt_plan(policy).cloned();
        self.push(batch, &prompt[start..turn], false, plan.as_ref(), cells);
        let (plan, last) = (self.reply_plan(), end == prompt.len());
        self.push(batch, &prompt[turn..end], last, plan.as_ref(), cells);
        self.task.prompt = prompt;
    }
}
