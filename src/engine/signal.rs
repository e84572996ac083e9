//! Wakes threads and tasks that wait for a change.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, PoisonError, lock};

/// Notifies every waiting thread and task of a change.
///
/// A waiter first calls [`seen`](Self::seen), then checks for work, and then waits. A change in
/// between ends the wait at once, so no change is missed.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    raised: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of changes so far.
    changes: u64,
    tasks: Vec<Waker>,
}

/// The changes that a waiter knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(u64);

impl Signal {
    /// Returns the changes up to now.
    pub fn seen(&self) -> Seen {
        Seen(lock(&self.state).changes)
    }

    /// Signals a change.
    pub fn raise(&self) {
        let mut state = lock(&self.state);
        state.changes += 1;
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        self.raised.notify_all();
        tasks.into_iter().for_each(Waker::wake);
    }

    /// Blocks the thread until there is a new change, for at most `limit`.
    pub fn wait(&self, seen: Seen, limit: Option<Duration>) {
        let mut state = lock(&self.state);
        while state.changes == seen.0 {
            let Some(limit) = limit else {
                let woken = self.raised.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            // One wait is enough, because a caller with a limit checks again anyway.
            let _ = self.raised.wait_timeout(state, limit);
            return;
        }
    }

    /// Waits until there is a new change.
    ///
    /// Cancel safe: every waiter that has not seen a change is notified of it.
    pub async fn changed(&self, seen: Seen) {
        std::future::poll_fn(|context| self.poll_changed(seen, context)).await;
    }

    fn poll_changed(&self, seen: Seen, context: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.changes != seen.0 {
            return Poll::Ready(());
        }
        let waker = context.waker();
        if !state.tasks.iter().any(|task| task.will_wake(waker)) {
            state.tasks.push(waker.clone());
        }
        Poll::Pending
    }
}

/// The signals for changes to generations.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The engine thread.
    pub engine: Signal,
    /// The task that ends waiting generations that are overdue or abandoned.
    pub overdue: Signal,
}
