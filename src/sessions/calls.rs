//! The calls of a session.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Sessions;
use super::acting::Acting;
use super::change::{Answer, limited};
use super::idle::{Activity, DueTimer, LOOKS_PER_TICK};
use super::loading::{Call, CallKind};
use super::mood::FollowedMood;
use super::writer::Admission;
use crate::emotion::{
    AppliedEvent, EmotionEvent, EmotionSnapshot, EmotionTracker, JournalRecord, SafetyLimit,
    SafetyLimits, SamplingBase,
};
use crate::error::Error;
use crate::event::{Event, EventSource};
use crate::inference::SessionId;

const FEEL: Call = changes("feel");
const OBSERVE: Call = reads("observe");
const SNAPSHOT: Call = reads("snapshot");
const FOLLOW: Call = reads("follow");
const RESET: Call = changes("reset");
const SET_STRENGTH: Call = changes("set_strength");
const SET_LIMITS: Call = changes("set_limits");
const FORGET: Call = Call {
    name: "forget",
    kind: CallKind::Forgets,
};

const fn reads(name: &'static str) -> Call {
    let kind = CallKind::Reads;
    Call { name, kind }
}

const fn changes(name: &'static str) -> Call {
    let kind = CallKind::Changes;
    Call { name, kind }
}

impl Sessions {
    /// Applies an event and waits until it takes effect; `None` if `bound`, in [0, 2], leaves no
    /// change of valence or arousal. A call that panics is repeated, but no event is ever applied
    /// twice.
    ///
    /// # Errors
    /// [`Error::Emotion`], [`Error::TooManyEvents`], [`Error::TooManySessions`],
    /// [`Error::Store`], [`Error::Uncertain`] if the call panicked after the event was applied, or
    /// [`Error::Stopped`].
    pub(crate) async fn feel(
        self: &Arc<Self>,
        session: &SessionId,
        event: &EmotionEvent,
        source: EventSource,
        bound: Option<f64>,
    ) -> Result<Option<AppliedEvent>, Error> {
        let feel = |acting: &mut Acting<'_>| self.apply(acting, event.clone(), source, bound);
        self.call(FEEL, session, feel).await
    }

