//! What sessions feel: events from outside, from what they do, and from silence.

use std::sync::{Arc, MutexGuard};

use super::super::sessions::MAX_WAITING;
use super::super::table::{Keeping, Table};
use super::super::watching::{LOOKS_PER_TICK, Observation};
use super::super::{Feeling, Reply, SessionCall, Ticket};
use super::EmotionState;
use crate::actors::Wiring;
use crate::emotion::{
    AppliedEvent, EmotionEvent, EmotionTracker, JournalEntry, JournalRecord, SafetyLimit, Spiral,
};
use crate::error::Error;
use crate::event::{Event, EventSource};
use crate::inference::SessionId;
use crate::store::StoreError;
use crate::telemetry;

impl EmotionState {
    pub(super) fn feel(
        &self,
        mut table: MutexGuard<'_, Table>,
        session: &SessionId,
        feeling: Feeling,
        ticket: Arc<Ticket>,
        reply: Reply<Option<AppliedEvent>>,
    ) {
        let Feeling {
            event,
            source,
            bound,
        } = feeling;
        let event = event.with_source(source);
        let event = match self.allowed(&mut table, session, event, bound) {
            Ok(Some(event)) => event,
            nothing => {
                drop(table);
                return reply.send(nothing.map(|_| None));
            }
        };
        let what = JournalRecord::Felt(event.clone());
        let felt = event.clone();
        let act = move |tracker: &mut EmotionTracker, now: f64| {
            ticket.take();
            Ok(Some(apply(tracker, &event, now)?))
        };
        let wiring = self.wiring.clone();
        let announce = move |session: &SessionId, applied: &Option<AppliedEvent>| {
            if let Some(applied) = applied {
                announce_felt(&wiring, session, felt, source, applied);
            }
        };
        self.change(table, session, what, act, announce, reply);
    }

    /// Notes what a session did and applies the events that it stands for.
    pub(super) fn observe(
        &mut self,
        session: &SessionId,
        what: &Observation,
        ticket: &Ticket,
        mut reply: Reply<Vec<AppliedEvent>>,
    ) {
        let now = self.wiring.clock.now();
        ticket.take();
        let seen = self
            .wiring
            .sessions
            .lock()
            .observe(session, what, &self.config, now);
        let events = match seen {
            Ok(events) if !events.is_empty() => events,
            nothing => return reply.send(nothing.map(|_| Vec::new()).map_err(Error::from)),
        };
        let mut answers = Vec::new();
        for event in events {
            let (sender, answer) = ractor::concurrency::oneshot();
            answers.push(answer);
            let feeling = Feeling {
                event,
                source: EventSource::Behavior,
                bound: None,
            };
            let reply = Reply::new(sender.into(), None);
            let feel = SessionCall::Feel(feeling, Arc::default(), reply);
            self.call(session, feel);
        }
        // Events that are put aside or written first are answered later.
        reply.leave_mailbox();
        tokio::spawn(async move {
            let mut felt = Vec::new();
            for answer in answers {
                match answer.await {
                    Ok(Ok(applied)) => felt.extend(applied),
                    Ok(Err(error)) => return reply.send(Err(error)),
                    // Dropped without an answer, as the reply is then.
                    Err(_) => return,
                }
            }
            reply.send(Ok(felt));
        });
    }

    /// Lets silent sessions feel it.
    pub(super) fn report_idle(&self) {
        let sessions = &self.wiring.sessions;
        let (keeping, now) = (sessions.keeping(), self.wiring.clock.now());
        let mut looks = LOOKS_PER_TICK;
        loop {
            let mut table = sessions.lock();
            let behind = table.waiting() >= MAX_WAITING || table.failing.is_some();
            if keeping != Keeping::Memory && behind {
                return;
            }
            let Some((session, event)) = table.next_silent(now, &mut looks) else {
                return;
            };
            let entry = JournalEntry {
                at: now,
                what: JournalRecord::Felt(event.clone()),
            };
            let act = |tracker: &mut EmotionTracker| apply(tracker, &event, now);
            let Ok(applied) = table.change(&session, keeping, entry, act) else {
                continue;
            };
            sessions.changed(&table);
            let (wiring, own) = (self.wiring.clone(), session.clone());
            let announce = move |written: Result<(), StoreError>| {
                if written.is_ok() {
                    announce_felt(&wiring, &own, event, EventSource::Behavior, &applied);
                }
            };
            if keeping == Keeping::Sync {
                table.when_written(&session, Box::new(announce));
            } else {
                drop(table);
                announce(Ok(()));
            }
        }
    }

    /// Weakens an event so far that it stays within a bound; `None` if
    /// nothing is left of it.
    ///
    /// # Errors
    /// [`Error::TooManyEvents`] if the session has felt too many of late.
    fn allowed(
        &self,
        table: &mut Table,
        session: &SessionId,
        event: EmotionEvent,
        bound: Option<f64>,
    ) -> Result<Option<EmotionEvent>, Error> {
        let now = self.wiring.clock.now();
        let Some(held) = table.touch(session, now) else {
            return Ok(Some(event));
        };
        if let Some(per_minute) = self.config.events_per_minute
            && !held.budget.take(now, per_minute)
        {
            limited(&self.wiring, session, SafetyLimit::EventRate, event.name());
            return Err(Error::TooManyEvents {
                session: session.to_string(),
                per_minute,
            });
        }
        let Some(bound) = bound else {
            return Ok(Some(event));
        };
        let bounded = held.latest().bounded(&event, now, bound)?;
        if bounded.as_ref() != Some(&event) {
            limited(&self.wiring, session, SafetyLimit::Appraisal, event.name());
        }
        Ok(bounded)
    }
}

/// Tells the observers of an event that counts.
fn announce_felt(
    wiring: &Wiring,
    session: &SessionId,
    event: EmotionEvent,
    source: EventSource,
    applied: &AppliedEvent,
) {
    telemetry::emotion_event(&event, applied);
    for limit in applied.rules.safety_limits() {
        limited(wiring, session, limit, event.name());
    }
    wiring.bus.publish(Event::Felt {
        session: session.clone(),
        event,
        source,
        before: applied.before,
        after: applied.after,
    });
}

/// Applies an event, and counts a spiral that it begins.
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

/// Leaves a trace of a safety limit that acted.
pub(super) fn limited(wiring: &Wiring, session: &SessionId, limit: SafetyLimit, asked: &str) {
    telemetry::safety_limit(limit);
    wiring.bus.publish(Event::LimitActed {
        session: session.clone(),
        limit,
        asked: asked.to_owned(),
    });
}
