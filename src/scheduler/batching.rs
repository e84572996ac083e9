//! Fills the batch of a step.

use super::prefill_budget::{self, PrefillShare};
use super::prefix::prefix_taken;
use super::slot::Slot;
use super::step::Scheduler;
use super::summary::StepSummary;
use crate::backend::BackendError;
use crate::settings::PrefixPolicy;

/// A generation waits for another that is about to evaluate the same prefix if
/// that saves at least this many tokens.
const WORTH_WAITING: usize = 32;

impl Scheduler {
    /// Fills the batch with decoding generations first, then prompts.
    pub(super) fn build(&mut self) -> Result<StepSummary, BackendError> {
        self.batch.clear();
        for slot in &mut self.slots {
            slot.leave_batch();
            slot.follow_events(false, &self.shared);
        }
        for index in 0..self.slots.len() {
            self.begin(index)?;
        }
        let Self {
            backend,
            slots,
            cache,
            batch,
            order,
            waiting,
            prompt_alone,
            oldest_prompt,
            shared,
            ..
        } = self;
        let capacity = shared.facts.batch_size;
        let mixes = shared.facts.supports_truncation;
        order.clear();
        order.extend(0..slots.len());
        let mut decodes = true;
        let mut prompts = true;
        if !mixes {
            order.sort_unstable_by_key(|&index| slots.get(index).map(Slot::sequence));
            let decode_waits = slots.iter().any(Slot::wants_decode);
            let prompt_waits = slots.iter().any(|slot| slot.wants_prefill() > 0);
            prompts = prompt_waits && !(decode_waits && *prompt_alone);
            decodes = !prompts;
        }
        for &index in order.iter().filter(|_| decodes) {
            let Some(slot) = slots.get_mut(index) else {
                continue;
            };
            if batch.len() < capacity && slot.wants_decode() {
                cache.make_room(backend.as_mut(), 1)?;
                slot.push_decode(batch, cache.cells());
            }
        }
        let decode_rows = batch.len();
        waiting.clear();
        if prompts {
            let wants = slots.iter().map(Slot::wants_prefill).enumerate();
            let wants = wants.filter(|(_, wants)| *wants > 0);
            waiting.extend(wants.map(|(index, wants)| PrefillShare {
                index,
                wants,
                rows: 0,
            }));
        }
        let room = capacity - batch.len();
        if mixes {
            prefill_budget::share(waiting, room);
        } else if !waiting.is_empty() {
            prefill_budget::give_one(waiting, room, *oldest_prompt);
            *oldest_prompt = !*oldest_prompt;
        }
        for share in waiting.iter().filter(|share| share.rows > 0) {
            if let Some(slot) = slots.get_mut(share.index) {
                cache.make_room(backend.as_mut(), share.rows)?;
                slot.push_prefill(batch, share.rows, cache.policy(), cache.cells());
            }
        }
        *prompt_alone = decode_rows == 0;
        Ok(StepSummary {
            rows: batch.len(),
            prefill_rows: batch.len() - decode_rows,
            steered_rows: (0..batch.len())
                .filter(|&row| batch.plan_index_of(row).is_some())
                .count(),
            sampled: 0,
            generated: 0,
        })
    }

    /// Decides which part of a new generation's prompt need not be evaluated. If another generation
    /// is evaluating the same prefix, this one waits for it and does not begin yet.
    fn begin(&mut self, index: usize) -> Result<(), BackendError> {
        let Self {
            backend,
            slots,
            cache,
            shared,
            ..
        } = self;
        let policy = cache.policy();
        let supports_truncation = cache.supports_truncation();
        let (before, rest) = slots.split_at_mut(index);
        let Some((slot, after)) = rest.split_first_mut() else {
            return Ok(());
        };
        if slot.has_begun() {
            return Ok(());
        }
        if policy != PrefixPolicy::Exact {
            let session = slot.session().clone();
            slot.realign(
                cache.cached_sequences_of(&session),
                supports_truncation,
                shared,
            );
        }
        let query = slot.query(policy);
        let kept = cache.find(&query);
        let at_hand = kept.map_or(0, |(_, length)| length);
        let running = || {
            before
                .iter()
                .chain(after.iter())
                .filter(|s| s.has_begun() && supports_truncation)
        };
        let donor = running()
            .map(|donor| (query.usable(donor.session(), donor.cached(), policy), donor))
            .filter(|(length, _)| *length > 0 && *length >= at_hand)
            .max_by_key(|(length, _)| *length);
        let best = donor.as_ref().map_or(at_hand, |(length, _)| *length);
        let soon = running()
            .filter(|donor| donor.wants_prefill() > 0)
            .map(|donor| donor.will_offer(&query, policy))
            .max();
        if soon.is_some_and(|soon| soon >= best + WORTH_WAITING) {
            return Ok(());
        }
        if let Some((length, donor)) = donor {
            let (from, cached) = (donor.sequence(), donor.cached());
            slot.begin_with(policy, |_, sequence, own| {
                if prefix_taken(backend.share_prefix(from, *sequence, length as u32))? {
                    own.share(cached, length, cache.cells());
                }
                Ok(())
            })?;
        } else if let Some((entry, length)) = kept {
            slot.begin_with(policy, |session, sequence, own| {
                cache.adopt(backend.as_mut(), entry, length, session, sequence, own)
            })?;
        } else {
            slot.begin();
        }
        cache.offload(backend.as_mut())
    }
}
