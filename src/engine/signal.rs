//! Wakes threads and tasks that wait for something to change.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, PoisonError, lock};

/// Tells that something changed, to every thread and task that waits.
///
/// A waiter first calls [`seen`](Self::seen), then looks whether there is something to do, and
/// then waits. A change that is told in between ends the wait at once, so none is missed.
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
    /// Returns what has been told up to now.
    pub fn seen(&self) -> Seen {
        Seen(lock(&self.state).changes)
    }

    /// Tells that something changed.
    pub fn raise(&self) {
        let mut state = lock(&self.state);
        state.changes += 1;
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        self.raised.notify_all();
        tasks.into_iter().for_each(Waker::wake);
    }

    /// Blocks the thread until something new is told; with a limit, at most so long.
    pub fn wait(&self, seen: Seen, limit: Option<Duration>) {
        let mut state = lock(&self.state);
        while state.changes == seen.0 {
            let Some(limit) = limit else {
                let woken = self.raised.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            // One wait is enough: whoever sets a limit looks again in any case.
            let _ = self.raised.wait_timeout(state, limit);
            return;
        }
    }

    /// Waits until something new is told.
    ///
    /// Cancel safe: a change is told to all who have not seen it.
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

/// Who is told of changes to generations.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The engine thread.
    pub engine: Signal,
    /// The task that ends waiting generations which are overdue or abandoned.
    pub overdue: Signal,
}
