//! The encoding of text in a notation, such as the escapes within a JSON string.

use std::fmt::Write;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::{Regex, every};

/// The encoding of characters in a notation.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    /// Characters that are written as they are.
    plain: ClassUnicode,
    /// Characters that are written as an escape.
    spelled: Vec<(char, &'static str)>,
}

impl Codec {
    /// Writes every character as it is.
    pub fn raw() -> Self {
        Self {
            plain: every(),
            spelled: Vec::new(),
        }
    }

    /// Writes text within quotes, with backslash escapes. Control characters without a one-letter
    /// escape are never written.
    pub fn quoted(quote: char) -> Self {
        let spelled = match quote {
            '\'' => ('\'', "\\'"),
            _ => ('"', "\\\""),
        };
        let spelled = [
            spelled,
            ('\\', "\\\\"),
            ('\u{8}', "\\b"),
            ('\u{c}', "\\f"),
            ('\n', "\\n"),
            ('\r', "\\r"),
            ('\t', "\\t"),
        ];
        let mut plain = every();
        let control = [('\0', '\x1f'), ('\x7f', '\x7f')];
        let control = control.map(|(start, end)| ClassUnicodeRange::new(start, end));
        plain.difference(&ClassUnicode::new(control));
        plain.difference(&only(spelled.iter().map(|(letter, _)| *letter)));
        Self {
            plain,
            spelled: spelled.to_vec(),
        }
    }

    /// The encoded text. `None` if it contains a character that is never written.
    pub fn text(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            match self.spelled.iter().find(|(other, _)| *other == letter) {
                Some((_, spelling)) => out.push_str(spelling),
                None if self.writes(letter) => out.push(letter),
                None => return None,
            }
        }
        Some(out)
    }

    /// Whether a character can be written.
    pub fn writes(&self, letter: char) -> bool {
        let plain = self.plain.ranges().iter();
        plain
            .clone()
            .any(|range| range.start() <= letter && letter <= range.end())
            || self.spelled.iter().any(|(other, _)| *other == letter)
    }

    pub(super) fn class(&self, class: &ClassUnicode) -> Regex {
        let mut plain = class.clone();
        plain.intersect(&self.plain);
        let mut last = String::new();
        for (letter, spelling) in &self.spelled {
            let mut one = only([*letter]);
            one.intersect(class);
            if !one.ranges().is_empty() {
                let _ = write!(last, "\\x{:02X}", spelling.as_bytes()[1]);
            }
        }
        let plain = if plain.ranges().is_empty() {
            Regex::Nothing
        } else {
            Regex::Class(plain)
        };
        let spelled = if last.is_empty() {
            Regex::Nothing
        } else {
            Regex::Raw(format!("\\\\[{last}]"))
        };
        Regex::alt([plain, spelled])
    }
}

/// The class of the given characters.
fn only(letters: impl IntoIterator<Item = char>) -> ClassUnicode {
    let range = |letter| ClassUnicodeRange::new(letter, letter);
    ClassUnicode::new(letters.into_iter().map(range))
}
