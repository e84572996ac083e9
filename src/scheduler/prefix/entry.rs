//! An idle cached sequence.

use crate::backend::SequenceId;
use crate::inference::SessionId;
use crate::scheduler::cached_sequence::CachedSequence;

/// A cached sequence that waits for the session's next turn.
#[derive(Debug)]
pub(super) struct Entry {
    pub session: SessionId,
    pub cached: CachedSequence,
    pub location: Location,
    pub used: u64,
    /// Whether an attempt to reuse only a part of it has failed.
    pub whole_only: bool,
}

/// Where the keys and values of a cached sequence are.
#[derive(Debug)]
pub(super) enum Location {
    /// In a sequence of the key–value cache.
    Resident(SequenceId),
    /// In host memory, in the backend's own format.
    Stored(Vec<u8>),
}

/// Shrinks a vector to little more than it needs. Some room is left because conversations grow.
pub(super) fn fitted(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.capacity() - bytes.len() > bytes.len() / 4 {
        bytes.shrink_to_fit();
    }
    bytes
}
