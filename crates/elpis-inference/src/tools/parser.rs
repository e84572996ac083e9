//! Finds tool calls in a reply while it is generated.

mod event;

use super::call::{CALL_ID_LENGTH, FunctionCall, call_id};
use super::declared::Declared;
use super::family::{Body, Family, Ids};
use super::name::ToolFormat;
use super::opening::Finder;
use super::pattern::{Fit, Found, Names, fit};
use super::scan::{Draft, Scan, Step};
use super::set::ToolSet;
pub use event::{ToolEvent, ToolParseError};

#[derive(Debug)]
enum State {
    /// Outside calls.
    Free,
    /// After an opener or a call, with text that may become a part of the format.
    Between(String),
    /// Within a call. Once the call was reported, with the number of bytes of its arguments reported
    /// so far.
    Call(Box<Scan>, Option<usize>),
}

/// Maximum number of texts in one reply that begin like a call and are searched again for another.
const MAX_RETRIES: usize = 100;

/// Reads tool calls from a reply that arrives in pieces. The events have the same content however the
/// reply is cut.
///
/// Text that begins like a call but is none becomes a text event; once its arguments have begun, it
/// is an error. Thinking is marked by `<think>` and `</think>`, whatever the family's own marks. The
/// parser buffers the call that it is reading.
#[derive(Debug)]
pub struct ToolParser {
    family: &'static Family,
    finder: Finder,
    format: ToolFormat,
    thinking: bool,
    state: State,
    names: Names,
    declared: Declared,
    seed: u64,
    calls: usize,
    /// The ids of the calls so far.
    ids: Vec<String>,
    /// Framing read since the last call. It becomes text if no call follows.
    passed: String,
    /// Whether an opener was read since the last call.
    announced: bool,
    /// Whether a call may follow without an opener.
    inside: bool,
    /// Text that was not searched for openers yet.
    behind: String,
    retries: usize,
    /// Whether a call may be cut off by the end of the reply.
    allows_unfinished: bool,
    events: Vec<ToolEvent>,
}

impl ToolParser {
    /// Creates a parser. The ids of calls are derived from `seed`. With `thinking`, the reply begins
    /// inside the model's thinking.
    pub fn new(format: ToolFormat, seed: u64, thinking: bool) -> Self {
        let family = Family::of(format);
        let names = Names::any(family.reserved);
        Self {
            family,
            finder: Finder::new(format, names.clone(), &[], thinking),
            format,
            thinking,
            state: State::Free,
            names,
            declared: Declared::default(),
            seed,
            calls: 0,
            ids: Vec::new(),
            passed: String::new(),
            announced: false,
            inside: false,
            behind: String::new(),
            retries: 0,
            allows_unfinished: false,
            events: Vec::new(),
        }
    }

    /// Creates a parser that recognises thinking but no calls.
    pub fn of_texts(format: ToolFormat, thinking: bool) -> Self {
        let mut parser = Self::new(format, 0, thinking);
        parser.finder = Finder::of_marks(format, thinking);
        parser
    }

    /// Sets the available tools. Their schemas distinguish strings from other values in notations
    /// without quotes, and their names distinguish calls from text where nothing else does.
    #[must_use]
    pub fn with_tools(mut self, tools: &ToolSet) -> Self {
        self.declared = Declared::new(tools);
        self.names = self.format.names(tools.names());
        self.finder = Finder::new(self.format, self.names.clone(), &[], self.thinking);
        self
    }

    /// Lets the reply end within a call. The call then has no [`ToolEvent::Finished`].
    #[must_use]
    pub fn allow_unfinished(mut self, allowed: bool) -> Self {
        self.allows_unfinished = allowed;
        self
    }

    /// Adds a piece of the reply and returns the new events. After an error the parser must not be
    /// used again.
    ///
    /// # Errors
    /// [`ToolParseError::Arguments`].
    pub fn push(&mut self, piece: &str) -> Result<Vec<ToolEvent>, ToolParseError> {
        self.feed(piece)?;
        self.hand_on_arguments();
        Ok(std::mem::take(&mut self.events))
    }

    /// Ends the reply and returns the last events.
    ///
    /// # Errors
    /// [`ToolParseError::Unfinished`], unless [allowed](Self::allow_unfinished).
    pub fn finish(&mut self) -> Result<Vec<ToolEvent>, ToolParseError> {
        match std::mem::replace(&mut self.state, State::Free) {
            State::Free => {
                let held = self.finder.take();
                self.text(&String::from_utf8_lossy(&held));
            }
            State::Between(held) => {
                let passed = std::mem::take(&mut self.passed);
                let closes = |part: &&str| part.starts_with(&held);
                if self.announced || !self.family.closers.iter().any(closes) {
                    self.text(&passed);
                    self.text(&held);
                }
            }
            State::Call(scan, None) => {
                let passed = std::mem::take(&mut self.passed);
                self.text(&passed);
                self.text(&scan.raw);
            }
            State::Call(_, Some(_)) if self.allows_unfinished => {}
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
        // Free text is searched as a whole, calls are read character by character.
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
                self.passed.clear();
                (self.announced, self.inside) = (true, true);
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
            State::Free => self.behind.push(letter),
            State::Between(mut held) => {
                held.push(letter);
                return self.between(held);
            }
            State::Call(mut scan, handed_on) => match scan.push(letter) {
                Step::Open if handed_on.is_none() && scan.is_certain() => match self.start(&scan) {
                    None => self.give_up(&scan.raw),
                    started => {
                        scan.forget_raw();
                        self.state = State::Call(scan, started);
                    }
                },
                Step::Open => self.state = State::Call(scan, handed_on),
                step @ (Step::Closed | Step::Beyond) => {
                    self.close(*scan, handed_on)?;
                    if step == Step::Beyond {
                        return self.letter(letter);
                    }
                }
                Step::Broken if handed_on.is_none() => self.give_up(&scan.raw),
                Step::Broken => {
                    return Err(ToolParseError::Arguments {
                        name: scan.draft.name.unwrap_or_default(),
                        reason: "they do not follow the notation of a call".to_owned(),
                    });
                }
            },
        }
        Ok(())
    }

