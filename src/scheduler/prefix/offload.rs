//! Moves cached sequences from the key–value cache to host memory, which is bounded.

use super::PrefixCache;
use super::entry::{Entry, Location, fitted};
use crate::backend::{Backend, BackendError};

impl PrefixCache {
    /// Whether an idle cached sequence is in the key–value cache.
    pub(in crate::scheduler) fn has_resident(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| matches!(entry.location, Location::Resident(_)))
    }

    /// Moves resident cached sequences out of the key–value cache.
    pub(in crate::scheduler) fn offload(
        &mut self,
        backend: &mut dyn Backend,
    ) -> Result<(), BackendError> {
        let resident = |entry: &Entry| matches!(entry.location, Location::Resident(_));
        while let Some(index) = self.entries.iter().position(resident) {
            let entry = self.entries.swap_remove(index);
            let Location::Resident(sequence) = entry.location else {
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
                        location: Location::Stored(bytes),
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

    /// Moves resident cached sequences out if fewer than `rows` cells are free.
    pub(in crate::scheduler) fn make_room(
        &mut self,
        backend: &mut dyn Backend,
        rows: usize,
    ) -> Result<(), BackendError> {
        if self.cells.available() < rows {
            self.offload(backend)?;
        }
        Ok(())
    }

    /// Drops the entries that the next cached sequence is likely to displace, so that it can reuse
    /// their memory.
    fn make_way(&mut self) {
        let limit = self.options.memory.saturating_sub(self.latest_size);
        while self.stored > limit && self.drop_oldest() {}
    }

    /// Drops the least recently used stored cached sequences until the others fit.
    pub(super) fn keep_within_memory(&mut self) {
        if self.stored + self.spare.capacity() > self.options.memory {
            self.spare = Vec::new();
        }
        while self.stored > self.options.memory && self.drop_oldest() {}
    }

    /// Drops the least recently used stored cached sequence, if there is one.
    fn drop_oldest(&mut self) -> bool {
        let stored = |entry: &Entry| matches!(entry.location, Location::Stored(_));
        let entries = self.entries.iter().enumerate();
        let oldest = entries
            .filter(|(_, entry)| stored(entry))
            .min_by_key(|(_, entry)| entry.used);
        let Some((oldest, _)) = oldest else {
            return false;
        };
        let oldest = self.entries.swap_remove(oldest);
        self.give_up(oldest.location);
        true
    }

    /// Drops a cached sequence's storage. Its buffer becomes the spare one if it is larger than the
    /// present one and within the bound.
    pub(super) fn give_up(&mut self, location: Location) {
        let Location::Stored(bytes) = location else {
            return;
        };
        let size = bytes.capacity();
        self.stored -= size;
        if size > self.spare.capacity() && self.stored + size <= self.options.memory {
            self.spare = bytes;
        }
    }
}
