//! Reads one call, a JSON object, character by character.

use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before or within a key.
    Key,
    /// Between a key and its value.
    Colon,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    Other,
}

/// What a character brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The object goes on.
    Open,
    /// The object is complete.
    Closed,
    /// This is no JSON object.
    Broken,
}

/// A call that is being read. The object's opening brace is the first character pushed.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    raw: String,
    depth: usize,
    in_string: bool,
    escaped: bool,
    place: Place,
    field: Field,
    /// The key or the value at the first level that is being read.
    token: String,
    /// The name, once it is complete.
    pub name: Option<String>,
    /// The arguments as far as they are written.
    pub arguments: String,
}

impl Scan {
    pub fn new() -> Self {
        Self {
            raw: String::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            place: Place::Key,
            field: Field::Other,
            token: String::new(),
            name: None,
            arguments: String::new(),
        }
    }

    /// Everything that was pushed.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    pub fn push(&mut self, letter: char) -> Step {
        self.raw.push(letter);
        if self.in_string {
            self.write(letter);
            if self.escaped {
                self.escaped = false;
            } else if letter == '\\' {
                self.escaped = true;
            } else if letter == '"' {
                self.in_string = false;
                return self.string_ended();
            }
            return Step::Open;
        }
        match (letter, self.depth) {
            ('{', 0) => {
                self.depth = 1;
                Step::Open
            }
            (_, 0) => Step::Broken,
            (',', 1) if self.place == Place::Value => {
                self.place = Place::Key;
                Step::Open
            }
            ('}', 1) if self.place != Place::Colon => Step::Closed,
            (':', 1) if self.place == Place::Colon => {
                self.place = Place::Value;
                self.token.clear();
                Step::Open
            }
            (letter, 1) if letter.is_ascii_whitespace() => Step::Open,
            ('"', 1) if self.place == Place::Key => {
                self.in_string = true;
                self.token.clear();
                self.token.push('"');
                Step::Open
            }
            (_, 1) if self.place != Place::Value => Step::Broken,
            _ => {
                self.write(letter);
                match letter {
                    '"' => self.in_string = true,
                    '{' | '[' => self.depth += 1,
                    '}' | ']' => self.depth -= 1,
                    _ => {}
                }
                Step::Open
            }
        }
    }

    fn write(&mut self, letter: char) {
        match (self.place, self.field) {
            (Place::Value, Field::Arguments) => self.arguments.push(letter),
            _ => self.token.push(letter),
        }
    }

    fn string_ended(&mut self) -> Step {
        if self.depth != 1 {
            return Step::Open;
        }
        let text = || serde_json::from_str::<String>(&self.token).ok();
        match (self.place, self.field) {
            (Place::Key, _) => {
                let Some(key) = text() else {
                    return Step::Broken;
                };
                self.field = match key.as_str() {
                    "name" => Field::Name,
                    "arguments" | "parameters" => Field::Arguments,
                    _ => Field::Other,
                };
                self.place = Place::Colon;
            }
            (Place::Value, Field::Name) => self.name = text(),
            _ => {}
        }
        Step::Open
    }

    /// The arguments of a complete object; some models write them as a string of JSON.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn arguments(&self) -> Result<Value, serde_json::Error> {
        if self.arguments.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        let value: Value = serde_json::from_str(&self.arguments)?;
        match &value {
            Value::String(text) => Ok(serde_json::from_str(text).unwrap_or(value)),
            _ => Ok(value),
        }
    }
}
