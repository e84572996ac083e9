//! A session: one emotional state and the generations that it affects.

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
    /// Whether replies generated through it are appraised.
    appraise: bool,
}

/// A value that [`Session::feel`] accepts: a known event (`known::TEST_FAILED`), an
/// [`EmotionEvent`], or the name of one.
pub trait IntoEvent {
    /// Converts it to an event.
    ///
    /// # Errors
    /// [`EmotionError`] if the name is invalid.
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

    /// Returns a handle whose generations are not appraised.
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
    /// `emotion.events`, unless `emotion.allow_unknown_events` is set; an event with its own shift
    /// ([`EmotionEvent::custom`]) may have any name.
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
        self.elpis.inner.reported_outcomes.event(&self.id, &event);
        let (caller, bound) = (EventSource::Caller, None);
        let applied = self
            .sessions()
            .feel(&self.id, &event, caller, bound)
            .await?;
        // Without a bound every event has an effect.
        applied.ok_or_else(|| super::gone(None))
    }

    /// Records a finished tool call. Patterns of calls cause events: `frustration` if one tool is
    /// called repeatedly (`emotion.retry_loop_threshold` times in a row within 60 s), `error` from
    /// the `emotion.failure_streak_threshold`th consecutive failure on. Returns the effects of
    /// these events; usually there are none.
    ///
    /// A tool's message does not tell whether the call succeeded, so the program must report it.
    /// Long generations and silence are detected without it;
    /// `emotion.behavioral_monitoring_enabled` turns all of this on or off. The recorded activity
    /// is lost when the session is evicted. Outcomes mentioned in the next reply are not applied in
    /// addition.
    ///
    /// # Errors
    /// [`Error::Emotion`] for a name that is empty, longer than 64 characters or contains control
    /// characters; otherwise as [`feel`](Self::feel).
    ///
    /// # Cancel safety
    /// If the future is dropped, the call may or may not be recorded.
    pub async fn record_tool_call(
        &self,
        tool: impl Into<String>,
        succeeded: bool,
    ) -> Result<Vec<AppliedEvent>, Error> {
        let tool = tool.into();
        let call = Activity::ToolCall { tool, succeeded };
        self.elpis.inner.reported_outcomes.outcome(&self.id);
        self.sessions().observe(&self.id, &call).await
    }

    /// Returns the current state with the modulation and the trajectory that follow from it.
    ///
    /// # Errors
    /// [`Error::TooManySessions`] or [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn state(&self) -> Result<EmotionSnapshot, Error> {
        self.sessions().snapshot(&self.id).await
    }

    /// Resets the state to the baseline and clears its history.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the state may or may not be reset.
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

    /// Sets ceilings on this session's mood in addition to those of the settings. From now on the
    /// tighter of the two applies, also to states that are read.
    ///
    /// # Errors
    /// [`Error::Emotion`] for a value out of range, or [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the limits may or may not be in force.
    pub async fn set_limits(&self, limits: SafetyLimits) -> Result<(), Error> {
        self.sessions().set_limits(&self.id, limits).await
    }

    /// Serialises the session's KV cache, to be kept outside of the engine; `None` if the cache
    /// holds nothing of the session. The result has megabytes: the keys and values of every token
    /// at every layer.
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

    /// Loads bytes of [`save_kv`](Self::save_kv) into the cache, so that the session's next turn
    /// continues from there. Returns the number of tokens. The bytes must come from a trusted
    /// source, because native code reads them.
    ///
    /// # Errors
    /// [`Error::Engine`] if they are damaged, belong to another model or do not fit; nothing
    /// changes then. [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the bytes may or may not be loaded.
    pub async fn restore_kv(&self, bytes: Vec<u8>) -> Result<usize, Error> {
        let (reply, answer) = oneshot::channel();
        let id = self.command(CacheCommand::Restore(self.id.clone(), bytes, reply))?;
        self.answer(answer, &id).await
    }

    pub(super) fn command(&self, command: CacheCommand) -> Result<CommandId, Error> {
        Ok(self.elpis.inner.parts.request_queue.command(command)?)
    }

    /// Waits for the answer to a command. An engine that hangs on the command never answers; a
    /// command that no engine has taken waits for the next engine.
    async fn answer<T>(
        &self,
        mut answer: oneshot::Receiver<Result<T, EngineError>>,
        id: &CommandId,
    ) -> Result<T, Error> {
        let inner = &self.elpis.inner;
        let mut model = inner.parts.model.subscribe();
        let mut stopped = inner.parts.stopped.subscribe();
        // The model of the engine that was running last.
        let mut shown = None;
        loop {
            let now = model.borrow_and_update().clone();
            let at_work = now.is_some();
            if let Some(now) = now {
                shown = Some(Arc::clone(&now.facts));
            }
            // The engine that took the command publishes its model before or after that.
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

    /// Deletes the session's state and conversation, also from the store, and its cached sequences.
    /// Returns whether there was a state.
    ///
    /// # Errors
    /// [`Error::Store`] if the conversation cannot be removed, [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Not cancel safe: only a part may be deleted. Another call deletes the rest.
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

    /// The runtime that the session belongs to.
    pub fn elpis(&self) -> &Elpis {
        &self.elpis
    }
}
