//! The prefix cache: cached sequences that finished generations leave behind.
//!
//! Cells of an idle cached sequence cost every decoding row its share of attention, so
//! only the cached sequence of the very last generation stays in the key–value cache, and
//! only until another one begins. The others are held as bytes.

use super::cached_sequence::{Allowed, CachedSequence};
use super::cells::Cells;
use crate::backend::{Backend, BackendError, SequenceId, Token};
use crate::inference::SessionId;
use crate::settings::PrefixPolicy;
use crate::steering::PlanKey;

/// How the cache is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixOptions {
    /// What a prompt may take over.
    pub policy: PrefixPolicy,
    /// Memory for cached sequences that are kept for later prompts, in bytes; 0 keeps
    /// none.
    pub memory: usize,
}

/// Shorter prefixes of other sessions are not worth the copy.
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
    /// What may be taken over of a cached sequence of `session`: feelings of another
    /// session are never inherited.
    pub(super) fn allowed(&self, session: &SessionId, policy: PrefixPolicy) -> Allowed {
        if session == self.session && policy != PrefixPolicy::Exact {
            Allowed::Any
        } else {
            Allowed::Under(self.key)
        }
    }

    /// How much of a cached sequence can be taken over, 0 if it is not worth it.
    pub(super) fn usable(
        &self,
        session: &SessionId,
        cached: &CachedSequence,
        policy: PrefixPolicy,
    ) -> usize {
        let usable = cached.usable(self.prompt, self.allowed(session, policy));
        if session != self.session && usable < MIN_FOREIGN {
            return 0;
        }
        usable
    }
}

