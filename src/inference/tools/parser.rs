//! Finds tool calls in a reply while it is being written.

use thiserror::Error;

use super::call::{CALL_ID_LENGTH, FunctionCall, call_id};
use super::definition::ToolSet;
use super::format::ToolFormat;
use super::opening::Finder;
use super::scan::{Scan, Step};
use super::schema::Notations;

/// What a piece of a reply brought.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ToolEvent {
    /// Text outside of calls.
    Text(String),
    /// A call began, and its name is complete.
    Started {
        /// The call's place in the reply, from 0.
        index: usize,
        /// The id that the whole call will have.
        id: String,
        /// The tool.
        name: String,
    },
    /// The next piece of the call's arguments, as JSON text.
    Arguments {
        /// The call's place in the reply, from 0.
        index: usize,
        /// The piece.
        json: String,
    },
    /// The call is complete.
    Finished {
        /// The call's place in the reply, from 0.
        index: usize,
        /// The call.
        call: FunctionCall,
    },
}

/// Says why a call could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ToolParseError {
    /// The reply ended in the middle of a call.
    #[error("the reply ends in the middle of a call of {name:?}")]
    Unfinished {
        /// The tool.
        name: String,
    },
    /// Arguments that are no JSON, or a number beyond the range of a double.
    #[error("the arguments of a call of {name:?} cannot be read: {reason}")]
    Arguments {
        /// The tool.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
}

impl ToolParseError {
    /// Returns a short constant label for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unfinished { .. } => "unfinished_call",
            Self::Arguments { .. } => "unreadable_arguments",
        }
    }
}

#[derive(Debug)]
enum State {
    /// Outside of calls.
    Free,
    /// Behind an opening or a call: what is held back may become a part of the format.
    Between(String),
    /// Within a call; the number of bytes of its arguments that were handed on, once its name was.
    Call(Scan, Option<usize>),
}

/// Reads tool calls out of a reply that comes in pieces. However it is cut, the events say the
/// same.
///
/// What is no call, though it began like one, comes out as text; once its name was told, it is an
/// error. Memory: the call that is being
/// read.
#[derive(Debug)]
pub struct ToolParser {
    format: ToolFormat,
    finder: Finder,
    state: State,
    seed: u64,
    calls: usize,
    /// The ids of the calls so far.
    ids: Vec<String>,
    notations: Notations,
    /// Text behind the calls in which no opening was looked for yet.
    behind: String,
    events: Vec<ToolEvent>,
}

impl ToolParser {
    /// Makes a parser; `seed` decides the ids of the calls, for `thinking` see [`Finder::new`].
    pub fn new(format: ToolFormat, seed: u64, thinking: bool) -> Self {
        Self {
            format,
            finder: format.finder(thinking),
            state: State::Free,
            seed,
            calls: 0,
            ids: Vec::new(),
            notations: Notations::default(),
            behind: String::new(),
            events: Vec::new(),
        }
    }

    /// Takes note of the tools on offer, for formats that write texts without quotes: the schemas
    /// tell texts from other values. Without them, what can be read as JSON is no text.
    #[must_use]
    pub fn with_tools(mut self, tools: &ToolSet) -> Self {
        self.notations = Notations::new(tools);
        self
    }

    /// Adds a piece of the reply. Nothing may follow an error.
    ///
    /// # Errors
    /// [`ToolParseError::Arguments`].
    pub fn push(&mut self, piece: &str) -> Result<Vec<ToolEvent>, ToolParseError> {
        self.feed(piece)?;
        self.hand_on_arguments();
        Ok(std::mem::take(&mut self.events))
    }

    /// Ends the reply.
    ///
    /// # Errors
    /// [`ToolParseError::Unfinished`].
    pub fn finish(&mut self) -> Result<Vec<ToolEvent>, ToolParseError> {
        match std::mem::replace(&mut self.state, State::Free) {
            State::Free => {
                let held = self.finder.take();
                self.text(&String::from_utf8_lossy(&held));
            }
            State::Between(held) => {
                if !self.format.filling().contains(&held.as_str()) {
                    self.text(&held);
                }
            }
            State::Call(scan, None) => self.text(scan.raw()),
            State::Call(scan, Some(_)) => {
                return Err(ToolParseError::Unfinished {
                    name: scan.draft.name.unwrap_or_default(),
                });
            }
        }
        Ok(std::mem::take(&mut self.events))
    }

