//! Where in a reply a tool call begins.

const THINK: &[u8] = b"<think>";
const THOUGHT: &[u8] = b"</think>";

/// Most white space between two parts of an opening, in bytes.
pub(super) const MAX_GAP: usize = 16;

/// How a tool call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// What stands there, with up to 16 bytes of white space between one part and the next.
    pub parts: &'static [&'static str],
    /// Whether it counts only at the beginning of the reply or of what follows its thinking,
    /// apart from white space.
    pub anchored: bool,
}

/// How far a text is an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    No,
    /// All of the text may be the beginning of one.
    Partly,
    Whole,
}

impl Opening {
    fn fit(&self, mut text: &[u8]) -> Fit {
        for (place, part) in self.parts.iter().enumerate() {
            if place > 0 {
                let gap = text.iter().take_while(|byte| is_space(**byte)).count();
                if gap > MAX_GAP {
                    return Fit::No;
                }
                text = &text[gap..];
            }
            match text.strip_prefix(part.as_bytes()) {
                Some(rest) => text = rest,
                None if part.as_bytes().starts_with(text) => return Fit::Partly,
                None => return Fit::No,
            }
        }
        Fit::Whole
    }
}

/// White space as JSON has it.
fn is_space(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

/// Looks for the opening of a tool call in a reply that comes in pieces.
///
/// What a reasoning model thinks (between `<think>` and `</think>`) is passed over. Holds at most
/// the longest opening back.
#[derive(Debug, Clone)]
pub struct Finder {
    openings: &'static [Opening],
    at_start: bool,
    thinking: bool,
    pending: Vec<u8>,
}

impl Finder {
    /// Makes a finder for openings. With `thinking`, the reply begins inside the model's thinking.
    pub fn new(openings: &'static [Opening], thinking: bool) -> Self {
        Self {
            openings,
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
            let looked_for = |opening: &&Opening| self.at_start || !opening.anchored;
            let openings = self.openings.iter().filter(|_| !self.thinking);
            let fits = openings
                .filter(looked_for)
                .map(|opening| opening.fit(rest))
                .filter(|fit| *fit != Fit::No);
            let (mut held, mut whole) = (mark.starts_with(rest), false);
            for fit in fits {
                held = true;
                whole |= fit == Fit::Whole;
            }
            found = whole;
            if held {
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
