//! Calls that wait until their session is loaded, or until there is room, in the order of their
//! arrival.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{CellState, SessionCell};
use crate::store::StoreError;

/// The calls of a session that wait, in the order of their arrival.
#[derive(Debug)]
pub(super) struct WaitingCalls {
    /// One permit, which goes from call to call in their order.
    turn: Arc<Semaphore>,
    calls: usize,
    /// Attempts to load the session that have failed while calls waited.
    failures: u64,
    /// Why the last one did.
    failure: Option<StoreError>,
}

/// A call's place among those that wait for its session.
#[derive(Debug)]
pub struct Arrival {
    cell: Arc<SessionCell>,
    turn: Arc<Semaphore>,
    /// Failures before it came.
    failures: u64,
}

impl Arrival {
    /// Joins the calls that wait; the order of this is the order of their turns.
    pub(in crate::sessions) fn new(cell: &Arc<SessionCell>) -> Self {
        let mut state = cell.lock();
        let waiting = state.waiting.get_or_insert_with(|| {
            Box::new(WaitingCalls {
                turn: Arc::new(Semaphore::new(1)),
                calls: 0,
                failures: 0,
                failure: None,
            })
        });
        waiting.calls += 1;
        Self {
            turn: Arc::clone(&waiting.turn),
            failures: waiting.failures,
            cell: Arc::clone(cell),
        }
    }

    /// Semaphore whose one permit is the turn.
    pub(in crate::sessions) fn turn(&self) -> Arc<Semaphore> {
        Arc::clone(&self.turn)
    }

    /// Why the session could not be loaded since this call has come.
    pub(in crate::sessions) fn failure(&self, state: &CellState) -> Option<StoreError> {
        let waiting = state.waiting.as_ref()?;
        let since = self.failures < waiting.failures;
        waiting.failure.clone().filter(|_| since)
    }

    /// Notes that the session could not be loaded, for all who wait for it.
    pub(in crate::sessions) fn fail(&self, error: &StoreError) {
        if let Some(waiting) = &mut self.cell.lock().waiting {
            waiting.failures += 1;
            waiting.failure = Some(error.clone());
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut state = self.cell.lock();
        if let Some(waiting) = &mut state.waiting {
            waiting.calls -= 1;
            if waiting.calls == 0 {
                state.waiting = None;
            }
        }
    }
}

impl CellState {
    /// Whether calls wait, so that others have to wait behind them.
    pub(in crate::sessions) fn has_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Notes that there is nothing in the way of the calls that wait any more.
    pub(in crate::sessions) fn clear_failure(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.failure = None;
        }
    }
}