/// Whether a prefix could be taken over; if what it would go on from is gone, it
/// is evaluated instead.
pub(super) fn done(taken: Result<(), BackendError>) -> Result<bool, BackendError> {
    match taken {
        Ok(()) => Ok(true),
        Err(error @ BackendError::PrefixEvicted { .. }) => {
            tracing::debug!(%error, "a prefix is evaluated again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A cached sequence that waits for its next turn.
#[derive(Debug)]
struct Entry {
    session: SessionId,
    cached: CachedSequence,
    home: Home,
    used: u64,
    /// Whether a part of it was asked for in vain.
    whole_only: bool,
}

/// Where the keys and values of a cached sequence are.
#[derive(Debug)]
enum Home {
    /// In a sequence of the cache.
    Resident(SequenceId),
    /// In memory, in the backend's own form.
    Stored(Vec<u8>),
}

/// Idle cached sequences, free sequences and free cells.
#[derive(Debug)]
pub(super) struct PrefixCache {
    options: PrefixOptions,
    /// Whether a sequence can be cut and shared in the middle.
    supports_truncation: bool,
    entries: Vec<Entry>,
    /// Memory of the stored cached sequences, in bytes.
    stored: usize,
    /// Memory of a cached sequence that is no longer stored, for the next one.
    spare: Vec<u8>,
    /// Bytes of the cached sequence that was stored last.
    latest_size: usize,
    free: Vec<SequenceId>,
    cells: Cells,
    uses: u64,
}

impl PrefixCache {
    pub(super) fn new(backend: &dyn Backend, options: PrefixOptions) -> Self {
        let facts = backend.facts();
        Self {
            options,
            supports_truncation: facts.supports_truncation,
            entries: Vec::new(),
            stored: 0,
            spare: Vec::new(),
            latest_size: 0,
            // One for each running generation, one for a resident cached sequence.
            free: (0..=facts.n_sequences).rev().collect(),
            cells: Cells::new(facts.cache_cells),
            uses: 0,
        }
    }

    pub(super) fn policy(&self) -> PrefixPolicy {
        self.options.policy
    }

    pub(super) fn supports_truncation(&self) -> bool {
        self.supports_truncation
    }

    pub(super) fn cells(&mut self) -> &mut Cells {
        &mut self.cells
    }

    /// Cells in use, and cells in all.
    pub(super) fn usage(&self) -> (usize, usize) {
        let capacity = self.cells.capacity();
        (capacity - self.cells.available(), capacity)
    }

    /// Number of cached sequences that are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the cached sequences that are stored.
    pub(super) fn stored(&self) -> usize {
        self.stored
    }

    /// Bytes that are kept for the next cached sequence that is stored.
    pub(super) fn spare(&self) -> usize {
        self.spare.capacity()
    }

    /// Most bytes of the cached sequences that are stored.
    pub(super) fn memory(&self) -> usize {
        self.options.memory
    }

    /// Takes an unused sequence. There is one for each running generation and
    /// a resident cached sequence, so `None` means that a bound was broken.
    pub(super) fn open(&mut self) -> Option<SequenceId> {
        self.free.pop()
    }

    /// Gives back a sequence that was not used.
    pub(super) fn close(&mut self, sequence: SequenceId) {
        self.free.push(sequence);
    }

    /// What a session left behind.
    pub(super) fn pasts_of(&self, session: &SessionId) -> impl Iterator<Item = &CachedSequence> {
        let own = move |entry: &&Entry| &entry.session == session;
        self.entries.iter().filter(own).map(|entry| &entry.cached)
    }

    /// The entry that saves most of a prompt, and how many tokens.
    pub(super) fn find(&self, ask: &Ask<'_>) -> Option<(usize, usize)> {
        let usable = |entry: &Entry| {
            let usable = ask.usable(&entry.session, &entry.cached, self.options.policy);
            // What cannot be cut is taken over whole or not at all.
            if (self.supports_truncation && !entry.whole_only) || usable == entry.cached.len() {
                usable
            } else {
                0
            }
        };
        let candidates = self.entries.iter().enumerate();
        candidates
            .map(|(index, entry)| (index, usable(entry), entry))
            .filter(|&(_, usable, _)| usable > 0)
            // One's own may be taken over as it is, without a copy.
            .max_by_key(|&(_, usable, entry)| (usable, &entry.session == ask.session, entry.used))
            .map(|(index, usable, _)| (index, usable))
    }

    /// Gives the first `length` positions of an entry to the empty `cached` of
    /// `sequence`. A session that goes on from the end of its own cached sequence takes
    /// it over; otherwise the entry stays.
    pub(super) fn adopt(
        &mut self,
        backend: &mut dyn Backend,
        index: usize,
        length: usize,
        session: &SessionId,
        sequence: &mut SequenceId,
        cached: &mut CachedSequence,
    ) -> Result<(), BackendError> {
        self.uses += 1;
        let uses = self.uses;
        let Some(entry) = self.entries.get_mut(index) else {
            return Ok(());
        };
        entry.used = uses;
        let whole = length == entry.cached.len();
        let goes_on = whole && (&entry.session == session || !self.supports_truncation);
        match &entry.home {
            Home::Resident(resident) if goes_on => {
                self.free.push(*sequence);
                *sequence = *resident;
                cached.take_over(self.entries.swap_remove(index).cached);
                return Ok(());
            }
            Home::Resident(resident) => {
                if done(backend.share_prefix(*resident, *sequence, length as u32))? {
                    cached.share(&entry.cached, length, &mut self.cells);
                }
                return Ok(());
            }
            Home::Stored(_) => {}
        }
        let mut entry = self.entries.swap_remove(index);
        let Home::Stored(bytes) = &entry.home else {
            return Ok(());
        };
        let all = entry.cached.len();
        if self.cells.available() >= all {
            if let Err(error) = backend.restore_sequence(*sequence, all as u32, bytes) {
                // It is evaluated instead.
                tracing::warn!(session = %entry.session, %error, "KV snapshot cannot be restored");
                self.give_up(entry.home);
                return Ok(());
            }
            if whole || done(backend.truncate(*sequence, length as u32))? {
                cached.repeat(&entry.cached, length, &mut self.cells);
            } else {
                // What its window does not see was not saved.
                entry.whole_only = true;
                backend.truncate(*sequence, 0)?;
            }
        }
        if goes_on && cached.len() == length {
            self.give_up(entry.home);
        } else {
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Keeps the cached sequence of a generation that is over: in the cache if nothing
    /// else runs, since its session may go on at once.
    pub(super) fn keep(
        &mut self,
        backend: &mut dyn Backend,
        session: SessionId,
        sequence: SequenceId,
        cached: CachedSequence,
        others_run: bool,
    ) -> Result<(), BackendError> {
        if self.options.memory == 0 || cached.len() == 0 {
            return self.discard(backend, sequence, cached);
        }
        self.drop_parts_of(backend, &session, &cached)?;
        // One at most is resident.
        self.settle(backend)?;
        self.insert(session, cached, Home::Resident(sequence));
        if others_run {
            self.settle(backend)?;
        }
        Ok(())
    }

    /// Keeps a cached sequence that was written down before.
    pub(super) fn keep_stored(
        &mut self,
        backend: &mut dyn Backend,
        session: SessionId,
        cached: CachedSequence,
        bytes: Vec<u8>,
    ) -> Result<(), BackendError> {
        self.drop_parts_of(backend, &session, &cached)?;
        let bytes = fitted(bytes);
        self.stored += bytes.capacity();
        self.insert(session, cached, Home::Stored(bytes));
        self.keep_within_memory();
        Ok(())
    }

    fn insert(&mut self, session: SessionId, cached: CachedSequence, home: Home) {
        self.uses += 1;
        self.entries.push(Entry {
            session,
            cached,
            home,
            used: self.uses,
            whole_only: false,
        });
    }

    /// Earlier turns of the same conversation stand in its latest.
    fn drop_parts_of(
        &mut self,
        backend: &mut dyn Backend,
        session: &SessionId,
        cached: &CachedSequence,
    ) -> Result<(), BackendError> {
        while let Some(stale) = self
            .entries
            .iter()
            .position(|entry| &entry.session == session && entry.cached.is_part_of(cached))
        {
            self.evict(backend, stale)?;
        }
        Ok(())
    }

    /// Whether an idle cached sequence is in the key–value cache.
    pub(super) fn has_resident(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| matches!(entry.home, Home::Resident(_)))
    }

    /// Moves resident cached sequences out of the key–value cache.
    pub(super) fn settle(&mut self, backend: &mut dyn Backend) -> Result<(), BackendError> {
        let resident = |entry: &Entry| matches!(entry.home, Home::Resident(_));
        while let Some(index) = self.entries.iter().position(resident) {
            let entry = self.entries.swap_remove(index);
            let Home::Resident(sequence) = entry.home else {
                continue;
            };
            let mut cached = entry.cached;
            self.make_way();
            let memory = std::mem::take(&mut self.spare);
            let saved = backend.save_sequence(sequence, memory);
            cached.leave(&mut self.cells);
            self.free.push(sequence);
            backend.truncate(sequence, 0)?;
            match saved {
                Ok(bytes) if bytes.len() > self.options.memory => {
                    tracing::debug!(session = %entry.session, "KV snapshot is larger than the memory for all of them");
                }
                Ok(bytes) => {
                    let bytes = fitted(bytes);
                    self.latest_size = bytes.capacity();
                    self.stored += bytes.capacity();
                    self.entries.push(Entry {
                        session: entry.session,
                        cached,
                        home: Home::Stored(bytes),
                        used: entry.used,
                        whole_only: entry.whole_only,
                    });
                    self.keep_within_memory();
                }
                Err(error) => {
                    tracing::warn!(session = %entry.session, %error, "KV snapshot dropped");
                }
            }
        }
        Ok(())
    }

    /// Empties a sequence and gives its cells back.
    pub(super) fn discard(
        &mut self,
        backend: &mut dyn Backend,
        sequence: SequenceId,
        mut cached: CachedSequence,
    ) -> Result<(), BackendError> {
        cached.leave(&mut self.cells);
        self.free.push(sequence);
        backend.truncate(sequence, 0)
    }

    /// Moves resident cached sequences out if fewer than `rows` cells are free.
    pub(super) fn make_room(
        &mut self,
        backend: &mut dyn Backend,
        rows: usize,
    ) -> Result<(), BackendError> {
        if self.cells.available() < rows {
            self.settle(backend)?;
        }
        Ok(())
    }

    /// Forgets everything that a session left behind.
    pub(super) fn forget(
        &mut self,
        backend: &mut dyn Backend,
        session: &SessionId,
    ) -> Result<(), BackendError> {
        let mut forgotten = Ok(());
        while forgotten.is_ok()
            && let Some(index) = self.entries.iter().position(|e| &e.session == session)
        {
            forgotten = self.evict(backend, index);
        }
        self.spare = Vec::new();
        forgotten
    }

    /// The latest cached sequence of a session with its keys and values.
    pub(super) fn latest(
        &self,
        backend: &mut dyn Backend,
        session: &SessionId,
    ) -> Result<Option<(&CachedSequence, Vec<u8>)>, BackendError> {
        let own = self.entries.iter().filter(|e| &e.session == session);
        let Some(entry) = own.max_by_key(|entry| entry.used) else {
            return Ok(None);
        };
        let bytes = match &entry.home {
            Home::Resident(sequence) => backend.save_sequence(*sequence, Vec::new())?,
            Home::Stored(bytes) => bytes.clone(),
        };
        Ok(Some((&entry.cached, bytes)))
    }

    /// Drops what the next cached sequence to be stored is likely to push out, so that it
    /// can have its memory.
    fn make_way(&mut self) {
        let limit = self.options.memory.saturating_sub(self.latest_size);
        while self.stored > limit && self.drop_oldest() {}
    }

    /// Drops the least recently used of the stored cached sequences until the others fit.
    fn keep_within_memory(&mut self) {
        if self.stored + self.spare.capacity() > self.options.memory {
            self.spare = Vec::new();
        }
        while self.stored > self.options.memory && self.drop_oldest() {}
    }

    /// Drops the least recently used of the stored cached sequences, if there is one.
    fn drop_oldest(&mut self) -> bool {
        let stored = |entry: &Entry| matches!(entry.home, Home::Stored(_));
        let entries = self.entries.iter().enumerate();
        let oldest = entries
            .filter(|(_, entry)| stored(entry))
            .min_by_key(|(_, entry)| entry.used);
        let Some((oldest, _)) = oldest else {
            return false;
        };
        let oldest = self.entries.swap_remove(oldest);
        self.give_up(oldest.home);
        true
    }

    /// Stores a cached sequence no longer; keeps the memory that it was stored in if it
    /// is the largest and within the bound.
    fn give_up(&mut self, home: Home) {
        let Home::Stored(bytes) = home else {
            return;
        };
        let size = bytes.capacity();
        self.stored -= size;
        if size > self.spare.capacity() && self.stored + size <= self.options.memory {
            self.spare = bytes;
        }
    }

    fn evict(&mut self, backend: &mut dyn Backend, index: usize) -> Result<(), BackendError> {
        let entry = self.entries.swap_remove(index);
        match entry.home {
            Home::Resident(sequence) => self.discard(backend, sequence, entry.cached),
            stored @ Home::Stored(_) => {
                self.give_up(stored);
                Ok(())
            }
        }
    }
}

/// Gives back what a vector holds more than it needs; a little is left to it,
/// since conversations grow.
fn fitted(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.capacity() - bytes.len() > bytes.len() / 4 {
        bytes.shrink_to_fit();
    }
    bytes
}
