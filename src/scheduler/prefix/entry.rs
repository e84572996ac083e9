//! An idle cached sequence.

use crate::backend::SequenceId;
use crate::inference::SessionId;
use crate::scheduler::cached_sequence::CachedSequence;

/// A cached sequence that waits for its next turn.
#[derive(Debug)]
pub(super) struct Entry {
    pub session: SessionId,
    pub cached: CachedSequence,
    pub location: Location,
    pub used: u64,
    /// Whether a part of it was asked for in vain.
    pub whole_only: bool,
}

/// Where the keys and values of a cached sequence are.
#[derive(Debug)]
pub(super) enum Location {
    /// In a sequence of the cache.
    Resident(SequenceId),
    /// In memory, in the backend's own form.
    Stored(Vec<u8>),
}

/// Gives back what a vector holds more than it needs; a little is left to it,
/// since conversations grow.
pub(super) fn fitted(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.capacity() - bytes.len() > bytes.len() / 4 {
        bytes.shrink_to_fit();
    }
    bytes
}