    /// Records an activity of the session. Returns the effects of the events that it causes.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub(crate) async fn observe(
        self: &Arc<Self>,
        session: &SessionId,
        activity: &Activity,
    ) -> Result<Vec<AppliedEvent>, Error> {
        let note = |acting: &mut Acting<'_>| Ok(Answer::now(self.note(acting, activity)?));
        let events = self.call(OBSERVE, session, note).await?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (sessions, session) = (Arc::clone(self), session.clone());
        // The activity is already recorded, so its events are applied even if the caller goes away.
        let felt = tokio::spawn(async move {
            let (mut felt, mut failure) = (Vec::new(), None);
            for event in events {
                let source = EventSource::Behavior;
                match sessions.feel(&session, &event, source, None).await {
                    Ok(applied) => felt.extend(applied),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            failure.map_or(Ok(felt), Err)
        });
        felt.await.unwrap_or_else(|error| {
            let part = "recording a session's activity";
            Err(Error::failed(part, error))
        })
    }

    /// The session's current state.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub(crate) async fn snapshot(
        self: &Arc<Self>,
        session: &SessionId,
    ) -> Result<EmotionSnapshot, Error> {
        let read = |acting: &mut Acting<'_>| {
            let tracker = Arc::clone(acting.resident()?.tracker());
            Ok(Answer::now((tracker, acting.now)))
        };
        let (tracker, now) = self.call(SNAPSHOT, session, read).await?;
        Ok(tracker.snapshot_with(now, self.sampling))
    }

    /// Follows the session's state for a generation that begins. Its modulation builds on `base`.
    /// If it is `heard`, it ends a silence.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub(crate) async fn follow(
        self: &Arc<Self>,
        session: &SessionId,
        base: SamplingBase,
        heard: bool,
    ) -> Result<FollowedMood, Error> {
        let follow = |acting: &mut Acting<'_>| {
            if heard {
                // A clock that is out of range is reported elsewhere.
                let _ = self.note(acting, &Activity::Active);
            }
            Ok(Answer::now(acting.resident()?.follow()))
        };
        let tracker = self.call(FOLLOW, session, follow).await?;
        Ok(FollowedMood::new(tracker, base))
    }

    /// Resets the session to its baseline.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub(crate) async fn reset(self: &Arc<Self>, session: &SessionId) -> Result<(), Error> {
        let reset = |acting: &mut Acting<'_>| {
            acting.resident()?.watch = None;
            let bus = self.bus.clone();
            let announce = move |session: &SessionId, (): &()| {
                let session = session.clone();
                bus.publish(Event::EmotionReset { session });
            };
            let act = |tracker: &mut EmotionTracker, now| Ok(tracker.reset(now)?);
            self.change(acting, JournalRecord::Reset, act, announce)
        };
        self.call(RESET, session, reset).await
    }

    /// Changes the session's steering strength, in [0, 3].
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub(crate) async fn set_strength(
        self: &Arc<Self>,
        session: &SessionId,
        strength: f64,
    ) -> Result<(), Error> {
        let set = |acting: &mut Acting<'_>| {
            let act = |tracker: &mut EmotionTracker, _| {
                let set = tracker.set_steering_strength(strength);
                if set.is_err() && strength > tracker.limits().strength {
                    limited(&self.bus, session, SafetyLimit::Strength, "set_strength");
                }
                Ok(set?)
            };
            let what = JournalRecord::Strength(strength);
            self.change(acting, what, act, |_, ()| {})
        };
        self.call(SET_STRENGTH, session, set).await
    }

    /// Changes the session's own safety limits.
    ///
    /// # Errors
    /// As [`feel`](Self::feel).
    pub(crate) async fn set_limits(
        self: &Arc<Self>,
        session: &SessionId,
        limits: SafetyLimits,
    ) -> Result<(), Error> {
        let set = |acting: &mut Acting<'_>| {
            let act = |tracker: &mut EmotionTracker, _| Ok(tracker.set_limits(limits)?);
            self.change(acting, JournalRecord::Limits(limits), act, |_, ()| {})
        };
        self.call(SET_LIMITS, session, set).await
    }

    /// Forgets the session. Returns whether it existed.
    ///
    /// # Errors
    /// [`Error::Store`], or [`Error::Stopped`].
    pub(crate) async fn forget(self: &Arc<Self>, session: &SessionId) -> Result<bool, Error> {
        let forget = |acting: &mut Acting<'_>| Ok(self.remove(acting));
        self.call(FORGET, session, forget).await
    }

    /// Applies the silence event to silent sessions. Checks a bounded number of them.
    pub(crate) fn report_silences(&self) {
        let now = self.clock.now();
        for _ in 0..LOOKS_PER_TICK {
            if self.durability.is_some() && self.queue.is_behind() {
                return;
            }
            let Some(timer) = self.timers.pop(now) else {
                return;
            };
            self.report_silence(&timer, now);
        }
    }

    fn report_silence(&self, timer: &DueTimer, now: f64) {
        let Some(lease) = self.cache.find(&timer.session) else {
            return;
        };
        let mut state = lease.lock();
        let Some(resident) = &mut state.resident else {
            return;
        };
        let busy = resident.is_followed();
        let Some(watch) = &mut resident.watch else {
            return;
        };
        let Some(event) = self.timers.look(timer, watch, busy, now) else {
            return;
        };
        let Admission::Open(_room) = self.queue.admit(true) else {
            return;
        };
        let mut acting = Acting {
            lease: &lease,
            state: &mut state,
            now,
            known: true,
            applied: &AtomicBool::new(false),
        };
        // An event that cannot be applied must not stop the others.
        let _ = self.felt(&mut acting, event, EventSource::Behavior);
    }

    fn note(
        &self,
        acting: &mut Acting<'_>,
        activity: &Activity,
    ) -> Result<Vec<EmotionEvent>, Error> {
        let (session, now) = (acting.lease.session(), acting.now);
        let watch = &mut acting.resident()?.watch;
        let resident = self.resident();
        let events = self
            .timers
            .observe(session, watch, activity, &self.config, resident, now);
        Ok(events?)
    }
}
