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
    /// Cancel safe: nothing is changed.
    ///
    /// # Errors
    /// [`Error::Engine`] if the messages are not valid or the template refuses them,
    /// [`Error::Stopped`].
    pub async fn context_use(&self, messages: impl IntoMessages) -> Result<ContextUse, Error> {
        self.measured(messages.into_messages(), None).await
    }

    /// Drops the oldest turns of a conversation until it leaves `reserve` tokens of the context
    /// for the reply. The system messages and the last turn stay, even where they are too long.
    ///
    /// Cancel safe: the conversation is changed at the end, or not at all.
    ///
    /// # Errors
    /// As [`context_use`](Self::context_use); the conversation is unchanged then.
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

    async fn measured(
        &self,
        messages: Vec<ChatMessage>,
        reserve: Option<u32>,
    ) -> Result<ContextUse, Error> {
        let elpis = self.elpis();
        let now = elpis.inner.wiring.clock.now();
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
