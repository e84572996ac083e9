//! Parses arguments whose texts are enclosed in marks: `{key:<escape>text<escape>,n:1}`.

use serde_json::json;

use super::text::{TextScan, escape_into};
use super::value::{Step, whole};
use super::{Draft, overlap};

#[derive(Debug, Clone)]
enum Place {
    /// Before the object.
    Start,
    /// Before a key or the end of an object.
    Key,
    /// Within a key without quotes.
    BareKey,
    Colon,
    /// Before a value or the end of a list.
    Value,
    /// Within a value without quotes.
    Bare,
    /// Between marks.
    Between,
    /// Within a string in quotes.
    Quoted(TextScan),
    /// After a value.
    After,
}

/// An object of this notation.
#[derive(Debug, Clone)]
pub(super) struct MarkedScan {
    mark: &'static str,
    place: Place,
    /// Objects (`{`) and lists (`[`) that are open.
    open: Vec<char>,
    text: String,
    /// Whether the current text is a key.
    key: bool,
    /// Number of bytes of the text that are already in the arguments.
    told: usize,
}

impl MarkedScan {
    pub fn new(mark: &'static str) -> Self {
        Self {
            mark,
            place: Place::Start,
            open: Vec::new(),
            text: String::new(),
            key: false,
            told: 0,
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        match &mut self.place {
            Place::Start if letter == '{' => self.enter(draft, letter),
            Place::Start | Place::Key | Place::Value | Place::Colon | Place::After
                if letter.is_ascii_whitespace() => {}
            Place::Key | Place::Value => return self.begin(draft, letter),
            Place::BareKey if letter == ':' => {
                draft
                    .arguments
                    .push_str(&json!(self.text.trim()).to_string());
                self.place = Place::Colon;
                return self.push(draft, letter);
            }
            Place::BareKey if "{}[],".contains(letter) => return Step::Broken,
            Place::BareKey if letter == '"' && !self.mark.contains('"') => return Step::Broken,
            Place::Colon if letter == ':' => {
                draft.arguments.push_str(": ");
                self.key = false;
                self.place = Place::Value;
            }
            Place::Start | Place::Colon => return Step::Broken,
            Place::Bare if "}],".contains(letter) => {
                self.bare(draft);
                return self.after(draft, letter);
            }
            Place::BareKey | Place::Bare => {
                self.text.push(letter);
                if self.text == self.mark {
                    self.begin_string(draft, Place::Between);
                }
            }
            Place::Between => self.between(draft, letter),
            Place::Quoted(scan) => {
                if scan.push(&mut draft.arguments, letter) {
                    draft.arguments.push('"');
                    self.end_string();
                }
            }
            Place::After => return self.after(draft, letter),
        }
        Step::Open
    }

    /// The first character of a key or a value.
    fn begin(&mut self, draft: &mut Draft, letter: char) -> Step {
        self.key = matches!(self.place, Place::Key);
        self.text.clear();
        match letter {
            '"' => self.begin_string(draft, Place::Quoted(TextScan::new('"'))),
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

    fn between(&mut self, draft: &mut Draft, letter: char) {
        self.text.push(letter);
        let ended = self.text.ends_with(self.mark);
        let held = if ended {
            self.mark.len()
        } else {
            overlap(&self.text, self.mark)
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

    /// A value without quotes; text if it is not a literal of JSON or Python.
    fn bare(&self, draft: &mut Draft) {
        let text = self.text.trim();
        let value = whole(text).unwrap_or_else(|| json!(text).to_string());
        draft.arguments.push_str(&value);
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
