//! Brings a call to its session: immediately if the session is in memory, otherwise in turn.
//!
//! A call that finds its session in memory acts under the cell's lock without waiting. Otherwise,
//! or if other calls already wait, it joins them. The first waiting call evicts another session if
//! there is no place, has a separate task load the session, and acts; then the next one follows. If
//! the session cannot be loaded, all calls that waited for it get the error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Sessions;
use super::acting::Acting;
use super::cache::{Lease, Room};
use super::cell::{Arrival, uncertain};
use super::change::Answer;
use super::crash::caught;
use super::places::{Loading, Place};
use super::reader::{MAX_PATIENCE, slow_after};
use super::writer::{Admission, WriteQueue};
use crate::error::{Error, StopReason};
use crate::inference::SessionId;
use crate::store::StoreError;

/// A call of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// The call's name, for fault injection.
    pub(super) name: &'static str,
    pub(super) kind: CallKind,
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    /// It needs the session in memory.
    Reads,
    /// It needs the session in memory and room for a change.
    Changes,
    /// It needs room for a change and must know whether the session exists.
    Forgets,
}

/// Progress of a call.
enum Step<T> {
    Done(Result<Answer<T>, Error>),
    /// It has to wait for something first.
    Needs(Need),
}

enum Need {
    /// Room for a change.
    Room,
    /// A new session.
    New,
    /// The session from the store.
    Load,
}

/// A call's turn among those that wait for a session. Dropping it passes the turn on.
struct Turn {
    _permit: OwnedSemaphorePermit,
    arrival: Arrival,
    lease: Lease,
    _told: TellWaiting,
}

/// Notifies the calls that wait for a place when it is dropped.
struct TellWaiting(Arc<WriteQueue>);

impl Drop for TellWaiting {
    fn drop(&mut self) {
        self.0.notify_progress();
    }
}

