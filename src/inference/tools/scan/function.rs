//! Reads a call as `FunctionGemma` writes it.

use serde_json::{Value, json};

use super::{Draft, Step, escape_into, is_name, overlap};

const ESCAPE: &str = "<escape>";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Name,
    /// Before a key or the end of an object.
    Key,
    /// Within a key without quotes.
    BareKey,
    Colon,
    /// Before a value or the end of a list.
    Value,
    /// Within a value without quotes.
    Bare,
    /// Between markers.
    Escaped,
    /// Within a JSON string, and whether a backslash was just read.
    Quoted(bool),
    /// Behind a value.
    After,
}

/// `name{key:value,…}`.
#[derive(Debug, Clone)]
pub(super) struct FunctionScan {
    place: Place,
    /// Objects (`{`) and lists (`[`) that are open.
    open: Vec<char>,
    text: String,
    /// Whether the text that is being read is a key.
    key: bool,
    /// Bytes of the text that stand in the arguments already.
    told: usize,
}

impl FunctionScan {
    /// `call:` was read already.
    pub fn new() -> Self {
        Self {
            place: Place::Name,
            open: Vec::new(),
            text: String::new(),
            key: false,
            told: 0,
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        match self.place {
            Place::Name if letter == '{' && !self.text.is_empty() => {
                draft.name = Some(std::mem::take(&mut self.text));
                self.enter(draft, letter);
            }
            Place::Name if is_name(letter) => self.text.push(letter),
            Place::Key | Place::Value | Place::Colon | Place::After
                if letter.is_ascii_whitespace() => {}
            Place::Key | Place::Value => return self.begin(draft, letter),
            Place::BareKey if letter == ':' => {
                draft
                    .arguments
                    .push_str(&json!(self.text.trim()).to_string());
                self.place = Place::Colon;
                return self.push(draft, letter);
            }
            Place::BareKey if "{}[],\"".contains(letter) => return Step::Broken,
            Place::Colon if letter == ':' => {
                draft.arguments.push_str(": ");
                self.key = false;
                self.place = Place::Value;
            }
            Place::Name | Place::Colon => return Step::Broken,
            Place::Bare if "}],".contains(letter) => {
                self.bare(draft);
                return self.after(draft, letter);
            }
            Place::BareKey | Place::Bare => {
                self.text.push(letter);
                if self.text == ESCAPE {
                    self.begin_string(draft, Place::Escaped);
                }
            }
            Place::Escaped => self.escaped(draft, letter),
            Place::Quoted(escaped) => {
                draft.arguments.push(letter);
                if letter == '"' && !escaped {
                    self.end_string();
                } else {
                    self.place = Place::Quoted(letter == '\\' && !escaped);
                }
            }
            Place::After => return self.after(draft, letter),
        }
        Step::Open
    }

    /// The first letter of a key or a value.
    fn begin(&mut self, draft: &mut Draft, letter: char) -> Step {
        self.key = self.place == Place::Key;
        self.text.clear();
        match letter {
            '"' => self.begin_string(draft, Place::Quoted(false)),
            '}' | ']' if draft.arguments.ends_with(['{', '[']) => {
                return self.after(draft, letter);
            }
            '{' | '[' if !self.key => self.enter(draft, letter),
            '{' | '}' | '[' | ']' | ',' | ':' => return Step::Broken,
            _ => {
                self.place = if self.key {
                    Place::BareKey
                } else {
                    Place::Bare
                };
                self.text.push(letter);
            }
        }
        Step::Open
    }

    fn begin_string(&mut self, draft: &mut Draft, place: Place) {
        draft.arguments.push('"');
        self.text.clear();
        self.told = 0;
        self.place = place;
    }

    fn end_string(&mut self) {
        self.place = if self.key { Place::Colon } else { Place::After };
    }

    fn escaped(&mut self, draft: &mut Draft, letter: char) {
        self.text.push(letter);
        let ended = self.text.ends_with(ESCAPE);
        let held = if ended {
            ESCAPE.len()
        } else {
            overlap(&self.text, ESCAPE)
        };
        let to = self.text.len() - held;
        if self.told < to {
            escape_into(&mut draft.arguments, &self.text[self.told..to]);
            self.told = to;
        }
        if ended {
            draft.arguments.push('"');
            self.end_string();
        }
    }

    /// A value without quotes; text if it is none that JSON has.
    fn bare(&self, draft: &mut Draft) {
        let text = self.text.trim();
        let json = serde_json::from_str::<Value>(text).is_ok();
        let text = if json {
            text.to_owned()
        } else {
            json!(text).to_string()
        };
        draft.arguments.push_str(&text);
    }

    fn enter(&mut self, draft: &mut Draft, letter: char) {
        draft.arguments.push(letter);
        self.open.push(letter);
        self.place = if letter == '{' {
            Place::Key
        } else {
            Place::Value
        };
    }

    fn after(&mut self, draft: &mut Draft, letter: char) -> Step {
        let open = self.open.last().copied();
        match (open, letter) {
            (Some('{'), ',') => {
                draft.arguments.push_str(", ");
                self.place = Place::Key;
            }
            (Some('['), ',') => {
                draft.arguments.push_str(", ");
                self.place = Place::Value;
            }
            (Some('{'), '}') | (Some('['), ']') => {
                draft.arguments.push(letter);
                self.open.pop();
                self.place = Place::After;
                if self.open.is_empty() {
                    return Step::Closed;
                }
            }
            _ => return Step::Broken,
        }
        Step::Open
    }
}
