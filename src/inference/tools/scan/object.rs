//! Reads a call that is a JSON object.

use super::{Draft, Step};

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

/// A JSON object with the name and the arguments of a call.
#[derive(Debug, Clone)]
pub(super) struct ObjectScan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    place: Place,
    field: Field,
    /// The key or the value at the first level that is being read.
    token: String,
}

impl ObjectScan {
    /// The opening brace was read already.
    pub fn new() -> Self {
        Self {
            depth: 1,
            in_string: false,
            escaped: false,
            place: Place::Key,
            field: Field::Other,
            token: String::new(),
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        if self.in_string {
            self.write(draft, letter);
            if self.escaped {
                self.escaped = false;
            } else if letter == '\\' {
                self.escaped = true;
            } else if letter == '"' {
                self.in_string = false;
                return self.string_ended(draft);
            }
            return Step::Open;
        }
        match (letter, self.depth) {
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
            // Nothing is open that it could close.
            (']', 1) => Step::Broken,
            _ => {
                self.write(draft, letter);
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

    fn write(&mut self, draft: &mut Draft, letter: char) {
        match (self.place, self.field) {
            (Place::Value, Field::Arguments) => draft.arguments.push(letter),
            _ => self.token.push(letter),
        }
    }

    fn string_ended(&mut self, draft: &mut Draft) -> Step {
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
            (Place::Value, Field::Name) => draft.name = text(),
            _ => {}
        }
        Step::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_that_closes_nothing_breaks_the_call() {
        for rest in ["\"name\": ]", "\"name\": ]]", "\"arguments\": [1]]}"] {
            let (mut scan, mut draft) = (ObjectScan::new(), Draft::default());
            let mut steps = rest.chars().map(|letter| scan.push(&mut draft, letter));
            assert!(steps.any(|step| matches!(step, Step::Broken)), "{rest}");
        }
    }
}
