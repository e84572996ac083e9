//! Where in a reply a tool call begins.

const THINK: &[u8] = b"<think>";
const THOUGHT: &[u8] = b"</think>";

/// Looks for the opening of a tool call in a reply that comes in pieces.
///
/// What a reasoning model thinks (between `<think>` and `</think>`) is passed over. Holds at most
/// the longest opening back.
#[derive(Debug, Clone)]
pub struct Finder {
    openings: &'static [&'static str],
    /// Openings count only where the reply begins, apart from white space.
    anchored: bool,
    at_start: bool,
    thinking: bool,
    pending: Vec<u8>,
}

impl Finder {
    /// Makes a finder for openings that stand anywhere or, `anchored`, only at the beginning of
    /// the reply or of what follows its thinking. With `thinking`, the reply begins inside of it.
    pub fn new(openings: &'static [&'static str], anchored: bool, thinking: bool) -> Self {
        Self {
            openings,
            anchored,
            at_start: true,
            thinking,
            pending: Vec::new(),
        }
    }

    /// Adds bytes and moves those to `text` that are certainly no part of an opening. Tells
    /// whether an opening stands at the front of what is left; until [`take`](Self::take) has
    /// removed it, nothing more may be pushed.
    pub fn push(&mut self, bytes: &[u8], text: &mut Vec<u8>) -> bool {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        let mut found = false;
        while at < self.pending.len() {
            let rest = &self.pending[at..];
            let mark = if self.thinking { THOUGHT } else { THINK };
            if rest.starts_with(mark) {
                at += mark.len();
                self.thinking = !self.thinking;
                self.at_start = true;
                continue;
            }
            let looks = !self.thinking && (self.at_start || !self.anchored);
            let openings = || self.openings.iter().map(|o| o.as_bytes()).filter(|_| looks);
            found = openings().any(|opening| rest.starts_with(opening));
            if found || mark.starts_with(rest) || openings().any(|o| o.starts_with(rest)) {
                break;
            }
            self.at_start &= rest[0].is_ascii_whitespace();
            at += 1;
        }
        text.extend(self.pending.drain(..at));
        found
    }

    /// Removes and returns what was held back.
    pub fn take(&mut self) -> Vec<u8> {
        self.at_start = false;
        std::mem::take(&mut self.pending)
    }

    /// What is held back because an opening may begin or does begin there.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }
}