    /// Reads text at a position where a call may begin.
    fn between(&mut self, mut held: String) -> Result<(), ToolParseError> {
        loop {
            let space = held.len() - held.trim_start().len();
            self.pass(&held[..space]);
            held.drain(..space);
            if held.is_empty() {
                self.state = State::Between(held);
                return Ok(());
            }
            let family = self.family;
            let mut perhaps = false;
            if self.inside || !family.enclosed {
                for head in family.heads {
                    match fit(&[head.parts], held.as_bytes(), &self.names) {
                        Fit::Whole(found) => return self.begin(&held, &found, head.body),
                        Fit::Partly => perhaps = true,
                        Fit::No => {}
                    }
                }
            }
            let fillings = [family.openers, family.between, family.closers];
            let fillings = || fillings.iter().copied().flatten();
            perhaps |= fillings().any(|part| part.len() > held.len() && part.starts_with(&held));
            if perhaps {
                self.state = State::Between(held);
                return Ok(());
            }
            let whole = fillings().filter(|part| held.starts_with(**part));
            let Some(part) = whole.max_by_key(|part| part.len()) else {
                self.give_up(&held);
                return Ok(());
            };
            // Some texts are both closers and openers.
            if family.closers.contains(part) && !self.announced {
                self.inside = false;
            } else if family.openers.contains(part) {
                (self.announced, self.inside) = (true, true);
            }
            self.pass(part);
            held.drain(..part.len());
        }
    }

    /// Keeps framing in case no call follows. Framing after a call is dropped.
    fn pass(&mut self, text: &str) {
        if self.announced {
            self.passed.push_str(text);
        }
    }

    /// Begins a call after its head.
    fn begin(&mut self, held: &str, found: &Found, body: Body) -> Result<(), ToolParseError> {
        let part = |range: &Option<std::ops::Range<usize>>| {
            range
                .clone()
                .and_then(|range| held.get(range))
                .map(str::to_owned)
        };
        let draft = Draft {
            name: part(&found.name),
            id: part(&found.id),
            index: part(&found.index).and_then(|digits| digits.parse().ok()),
            arguments: String::new(),
        };
        let (head, rest) = held.split_at(found.length);
        let scan = Scan::new(head, draft, body, &self.declared);
        self.state = State::Call(Box::new(scan), None);
        let rest = rest.to_owned();
        rest.chars().try_for_each(|letter| self.letter(letter))
    }

    /// Treats the text since the last call as text, and searches it for another call.
    fn give_up(&mut self, held: &str) {
        self.state = State::Free;
        self.announced = false;
        let mut behind = std::mem::take(&mut self.passed);
        behind.push_str(held);
        self.retries += 1;
        if self.retries > MAX_RETRIES {
            self.text(&behind);
            return;
        }
        self.behind = behind;
        self.finder.refuse();
    }

    fn text(&mut self, text: &str) {
        match self.events.last_mut() {
            _ if text.is_empty() => {}
            Some(ToolEvent::Text(before)) => before.push_str(text),
            _ => self.events.push(ToolEvent::Text(text.to_owned())),
        }
    }

    /// Reports the start of a call, unless its name is that of no tool.
    fn start(&mut self, scan: &Scan) -> Option<usize> {
        let name = scan.draft.name.clone()?;
        if !self.names.has(&name) || name.is_empty() {
            return None;
        }
        let index = self.calls;
        self.calls += 1;
        let id = self.id(&scan.draft, &name, index);
        self.ids.push(id.clone());
        self.passed.clear();
        self.announced = false;
        self.events.push(ToolEvent::Started { index, id, name });
        Some(0)
    }

    /// The model's own id if it is valid, because the model will see it again.
    fn id(&self, draft: &Draft, name: &str, index: usize) -> String {
        match self.family.ids {
            Ids::Letters => {
                let is_id = |id: &&String| {
                    id.len() == CALL_ID_LENGTH
                        && id.chars().all(|letter| letter.is_ascii_alphanumeric())
                        && !self.ids.contains(*id)
                };
                let own = draft.id.as_ref().filter(is_id);
                own.cloned()
                    .unwrap_or_else(|| call_id(self.seed, index as u64))
            }
            Ids::Numbered => {
                let first = draft.index.unwrap_or(0);
                let ids = (first..).map(|number| format!("functions.{name}:{number}"));
                let mut free = ids.filter(|id| !self.ids.contains(id));
                free.next().unwrap_or_default()
            }
        }
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
        let Some(handed_on) = handed_on.or_else(|| self.start(&scan)) else {
            self.give_up(&scan.raw);
            return Ok(());
        };
        let arguments = scan.arguments();
        let name = scan.draft.name.clone().unwrap_or_default();
        self.state = State::Call(Box::new(scan), Some(handed_on));
        self.hand_on_arguments();
        self.state = State::Between(String::new());
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
            Err(reason) => Err(ToolParseError::Arguments { name, reason }),
        }
    }
}
