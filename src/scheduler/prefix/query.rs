//! A new generation's query to the prefix cache.

use crate::backend::{BackendError, Token};
use crate::inference::SessionId;
use crate::scheduler::cached_sequence::{Allowed, CachedSequence};
use crate::settings::PrefixPolicy;
use crate::steering::PlanKey;

/// Minimum length, in tokens, at which another session's prefix is worth the copy.
const MIN_FOREIGN: usize = 16;

/// Describes the prefix that a new generation can reuse.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct PrefixQuery<'a> {
    pub(in crate::scheduler) session: &'a SessionId,
    /// The prompt without its last token, which is always evaluated because its logits are needed.
    pub(in crate::scheduler) prompt: &'a [Token],
    /// The steering of the prompt.
    pub(in crate::scheduler) key: Option<PlanKey>,
}

impl PrefixQuery<'_> {
    /// Which positions of a cached sequence of `session` may be reused. Another session's emotion
    /// is never inherited.
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

    /// Number of positions of a cached sequence that can be reused; 0 if it is not worth it.
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

/// Whether a prefix was reused. If the cached positions are gone, the prompt is evaluated instead.
pub(in crate::scheduler) fn prefix_taken(
    taken: Result<(), BackendError>,
) -> Result<bool, BackendError> {
    match taken {
        Ok(()) => Ok(true),
        Err(error @ BackendError::PrefixEvicted { .. }) => {
            tracing::debug!(%error, "cached prefix is gone; evaluating it again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