    fn feed(&mut self, piece: &str) -> Result<(), ToolParseError> {
        let mut rest = piece.to_owned();
        // Free text is searched as a whole, calls are read letter by letter.
        loop {
            if matches!(self.state, State::Free) {
                let mut text = Vec::new();
                let found = self.finder.push(rest.as_bytes(), &mut text);
                self.text(&String::from_utf8_lossy(&text));
                if !found {
                    return Ok(());
                }
                rest = String::from_utf8_lossy(&self.finder.take()).into_owned();
                self.state = State::Between(String::new());
            }
            let mut letters = rest.char_indices();
            let free_from = loop {
                let Some((at, letter)) = letters.next() else {
                    return Ok(());
                };
                self.letter(letter)?;
                if matches!(self.state, State::Free) {
                    break at + letter.len_utf8();
                }
            };
            rest.drain(..free_from);
            rest.insert_str(0, &std::mem::take(&mut self.behind));
        }
    }

    fn letter(&mut self, letter: char) -> Result<(), ToolParseError> {
        match std::mem::replace(&mut self.state, State::Free) {
            State::Free => {}
            State::Between(held) => self.between(held, letter),
            State::Call(mut scan, handed_on) => match scan.push(letter) {
                Step::Open => {
                    let handed_on = handed_on.or_else(|| self.start(&scan));
                    self.state = State::Call(scan, handed_on);
                }
                Step::Closed => {
                    self.close(scan, handed_on)?;
                    self.state = State::Between(String::new());
                }
                Step::Broken if handed_on.is_none() => self.text(scan.raw()),
                Step::Broken => {
                    return Err(ToolParseError::Arguments {
                        name: scan.draft.name.unwrap_or_default(),
                        reason: "they are not in the notation of a call".to_owned(),
                    });
                }
            },
        }
        Ok(())
    }

    fn between(&mut self, mut held: String, letter: char) {
        if held.is_empty() && letter.is_whitespace() {
            self.state = State::Between(held);
            return;
        }
        let filling = self.format.filling();
        let before = held.len();
        held.push(letter);
        if let Some(scan) = Scan::begin(self.format, &held, &self.notations) {
            self.state = State::Call(scan, None);
        } else if filling.iter().any(|part| part.starts_with(&held)) || self.format.may_head(&held)
        {
            let may_grow = |part: &&str| part.len() > held.len() && part.starts_with(&held);
            if filling.contains(&held.as_str()) && !filling.iter().any(may_grow) {
                held.clear();
            }
            self.state = State::Between(held);
        } else if filling.contains(&&held[..before]) {
            self.between(String::new(), letter);
        } else {
            self.behind = held;
        }
    }

    fn text(&mut self, text: &str) {
        match self.events.last_mut() {
            _ if text.is_empty() => {}
            Some(ToolEvent::Text(before)) => before.push_str(text),
            _ => self.events.push(ToolEvent::Text(text.to_owned())),
        }
    }

    /// Tells of a call whose name is complete; its arguments come as a whole if they were first.
    fn start(&mut self, scan: &Scan) -> Option<usize> {
        let name = scan.draft.name.clone()?;
        let index = self.calls;
        self.calls += 1;
        // The model's own id, for that is what it will be shown again.
        let own = scan.draft.id.clone();
        let own = own.filter(|id| id.len() == CALL_ID_LENGTH && !self.ids.contains(id));
        let id = own.unwrap_or_else(|| call_id(self.seed, index as u64));
        self.ids.push(id.clone());
        self.events.push(ToolEvent::Started { index, id, name });
        Some(0)
    }

    fn hand_on_arguments(&mut self) {
        if let State::Call(scan, Some(handed_on)) = &mut self.state {
            let piece = scan.draft.arguments.get(*handed_on..).unwrap_or_default();
            if !piece.is_empty() {
                self.events.push(ToolEvent::Arguments {
                    index: self.calls.saturating_sub(1),
                    json: piece.to_owned(),
                });
                *handed_on = scan.draft.arguments.len();
            }
        }
    }

    fn close(&mut self, scan: Scan, handed_on: Option<usize>) -> Result<(), ToolParseError> {
        if handed_on.is_none() {
            self.text(scan.raw());
            return Ok(());
        }
        let arguments = scan.arguments();
        let name = scan.draft.name.clone().unwrap_or_default();
        self.state = State::Call(scan, handed_on);
        self.hand_on_arguments();
        let index = self.calls.saturating_sub(1);
        match arguments {
            Ok(arguments) => {
                let id = self.ids.last().cloned().unwrap_or_default();
                let call = FunctionCall {
                    id,
                    name,
                    arguments,
                };
                self.events.push(ToolEvent::Finished { index, call });
                Ok(())
            }
            Err(error) => Err(ToolParseError::Arguments {
                name,
                reason: error.to_string(),
            }),
        }
    }
}
