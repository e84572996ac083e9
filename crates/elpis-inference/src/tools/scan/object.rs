//! Parses a call that is a JSON object.

use serde_json::Value;

use super::Draft;
use super::text::TextScan;
use super::value::{Step, ValueScan, whole};

#[derive(Debug, Clone)]
enum Place {
    /// Before a key or the end.
    Key,
    /// Within a key.
    Text(TextScan),
    /// Between a key and its value.
    Colon,
    Value(ValueScan),
    /// After a value.
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    Id,
    /// An object with the name and the arguments, as in `OpenAI`'s API.
    Function,
    Other,
}

/// A JSON object with the name and the arguments of a call, or with the name as its only key.
#[derive(Debug, Clone)]
pub(super) struct ObjectScan {
    keyed: bool,
    place: Place,
    field: Field,
    /// The current key or value, unless it is the arguments.
    token: String,
}

impl ObjectScan {
    /// Begins after the opening brace.
    pub fn new(keyed: bool) -> Self {
        Self {
            keyed,
            place: Place::Key,
            field: Field::Other,
            token: String::new(),
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        match &mut self.place {
            Place::Text(scan) => {
                if scan.push(&mut self.token, letter) {
                    self.token.push('"');
                    return self.key(draft);
                }
            }
            Place::Value(scan) => {
                let out = if self.field == Field::Arguments {
                    &mut draft.arguments
                } else {
                    &mut self.token
                };
                match scan.push(out, letter) {
                    Step::Open => {}
                    Step::Broken => return Step::Broken,
                    step @ (Step::Closed | Step::Beyond) => {
                        self.place = Place::After;
                        if !self.value(draft) {
                            return Step::Broken;
                        }
                        if step == Step::Beyond {
                            return self.push(draft, letter);
                        }
                    }
                }
            }
            _ if letter.is_whitespace() => {}
            Place::Key if matches!(letter, '"' | '\'') => {
                self.token.clear();
                self.token.push('"');
                self.place = Place::Text(TextScan::new(letter));
            }
            Place::Colon if letter == ':' => {
                self.token.clear();
                self.place = Place::Value(ValueScan::new());
            }
            Place::After if letter == ',' && !self.keyed => self.place = Place::Key,
            Place::Key | Place::After if letter == '}' => return Step::Closed,
            _ => return Step::Broken,
        }
        Step::Open
    }

    fn key(&mut self, draft: &mut Draft) -> Step {
        let Ok(key) = serde_json::from_str::<String>(&self.token) else {
            return Step::Broken;
        };
        self.place = Place::Colon;
        if self.keyed {
            draft.name = Some(key);
            self.field = Field::Arguments;
            return Step::Open;
        }
        self.field = match key.as_str() {
            "name" | "tool_name" if draft.name.is_none() => Field::Name,
            "arguments" | "parameters" if draft.arguments.is_empty() => Field::Arguments,
            "id" | "tool_call_id" => Field::Id,
            "function" if draft.name.is_none() => Field::Function,
            _ => Field::Other,
        };
        Step::Open
    }

    /// Stores a complete value. Returns whether it is valid.
    fn value(&self, draft: &mut Draft) -> bool {
        let text = || serde_json::from_str::<String>(&self.token).ok();
        match self.field {
            Field::Name => {
                draft.name = text();
                draft.name.is_some()
            }
            Field::Id => {
                draft.id = text();
                true
            }
            Field::Function => match serde_json::from_str(&self.token) {
                Ok(Value::String(name)) => {
                    draft.name = Some(name);
                    true
                }
                Ok(Value::Object(inner)) => {
                    let name = inner.get("name").and_then(Value::as_str);
                    draft.name = name.map(str::to_owned);
                    let arguments = inner.get("arguments").or(inner.get("parameters"));
                    if let Some(arguments) = arguments {
                        draft.arguments = arguments.to_string();
                    }
                    true
                }
                _ => true,
            },
            Field::Arguments | Field::Other => true,
        }
    }
}

/// The arguments as an object, if a model wrote them as a string.
pub(super) fn unwrapped(arguments: &str) -> Option<String> {
    let text: String = serde_json::from_str(arguments).ok()?;
    if text.trim().is_empty() {
        return Some("{}".to_owned());
    }
    whole(&text).filter(|inner| inner.starts_with('{'))
}
