//! Calls that cannot be handled yet, because their session is being read or memory is short.

use std::collections::{HashMap, VecDeque};

use super::SessionCall;
use crate::inference::SessionId;

/// Most calls that are put aside.
pub(super) const MAX_DEFERRED: usize = 65_536;

/// What the calls of a session wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The session is there.
    Loaded,
    /// The store has taken something.
    Progress,
}

/// The calls of a session, in their order.
#[derive(Debug)]
struct Queue {
    until: Until,
    calls: VecDeque<SessionCall>,
}

/// The calls that were put aside, by session.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    queues: HashMap<SessionId, Queue>,
    /// The sessions that wait for progress, the one that waits for longest first.
    waiting: VecDeque<SessionId>,
    calls: usize,
    loading: usize,
}

impl Deferred {
    /// Number of sessions that are being read.
    pub(super) fn loading(&self) -> usize {
        self.loading
    }

    /// Whether calls wait for progress of the store.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What the calls of a session wait for, if there are any.
    pub(super) fn until(&self, session: &SessionId) -> Option<Until> {
        self.queues.get(session).map(|queue| queue.until)
    }

    /// Puts a call behind the others of its session, if there are any. Returns it
    /// if too many were put aside already.
    pub(super) fn push(
        &mut self,
        session: &SessionId,
        until: Until,
        mut call: SessionCall,
    ) -> Option<SessionCall> {
        if self.calls >= MAX_DEFERRED {
            self.drop_abandoned();
        }
        if self.calls >= MAX_DEFERRED {
            return Some(call);
        }
        call.leave_mailbox();
        self.calls += 1;
        if let Some(queue) = self.queues.get_mut(session) {
            queue.calls.push_back(call);
            return None;
        }
        match until {
            Until::Loaded => self.loading += 1,
            Until::Progress => self.waiting.push_back(session.clone()),
        }
        let calls = VecDeque::from([call]);
        self.queues.insert(session.clone(), Queue { until, calls });
        None
    }

    /// Takes out the calls of a session that was read; `None` if none wait for that.
    pub(super) fn take_loaded(&mut self, session: &SessionId) -> Option<VecDeque<SessionCall>> {
        if self.until(session) != Some(Until::Loaded) {
            return None;
        }
        self.loading -= 1;
        Some(self.take(session))
    }

    /// Takes out the session that has waited for progress for longest, and its calls.
    pub(super) fn take_waiting(&mut self) -> Option<(SessionId, VecDeque<SessionCall>)> {
        let session = self.waiting.pop_front()?;
        let calls = self.take(&session);
        Some((session, calls))
    }

    fn take(&mut self, session: &SessionId) -> VecDeque<SessionCall> {
        let queue = self.queues.remove(session);
        let calls = queue.map(|queue| queue.calls).unwrap_or_default();
        self.calls -= calls.len();
        calls
    }

    /// Drops the calls whose callers have gone. An emptied queue stays until its time comes.
    fn drop_abandoned(&mut self) {
        for queue in self.queues.values_mut() {
            let before = queue.calls.len();
            queue.calls.retain(|call| !call.is_abandoned());
            self.calls -= before - queue.calls.len();
        }
    }
}
