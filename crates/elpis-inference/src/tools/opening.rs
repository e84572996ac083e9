//! Finds the opening of a tool call in a reply.

use std::sync::Arc;

use super::family::{Family, Layout, Mark, Part, Role};
use super::name::{ControlToken, ToolFormat};
use super::pattern::{Fit, Names, fit};

pub(super) const THINK: &str = "<think>";
pub(super) const THOUGHT: &str = "</think>";

/// The marks of thinking common to all families.
const MARKS: [Mark; 2] = [
    Mark {
        parts: &[Part::Text(THINK)],
        anchored: false,
        role: Role::Think,
    },
    Mark {
        parts: &[Part::Text(THOUGHT)],
        anchored: false,
        role: Role::Thought,
    },
];

/// The beginning of a call, up to where it is unmistakable.
#[derive(Debug, Clone)]
struct Opening {
    parts: [&'static [Part]; 2],
    anchored: bool,
}

impl Opening {
    /// All openings of a family, each once.
    fn all(family: &'static Family, control: &[ControlToken]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for layout in family.layouts {
            for around in layout.around {
                for call in layout.calls {
                    let opening = Self::of(family, layout, [around.before, call], control);
                    if !all.iter().any(|known| known.parts == opening.parts) {
                        all.push(opening);
                    }
                }
            }
        }
        all
    }

    fn of(
        family: &Family,
        layout: &Layout,
        [before, call]: [&'static [Part]; 2],
        control: &[ControlToken],
    ) -> Self {
        let up_to = |parts: &'static [Part]| {
            let here = parts.iter().position(|part| *part == Part::Here);
            here.map(|here| &parts[..here])
        };
        let mut parts = match up_to(before) {
            Some(before) => [before, &[]],
            None => [before, up_to(call).unwrap_or(call)],
        };
        // A token that only announces calls is sufficient.
        let first = if before.is_empty() { call } else { before };
        if let Some(Part::Text(text)) = first.first()
            && !family.framed
            && control.iter().any(|token| token.text == *text)
        {
            parts = [&first[..1], &[]];
        }
        Self {
            parts,
            anchored: layout.anchored,
        }
    }

    fn fit(&self, text: &[u8], names: &Names) -> Fit {
        fit(&self.parts, text, names)
    }

    fn first_byte(&self) -> Option<u8> {
        first_byte(self.parts.iter().copied().flatten())
    }
}

/// The byte that these parts begin with, if they all begin with one.
fn first_byte<'a>(mut parts: impl Iterator<Item = &'a Part>) -> Option<u8> {
    match parts.next() {
        Some(Part::Text(text)) => text.bytes().next(),
        _ => None,
    }
}

/// The patterns to find in a reply.
#[derive(Debug)]
struct Sought {
    openings: Vec<Opening>,
    marks: Vec<Mark>,
    names: Names,
    while_thinking: bool,
    /// For each byte, whether a pattern may begin with it.
    starts: [bool; 256],
}

impl Sought {
    fn new(format: ToolFormat, names: Names, control: &[ControlToken], calls: bool) -> Self {
        let family = Family::of(format);
        let openings = if calls {
            Opening::all(family, control)
        } else {
            Vec::new()
        };
        let marks: Vec<Mark> = MARKS.iter().chain(family.marks).copied().collect();
        let mut starts = [false; 256];
        let firsts = openings.iter().map(Opening::first_byte);
        let firsts = firsts.chain(marks.iter().map(|mark| first_byte(mark.parts.iter())));
        for first in firsts {
            match first {
                Some(byte) => starts[usize::from(byte)] = true,
                None => starts = [true; 256],
            }
        }
        Self {
            openings,
            marks,
            names,
            while_thinking: family.calls_while_thinking,
            starts,
        }
    }
}

/// Finds the opening of a tool call in a reply that arrives in pieces.
///
/// A reasoning model's thinking is skipped, unless its family makes calls while thinking. Other
/// marks of thinking become `<think>` and `</think>`, and framing is removed. At most the longest
/// opening is held back.
#[derive(Debug, Clone)]
pub struct Finder {
    sought: Arc<Sought>,
    at_start: bool,
    thinking: bool,
    /// Whether the mark before an answer was read.
    answered: bool,
    /// Whether marks of thinking are removed.
    quiet: bool,
    /// Whether no opening may begin at the next byte.
    refused: bool,
    pending: Vec<u8>,
}

