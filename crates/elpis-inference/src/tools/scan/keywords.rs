//! Parses the arguments of a call in Python syntax: `key=value, …)`.

use serde_json::json;

use super::Draft;
use super::text::TextScan;
use super::value::{Step, ValueScan};

#[derive(Debug, Clone)]
enum Place {
    /// Before a key or the end.
    Key,
    Name(String),
    Text(TextScan, String),
    /// Before the `=`.
    Equals,
    Value(ValueScan),
    After,
}

/// Parses the arguments after the opening bracket.
#[derive(Debug, Clone)]
pub(super) struct KeywordScan {
    place: Place,
}

impl KeywordScan {
    pub fn new() -> Self {
        Self { place: Place::Key }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        match &mut self.place {
            Place::Text(scan, key) => {
                if scan.push(key, letter) {
                    let key = format!("\"{key}\"");
                    begin(draft, &key);
                    self.place = Place::Equals;
                }
            }
            Place::Name(name) if letter.is_alphanumeric() || "_-.$".contains(letter) => {
                name.push(letter);
            }
            Place::Name(name) => {
                begin(draft, &json!(name).to_string());
                self.place = Place::Equals;
                return self.push(draft, letter);
            }
            Place::Value(scan) => match scan.push(&mut draft.arguments, letter) {
                Step::Open => {}
                Step::Closed => self.place = Place::After,
                Step::Beyond => {
                    self.place = Place::After;
                    return self.push(draft, letter);
                }
                Step::Broken => return Step::Broken,
            },
            _ if letter.is_whitespace() => {}
            Place::Key | Place::After if letter == ')' => {
                draft.arguments.push_str(if draft.arguments.is_empty() {
                    "{}"
                } else {
                    "}"
                });
                return Step::Closed;
            }
            Place::Key if matches!(letter, '"' | '\'') => {
                self.place = Place::Text(TextScan::new(letter), String::new());
            }
            Place::Key if letter.is_alphabetic() || "_$".contains(letter) => {
                self.place = Place::Name(letter.to_string());
            }
            Place::Equals if letter == '=' => {
                draft.arguments.push_str(": ");
                self.place = Place::Value(ValueScan::new());
            }
            Place::After if letter == ',' => self.place = Place::Key,
            _ => return Step::Broken,
        }
        Step::Open
    }
}

fn begin(draft: &mut Draft, key: &str) {
    let before = if draft.arguments.is_empty() {
        "{"
    } else {
        ", "
    };
    draft.arguments.push_str(before);
    draft.arguments.push_str(key);
}
