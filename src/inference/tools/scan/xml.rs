//! Reads a call as Qwen3-Coder writes it.

use serde_json::{Value, json};

use super::{Draft, Step, escape_into, is_name, overlap};
use crate::inference::tools::schema::{Notation, Notations, PARAMETER_END};

const PARAMETER: &str = "<parameter=";
/// With the line break that belongs to it.
const VALUE_END: &str = "\n</parameter>";
const FUNCTION_END: &str = "</function>";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Name,
    /// Between parameters.
    Mark,
    Key,
    Value,
}

/// `name>`, parameters, `</function>`.
#[derive(Debug, Clone)]
pub(super) struct XmlScan {
    notations: Notations,
    place: Place,
    /// The name, marker, key or value that is being read.
    text: String,
    notation: Notation,
    /// Bytes of the value that stand in the arguments already.
    told: usize,
}

impl XmlScan {
    /// `<function=` was read already.
    pub fn new(notations: Notations) -> Self {
        Self {
            notations,
            place: Place::Name,
            text: String::new(),
            notation: Notation::Unknown,
            told: 0,
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        match (self.place, letter) {
            (Place::Name, '>') if !self.text.is_empty() => {
                draft.name = Some(std::mem::take(&mut self.text));
                self.place = Place::Mark;
            }
            (Place::Name, letter) if !is_name(letter) => return Step::Broken,
            (Place::Mark, letter) if self.text.is_empty() && letter.is_ascii_whitespace() => {}
            (Place::Key, '>') => self.begin_value(draft),
            (Place::Key, '\n' | '<') => return Step::Broken,
            (Place::Name | Place::Key, letter) => self.text.push(letter),
            (Place::Mark, letter) => {
                self.text.push(letter);
                if self.text == PARAMETER {
                    self.text.clear();
                    self.place = Place::Key;
                } else if self.text == FUNCTION_END {
                    if !draft.arguments.is_empty() {
                        draft.arguments.push('}');
                    }
                    return Step::Closed;
                } else if ![PARAMETER, FUNCTION_END]
                    .iter()
                    .any(|mark| mark.starts_with(&self.text))
                {
                    return Step::Broken;
                }
            }
            (Place::Value, letter) => {
                self.text.push(letter);
                return self.value(draft);
            }
        }
        Step::Open
    }

    fn begin_value(&mut self, draft: &mut Draft) {
        let key = std::mem::take(&mut self.text);
        let before = if draft.arguments.is_empty() {
            "{"
        } else {
            ", "
        };
        draft.arguments.push_str(before);
        draft.arguments.push_str(&json!(key).to_string());
        draft.arguments.push_str(": ");
        let name = draft.name.as_deref().unwrap_or_default();
        self.notation = self.notations.of(name, &key);
        if self.notation == Notation::Text {
            draft.arguments.push('"');
        }
        self.place = Place::Value;
        self.told = 0;
    }

    fn value(&mut self, draft: &mut Draft) -> Step {
        let Some(end) = self.text.strip_suffix(PARAMETER_END).map(str::len) else {
            if self.notation == Notation::Text {
                // The line breaks around a value are no part of it.
                let held = overlap(&self.text, VALUE_END).max(overlap(&self.text, PARAMETER_END));
                self.tell(draft, self.text.len() - held);
            }
            return Step::Open;
        };
        // JSON may have the mark in a string; a raw text never has.
        if self.notation == Notation::Json && in_string(&self.text[..end]) {
            return Step::Open;
        }
        let end = end - usize::from(self.text[..end].len() > 1 && self.text[..end].ends_with('\n'));
        if self.notation == Notation::Text {
            self.tell(draft, end);
            draft.arguments.push('"');
        } else {
            let text = &self.text[..end];
            let text = text.strip_prefix('\n').unwrap_or(text);
            let read = serde_json::from_str::<Value>(text);
            match (self.notation, read) {
                (Notation::NullableText, _) if text == "null" => draft.arguments.push_str(text),
                (Notation::NullableText, _)
                | (Notation::Unknown, Err(_) | Ok(Value::String(_))) => {
                    draft.arguments.push_str(&json!(text).to_string());
                }
                (_, Ok(_)) => draft.arguments.push_str(text.trim()),
                (_, Err(_)) => return Step::Broken,
            }
        }
        self.text.clear();
        self.place = Place::Mark;
        Step::Open
    }

    /// Adds the value up to this byte to the arguments.
    fn tell(&mut self, draft: &mut Draft, to: usize) {
        let from = self.told.max(usize::from(self.text.starts_with('\n')));
        if from < to {
            escape_into(&mut draft.arguments, &self.text[from..to]);
            self.told = to;
        }
    }
}

/// Whether JSON breaks off within a string.
fn in_string(json: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    inside
}
