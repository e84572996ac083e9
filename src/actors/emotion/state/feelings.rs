//! What sessions feel: events from outside, from what they do, and from silence.

use super::super::sessions::MOST_WAITING;
use super::super::table::{Keeping, Table};
use super::super::watching::{LOOKS_PER_TICK, Observation};
use super::super::{Feeling, Reply, Ticket};
use super::EmotionState;
use crate::actors::Wiring;
use crate::emotion::{
    AppliedEvent, EmotionEvent, EmotionTracker, Happening, JournalEntry, SafetyLimit, Spiral,
};
use crate::error::Error;
use crate::event::{Event, EventSource};
use crate::inference::SessionId;
use crate::store::StoreError;
use crate::telemetry;

impl EmotionState {
    pub(in super::super) async fn feel(
        &self,
        session: SessionId,
        feeling: Feeling,
        ticket: &Ticket,
        reply: Reply<Option<AppliedEvent>>,
    ) {
        let Feeling {
            event,
            source,
            bound,
        } = feeling;
        if let Some(per_minute) = self.config.events_per_minute {
            let now = self.wiring.clock.now();
            let within = self
                .with(&session, |held| held.budget.take(now, per_minute))
                .await;
            let refused = match within {
                Ok(true) => None,
                Ok(false) => {
                    limited(&self.wiring, &session, SafetyLimit::EventRate, event.name());
                    Some(Error::TooManyEvents {
                        session: session.to_string(),
                        per_minute,
                    })
                }
                Err(error) => Some(error),
            };
            if let Some(error) = refused {
                let _ = reply.send(Err(error));
                return;
            }
        }
        let event = event.with_source(source);
        let event = match self.within(&session, event, bound).await {
            Ok(Some(event)) => event,
            nothing => {
                let _ = reply.send(nothing.map(|_| None));
                return;
            }
        };
        let what = Happening::Felt(event.clone());
        let felt = event.clone();
        let act = |tracker: &mut EmotionTracker, now: f64| {
            ticket.take();
            Ok(Some(apply(tracker, &event, now)?))
        };
        let wiring = self.wiring.clone();
        let announce = move |session: &SessionId, applied: &Option<AppliedEvent>| {
            if let Some(applied) = applied {
                announce_felt(&wiring, session, felt, source, applied);
            }
        };
        self.change(session, what, act, announce, reply).await;
    }

    /// Notes what a session did and applies the events that it stands for.
    pub(in super::super) async fn observe(
        &self,
        session: SessionId,
        what: Observation,
        ticket: &Ticket,
        reply: Reply<Vec<AppliedEvent>>,
    ) {
        let work = |table: &mut Table, now| {
            ticket.take();
            table.observe(&session, &what, &self.config, now)
        };
        let events = match self.with_table(&session, work).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return drop(reply.send(Err(error.into()))),
            Err(error) => return drop(reply.send(Err(error))),
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
            let ticket = Ticket::default();
            self.feel(session.clone(), feeling, &ticket, sender.into())
                .await;
        }
        // The writer may answer later, which holds up nobody else.
        let collect = async move {
            let mut felt = Vec::new();
            for answer in answers {
                match answer.await {
                    Ok(Ok(applied)) => felt.extend(applied),
                    Ok(Err(error)) => return drop(reply.send(Err(error))),
                    // Dropped without an answer, as the reply is then.
                    Err(_) => return,
                }
            }
            let _ = reply.send(Ok(felt));
        };
        if self.wiring.sessions.keeping() == Keeping::Sync {
            tokio::spawn(collect);
        } else {
            collect.await;
        }
    }

    /// Lets silent sessions feel it.
    pub(in super::super) fn report_idle(&self) {
        let sessions = &self.wiring.sessions;
        let (keeping, now) = (sessions.keeping(), self.wiring.clock.now());
        let mut looks = LOOKS_PER_TICK;
        loop {
            let mut table = sessions.lock();
            let behind = table.waiting() >= MOST_WAITING || table.failing.is_some();
            if keeping != Keeping::Memory && behind {
                return;
            }
            let Some((session, event)) = table.next_silent(now, &mut looks) else {
                return;
            };
            let entry = JournalEntry {
                at: now,
                what: Happening::Felt(event.clone()),
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
    async fn within(
        &self,
        session: &SessionId,
        event: EmotionEvent,
        bound: Option<f64>,
    ) -> Result<Option<EmotionEvent>, Error> {
        let Some(bound) = bound else {
            return Ok(Some(event));
        };
        let now = self.wiring.clock.now();
        let bounded = self
            .with(session, |held| held.latest().bounded(&event, now, bound))
            .await??;
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
