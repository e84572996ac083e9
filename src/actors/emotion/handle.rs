//! The emotion actor's address.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{EmotionMessage, Feeling, Observation, Reply, SessionCall, Ticket};
use crate::actors::{CallError, Handle};
use crate::emotion::{AppliedEvent, EmotionEvent, EmotionSnapshot, EmotionTracker, SafetyLimits};
use crate::error::Error;
use crate::event::{ActorName, EventSource};
use crate::inference::SessionId;
use crate::store::StoreError;

/// The emotion actor's address.
#[derive(Debug, Clone)]
pub struct EmotionHandle {
    actor: Handle<EmotionMessage>,
    bound: Option<Duration>,
}

impl EmotionHandle {
    /// Makes a typed handle. With a store, `bound` is the longest time that an
    /// answer may take.
    pub fn new(actor: Handle<EmotionMessage>, bound: Option<Duration>) -> Self {
        Self { actor, bound }
    }

    /// Calls that are not answered yet.
    pub fn waiting(&self) -> usize {
        self.actor.waiting()
    }

    /// Applies an event and waits until it is in force.
    ///
    /// If the actor fails before it looked at the event, the event is sent
    /// again; no event is ever applied twice.
    ///
    /// # Errors
    /// [`Error::Emotion`], [`Error::TooManyEvents`], [`Error::TooManySessions`],
    /// [`Error::Store`], [`Error::Uncertain`] if the actor failed in the middle
    /// of the event, or [`Error::Stopped`].
    pub async fn feel(
        &self,
        session: &SessionId,
        event: &EmotionEvent,
    ) -> Result<AppliedEvent, Error> {
        let feeling = Feeling {
            event: event.clone(),
            source: EventSource::Caller,
            bound: None,
        };
        let applied = self.feel_bounded(session, &feeling).await?;
        applied.ok_or_else(|| stopped(CallError::Unanswered))
    }

    /// Applies an event within its bound; `None` if the bound leaves nothing
    /// of it. Else as [`feel`](Self::feel).
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn feel_bounded(
        &self,
        session: &SessionId,
        feeling: &Feeling,
    ) -> Result<Option<AppliedEvent>, Error> {
        loop {
            let ticket = Arc::new(Ticket::default());
            let answer = self
                .call(|reply| {
                    let ticket = Arc::clone(&ticket);
                    of(session, SessionCall::Feel(feeling.clone(), ticket, reply))
                })
                .await;
            match answer {
                Ok(result) => return result,
                Err(CallError::Unanswered) if ticket.is_untouched() => {}
                Err(error) => return Err(stopped(error)),
            }
        }
    }

    /// Notes what the session did; returns what the events did that it
    /// stands for. Sent again as [`feel`](Self::feel) is.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn observe(
        &self,
        session: &SessionId,
        what: &Observation,
    ) -> Result<Vec<AppliedEvent>, Error> {
        loop {
            let ticket = Arc::new(Ticket::default());
            let answer = self
                .call(|reply| {
                    let ticket = Arc::clone(&ticket);
                    of(session, SessionCall::Observe(what.clone(), ticket, reply))
                })
                .await;
            match answer {
                Ok(result) => return result,
                Err(CallError::Unanswered) if ticket.is_untouched() => {}
                Err(error) => return Err(stopped(error)),
            }
        }
    }

    /// The session's state at this moment.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn snapshot(&self, session: &SessionId) -> Result<EmotionSnapshot, Error> {
        self.ask(|reply| of(session, SessionCall::Snapshot(reply)))
            .await
    }

    /// The session's tracker as it changes.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn follow(
        &self,
        session: &SessionId,
    ) -> Result<watch::Receiver<Arc<EmotionTracker>>, Error> {
        self.ask(|reply| of(session, SessionCall::Follow(reply)))
            .await
    }

    /// Sets the session back to its baseline.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn reset(&self, session: &SessionId) -> Result<(), Error> {
        self.ask(|reply| of(session, SessionCall::Reset(reply)))
            .await
    }

    /// Changes the session's steering strength, in [0, 3].
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn set_strength(&self, session: &SessionId, strength: f64) -> Result<(), Error> {
        self.ask(|reply| of(session, SessionCall::SetStrength(strength, reply)))
            .await
    }

    /// Changes the session's own safety limits.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub async fn set_limits(&self, session: &SessionId, limits: SafetyLimits) -> Result<(), Error> {
        self.ask(|reply| of(session, SessionCall::SetLimits(limits, reply)))
            .await
    }

    /// Forgets the session; tells whether there was one.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn forget(&self, session: &SessionId) -> Result<bool, Error> {
        self.ask(|reply| of(session, SessionCall::Forget(reply)))
            .await
    }

    /// Lists the sessions, in no particular order.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn list(&self) -> Result<Vec<SessionId>, Error> {
        self.ask(EmotionMessage::List).await
    }

    /// Asks what may safely be asked twice.
    async fn ask<T: Send + 'static>(
        &self,
        message: impl Fn(Reply<T>) -> EmotionMessage,
    ) -> Result<T, Error> {
        loop {
            match self.call(&message).await {
                Ok(result) => return result,
                Err(CallError::Unanswered) => {}
                Err(error) => return Err(stopped(error)),
            }
        }
    }

    /// Sends a message and waits for its answer, within the bound.
    async fn call<T: Send + 'static>(
        &self,
        message: impl FnOnce(Reply<T>) -> EmotionMessage,
    ) -> Result<Result<T, Error>, CallError> {
        let call = self
            .actor
            .call_from(|port, place| message(Reply::new(port, place)));
        let Some(bound) = self.bound else {
            return call.await;
        };
        tokio::time::timeout(bound, call).await.unwrap_or_else(|_| {
            let seconds = bound.as_secs();
            Ok(Err(StoreError::Slow { seconds }.into()))
        })
    }
}

fn of(session: &SessionId, call: SessionCall) -> EmotionMessage {
    EmotionMessage::Call(session.clone(), call)
}

fn stopped(error: CallError) -> Error {
    match error {
        CallError::Unanswered => Error::Uncertain {
            actor: ActorName::Emotion.as_str(),
        },
        CallError::Stopped(reason) => reason.into(),
    }
}
