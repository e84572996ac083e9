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
    /// Number of failed attempts to load the session while calls waited.
    failures: u64,
    /// Error of the last failed attempt.
    failure: Option<StoreError>,
}

/// A call's place among those that wait for its session.
#[derive(Debug)]
pub struct Arrival {
    cell: Arc<SessionCell>,
    turn: Arc<Semaphore>,
    /// Number of failures before it arrived.
    failures: u64,
}

impl Arrival {
    /// Joins the waiting calls. Their turns follow the order of arrival.
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

    /// The semaphore whose single permit is the turn.
    pub(in crate::sessions) fn turn(&self) -> Arc<Semaphore> {
        Arc::clone(&self.turn)
    }

    /// Why the session could not be loaded since this call arrived.
    pub(in crate::sessions) fn failure(&self, state: &CellState) -> Option<StoreError> {
        let waiting = state.waiting.as_ref()?;
        let since = self.failures < waiting.failures;
        waiting.failure.clone().filter(|_| since)
    }

    /// Records for all waiting calls that the session could not be loaded.
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
    /// Whether calls wait. Later calls must then wait behind them.
    pub(in crate::sessions) fn has_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Records that nothing blocks the waiting calls any more.
    pub(in crate::sessions) fn clear_failure(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.failure = None;
        }
    }
}
