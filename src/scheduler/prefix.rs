//! The prefix cache: pasts that finished generations leave behind.

use super::cells::Cells;
use super::past::{Allowed, Past};
use crate::backend::{Backend, BackendError, SequenceId, Token};
use crate::inference::SessionId;
use crate::settings::PrefixPolicy;
use crate::steering::PlanKey;

/// How the cache is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixOptions {
    /// What a prompt may take over.
    pub policy: PrefixPolicy,
    /// Most pasts that are kept for later prompts; 0 keeps none.
    pub entries: usize,
}

/// Shorter prefixes of other sessions are not worth a sequence of their own.
pub(super) const MIN_FOREIGN: usize = 16;

/// What a new generation wants to take over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) session: &'a SessionId,
    /// The prompt without its last token, which is evaluated in any case: its
    /// logits are needed.
    pub(super) prompt: &'a [Token],
    /// The steering of the prompt.
    pub(super) key: Option<PlanKey>,
}

impl Ask<'_> {
    /// What may be taken over of a past of `session`: feelings of another
    /// session are never inherited.
    pub(super) fn allowed(&self, session: &SessionId, policy: PrefixPolicy) -> Allowed {
        if session == self.session && policy != PrefixPolicy::Exact {
            Allowed::Any
        } else {
            Allowed::Under(self.key)
        }
    }

    /// How much of a past can be taken over, 0 if it is not worth it.
    pub(super) fn usable(&self, session: &SessionId, past: &Past, policy: PrefixPolicy) -> usize {
        let usable = past.usable(self.prompt, self.allowed(session, policy));
        if session != self.session && usable < MIN_FOREIGN {
            return 0;
        }
        usable
    }
}

/// A past that waits for its next turn.
#[derive(Debug)]
struct Entry {
    session: SessionId,
    sequence: SequenceId,
    past: Past,
    used: u64,
}

/// Idle pasts, free sequences and free cells.
#[derive(Debug)]
pub(super) struct PrefixCache {
    options: PrefixOptions,
    /// Whether a sequence can be cut and shared in the middle.
    rewinds: bool,
    entries: Vec<Entry>,
    free: Vec<SequenceId>,
    cells: Cells,
    uses: u64,
}

impl PrefixCache {
    pub(super) fn new(backend: &dyn Backend, options: PrefixOptions) -> Self {
        let facts = backend.facts();
        let options = PrefixOptions {
            entries: options.entries.min(facts.n_kept as usize),
            ..options
        };
        Self {
            options,
            rewinds: facts.rewinds,
            entries: Vec::with_capacity(options.entries + 1),
            free: (0..facts.n_sequences + facts.n_kept).rev().collect(),
            cells: Cells::new(facts.cache_cells),
            uses: 0,
        }
    }

    pub(super) fn policy(&self) -> PrefixPolicy {
        self.options.policy
    }

    pub(super) fn rewinds(&self) -> bool {
        self.rewinds
    }

    pub(super) fn cells(&mut self) -> &mut Cells {
        &mut self.cells
    }

    /// Cells in use, and cells in all.
    pub(super) fn usage(&self) -> (usize, usize) {
        let capacity = self.cells.capacity();
        (capacity - self.cells.available(), capacity)
    }

    /// Takes an unused sequence. There is one for each running generation and
    /// each entry, so `None` means that a bound was broken.
    pub(super) fn open(&mut self) -> Option<SequenceId> {
        self.free.pop()
    }

    /// Gives back a sequence that was not used.
    pub(super) fn close(&mut self, sequence: SequenceId) {
        self.free.push(sequence);
    }

    /// The entry that saves most of a prompt, and how many tokens.
    pub(super) fn find(&self, ask: &Ask<'_>) -> Option<(usize, usize)> {
        let usable = |entry: &Entry| {
            let usable = ask.usable(&entry.session, &entry.past, self.options.policy);
            // What cannot be cut is taken over whole or not at all.
            if self.rewinds || usable == entry.past.len() {
                usable
            } else {
                0
            }
        };
        let candidates = self.entries.iter().enumerate();
        candidates
            .map(|(index, entry)| (index, usable(entry), entry.used))
            .filter(|&(_, usable, _)| usable > 0)
            .max_by_key(|&(_, usable, used)| (usable, used))
            .map(|(index, usable, _)| (index, usable))
    }

