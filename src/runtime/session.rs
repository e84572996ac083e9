//! A session: one emotional state and the generations that follow it.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Chat, Elpis, IntoMessages};
use crate::emotion::{
    AppliedEvent, EmotionError, EmotionEvent, EmotionSnapshot, KnownEvent, SafetyLimits,
};
use crate::engine::{CacheCommand, CommandId};
use crate::error::{EngineError, Error};
use crate::event::EventSource;
use crate::inference::{Conversation, SessionId};
use crate::sessions::{Activity, Sessions};

/// A session of a runtime. Clones share it; opening it again by name finds
/// the same state.
#[derive(Debug, Clone)]
pub struct Session {
    elpis: Elpis,
    id: SessionId,
    /// Whether texts that are generated through it are appraised.
    appraise: bool,
}

/// What can be felt: a known event (`known::TEST_FAILED`), an [`EmotionEvent`], or the name of one.
pub trait IntoEvent {
    /// Makes the event.
    ///
    /// # Errors
    /// [`EmotionError`] if the name is not usable.
    fn into_event(self) -> Result<EmotionEvent, EmotionError>;
}

impl IntoEvent for EmotionEvent {
    fn into_event(self) -> Result<EmotionEvent, EmotionError> {
        Ok(self)
    }
}

impl IntoEvent for &EmotionEvent {
    fn into_event(self) -> Result<EmotionEvent, EmotionError> {
        Ok(self.clone())
    }
}

impl IntoEvent for KnownEvent {
    fn into_event(self) -> Result<EmotionEvent, EmotionError> {
        Ok(self.into())
    }
}

impl IntoEvent for &str {
    fn into_event(self) -> Result<EmotionEvent, EmotionError> {
        EmotionEvent::named(self)
    }
}

impl IntoEvent for Result<EmotionEvent, EmotionError> {
    fn into_event(self) -> Result<EmotionEvent, EmotionError> {
        self
    }
}

impl Session {
    pub(super) fn new(elpis: Elpis, id: SessionId) -> Self {
        Self {
            elpis,
            id,
            appraise: true,
        }
    }

    /// A handle whose generations are not appraised.
    pub(super) fn unappraised(&self) -> Self {
        Self {
            appraise: false,
            ..self.clone()
        }
    }

    pub(super) fn is_appraised(&self) -> bool {
        self.appraise
    }

    /// The session's name.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Applies an emotion event. Every generation that starts after this call
    /// has returned sees it; a running one if its timing is
    /// [`Live`](crate::inference::ModulationTiming::Live).
    ///
    /// A name must be one of [`known`](crate::emotion::known) or declared in the setting
    /// `emotion.events`, unless `emotion.allow_unknown_events` is set; an event with a shift of its
    /// own ([`EmotionEvent::custom`]) may have any name.
    ///
    /// # Errors
    /// [`Error::Emotion`] for an unknown name or a value out of range (nothing is changed),
    /// [`Error::TooManySessions`] or [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the event may or may not be applied, never twice.
    pub async fn feel(&self, event: impl IntoEvent) -> Result<AppliedEvent, Error> {
        let declared = &self.elpis.settings().emotion;
        let event = declared.declared(event.into_event()?)?;
        self.elpis.inner.told.event(&self.id, &event);
        let (caller, bound) = (EventSource::Caller, None);
        let applied = self
            .sessions()
            .feel(&self.id, &event, caller, bound)
            .await?;
        // Without a bound something always comes of an event.
        applied.ok_or_else(|| super::gone(None))
    }

    /// Notes a finished tool call. The session feels what its calls stand for:
    /// frustration if one tool is called again and again
    /// (`emotion.retry_loop_threshold` times in a row within 60 s), error from
    /// the `emotion.failure_streak_threshold`th failure in a row. Returns what
    /// these events did; mostly there are none.
    ///
    /// A tool's message does not say whether the call succeeded, so this is up
    /// to the program. Long generations and silence are noticed without it;
    /// `emotion.behavioral_monitoring_enabled` turns all of it on or off. What
    /// a session did is forgotten when it leaves memory. What the next reply
    /// says of outcomes is not felt besides.
    ///
    /// # Errors
    /// [`Error::Emotion`] for a name that is empty, longer than 64 characters
    /// or holds control characters; else as [`feel`](Self::feel).
    ///
    /// # Cancel safety
    /// If the future is dropped, the call may or may not be noted.
    pub async fn record_tool_call(
        &self,
        tool: impl Into<String>,
        succeeded: bool,
    ) -> Result<Vec<AppliedEvent>, Error> {
        let tool = tool.into();
        let call = Activity::ToolCall { tool, succeeded };
        self.elpis.inner.told.outcome(&self.id);
        self.sessions().observe(&self.id, &call).await
    }