/// Counts a call that is not answered yet.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sessions {
    /// Runs `act` on a session and waits until the change is acknowledged.
    ///
    /// # Cancel safety
    /// If the future is dropped, the call may or may not have acted. The session is consistent in
    /// either case.
    pub(super) async fn call<T>(
        self: &Arc<Self>,
        call: Call,
        session: &SessionId,
        act: impl Fn(&mut Acting<'_>) -> Result<Answer<T>, Error>,
    ) -> Result<T, Error> {
        // A caller in a loop that never has to wait must still yield to other tasks.
        tokio::task::coop::consume_budget().await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.calls);
        loop {
            self.crashes.check()?;
            let applied = AtomicBool::new(false);
            match caught(self.attempt(call, session, &applied, &act)).await {
                Ok(result) => return result,
                Err(panic) => self.crashes.tell(panic),
            }
            if applied.load(Ordering::Acquire) {
                return Err(uncertain());
            }
            self.crashes.recovery().await?;
        }
    }

    async fn attempt<T>(
        self: &Arc<Self>,
        call: Call,
        session: &SessionId,
        applied: &AtomicBool,
        act: &impl Fn(&mut Acting<'_>) -> Result<Answer<T>, Error>,
    ) -> Result<T, Error> {
        self.probe.at("emotion", call.name);
        let lease = self.cache.lease(session, self.clock.now());
        let deadline = Instant::now() + MAX_PATIENCE;
        let answer = match self.step(call, &lease, None, None, applied, act) {
            Step::Done(answer) => answer?,
            Step::Needs(_) => {
                // Boxed, so that the future of a call that need not wait stays small.
                let in_turn = Box::pin(self.in_turn(call, lease, applied, act));
                let in_turn = timeout_at(deadline, self.crashes.unless_stopped(in_turn)).await;
                in_turn.unwrap_or_else(|_| Err(slow_after(MAX_PATIENCE).into()))?
            }
        };
        answer.counts(deadline).await
    }

    /// Acts if nothing blocks the call. `arrival` is its place among the waiting calls; `known` is
    /// the store's answer.
    fn step<T>(
        &self,
        call: Call,
        lease: &Lease,
        arrival: Option<&Arrival>,
        mut known: Option<bool>,
        applied: &AtomicBool,
        act: &impl Fn(&mut Acting<'_>) -> Result<Answer<T>, Error>,
    ) -> Step<T> {
        let mut state = lease.lock();
        if arrival.is_none() && state.has_waiting() {
            return Step::Needs(Need::Room);
        }
        let _room = if call.kind == CallKind::Reads || self.durability.is_none() {
            None
        } else {
            match self.queue.admit(false) {
                Admission::Open(room) => Some(room),
                Admission::Full => return Step::Needs(Need::Room),
                Admission::Behind(error) => return Step::Done(Err(error.into())),
                Admission::Closing => return Step::Done(Err(self.closing())),
            }
        };
        if state.resident.is_some() {
            known = Some(true);
        } else if known.is_none() {
            let forgets = call.kind == CallKind::Forgets;
            if self.durability.is_some() && !state.is_leaving() {
                match arrival.and_then(|arrival| arrival.failure(&state)) {
                    None => return Step::Needs(Need::Load),
                    Some(error) if forgets && can_be_forgotten(&error) => known = Some(true),
                    Some(error) => return Step::Done(Err(error.into())),
                }
            } else if !forgets {
                return Step::Needs(Need::New);
            }
        }
        Step::Done(act(&mut Acting {
            lease,
            state: &mut state,
            now: self.clock.now(),
            known: known.unwrap_or(false),
            applied,
        }))
    }

    /// Acts once the calls before this one have acted.
    async fn in_turn<T>(
        self: &Arc<Self>,
        call: Call,
        lease: Lease,
        applied: &AtomicBool,
        act: &impl Fn(&mut Acting<'_>) -> Result<Answer<T>, Error>,
    ) -> Result<Answer<T>, Error> {
        let forgets = call.kind == CallKind::Forgets;
        let mut turn = self.turn(lease).await?;
        let mut known = None;
        loop {
            let arrival = Some(&turn.arrival);
            match self.step(call, &turn.lease, arrival, known, applied, act) {
                Step::Done(answer) => return answer,
                Step::Needs(Need::Room) => self.queue.room().await,
                Step::Needs(Need::New) => {
                    let place = self.place(turn.lease.session()).await?;
                    self.admit(&turn.lease, None, place)?;
                }
                Step::Needs(Need::Load) => {
                    let place = if forgets {
                        None
                    } else {
                        Some(self.place(turn.lease.session()).await?)
                    };
                    let loaded;
                    (turn, loaded) = self.load(turn, place).await;
                    known = match loaded {
                        Ok(stored) => forgets.then_some(stored),
                        Err(Error::Store(error)) if forgets && can_be_forgotten(&error) => {
                            Some(true)
                        }
                        Err(error) => return Err(error),
                    };
                }
            }
        }
    }

    async fn turn(&self, lease: Lease) -> Result<Turn, Error> {
        let arrival = Arrival::new(lease.cell());
        let permit = arrival.turn().acquire_owned().await;
        Ok(Turn {
            // The semaphore is never closed.
            _permit: permit.map_err(|_| uncertain())?,
            arrival,
            lease,
            _told: TellWaiting(Arc::clone(&self.queue)),
        })
    }

    /// Waits for a place in memory.
    ///
    /// # Errors
    /// [`Error::TooManySessions`] where waiting would not help.
    async fn place(&self, session: &SessionId) -> Result<Place, Error> {
        loop {
            let mut found = None;
            let look = || {
                found = match self.cache.room(self.durability.is_some()) {
                    Room::Place(place) => Some(Ok(place)),
                    // A session is not evicted before its changes are written.
                    Room::Soon if !self.queue.is_failing() => None,
                    // Sessions with a running generation stay, and its reader may never read on.
                    Room::Soon | Room::Full => Some(Err(Error::TooManySessions {
                        session: session.to_string(),
                        limit: self.cache.places().limit(),
                    })),
                };
                found.is_none()
            };
            self.queue.progress(look).await;
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Has a session loaded and returns whether the store has it. Without a place, the store is
    /// only asked whether the session exists. The loading task continues if this future is dropped,
    /// so that there is at most one for each session.
    async fn load(
        self: &Arc<Self>,
        turn: Turn,
        place: Option<Place>,
    ) -> (Turn, Result<bool, Error>) {
        let (tell, told) = oneshot::channel();
        let sessions = Arc::clone(self);
        let place = place.map(|place| (place, self.cache.places().begin_loading()));
        tokio::spawn(async move {
            let loaded = caught(sessions.load_alone(&turn, place)).await;
            // If the caller is gone, its turn passes to the next call.
            let _ = tell.send((turn, loaded));
        });
        match told.await {
            Ok((turn, Ok(loaded))) => (turn, loaded),
            Ok((_, Err(panic))) => std::panic::resume_unwind(Box::new(panic)),
            Err(_) => std::panic::resume_unwind(Box::new("the loading task is gone")),
        }
    }

    async fn load_alone(
        &self,
        turn: &Turn,
        place: Option<(Place, Loading)>,
    ) -> Result<bool, Error> {
        let stored = match self.reader.load(turn.lease.session().clone()).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Err(self.closing()),
            Err(error) => {
                turn.arrival.fail(&error);
                return Err(error.into());
            }
        };
        let is_known = stored.is_some();
        if let Some((place, loading)) = place {
            drop(loading);
            self.admit(&turn.lease, stored, place)?;
        }
        Ok(is_known)
    }

    /// The error while the runtime closes.
    pub(super) fn closing(&self) -> Error {
        match self.crashes.check() {
            Err(stopped) => stopped,
            Ok(()) => StopReason::new("the runtime is closing").into(),
        }
    }
}

/// Whether a session that cannot be read for this reason can still be forgotten.
fn can_be_forgotten(error: &StoreError) -> bool {
    matches!(error, StoreError::DamagedSession { .. })
}
