//! Changes a session and announces the change.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Sessions;
use super::acting::Acting;
use super::cell::{Changed, uncertain};
use super::reader::{MAX_PATIENCE, slow_after};
use crate::bus::EventBus;
use crate::emotion::{
    AppliedEvent, EmotionEvent, EmotionTracker, JournalEntry, JournalRecord, SafetyLimit, Spiral,
};
use crate::error::Error;
use crate::event::{Event, EventSource};
use crate::inference::SessionId;
use crate::store::{Durability, StoreError};
use crate::telemetry;

/// The answer to a call.
pub(super) struct Answer<T> {
    value: T,
    /// Resolves once the change is committed; `None` if the answer is valid immediately.
    committed: Option<oneshot::Receiver<Result<(), StoreError>>>,
}

impl<T> Answer<T> {
    /// An answer that is valid immediately.
    pub(super) fn now(value: T) -> Self {
        let committed = None;
        Self { value, committed }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: change(self.value),
            committed: self.committed,
        }
    }

    /// Waits until the answer is valid, at most until `deadline`.
    ///
    /// # Errors
    /// [`Error::Store`] if the store refuses the change or does not answer in time;
    /// [`Error::Uncertain`] if the outcome is lost.
    pub(super) async fn counts(self, deadline: Instant) -> Result<T, Error> {
        if let Some(committed) = self.committed {
            let told = timeout_at(deadline, committed).await;
            let told = told.map_err(|_| slow_after(MAX_PATIENCE))?;
            told.map_err(|_| uncertain())??;
        }
        Ok(self.value)
    }
}

impl Sessions {
    /// Changes a session in memory. `announce` notifies observers once the change is in force.
    pub(super) fn change<T: Clone + Send + 'static>(
        &self,
        acting: &mut Acting<'_>,
        what: JournalRecord,
        act: impl FnOnce(&mut EmotionTracker, f64) -> Result<T, Error>,
        announce: impl FnOnce(&SessionId, &T) + Send + 'static,
    ) -> Result<Answer<T>, Error> {
        let now = acting.now;
        let entry = JournalEntry { at: now, what };
        let act = |tracker: &mut EmotionTracker| act(tracker, now);
        let changed = acting.state.change(self.durability, entry, act)?;
        acting.applied.store(true, Ordering::Release);
        let Changed { value, unwritten } = changed;
        if self.durability.is_some() {
            self.queue.enqueue(acting.lease, &unwritten);
        }
        let session = acting.lease.session();
        if self.durability != Some(Durability::Sync) {
            announce(session, &value);
            return Ok(Answer::now(value));
        }
        let (session, told) = (session.clone(), value.clone());
        let committed = Some(acting.when_committed(move || announce(&session, &told)));
        Ok(Answer { value, committed })
    }

    /// Removes a session from memory and from the store.
    pub(super) fn remove(&self, acting: &mut Acting<'_>) -> Answer<bool> {
        let value = acting.known;
        acting.state.drop_resident();
        acting.state.clear_failure();
        acting.applied.store(true, Ordering::Release);
        telemetry::sessions(self.resident());
        if self.durability.is_some() {
            let unwritten = acting.state.forget_in_store();
            self.queue.enqueue(acting.lease, &unwritten);
        }
        let committed = match self.durability {
            Some(Durability::Sync) => Some(acting.when_committed(|| {})),
            _ => None,
        };
        Answer { value, committed }
    }

    /// Applies an event to a session; `None` if `bound` leaves no effect.
    pub(super) fn apply(
        &self,
        acting: &mut Acting<'_>,
        event: EmotionEvent,
        source: EventSource,
        bound: Option<f64>,
    ) -> Result<Answer<Option<AppliedEvent>>, Error> {
        let event = event.with_source(source);
        let Some(event) = self.allowed(acting, event, bound)? else {
            return Ok(Answer::now(None));
        };
        Ok(self.felt(acting, event, source)?.map(Some))
    }

    /// Applies an event to a session, regardless of the limit on events.
    pub(super) fn felt(
        &self,
        acting: &mut Acting<'_>,
        event: EmotionEvent,
        source: EventSource,
    ) -> Result<Answer<AppliedEvent>, Error> {
        let what = JournalRecord::Felt(event.clone());
        let (applied, bus) = (event.clone(), self.bus.clone());
        let act = |tracker: &mut EmotionTracker, now| apply(tracker, &applied, now);
        let announce = move |session: &SessionId, applied: &AppliedEvent| {
            announce_felt(&bus, session, event, source, applied);
        };
        self.change(acting, what, act, announce)
    }

    /// Weakens an event until it stays within a bound; `None` if no effect is left.
    ///
    /// # Errors
    /// [`Error::TooManyEvents`] if the session has received too many events recently.
    fn allowed(
        &self,
        acting: &mut Acting<'_>,
        event: EmotionEvent,
        bound: Option<f64>,
    ) -> Result<Option<EmotionEvent>, Error> {
        let (session, now) = (acting.lease.session(), acting.now);
        let resident = acting.resident()?;
        if let Some(per_minute) = self.config.events_per_minute
            && !resident.budget.take(now, per_minute)
        {
            limited(&self.bus, session, SafetyLimit::EventRate, event.name());
            return Err(Error::TooManyEvents {
                session: session.to_string(),
                per_minute,
            });
        }
        let Some(bound) = bound else {
            return Ok(Some(event));
        };
        let bounded = resident.latest().bounded(&event, now, bound)?;
        if bounded.as_ref() != Some(&event) {
            limited(&self.bus, session, SafetyLimit::Appraisal, event.name());
        }
        Ok(bounded)
    }
}

/// Notifies the observers of an event in force.
fn announce_felt(
    bus: &EventBus,
    session: &SessionId,
    event: EmotionEvent,
    source: EventSource,
    applied: &AppliedEvent,
) {
    telemetry::emotion_event(&event, applied);
    for limit in applied.rules.safety_limits() {
        limited(bus, session, limit, event.name());
    }
    bus.publish(Event::Felt {
        session: session.clone(),
        event,
        source,
        before: applied.before,
        after: applied.after,
    });
}

/// Applies an event and counts the spiral if it begins one.
fn apply(
    tracker: &mut EmotionTracker,
    event: &EmotionEvent,
    now: f64,
) -> Result<AppliedEvent, Error> {
    let before = tracker.spiral();
    let applied = tracker.apply(event, now)?;
    let after = tracker.spiral();
    if after != before && after != Spiral::None {
        telemetry::spiral(after);
    }
    Ok(applied)
}

/// Logs, counts and publishes a safety limit that acted.
pub(super) fn limited(bus: &EventBus, session: &SessionId, limit: SafetyLimit, asked: &str) {
    telemetry::safety_limit(limit);
    bus.publish(Event::LimitActed {
        session: session.clone(),
        limit,
        asked: asked.to_owned(),
    });
}
