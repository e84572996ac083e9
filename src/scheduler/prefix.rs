//! The prefix cache: cached sequences of finished generations.
//!
//! The cells of an idle cached sequence make attention slower for every decoding row. Therefore
//! only the cached sequence of the very last generation stays in the key–value cache, and only
//! until another generation begins. The others are held as bytes in host memory.

mod entry;
mod offload;
mod query;

use entry::{Entry, Location, fitted};
pub(super) use query::{PrefixQuery, prefix_taken};

use super::cached_sequence::CachedSequence;
use super::cells::Cells;
use crate::backend::{Backend, BackendError, SequenceId};
use crate::inference::SessionId;
use crate::settings::PrefixPolicy;

/// Options of the prefix cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixOptions {
    /// What a prompt may reuse.
    pub policy: PrefixPolicy,
    /// Memory for cached sequences kept for later prompts, in bytes; 0 keeps none.
    pub memory: usize,
}

/// Idle cached sequences, free sequences and free cells.
#[derive(Debug)]
pub(super) struct PrefixCache {
    options: PrefixOptions,
    /// Whether a sequence can be truncated and shared at any position.
    supports_truncation: bool,
    entries: Vec<Entry>,
    /// Size of the stored cached sequences, in bytes.
    stored: usize,
    /// The buffer of a dropped cached sequence, reused for the next one.
    spare: Vec<u8>,
    /// Size in bytes of the cached sequence stored last.
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
            // One for each running generation and one for a resident cached sequence.
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

    /// Cells in use, and the total number of cells.
    pub(super) fn usage(&self) -> (usize, usize) {
        let capacity = self.cells.capacity();
        (capacity - self.cells.available(), capacity)
    }

    /// Number of cached sequences kept, resident and stored.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Size of the stored cached sequences, in bytes.
    pub(super) fn stored(&self) -> usize {
        self.stored
    }

    /// Size in bytes of the spare buffer for the next cached sequence.
    pub(super) fn spare(&self) -> usize {
        self.spare.capacity()
    }

    /// Maximum size of the stored cached sequences, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.options.memory
    }

    /// Takes an unused sequence. There is one for each running generation and a resident cached
    /// sequence, so `None` means that an invariant was violated.
    pub(super) fn open(&mut self) -> Option<SequenceId> {
        self.free.pop()
    }

    /// Returns a sequence that was not used.
    pub(super) fn close(&mut self, sequence: SequenceId) {
        self.free.push(sequence);
    }

    /// The cached sequences of a session.
    pub(super) fn cached_sequences_of(
        &self,
        session: &SessionId,
    ) -> impl Iterator<Item = &CachedSequence> {
        let own = move |entry: &&Entry| &entry.session == session;
        self.entries.iter().filter(own).map(|entry| &entry.cached)
    }

    /// The entry that saves the most tokens of a prompt, and how many it saves.
    pub(super) fn find(&self, query: &PrefixQuery<'_>) -> Option<(usize, usize)> {
        let usable = |entry: &Entry| {
            let usable = query.usable(&entry.session, &entry.cached, self.options.policy);
            // A sequence that cannot be truncated is reused whole or not at all.
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
            // The session's own entry can be taken over without a copy.
            .max_by_key(|&(_, usable, entry)| (usable, &entry.session == query.session, entry.used))
            .map(|(index, usable, _)| (index, usable))
    }

    /// Gives the first `length` positions of an entry to the empty `cached` of `sequence`. A
    /// session that continues from the end of its own cached sequence takes the entry over;
    /// otherwise the entry stays.
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
        match &entry.location {
            Location::Resident(resident) if goes_on => {
                self.free.push(*sequence);
                *sequence = *resident;
                cached.take_over(self.entries.swap_remove(index).cached);
                return Ok(());
            }
            Location::Resident(resident) => {
                if prefix_taken(backend.share_prefix(*resident, *sequence, length as u32))? {
                    cached.share(&entry.cached, length, &mut self.cells);
                }
                return Ok(());
            }
            Location::Stored(_) => {}
        }
        let mut entry = self.entries.swap_remove(index);
        let Location::Stored(bytes) = &entry.location else {
            return Ok(());
        };
        let all = entry.cached.len();
        if self.cells.available() >= all {
            if let Err(error) = backend.restore_sequence(*sequence, all as u32, bytes) {
                // The prompt is evaluated instead.
                tracing::warn!(session = %entry.session, %error, "KV snapshot cannot be restored");
                self.give_up(entry.location);
                return Ok(());
            }
            if whole || prefix_taken(backend.truncate(*sequence, length as u32))? {
                cached.repeat(&entry.cached, length, &mut self.cells);
            } else {
                // Positions outside of the attention window were not saved.
                entry.whole_only = true;
                backend.truncate(*sequence, 0)?;
            }
        }
        if goes_on && cached.len() == length {
            self.give_up(entry.location);
        } else {
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Keeps the cached sequence of a finished generation. It stays resident if nothing else runs,
    /// because its session may continue at once.
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
        // At most one entry is resident.
        self.offload(backend)?;
        self.insert(session, cached, Location::Resident(sequence));
        if others_run {
            self.offload(backend)?;
        }
        Ok(())
    }

    /// Keeps a cached sequence that was serialised before.
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
        self.insert(session, cached, Location::Stored(bytes));
        self.keep_within_memory();
        Ok(())
    }

    fn insert(&mut self, session: SessionId, cached: CachedSequence, location: Location) {
        self.uses += 1;
        self.entries.push(Entry {
            session,
            cached,
            location,
            used: self.uses,
            whole_only: false,
        });
    }

    /// Drops the session's entries that are prefixes of its latest one.
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

    /// Empties a sequence and releases its cells.
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

    /// Drops all cached sequences of a session.
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

    /// The latest cached sequence of a session, with its keys and values.
    pub(super) fn latest(
        &self,
        backend: &mut dyn Backend,
        session: &SessionId,
    ) -> Result<Option<(&CachedSequence, Vec<u8>)>, BackendError> {
        let own = self.entries.iter().filter(|e| &e.session == session);
        let Some(entry) = own.max_by_key(|entry| entry.used) else {
            return Ok(None);
        };
        let bytes = match &entry.location {
            Location::Resident(sequence) => backend.save_sequence(*sequence, Vec::new())?,
            Location::Stored(bytes) => bytes.clone(),
        };
        Ok(Some((&entry.cached, bytes)))
    }

    fn evict(&mut self, backend: &mut dyn Backend, index: usize) -> Result<(), BackendError> {
        let entry = self.entries.swap_remove(index);
        match entry.location {
            Location::Resident(sequence) => self.discard(backend, sequence, entry.cached),
            stored @ Location::Stored(_) => {
                self.give_up(stored);
                Ok(())
            }
        }
    }
}