/// The text at a position of a reply.
enum Here {
    Text,
    /// More text is needed to decide.
    Perhaps,
    Opening,
    /// A mark with this many bytes.
    Mark(Role, usize),
}

impl Finder {
    pub(super) fn new(
        format: ToolFormat,
        names: Names,
        control: &[ControlToken],
        thinking: bool,
    ) -> Self {
        Self::seeking(Sought::new(format, names, control, true), thinking)
    }

    /// Creates a finder that only finds marks.
    pub(super) fn of_marks(format: ToolFormat, thinking: bool) -> Self {
        let names = Names::any(&[]);
        Self::seeking(Sought::new(format, names, &[], false), thinking)
    }

    fn seeking(sought: Sought, thinking: bool) -> Self {
        Self {
            sought: Arc::new(sought),
            at_start: true,
            thinking,
            answered: false,
            quiet: false,
            refused: false,
            pending: Vec::new(),
        }
    }

    /// Also removes marks of thinking.
    #[must_use]
    pub(super) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Adds bytes, and moves those that certainly do not belong to an opening to `text`. Returns
    /// whether the remaining bytes begin with an opening; then nothing more may be pushed until
    /// [`take`](Self::take) has removed it.
    pub fn push(&mut self, bytes: &[u8], text: &mut Vec<u8>) -> bool {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        let mut found = false;
        while at < self.pending.len() {
            match self.look(&self.pending[at..]) {
                Here::Opening => {
                    found = true;
                    break;
                }
                Here::Perhaps => break,
                Here::Mark(role, length) => {
                    let mark = &self.pending[at..at + length];
                    text.extend_from_slice(self.told(role, mark));
                    match role {
                        Role::Think => self.thinking = true,
                        Role::Thought => self.thinking = false,
                        Role::Answer => (self.thinking, self.answered) = (false, true),
                        Role::Frame => {}
                    }
                    self.at_start = true;
                    at += length;
                }
                Here::Text => {
                    text.push(self.pending[at]);
                    self.at_start &= self.pending[at].is_ascii_whitespace();
                    at += 1;
                }
            }
            self.refused = false;
        }
        self.pending.drain(..at);
        found
    }

    fn look(&self, rest: &[u8]) -> Here {
        let sought = &*self.sought;
        if !sought.starts[usize::from(rest[0])] {
            return Here::Text;
        }
        let mut perhaps = false;
        let mut longest: Option<(Role, usize)> = None;
        for mark in &sought.marks {
            let counts = match mark.role {
                Role::Think => !self.thinking,
                Role::Thought => self.thinking || mark.parts != MARKS[1].parts,
                Role::Frame | Role::Answer => true,
            };
            if !counts || mark.anchored && !self.at_start {
                continue;
            }
            match fit(&[mark.parts], rest, &sought.names) {
                Fit::Whole(found) if longest.is_none_or(|(_, most)| found.length > most) => {
                    longest = Some((mark.role, found.length));
                }
                Fit::Partly => perhaps = true,
                _ => {}
            }
        }
        if perhaps {
            return Here::Perhaps;
        }
        if let Some((role, length)) = longest {
            return Here::Mark(role, length);
        }
        if self.refused || self.thinking && !sought.while_thinking {
            return Here::Text;
        }
        for opening in &sought.openings {
            if opening.anchored && (!self.at_start || self.thinking) {
                continue;
            }
            match opening.fit(rest, &sought.names) {
                Fit::Whole(_) => return Here::Opening,
                Fit::Partly => perhaps = true,
                Fit::No => {}
            }
        }
        if perhaps { Here::Perhaps } else { Here::Text }
    }

    /// The text that replaces a mark for the reader.
    fn told(&self, role: Role, mark: &[u8]) -> &'static [u8] {
        match role {
            _ if self.quiet => b"",
            Role::Think => THINK.as_bytes(),
            Role::Thought | Role::Answer if self.thinking => THOUGHT.as_bytes(),
            Role::Thought if mark == THOUGHT.as_bytes() => THOUGHT.as_bytes(),
            Role::Thought | Role::Answer | Role::Frame => b"",
        }
    }

    /// Removes and returns the text held back.
    pub fn take(&mut self) -> Vec<u8> {
        self.at_start = false;
        std::mem::take(&mut self.pending)
    }

    /// The text held back because an opening begins or may begin there.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Whether the mark in front of an answer was read.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether the reply is inside the model's thinking.
    pub fn is_thinking(&self) -> bool {
        self.thinking
    }

    /// Does not look for an opening at the next byte, because the text there turned out not to be
    /// one.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }
}
