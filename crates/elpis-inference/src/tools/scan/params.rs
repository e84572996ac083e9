//! Parses arguments that are written one by one: `<parameter=key>value</parameter>`.

use serde_json::json;

use super::text::escape_into;
use super::value::{Step, whole};
use super::{Draft, overlap};
use crate::schema::{Middle, Params, Types};
use crate::tools::declared::Declared;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between parameters.
    Between,
    Key,
    /// After the key, up to the value.
    Middle,
    Value,
}

/// Parameters up to the end of the call.
#[derive(Debug, Clone)]
pub(super) struct ParamsScan {
    params: &'static Params,
    ends: &'static [&'static str],
    declared: Declared,
    place: Place,
    /// The current mark, key or value.
    text: String,
    /// The types that the value may have; `None` if it is not declared.
    types: Option<Types>,
    /// Number of bytes of the value that are already in the arguments.
    told: usize,
    /// The offset in the value from which its end is searched.
    from: usize,
}

/// The text after a possible end of a value, as far as known.
enum Following {
    /// A parameter or the end of the call.
    Part,
    Unknown,
    Text,
}

impl ParamsScan {
    pub fn new(params: &'static Params, ends: &'static [&'static str], declared: Declared) -> Self {
        Self {
            params,
            ends,
            declared,
            place: Place::Between,
            text: String::new(),
            types: None,
            told: 0,
            from: 0,
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        self.text.push(letter);
        match self.place {
            Place::Between => self.between(draft),
            Place::Key => self.key(draft, letter),
            Place::Middle => self.middle(draft),
            Place::Value => self.value(draft),
        }
    }

    fn between(&mut self, draft: &mut Draft) -> Step {
        let text = self.text.trim_start();
        if text == self.params.open {
            self.text.clear();
            self.place = Place::Key;
        } else if self.ends.contains(&text) {
            draft.arguments.push_str(if draft.arguments.is_empty() {
                "{}"
            } else {
                "}"
            });
            return Step::Closed;
        } else if !self.params.open.starts_with(text)
            && !self.ends.iter().any(|end| end.starts_with(text))
        {
            return Step::Broken;
        }
        Step::Open
    }

    /// The text that ends a key.
    fn key_end(&self) -> &'static str {
        let middle = match self.params.middle {
            Middle::Same(text) | Middle::ByText(text, _) | Middle::ByType(text, _) => text,
        };
        // The first mark in it.
        let end = middle.find(['>', '"']).map_or(middle.len(), |at| at + 1);
        &middle[..end]
    }

    fn key(&mut self, draft: &mut Draft, letter: char) -> Step {
        let end = self.key_end();
        if let Some(key) = self.text.strip_suffix(end) {
            let before = if draft.arguments.is_empty() {
                "{"
            } else {
                ", "
            };
            let name = draft.name.as_deref().unwrap_or_default();
            let key = key.trim();
            self.types = self.declared.types(name, key);
            draft.arguments.push_str(before);
            draft.arguments.push_str(&json!(key).to_string());
            draft.arguments.push_str(": ");
            end.clone_into(&mut self.text);
            self.place = Place::Middle;
            return self.middle(draft);
        }
        let within = |letter: char| letter == '\n' || "<>\"".contains(letter);
        // A key contains no marks except those that end it.
        let held = overlap(&self.text, end);
        if within(letter) && held == 0 || self.text.len() > MAX_KEY {
            return Step::Broken;
        }
        Step::Open
    }

    fn middle(&mut self, draft: &mut Draft) -> Step {
        let (ready, types) = match self.params.middle {
            Middle::Same(text) => (spread(&self.text, text), self.types),
            Middle::ByText(text, other) => {
                let as_text = spread(&self.text, text);
                if as_text == Some(true) {
                    (as_text, Some(Types::STRING))
                } else {
                    let as_other = spread(&self.text, other);
                    (
                        as_other.or(as_text),
                        Some(Types::ALL.without(Types::STRING)),
                    )
                }
            }
            Middle::ByType(before, behind) => match self.text.strip_prefix(before) {
                None => (spread(&self.text, before).map(|_| false), None),
                Some(rest) => match rest.find('"') {
                    None => ((rest.len() < MAX_KEY).then_some(false), None),
                    Some(end) => {
                        let is_text = &rest[..end] == "string";
                        let types = if is_text {
                            Types::STRING
                        } else {
                            Types::ALL.without(Types::STRING)
                        };
                        (spread(&rest[end..], behind), Some(types))
                    }
                },
            },
        };
        match ready {
            None => return Step::Broken,
            Some(false) => return Step::Open,
            Some(true) => {}
        }
        self.types = types;
        if self.is_text() {
            draft.arguments.push('"');
        }
        self.text.clear();
        (self.told, self.from) = (0, 0);
        self.place = Place::Value;
        Step::Open
    }

    /// Whether the value can only be a text.
    fn is_text(&self) -> bool {
        self.types == Some(Types::STRING)
    }

    fn value(&mut self, draft: &mut Draft) -> Step {
        let mark = self.params.close.trim();
        loop {
            let found = self.text[self.from..].find(mark);
            let Some(end) = found.map(|at| self.from + at) else {
                if self.is_text() {
                    self.tell_up_to(draft, self.text.len() - overlap(&self.text, mark));
                }
                let last = self.text.len().saturating_sub(mark.len());
                self.from = self.from.max(self.text.floor_char_boundary(last));
                return Step::Open;
            };
            match self.following(&self.text[end + mark.len()..]) {
                Following::Unknown => {
                    if self.is_text() {
                        self.tell_up_to(draft, end);
                    }
                    self.from = end;
                    return Step::Open;
                }
                Following::Text => self.from = end + mark.len(),
                Following::Part => {
                    let rest = self.text.split_off(end + mark.len());
                    self.text.truncate(end);
                    self.end_value(draft);
                    self.text = rest;
                    self.place = Place::Between;
                    return self.between(draft);
                }
            }
        }
    }

    /// A text may contain its end mark. The mark only ends it if the notation continues after it.
    fn following(&self, rest: &str) -> Following {
        let rest = rest.trim_start();
        let mut parts = std::iter::once(&self.params.open).chain(self.ends);
        if parts.clone().any(|part| rest.starts_with(part)) {
            Following::Part
        } else if parts.any(|part| part.starts_with(rest)) {
            Following::Unknown
        } else {
            Following::Text
        }
    }

    /// Whether the line breaks around a value belong to the notation.
    fn lines(&self) -> bool {
        self.params.close.starts_with('\n')
    }

    /// Emits a text up to this byte, as far as it is certain.
    fn tell_up_to(&mut self, draft: &mut Draft, to: usize) {
        // A line break at the end may belong to the notation.
        let to = to - usize::from(self.text[..to].ends_with('\n'));
        if !self.lines() && self.text.starts_with('\n') {
            return;
        }
        let from = usize::from(self.lines() && self.text.starts_with('\n'));
        self.tell(draft, from.max(self.told), to);
    }

    fn tell(&mut self, draft: &mut Draft, from: usize, to: usize) {
        if from < to {
            escape_into(&mut draft.arguments, &self.text[from..to]);
            self.told = to;
        }
    }

    fn end_value(&mut self, draft: &mut Draft) {
        let value = stripped(&self.text, self.lines());
        let begin = value.as_ptr() as usize - self.text.as_ptr() as usize;
        let end = begin + value.len();
        if self.is_text() {
            self.tell(draft, begin.max(self.told), end);
            draft.arguments.push('"');
        } else {
            draft.arguments.push_str(&typed(value, self.types));
        }
    }
}

/// Maximum length of a key, in bytes.
const MAX_KEY: usize = 4096;

/// A value without the line breaks of the notation: one at each end if the notation has them
/// (`lines`), otherwise only if both ends have one.
pub(super) fn stripped(value: &str, lines: bool) -> &str {
    let (front, back) = (value.strip_prefix('\n'), value.strip_suffix('\n'));
    match (lines, front, back) {
        (true, Some(rest), _) | (false, Some(rest), Some(_)) => {
            rest.strip_suffix('\n').unwrap_or(rest)
        }
        (true, None, Some(rest)) => rest,
        _ => value,
    }
}

/// Whether a text has the parts of another one, with any white space between tags: `None` if not,
/// `false` if it may still get them.
fn spread(text: &str, wanted: &str) -> Option<bool> {
    let mut wanted = wanted.chars().filter(|letter| !letter.is_whitespace());
    let mut text = text.chars().filter(|letter| !letter.is_whitespace());
    loop {
        match (text.next(), wanted.next()) {
            (None, None) => return Some(true),
            (None, Some(_)) => return Some(false),
            (Some(one), Some(other)) if one == other => {}
            _ => return None,
        }
    }
}

/// Converts a value without quotes to JSON, according to the types that it may have.
pub(super) fn typed(text: &str, types: Option<Types>) -> String {
    let as_text = || json!(text).to_string();
    let Some(types) = types else {
        return whole(text)
            .filter(|value| !value.starts_with('"'))
            .unwrap_or_else(as_text);
    };
    let trimmed = text.trim();
    let is = |word: &str| trimmed.eq_ignore_ascii_case(word);
    if types.has(Types::NULL) && (is("null") || is("none")) {
        return "null".to_owned();
    }
    if types.has(Types::BOOLEAN) && (is("true") || is("false")) {
        return trimmed.to_ascii_lowercase();
    }
    if types.has(Types::NUMBER)
        && types.without(Types::NUMBER).without(Types::NULL).is_empty()
        && let Some(number) = padded(trimmed)
    {
        return number;
    }
    match whole(text) {
        // A text in quotes is taken literally if texts have no quotes.
        Some(value) if types.has(Types::STRING) => {
            let fits = of_json(&value).is_some_and(|kind| types.has(kind));
            if fits { value } else { as_text() }
        }
        // A value that the schema does not allow is kept rather than dropped.
        Some(value) => value,
        None => as_text(),
    }
}

/// A number with leading zeros.
fn padded(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let stripped = digits.trim_start_matches('0');
    let bare = stripped.is_empty() || stripped.starts_with(['.', 'e', 'E']);
    let zero = if bare { "0" } else { "" };
    let is_padded = digits.len() > stripped.len() + zero.len();
    if !is_padded {
        return None;
    }
    whole(&format!("{sign}{zero}{stripped}"))
}

/// The type of a value in JSON, unless it is a text.
fn of_json(value: &str) -> Option<Types> {
    Some(match value.as_bytes().first()? {
        b'{' => Types::OBJECT,
        b'[' => Types::ARRAY,
        b'"' => return None,
        b't' | b'f' => Types::BOOLEAN,
        b'n' => Types::NULL,
        _ => Types::NUMBER,
    })
}
