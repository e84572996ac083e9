//! A conversation: messages, their turns, and dropping the oldest.

use serde::{Deserialize, Serialize};

use super::message::{ChatMessage, Role};
use super::tools::FunctionCall;

/// A conversation to be continued: its messages in order. It serialises as the list of its
/// messages.
///
/// A turn is a user message with everything up to the next one: calls, their results and the
/// reply. System messages belong to no turn; they are never dropped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation {
    messages: Vec<ChatMessage>,
}

impl Conversation {
    /// Creates an empty conversation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a conversation that begins with a system message.
    pub fn with_system(text: impl Into<String>) -> Self {
        Self {
            messages: vec![ChatMessage::system(text)],
        }
    }

    /// Adds a message of any role.
    pub fn push(&mut self, message: ChatMessage) {
        self.messages.push(message);
    }

    /// Adds a user message, which begins a turn.
    pub fn push_user(&mut self, text: impl Into<String>) {
        self.push(ChatMessage::user(text));
    }

    /// Adds a finished reply with its tool calls.
    pub fn push_reply(&mut self, reply: impl Into<ChatMessage>) {
        self.push(reply.into());
    }

    /// Adds the result of a call that the last reply made.
    pub fn push_result(&mut self, call: &FunctionCall, content: impl Into<String>) {
        self.push(ChatMessage::tool_result(call, content));
    }

    /// All messages, in order.
    pub fn messages(&self) -> &[ChatMessage] {
        &self.messages
    }

    /// The text of the first system message.
    pub fn system(&self) -> Option<&str> {
        let first = self
            .messages
            .iter()
            .find(|message| message.role == Role::System)?;
        Some(&first.content)
    }

    /// Replaces the first system message, or inserts one at the beginning. `None` removes all of
    /// them.
    pub fn set_system(&mut self, text: Option<String>) {
        let Some(text) = text else {
            self.messages.retain(|message| message.role != Role::System);
            return;
        };
        let first = self
            .messages
            .iter_mut()
            .find(|message| message.role == Role::System);
        match first {
            Some(first) => first.content = text,
            None => self.messages.insert(0, ChatMessage::system(text)),
        }
    }

    /// The text of the last reply.
    pub fn last_reply(&self) -> Option<&str> {
        let mut replies = self.messages.iter().rev();
        let last = replies.find(|message| message.role == Role::Assistant)?;
        Some(&last.content)
    }

    /// Whether there are only system messages.
    pub fn is_empty(&self) -> bool {
        self.messages
            .iter()
            .all(|message| message.role == Role::System)
    }

    /// Number of turns.
    pub fn turns(&self) -> usize {
        turn_starts(&self.messages).len()
    }

    /// Removes the last turn and returns it. Pushing its first message again gets a new answer.
    pub fn pop_turn(&mut self) -> Vec<ChatMessage> {
        let Some(start) = turn_starts(&self.messages).last().copied() else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        let mut index = 0;
        self.messages.retain(|message| {
            let goes = index >= start && message.role != Role::System;
            index += 1;
            if goes {
                taken.push(message.clone());
            }
            !goes
        });
        taken
    }

    /// Drops the oldest turns, at most all except the last one. Returns how many were dropped.
    pub fn drop_oldest_turns(&mut self, count: usize) -> usize {
        let count = count.min(self.turns().saturating_sub(1));
        self.messages = without_oldest(&self.messages, count);
        count
    }

    /// Drops everything but the system messages.
    pub fn clear(&mut self) {
        self.messages.retain(|message| message.role == Role::System);
    }
}

impl From<Vec<ChatMessage>> for Conversation {
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self { messages }
    }
}

impl From<Conversation> for Vec<ChatMessage> {
    fn from(conversation: Conversation) -> Self {
        conversation.messages
    }
}

impl Extend<ChatMessage> for Conversation {
    fn extend<T: IntoIterator<Item = ChatMessage>>(&mut self, messages: T) {
        self.messages.extend(messages);
    }
}

