//! What a new generation wants of the prefix cache.

use crate::backend::{BackendError, Token};
use crate::inference::SessionId;
use crate::scheduler::cached_sequence::{Allowed, CachedSequence};
use crate::settings::PrefixPolicy;
use crate::steering::PlanKey;

/// Shorter prefixes of other sessions are not worth the copy.
const MIN_FOREIGN: usize = 16;

/// What a new generation wants to take over.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct PrefixQuery<'a> {
    pub(in crate::scheduler) session: &'a SessionId,
    /// The prompt without its last token, which is evaluated in any case: its
    /// logits are needed.
    pub(in crate::scheduler) prompt: &'a [Token],
    /// The steering of the prompt.
    pub(in crate::scheduler) key: Option<PlanKey>,
}

impl PrefixQuery<'_> {
    /// What may be taken over of a cached sequence of `session`: feelings of another
    /// session are never inherited.
    pub(in crate::scheduler) fn allowed(
        &self,
        session: &SessionId,
        policy: PrefixPolicy,
    ) -> Allowed {
        if session == self.session && policy != PrefixPolicy::Exact {
            Allowed::Any
        } else {
            Allowed::Under(self.key)
        }
    }

    /// How much of a cached sequence can be taken over, 0 if it is not worth it.
    pub(in crate::scheduler) fn usable(
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
pub(in crate::scheduler) fn prefix_taken(
    taken: Result<(), BackendError>,
) -> Result<bool, BackendError> {
    match taken {
        Ok(()) => Ok(true),
        Err(error @ BackendError::PrefixEvicted { .. }) => {
            tracing::debug!(%error, "a prefix is evaluated again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
