//! Reads one call character by character, whatever its notation, and says its arguments in JSON.

mod function;
mod named;
mod object;
mod xml;

use serde_json::{Map, Value, json};

use self::function::FunctionScan;
use self::named::NamedScan;
use self::object::ObjectScan;
use self::xml::XmlScan;
use super::format::ToolFormat;
use super::schema::Notations;

/// What a character brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The call goes on.
    Open,
    /// The call is complete.
    Closed,
    /// This is no call.
    Broken,
}

/// What is known of a call that is being read.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    /// The name, once it is complete.
    pub name: Option<String>,
    /// The id that the model gave the call.
    pub id: Option<String>,
    /// The arguments as far as they are known, as JSON.
    pub arguments: String,
}

#[derive(Debug, Clone)]
enum Notation {
    Object(ObjectScan),
    Named(NamedScan),
    Function(FunctionScan),
    Xml(XmlScan),
}

/// A call that is being read.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    raw: String,
    pub draft: Draft,
    notation: Notation,
}

impl Scan {
    /// Begins a call if this is all of a beginning of one.
    pub fn begin(format: ToolFormat, head: &str, notations: &Notations) -> Option<Self> {
        let name = format == ToolFormat::MistralV11 && head.chars().all(is_name);
        let scan = |notation| Self {
            raw: head.to_owned(),
            draft: Draft::default(),
            notation,
        };
        Some(match (format, head) {
            (ToolFormat::FunctionGemma, "call:") => scan(Notation::Function(FunctionScan::new())),
            (ToolFormat::Qwen3Coder, "<function=") => {
                scan(Notation::Xml(XmlScan::new(notations.clone())))
            }
            (ToolFormat::FunctionGemma, _) => return None,
            (_, "{") => scan(Notation::Object(ObjectScan::new())),
            _ if name => scan(Notation::Named(NamedScan::new(head))),
            _ => return None,
        })
    }

    /// Everything that was read.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    pub fn push(&mut self, letter: char) -> Step {
        self.raw.push(letter);
        let draft = &mut self.draft;
        match &mut self.notation {
            Notation::Object(scan) => scan.push(draft, letter),
            Notation::Named(scan) => scan.push(draft, letter),
            Notation::Function(scan) => scan.push(draft, letter),
            Notation::Xml(scan) => scan.push(draft, letter),
        }
    }

    /// The arguments of a complete call; some models write them as a string of JSON.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn arguments(&self) -> Result<Value, serde_json::Error> {
        if self.draft.arguments.is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        let value: Value = serde_json::from_str(&self.draft.arguments)?;
        match &value {
            Value::String(text) => Ok(serde_json::from_str(text).unwrap_or(value)),
            _ => Ok(value),
        }
    }
}

/// Whether a letter can stand in a tool's name.
pub(super) fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_-.".contains(letter)
}

/// Adds a piece of a JSON string, without quotes.
fn escape_into(out: &mut String, text: &str) {
    let quoted = json!(text).to_string();
    out.push_str(&quoted[1..quoted.len() - 1]);
}

/// How many bytes at the end of `text` may be the beginning of `mark`, less than all of it.
fn overlap(text: &str, mark: &str) -> usize {
    let ends = |length: &usize| mark.is_char_boundary(*length) && text.ends_with(&mark[..*length]);
    (1..mark.len()).rev().find(ends).unwrap_or(0)
}