/// The indices at which turns begin. Messages before the first user message belong to the first
/// turn.
pub fn turn_starts(messages: &[ChatMessage]) -> Vec<usize> {
    let mut starts: Vec<usize> = messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message.role == Role::User)
        .map(|(index, _)| index)
        .collect();
    if let Some(first) = starts.first_mut() {
        let spoken = messages
            .iter()
            .position(|message| message.role != Role::System);
        *first = spoken.unwrap_or(*first);
    }
    starts
}

/// The messages without the oldest turns; system messages stay.
pub fn without_oldest(messages: &[ChatMessage], count: usize) -> Vec<ChatMessage> {
    let starts = turn_starts(messages);
    let end = match starts.get(count) {
        _ if count == 0 => 0,
        Some(end) => *end,
        None => messages.len(),
    };
    let kept =
        |(index, message): &(usize, &ChatMessage)| *index >= end || message.role == Role::System;
    let messages = messages.iter().enumerate().filter(kept);
    messages.map(|(_, message)| message.clone()).collect()
}

/// The smallest count in `0..=most` for which `fits` holds, if it then holds for all larger ones;
/// `most` if it holds for none. The number of calls of `fits` is logarithmic in `most`.
///
/// # Errors
/// Those of `fits`.
pub fn least_that_fits<E>(
    most: usize,
    mut fits: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Conversation {
        let mut talk = Conversation::with_system("s");
        for (user, reply) in [("1", "a"), ("2", "b")] {
            talk.push_user(user);
            talk.push(ChatMessage::assistant(reply));
        }
        talk.push(ChatMessage::system("late"));
        talk.push_user("3");
        talk
    }

    fn texts(talk: &Conversation) -> String {
        talk.messages()
            .iter()
            .map(|message| message.content.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_oldest_turns_go_first_and_the_last_question_stays() {
        let mut talk = talk();
        assert_eq!(talk.turns(), 3);
        assert_eq!(talk.drop_oldest_turns(1), 1);
        assert_eq!(texts(&talk), "s 2 b late 3");
        assert_eq!(talk.drop_oldest_turns(5), 1);
        assert_eq!(texts(&talk), "s late 3");
        assert_eq!(talk.drop_oldest_turns(1), 0);
        let greeted = vec![
            ChatMessage::assistant("hi"),
            ChatMessage::user("1"),
            ChatMessage::user("2"),
        ];
        let mut greeted = Conversation::from(greeted);
        assert_eq!(greeted.drop_oldest_turns(1), 1);
        assert_eq!(texts(&greeted), "2");
    }

    #[test]
    fn the_last_turn_can_be_taken_back() {
        let mut talk = talk();
        assert_eq!(talk.pop_turn(), [ChatMessage::user("3")]);
        assert_eq!(talk.last_reply(), Some("b"));
        let taken = talk.pop_turn();
        assert_eq!(taken, [ChatMessage::user("2"), ChatMessage::assistant("b")]);
        assert_eq!(texts(&talk), "s 1 a late");
        talk.pop_turn();
        assert!(talk.is_empty() && talk.pop_turn().is_empty());
    }

    #[test]
    fn a_conversation_is_the_list_of_its_messages() {
        let mut talk = talk();
        let json = serde_json::to_string(&talk).unwrap();
        assert!(
            json.starts_with("[{\"role\":\"system\",\"content\":\"s\"}"),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Conversation>(&json).unwrap(), talk);
        talk.set_system(Some("new".to_owned()));
        assert_eq!(talk.system(), Some("new"));
        talk.clear();
        assert_eq!(texts(&talk), "new late");
        talk.set_system(None);
        assert_eq!(talk, Conversation::new());
        talk.set_system(Some("again".to_owned()));
        assert_eq!(talk, Conversation::with_system("again"));
    }

    #[test]
    fn the_least_count_is_found_in_few_steps() {
        for most in 0..40 {
            for border in 0..=most {
                let mut asked = 0;
                let found = least_that_fits(most, |count| {
                    asked += 1;
                    Ok::<_, ()>(count >= border)
                });
                assert_eq!(found, Ok(border));
                assert!(asked <= 6);
            }
        }
    }
}
