//! Finds where a tool call opens in a reply.

use std::sync::Arc;

use super::family::{Family, Layout, Mark, Part, Role};
use super::name::{ControlToken, ToolFormat};
use super::pattern::{Fit, Names, fit};

pub(super) const THINK: &str = "<think>";
pub(super) const THOUGHT: &str = "</think>";

/// The marks of thinking that every family has.
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

/// How a call begins: up to where it is a call and nothing else.
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
        // A token that announces nothing but calls needs no more.
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

/// What is looked for in a reply.
#[derive(Debug)]
struct Sought {
    openings: Vec<Opening>,
    marks: Vec<Mark>,
    names: Names,
    while_thinking: bool,
    /// By byte, whether anything may begin with it.
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

/// Looks for the opening of a tool call in a reply that comes in pieces.
///
/// What a reasoning model thinks is passed over, unless its family makes calls while it thinks.
/// The marks of the thinking become `<think>` and `</think>` where a family has others, and what
/// frames the text is left out. Holds at most the longest opening back.
#[derive(Debug, Clone)]
pub struct Finder {
    sought: Arc<Sought>,
    at_start: bool,
    thinking: bool,
    /// The mark in front of an answer was read.
    answered: bool,
    /// Marks of thinking are left out.
    quiet: bool,
    /// No opening is looked for at the very next byte.
    refused: bool,
    pending: Vec<u8>,
}

/// What stands at a place of a reply.
enum Here {
    Text,
    /// More has to be read to tell.
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

    /// Looks for marks alone.
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

    /// Leaves marks of thinking out as well.
    #[must_use]
    pub(super) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Adds bytes and moves those to `text` that are certainly no part of an opening. Tells
    /// whether an opening stands at the front of what is left; until [`take`](Self::take) has
    /// removed it, nothing more may be pushed.
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

    /// What a reader of the reply is told of a mark.
    fn told(&self, role: Role, mark: &[u8]) -> &'static [u8] {
        match role {
            _ if self.quiet => b"",
            Role::Think => THINK.as_bytes(),
            Role::Thought | Role::Answer if self.thinking => THOUGHT.as_bytes(),
            Role::Thought if mark == THOUGHT.as_bytes() => THOUGHT.as_bytes(),
            Role::Thought | Role::Answer | Role::Frame => b"",
        }
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

    /// Whether the mark in front of an answer was read.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether the reply is inside the model's thinking.
    pub fn is_thinking(&self) -> bool {
        self.thinking
    }

    /// Looks for no opening at the very next byte, since what stands there turned out to be none.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }
}
