//! The cause of an event, which is stored with it.

use serde::{Deserialize, Serialize};

/// Maximum length of the words that an event was derived from, in characters.
pub const MAX_CAUSE_CHARS: usize = 160;

/// The source of an emotion event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventSource {
    /// The program called `Session::feel`.
    #[default]
    Caller,
    /// It was appraised from the model's reply.
    Reply,
    /// It was appraised from the user's message.
    Message,
    /// The behaviour of the session: tool calls, slow generations, silence.
    Behavior,
}

names!(EventSource {
    Caller = "caller",
    Reply = "reply",
    Message = "message",
    Behavior = "behavior",
});

/// The words as they are stored: on one line, without control characters, shortened to
/// [`MAX_CAUSE_CHARS`]; `None` if nothing is left.
pub(super) fn kept_words(words: &str) -> Option<String> {
    let spaced = words.replace(char::is_control, " ");
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_CAUSE_CHARS {
        return (!line.is_empty()).then_some(line);
    }
    let cut = line.chars().take(MAX_CAUSE_CHARS - 1);
    Some(cut.chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_short_line() {
        assert_eq!(
            kept_words(" stuck\n\tagain "),
            Some("stuck again".to_owned())
        );
        assert_eq!(kept_words("\u{1b}[31mred"), Some("[31mred".to_owned()));
        assert_eq!(kept_words(" \n"), None);
        let long = kept_words(&"ä ".repeat(500)).unwrap();
        assert_eq!(long.chars().count(), MAX_CAUSE_CHARS);
        assert!(long.ends_with('…'));
        assert_eq!(kept_words(&long), Some(long.clone()), "twice is once");
    }
}
