//! Follows a reply through the model's thinking.

use super::name::{ControlToken, ToolFormat};
use super::opening::Finder;

/// Tells whether a reply that arrives token by token is inside the model's thinking.
#[derive(Debug, Clone)]
pub struct ThinkingTracker {
    finder: Finder,
    /// Control tokens that are marks of thinking. They have no text of their own.
    marks: Vec<ControlToken>,
    /// Text that has been read.
    read: Vec<u8>,
}

impl ThinkingTracker {
    /// Begins a reply in a family's notation; with `thinking`, inside the model's thinking. Marks
    /// that are control tokens are found among `control`.
    pub fn new(format: ToolFormat, control: &[ControlToken], thinking: bool) -> Self {
        let control = control.iter();
        Self {
            finder: Finder::of_marks(format, thinking),
            marks: control.filter(|t| format.marks(t.text)).copied().collect(),
            read: Vec::new(),
        }
    }

    /// Adds a token of the reply with its text, which is empty for a control token.
    pub fn push(&mut self, token: u32, piece: &[u8]) {
        let mark = self.marks.iter().find(|mark| mark.id == token);
        let piece = mark.map_or(piece, |mark| mark.text.as_bytes());
        self.read.clear();
        self.finder.push(piece, &mut self.read);
    }

    /// Whether the next token belongs to the model's thinking.
    pub fn is_thinking(&self) -> bool {
        self.finder.is_thinking()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(tracker: &mut ThinkingTracker, pieces: &[&str]) -> Vec<bool> {
        let mut states = Vec::new();
        for piece in pieces {
            tracker.push(1, piece.as_bytes());
            states.push(tracker.is_thinking());
        }
        states
    }

    #[test]
    fn thinking_begins_and_ends_at_its_marks() {
        let format = ToolFormat::Hermes;
        let mut tracker = ThinkingTracker::new(format, &[], false);
        let pieces = ["<thi", "nk>", "\nWell", ".</", "think>", "\n\nHello."];
        assert_eq!(
            states(&mut tracker, &pieces),
            [false, true, true, true, false, false]
        );
        let mut opened = ThinkingTracker::new(format, &[], true);
        assert!(opened.is_thinking());
        assert_eq!(states(&mut opened, &["Hm.", "</think>"]), [true, false]);
        let mut plain = ThinkingTracker::new(format, &[], false);
        assert_eq!(states(&mut plain, &["1 < 2", " thinking"]), [false, false]);
    }

    #[test]
    fn marks_may_be_control_tokens() {
        let mark = |id, text| ControlToken { text, id };
        let control = [
            mark(7, "<think>"),
            mark(8, "</think>"),
            mark(9, "<tool_call>"),
        ];
        let mut tracker = ThinkingTracker::new(ToolFormat::Hermes, &control, false);
        let mut after = Vec::new();
        for token in [1, 7, 1, 9, 8, 1] {
            tracker.push(token, if token == 1 { b"word" } else { b"" });
            after.push(tracker.is_thinking());
        }
        assert_eq!(after, [false, true, true, true, false, false]);
    }
}
