//! Conversations of a session: their length, trimming and storage.

use super::{IntoMessages, Session, prompt};
use crate::error::Error;
use crate::inference::{ChatMessage, Conversation};

/// The part of the model's context that a conversation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextUse {
    /// Tokens of the conversation's prompt, including the opening of the next reply.
    pub prompt_tokens: usize,
    /// Maximum number of tokens of prompt and reply together.
    pub context_length: u32,
    /// Number of turns that were dropped.
    pub dropped_turns: usize,
}

impl Session {
    /// Counts the tokens of messages as a prompt, without tools.
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

    /// Drops the oldest turns of a conversation until it leaves `reserve` tokens of the context for
    /// the reply. The system messages and the last turn stay, even if they are too long.
    ///
    /// # Errors
    /// As [`context_use`](Self::context_use). The conversation is then unchanged.
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

    /// Reads the conversation last stored for this session; an empty one if there is none.
    ///
    /// # Errors
    /// [`Error::Store`] if the store cannot be read or the stored conversation is damaged.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn conversation(&self) -> Result<Conversation, Error> {
        let sessions = &self.elpis().inner.parts.sessions;
        let kept = sessions.conversation(self.id().clone()).await?;
        Ok(kept.unwrap_or_default())
    }

    /// Stores a conversation for this session in place of the previous one; an empty one removes
    /// it. Returns whether there is a store. If it returns `true`, the conversation is as durable
    /// as events are. [`forget`](Self::forget) removes it too.
    ///
    /// # Errors
    /// [`Error::Store`]. The previous conversation is then unchanged, unless the store did not
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
