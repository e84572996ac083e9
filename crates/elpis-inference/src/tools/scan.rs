//! Parses one call character by character in any notation, and converts its arguments to JSON.

mod elements;
mod keywords;
mod marked;
mod object;
mod params;
mod text;
mod value;

use serde_json::{Map, Value};

use self::elements::ElementsScan;
use self::keywords::KeywordScan;
use self::marked::MarkedScan;
use self::object::{ObjectScan, unwrapped};
use self::params::ParamsScan;
use self::value::ValueScan;
use super::declared::Declared;
use super::family::Body;
use crate::schema::{LIMIT, first_rounded};

pub(super) use self::value::Step;

/// The parsed parts of a call.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    /// The name, once it is complete.
    pub name: Option<String>,
    /// The id that the model gave the call.
    pub id: Option<String>,
    /// The number that the model gave the call.
    pub index: Option<u32>,
    /// The arguments parsed so far, as JSON.
    pub arguments: String,
}

#[derive(Debug, Clone)]
enum Notation {
    Object(ObjectScan),
    Json(ValueScan),
    Marked(MarkedScan),
    Params(ParamsScan),
    Keywords(KeywordScan),
    Elements(ElementsScan),
}

/// A call that is being parsed.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    /// The raw text, until it was certain that this is a call.
    pub raw: String,
    certain: bool,
    pub draft: Draft,
    notation: Notation,
}

impl Scan {
    /// Begins after the head of a call.
    pub fn new(head: &str, draft: Draft, body: Body, declared: &Declared) -> Self {
        let declared = || declared.clone();
        let notation = match body {
            Body::Object => Notation::Object(ObjectScan::new(false)),
            Body::Keyed => Notation::Object(ObjectScan::new(true)),
            Body::Json => Notation::Json(ValueScan::new()),
            Body::Marked(mark) => Notation::Marked(MarkedScan::new(mark)),
            Body::Params(params, ends) => {
                Notation::Params(ParamsScan::new(params, ends, declared()))
            }
            Body::Keywords => Notation::Keywords(KeywordScan::new()),
            Body::Elements(mark, around) => {
                Notation::Elements(ElementsScan::new(mark, around, declared()))
            }
        };
        Self {
            raw: head.to_owned(),
            certain: false,
            draft,
            notation,
        }
    }

    pub fn push(&mut self, letter: char) -> Step {
        if !self.certain {
            self.raw.push(letter);
        }
        let draft = &mut self.draft;
        match &mut self.notation {
            Notation::Object(scan) => scan.push(draft, letter),
            Notation::Json(scan) => {
                let before = draft.arguments.is_empty() && !letter.is_whitespace();
                if before && !matches!(letter, '{' | '"' | '\'') {
                    return Step::Broken;
                }
                scan.push(&mut draft.arguments, letter)
            }
            Notation::Marked(scan) => scan.push(draft, letter),
            Notation::Params(scan) => scan.push(draft, letter),
            Notation::Keywords(scan) => scan.push(draft, letter),
            Notation::Elements(scan) => scan.push(draft, letter),
        }
    }

    /// Whether this is a call: its name is known, and its arguments have begun.
    pub fn is_certain(&self) -> bool {
        self.draft.name.is_some() && !self.draft.arguments.is_empty()
    }

    /// Drops the raw text.
    pub fn forget_raw(&mut self) {
        self.certain = true;
        self.raw = String::new();
    }

    /// The arguments of a complete call. Some models write them as a JSON string.
    ///
    /// # Errors
    /// The reason why they cannot be parsed.
    pub fn arguments(&self) -> Result<Value, String> {
        let text = self.draft.arguments.as_str();
        if text.is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        let inner = if text.starts_with('"') {
            unwrapped(text)
        } else {
            None
        };
        let text = inner.as_deref().unwrap_or(text);
        if let Some((path, number)) = first_rounded(text) {
            return Err(format!("{number} at {path:?} cannot be kept: {LIMIT}"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// Number of bytes at the end of `text` that may be a proper prefix of `mark`.
fn overlap(text: &str, mark: &str) -> usize {
    let ends = |length: &usize| mark.is_char_boundary(*length) && text.ends_with(&mark[..*length]);
    (1..mark.len()).rev().find(ends).unwrap_or(0)
}
