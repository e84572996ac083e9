//! Reads a value as JSON or Python has it, and says it in JSON.

use serde_json::Value;

use super::text::TextScan;

/// What a letter brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tools) enum Step {
    Open,
    /// The value is complete with this letter.
    Closed,
    /// The value was complete before this letter, which is no part of it.
    Beyond,
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a value.
    Value,
    /// Before a value or the end of a list.
    Item,
    /// Before a key or the end of an object.
    Key,
    /// Between a key and its value.
    Colon,
    /// Within a string, which is a key or not.
    Text(bool),
    /// Within a number or a name.
    Word,
    /// Behind a value.
    After,
}

/// A value that is being read.
#[derive(Debug, Clone)]
pub(super) struct ValueScan {
    place: Place,
    /// What closes the lists and objects that are open.
    open: Vec<char>,
    text: TextScan,
    word: String,
    /// A comma that was read, and is written once something follows it.
    comma: bool,
}

impl ValueScan {
    pub fn new() -> Self {
        Self {
            place: Place::Value,
            open: Vec::new(),
            text: TextScan::new('"'),
            word: String::new(),
            comma: false,
        }
    }

    pub fn push(&mut self, out: &mut String, letter: char) -> Step {
        match self.place {
            Place::Text(is_key) => {
                if self.text.push(out, letter) {
                    out.push('"');
                    if is_key {
                        self.place = Place::Colon;
                    } else {
                        return self.ended();
                    }
                }
                Step::Open
            }
            Place::Word if letter.is_alphanumeric() || "+-._".contains(letter) => {
                self.word.push(letter);
                Step::Open
            }
            Place::Word => {
                let Some(word) = in_json(&self.word) else {
                    return Step::Broken;
                };
                out.push_str(&word);
                self.word.clear();
                self.place = Place::After;
                if self.open.is_empty() {
                    return Step::Beyond;
                }
                self.push(out, letter)
            }
            _ if letter.is_whitespace() => Step::Open,
            Place::Value | Place::Item => self.value(out, letter),
            Place::Key => match letter {
                '"' | '\'' => {
                    self.begin_text(out, letter, true);
                    Step::Open
                }
                _ => self.close(out, letter),
            },
            Place::Colon if letter == ':' => {
                out.push_str(": ");
                self.place = Place::Value;
                Step::Open
            }
            Place::Colon => Step::Broken,
            Place::After if letter == ',' && !self.open.is_empty() => {
                self.comma = true;
                let in_object = self.open.last() == Some(&'}');
                self.place = if in_object { Place::Key } else { Place::Item };
                Step::Open
            }
            Place::After => self.close(out, letter),
        }
    }

    fn value(&mut self, out: &mut String, letter: char) -> Step {
        match letter {
            '"' | '\'' => self.begin_text(out, letter, false),
            '{' => {
                self.separate(out);
                out.push('{');
                self.open.push('}');
                self.place = Place::Key;
            }
            '[' | '(' => {
                self.separate(out);
                out.push('[');
                self.open.push(if letter == '[' { ']' } else { ')' });
                self.place = Place::Item;
            }
            letter if letter.is_alphanumeric() || "+-.".contains(letter) => {
                self.separate(out);
                self.word.push(letter);
                self.place = Place::Word;
            }
            _ if self.place == Place::Item => return self.close(out, letter),
            _ => return Step::Broken,
        }
        Step::Open
    }

    fn begin_text(&mut self, out: &mut String, quote: char, is_key: bool) {
        self.separate(out);
        out.push('"');
        self.text = TextScan::new(quote);
        self.place = Place::Text(is_key);
    }

    fn separate(&mut self, out: &mut String) {
        if std::mem::take(&mut self.comma) {
            out.push_str(", ");
        }
    }

    fn close(&mut self, out: &mut String, letter: char) -> Step {
        if self.open.pop() != Some(letter) {
            return Step::Broken;
        }
        // A comma may stand before the bracket.
        self.comma = false;
        out.push(if letter == ')' { ']' } else { letter });
        self.ended()
    }

    fn ended(&mut self) -> Step {
        self.place = Place::After;
        if self.open.is_empty() {
            Step::Closed
        } else {
            Step::Open
        }
    }
}

/// A number or a name of JSON or Python in JSON.
fn in_json(word: &str) -> Option<String> {
    let known = match word {
        "true" | "True" => "true",
        "false" | "False" => "false",
        "null" | "None" => "null",
        // A double would keep the sign, an integer has none.
        "-0" => "0",
        _ => "",
    };
    if !known.is_empty() {
        return Some(known.to_owned());
    }
    if is_number(word) {
        return Some(word.to_owned());
    }
    // Python has more spellings.
    let plain = word.strip_prefix('+').unwrap_or(word).replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.as_str()),
    };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => format!("0.{fraction}"),
        Some((whole, "")) => format!("{whole}.0"),
        _ => mantissa.to_owned(),
    };
    let number = format!("{sign}{mantissa}{exponent}");
    is_number(&number).then_some(number)
}

/// Whether this is a number of JSON, whatever its size.
fn is_number(word: &str) -> bool {
    match serde_json::from_str::<Value>(word) {
        Ok(value) => value.is_number(),
        Err(error) => word.len() > 1 && error.to_string().starts_with("number out of range"),
    }
}

/// A whole text as a value in JSON; `None` if it is none.
pub(super) fn whole(text: &str) -> Option<String> {
    let (mut scan, mut out) = (ValueScan::new(), String::new());
    let mut letters = text.trim().chars();
    // A number ends with what follows it.
    for letter in letters.by_ref().chain(std::iter::once(' ')) {
        match scan.push(&mut out, letter) {
            Step::Open => {}
            Step::Closed | Step::Beyond => {
                let rest = letters.as_str();
                return rest.trim().is_empty().then_some(out);
            }
            Step::Broken => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_json_and_python_say_the_same_in_json() {
        for (text, expected) in [
            (
                "{\"a\": [1, -2.5e3, true, null], \"b\": {}}",
                "{\"a\": [1, -2.5e3, true, null], \"b\": {}}",
            ),
            (
                "{'a': (True, False,), 'b': None,}",
                "{\"a\": [true, false], \"b\": null}",
            ),
            ("[]", "[]"),
            (" [ ] ", "[]"),
            ("'it is \"so\"'", "\"it is \\\"so\\\"\""),
            ("1_000", "1000"),
            ("+.5", "0.5"),
            ("-1.", "-1.0"),
            ("1.e5", "1.0e5"),
            ("18446744073709551616", "18446744073709551616"),
            ("1e999", "1e999"),
            ("None", "null"),
            ("[-0, -0.0]", "[0, -0.0]"),
        ] {
            assert_eq!(whole(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "{",
            "[1",
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\": }",
            "{a: 1}",
            "[,]",
            "[1,,2]",
            "[1}",
            "(1]",
            "007",
            "0x1F",
            "1, 2",
            "nul",
            "--1",
            "1.2.3",
            "\"a",
            "1 x",
            "NaN",
            "{1: 2}",
            "]",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}