    /// Gives the first `length` positions of an entry to the empty `past` of
    /// `sequence`. A session that goes on from the end of its own past takes
    /// it over; otherwise the entry stays and its cells are shared.
    pub(super) fn adopt(
        &mut self,
        backend: &mut dyn Backend,
        index: usize,
        length: usize,
        session: &SessionId,
        sequence: &mut SequenceId,
        past: &mut Past,
    ) -> Result<(), BackendError> {
        self.uses += 1;
        let Some(entry) = self.entries.get_mut(index) else {
            return Ok(());
        };
        let whole = length == entry.past.len();
        if whole && (&entry.session == session || !self.rewinds) {
            let entry = self.entries.remove(index);
            self.free.push(*sequence);
            *sequence = entry.sequence;
            past.take_over(entry.past);
            return Ok(());
        }
        entry.used = self.uses;
        backend.share_prefix(entry.sequence, *sequence, length as u32)?;
        past.share(&entry.past, length, &mut self.cells);
        Ok(())
    }

    /// Keeps the past of a generation that is over.
    pub(super) fn keep(
        &mut self,
        backend: &mut dyn Backend,
        session: SessionId,
        sequence: SequenceId,
        past: Past,
    ) -> Result<(), BackendError> {
        if self.options.entries == 0 || past.len() == 0 {
            return self.discard(backend, sequence, past);
        }
        while let Some(stale) = self
            .entries
            .iter()
            .position(|entry| entry.session == session && entry.past.is_part_of(&past))
        {
            self.evict(backend, stale)?;
        }
        self.uses += 1;
        self.entries.push(Entry {
            session,
            sequence,
            past,
            used: self.uses,
        });
        if self.entries.len() > self.options.entries {
            self.evict_oldest(backend)?;
        }
        Ok(())
    }

    /// Empties a sequence and gives its cells back.
    pub(super) fn discard(
        &mut self,
        backend: &mut dyn Backend,
        sequence: SequenceId,
        past: Past,
    ) -> Result<(), BackendError> {
        past.release(&mut self.cells);
        self.free.push(sequence);
        backend.truncate(sequence, 0)
    }

    /// Evicts the least recently used entries until `rows` cells are free.
    pub(super) fn make_room(
        &mut self,
        backend: &mut dyn Backend,
        rows: usize,
    ) -> Result<(), BackendError> {
        while self.cells.available() < rows && self.evict_oldest(backend)? {}
        Ok(())
    }

    /// Forgets everything that a session left behind.
    pub(super) fn forget(
        &mut self,
        backend: &mut dyn Backend,
        session: &SessionId,
    ) -> Result<(), BackendError> {
        while let Some(index) = self.entries.iter().position(|e| &e.session == session) {
            self.evict(backend, index)?;
        }
        Ok(())
    }

    /// The latest past of a session.
    pub(super) fn latest(&self, session: &SessionId) -> Option<(SequenceId, &Past)> {
        self.entries
            .iter()
            .filter(|entry| &entry.session == session)
            .max_by_key(|entry| entry.used)
            .map(|entry| (entry.sequence, &entry.past))
    }

    /// Number of pasts that are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Most pasts that are kept.
    pub(super) fn limit(&self) -> usize {
        self.options.entries
    }

    fn evict_oldest(&mut self, backend: &mut dyn Backend) -> Result<bool, BackendError> {
        let entries = self.entries.iter().enumerate();
        let Some((oldest, _)) = entries.min_by_key(|(_, entry)| entry.used) else {
            return Ok(false);
        };
        self.evict(backend, oldest)?;
        Ok(true)
    }

    fn evict(&mut self, backend: &mut dyn Backend, index: usize) -> Result<(), BackendError> {
        let entry = self.entries.swap_remove(index);
        self.discard(backend, entry.sequence, entry.past)
    }
}
