//! Reads a string in quotes, as JSON or Python has it, and says it in JSON.

use serde_json::json;

/// A string whose opening quote was read.
#[derive(Debug, Clone)]
pub(super) struct TextScan {
    quote: char,
    escape: Option<Escape>,
}

/// Behind a backslash.
#[derive(Debug, Clone)]
enum Escape {
    Begun,
    /// The number of a character, and how many digits it has.
    Digits(String, usize),
}

impl TextScan {
    pub fn new(quote: char) -> Self {
        Self {
            quote,
            escape: None,
        }
    }

    /// Adds what a letter says, without quotes; tells whether it ended the string.
    pub fn push(&mut self, out: &mut String, letter: char) -> bool {
        match self.escape.take() {
            None if letter == self.quote => return true,
            None if letter == '\\' => self.escape = Some(Escape::Begun),
            None => escape_into(out, letter.encode_utf8(&mut [0; 4])),
            Some(Escape::Begun) => match letter {
                'n' | 't' | 'r' | 'b' | 'f' | '\\' | '/' | '"' => {
                    out.push('\\');
                    out.push(letter);
                }
                '\'' => out.push(letter),
                'u' => self.escape = Some(Escape::Digits(String::new(), 4)),
                'x' => self.escape = Some(Escape::Digits(String::new(), 2)),
                'U' => self.escape = Some(Escape::Digits(String::new(), 8)),
                // Python joins the lines, and leaves what is no escape as it is.
                '\n' => {}
                _ => {
                    out.push_str("\\\\");
                    escape_into(out, letter.encode_utf8(&mut [0; 4]));
                }
            },
            Some(Escape::Digits(mut digits, most)) if letter.is_ascii_hexdigit() => {
                digits.push(letter);
                if digits.len() < most {
                    self.escape = Some(Escape::Digits(digits, most));
                } else if most == 4 {
                    // Two of these may be one character, which JSON knows.
                    out.push_str("\\u");
                    out.push_str(&digits);
                } else {
                    let number = u32::from_str_radix(&digits, 16).ok();
                    let letter = number.and_then(char::from_u32).unwrap_or('\u{FFFD}');
                    escape_into(out, letter.encode_utf8(&mut [0; 4]));
                }
            }
            Some(Escape::Digits(digits, most)) => {
                let kind = match most {
                    2 => 'x',
                    4 => 'u',
                    _ => 'U',
                };
                out.push_str("\\\\");
                out.push(kind);
                out.push_str(&digits);
                return self.push(out, letter);
            }
        }
        false
    }
}

/// Adds a piece of a JSON string, without quotes.
pub(super) fn escape_into(out: &mut String, text: &str) {
    let quoted = json!(text).to_string();
    out.push_str(&quoted[1..quoted.len() - 1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_json_and_python_say_the_same_in_json() {
        for (text, expected) in [
            (r#"a\"b\\c\/d""#, "a\"b\\c/d"),
            (r"it's'", "it"),
            (r"\u00e9\ud83d\ude00'", "é😀"),
            (r"\x41\U0001F600\x'", "A😀\\x"),
            (r"\d\'\u12'", "\\d'\\u12"),
            ("a\nb\t\u{1}\\\nc'", "a\nb\t\u{1}c"),
        ] {
            let quote = if text.ends_with('"') { '"' } else { '\'' };
            let (mut scan, mut out) = (TextScan::new(quote), "\"".to_owned());
            let ended = text.chars().any(|letter| scan.push(&mut out, letter));
            assert!(ended, "{text}");
            out.push('"');
            assert_eq!(
                serde_json::from_str::<String>(&out).unwrap(),
                expected,
                "{text}"
            );
        }
    }
}
