//! Conversations of a session: how long they are, and how they are kept short.

use super::{IntoMessages, Session, prompt};
use crate::error::Error;
use crate::inference::{ChatMessage, Conversation};

/// What a conversation takes of the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextUse {
    /// Tokens of the prompt that the conversation makes, with the opening of the next reply.
    pub prompt_tokens: usize,
    /// Tokens that prompt and reply may have together.
    pub context_length: u32,
    /// Turns that were dropped to get there.
    pub dropped_turns: usize,
}

impl Session {
    /// Counts the tokens that messages take as a prompt, tools not counted.
    ///
    /// # Errors
    /// [`Error::Engine`] if the messages are not valid or the template refuses them,
    /// [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn context_use(&self, messages: impl IntoMessages) -> Result<ContextUse, Error> {
        self.measured(messages.into_messages(), None).await
    }

    /// Drops the oldest turns of a conversation until it leaves `reserve` tokens of the context
    /// for the reply. The system messages and the last turn stay, even where they are too long.
    ///
    /// # Errors
    /// As [`context_use`](Self::context_use); the conversation is unchanged then.
    ///
    /// # Cancel safety
    /// Cancel safe: the conversation is changed at the end, or not at all.
    pub async fn trim(
        &self,
        conversation: &mut Conversation,
        reserve: u32,
    ) -> Result<ContextUse, Error> {
        let messages = conversation.messages().to_vec();
        let measured = self.measured(messages, Some(reserve)).await?;
        conversation.drop_oldest_turns(measured.dropped_turns);
        Ok(measured)
    }

    /// Reads the conversation that was kept last for this session; an empty one if there is none.
    ///
    /// # Errors
    /// [`Error::Store`] if the store cannot be read or what it has is damaged.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn conversation(&self) -> Result<Conversation, Error> {
        let sessions = &self.elpis().inner.parts.sessions;
        let kept = sessions.conversation(self.id().clone()).await?;
        Ok(kept.unwrap_or_default())
    }

    /// Keeps a conversation for this session in the store, in place of the one before; an empty one
    /// removes it. Returns whether there is a store. When it returns `true`, the conversation is as
    /// durable as events are. [`forget`](Self::forget) removes it too.
    ///
    /// # Errors
    /// [`Error::Store`]; the conversation before is still there then, unless the store did not
    /// answer in time.
    ///
    /// # Cancel safety
    /// If the future is dropped, the conversation may or may not be written.
    pub async fn keep_conversation(&self, conversation: &Conversation) -> Result<bool, Error> {
        let kept = (!conversation.messages().is_empty()).then(|| conversation.clone());
        let sessions = &self.elpis().inner.parts.sessions;
        Ok(sessions.keep_conversation(self.id().clone(), kept).await?)
    }

    async fn measured(
        &self,
        messages: Vec<ChatMessage>,
        reserve: Option<u32>,
    ) -> Result<ContextUse, Error> {
        let elpis = self.elpis();
        let now = elpis.inner.parts.clock.now();
        let measured = prompt::measure(elpis, messages, reserve, now).await?;
        Ok(ContextUse {
            prompt_tokens: measured.tokens,
            context_length: measured.context,
            dropped_turns: measured.dropped_turns,
        })
    }
}

impl IntoMessages for &Conversation {
    fn into_messages(self) -> Vec<ChatMessage> {
        self.messages().to_vec()
    }
}