    /// The state at this moment, with the modulation and the trajectory that
    /// follow from it.
    ///
    /// # Errors
    /// [`Error::TooManySessions`] or [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn state(&self) -> Result<EmotionSnapshot, Error> {
        self.sessions().snapshot(&self.id).await
    }

    /// Sets the state back to the baseline and forgets the past.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the state may or may not be set back.
    pub async fn reset(&self) -> Result<(), Error> {
        self.sessions().reset(&self.id).await
    }

    /// Changes how strongly the emotion steers this session, in [0, 3].
    ///
    /// # Errors
    /// [`Error::Emotion`] for a value out of range, or [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the strength may or may not be changed.
    pub async fn set_strength(&self, strength: f64) -> Result<(), Error> {
        self.sessions().set_strength(&self.id, strength).await
    }

    /// Sets ceilings on this session's mood, beside those of the settings; the
    /// tighter of the two is in force from now on, for what is read as well.
    ///
    /// # Errors
    /// [`Error::Emotion`] for a value out of range, or [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the limits may or may not be in force.
    pub async fn set_limits(&self, limits: SafetyLimits) -> Result<(), Error> {
        self.sessions().set_limits(&self.id, limits).await
    }

    /// The session's evaluated conversation as bytes, to be kept outside the
    /// engine; `None` if the cache holds nothing of it. Megabytes: the keys
    /// and values of every token at every layer.
    ///
    /// # Errors
    /// [`Error::Engine`] if the cache cannot be read, [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn save_kv(&self) -> Result<Option<Vec<u8>>, Error> {
        let (reply, answer) = oneshot::channel();
        let id = self.command(CacheCommand::Save(self.id.clone(), reply))?;
        self.answer(answer, &id).await
    }

    /// Takes bytes of [`save_kv`](Self::save_kv) into the cache, so that the
    /// session's next turn goes on from there; returns the number of tokens.
    /// The bytes must come from a place that is trusted: they go to native
    /// code.
    ///
    /// # Errors
    /// [`Error::Engine`] if they are damaged, belong to another model or do
    /// not fit; nothing is changed then. [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the bytes may or may not be taken into the cache.
    pub async fn restore_kv(&self, bytes: Vec<u8>) -> Result<usize, Error> {
        let (reply, answer) = oneshot::channel();
        let id = self.command(CacheCommand::Restore(self.id.clone(), bytes, reply))?;
        self.answer(answer, &id).await
    }

    pub(super) fn command(&self, command: CacheCommand) -> Result<CommandId, Error> {
        Ok(self.elpis.inner.parts.request_queue.command(command)?)
    }

    /// Waits for the answer to a command. An engine that hangs with it never
    /// answers; one that was not taken up yet waits for the next engine.
    async fn answer<T>(
        &self,
        mut answer: oneshot::Receiver<Result<T, EngineError>>,
        id: &CommandId,
    ) -> Result<T, Error> {
        let inner = &self.elpis.inner;
        let mut model = inner.parts.model.subscribe();
        let mut stopped = inner.parts.stopped.subscribe();
        // The model of the engine that was at work last.
        let mut shown = None;
        loop {
            let now = model.borrow_and_update().clone();
            let at_work = now.is_some();
            if let Some(now) = now {
                shown = Some(Arc::clone(&now.facts));
            }
            // Whoever took the command up shows its model before or after that.
            let given_up = match (id.taken_by(), &shown) {
                (Some(by), Some(shown)) => Arc::ptr_eq(by, shown) != at_work,
                _ => false,
            };
            tokio::select! {
                biased;
                answered = &mut answer => {
                    return match answered {
                        Ok(result) => Ok(result?),
                        Err(_) => Err(EngineError::EngineRestarted.into()),
                    };
                }
                () = std::future::ready(()), if given_up => {
                    return Err(EngineError::EngineRestarted.into());
                }
                reason = stopped.wait_for(Option::is_some) => {
                    return Err(super::gone(reason.ok().and_then(|reason| reason.clone())));
                }
                changed = model.changed() => {
                    if changed.is_err() {
                        return Err(EngineError::EngineRestarted.into());
                    }
                }
            }
        }
    }

    /// Forgets the session's state, its conversation, in the store too, and what
    /// was evaluated of it; tells whether there was a state.
    ///
    /// # Errors
    /// [`Error::Store`] if the conversation cannot be removed, [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Not cancel safe: a part may be forgotten and the rest not. Another call forgets the rest.
    pub async fn forget(&self) -> Result<bool, Error> {
        self.command(CacheCommand::Forget(self.id.clone()))?;
        let known = self.sessions().forget(&self.id).await?;
        self.keep_conversation(&Conversation::new()).await?;
        Ok(known)
    }

    fn sessions(&self) -> &Arc<Sessions> {
        &self.elpis.inner.parts.sessions
    }

    /// Prepares a generation.
    pub fn chat(&self, messages: impl IntoMessages) -> Chat {
        Chat::new(self.clone(), messages.into_messages())
    }

    /// The runtime that it belongs to.
    pub fn elpis(&self) -> &Elpis {
        &self.elpis
    }
}
