//! Tells what a template wrote from what it was given, in the text of a prompt.
//!
//! A control token such as `<|im_end|>` means something only where the template wrote it. So a
//! conversation is rendered twice: as it is, and with the punctuation of its contents replaced by
//! private characters that nobody can guess. Where putting the characters back gives the first
//! text again, every character's origin is known: the second text has control tokens only where
//! they are the template's.
//!
//! Few templates look at punctuation, and then at that of their own markers. Where that changes
//! the text, only the control tokens in the contents are marked; where even those do not survive,
//! they are taken apart by a space.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use super::adapt::Adapted;
use super::error::TemplateError;

/// Where the private characters are taken from: planes 15 and 16, which no script uses.
const PRIVATE: Range<u32> = 0xF_0000..0x10_FFFD;

/// Punctuation that templates, names and JSON use too often to be marked.
const COMMON: &str = "_-.'\"\\ ";

/// The texts that a tokenizer reads as control tokens.
#[derive(Debug, Clone)]
pub struct ControlTexts {
    /// Finds them; nothing where there are none.
    finder: Option<AhoCorasick>,
    /// Their punctuation, in the order of the private characters.
    letters: Vec<char>,
    /// What stands between the punctuation, as `im_end` in `<|im_end|>`.
    insides: HashSet<String>,
}

impl ControlTexts {
    /// Takes the texts of a vocabulary's control tokens; empty ones are left out.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        let punctuation = |letter: &char| !letter.is_alphanumeric() && !COMMON.contains(*letter);
        let mut letters: Vec<char> = texts
            .iter()
            .flat_map(|text| text.chars())
            .filter(punctuation)
            .flat_map(|letter| [Some(letter), wide(letter)])
            .flatten()
            .collect();
        letters.sort_unstable();
        letters.dedup();
        let insides = texts
            .iter()
            .map(|text| text.trim_matches(|letter: char| !letter.is_alphanumeric()))
            .filter(|inside| !inside.is_empty())
            .map(str::to_owned)
            .collect();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&texts)
            .ok()
            .filter(|_| !texts.is_empty());
        Self {
            finder,
            letters,
            insides,
        }
    }

    /// The first control token that a text holds.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        let found = self.finder.as_ref()?.find(text)?;
        text.get(found.range())
    }

    fn find_all<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let finder = self.finder.iter();
        finder.flat_map(move |finder| finder.find_iter(text).map(|found| found.range()))
    }

    fn is_risky(&self, text: &str) -> bool {
        self.insides.contains(text)
            || text
                .chars()
                .any(|letter| self.letters.binary_search(&letter).is_ok())
            || self.find(text).is_some()
    }
}

/// The full-width form of a character, which some tokenizers read as the same.
fn wide(letter: char) -> Option<char> {
    match letter {
        '!'..='~' => char::from_u32(u32::from(letter) - 0x21 + 0xFF01),
        _ => None,
    }
}

/// A prompt's text, and where its control tokens are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptText {
    /// The text.
    pub text: String,
    /// The same, character by character, but for contents whose control tokens are marked; nothing
    /// where all control tokens are the template's.
    pub marked: Option<MarkedText>,
}

/// A text in which contents hold no control token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedText {
    /// The marked text.
    pub text: String,
    alphabet: Alphabet,
}

impl MarkedText {
    /// Puts the characters back that a part of the marked text stands for.
    pub fn unmarked(&self, part: &str) -> String {
        self.alphabet.undo(part)
    }
}

/// The private characters of one rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alphabet {
    base: u32,
    letters: Vec<char>,
}

impl Alphabet {
    /// Draws characters that do not occur in the contents.
    fn draw(letters: &[char], contents: &Contents) -> Option<Self> {
        let room = PRIVATE.end - PRIVATE.start - 2 * letters.len() as u32;
        (0..64).find_map(|_| {
            let base = PRIVATE.start + rand::random_range(0..room);
            let own = base..base + letters.len() as u32 + ALPHANUMERIC;
            let free = contents
                .letters_from(PRIVATE.start)
                .all(|letter| !own.contains(&letter));
            free.then(|| Self {
                base,
                letters: letters.to_vec(),
            })
        })
    }

    fn mark(&self, letter: char) -> char {
        let index = match self.letters.binary_search(&letter) {
            Ok(index) => index as u32,
            Err(_) if letter.is_ascii_alphanumeric() => {
                self.letters.len() as u32 + u32::from(letter)
            }
            Err(_) => return letter,
        };
        char::from_u32(self.base + index).unwrap_or(letter)
    }

    fn undo(&self, text: &str) -> String {
        let count = self.letters.len() as u32;
        text.chars()
            .map(|letter| match u32::from(letter).checked_sub(self.base) {
                Some(index) if index < count => self.letters[index as usize],
                Some(index) if index < count + ALPHANUMERIC => {
                    char::from_u32(index - count).unwrap_or(letter)
                }
                _ => letter,
            })
            .collect()
    }
}

/// Private characters for ASCII letters and digits, behind those for punctuation.
const ALPHANUMERIC: u32 = 128;

/// The texts of a conversation that are not the template's.
struct Contents<'a> {
    texts: Vec<&'a str>,
}

impl<'a> Contents<'a> {
    fn of(adapted: &'a Adapted) -> Self {
        let mut texts = Vec::new();
        for value in adapted.messages.iter().chain(&adapted.tools) {
            visit(value, None, &mut |text| texts.push(text));
        }
        Self { texts }
    }

    fn letters_from(&self, first: u32) -> impl Iterator<Item = u32> {
        let letters = self.texts.iter().flat_map(|text| text.chars());
        letters
            .map(u32::from)
            .filter(move |letter| *letter >= first)
    }
}

/// Keys whose values are of a few known words.
const KNOWN_WORDS: [&str; 2] = ["role", "type"];
/// Keys of objects whose own keys come from outside.
const OWN_KEYS: [&str; 5] = [
    "arguments",
    "properties",
    "$defs",
    "definitions",
    "patternProperties",
];

fn has_own_keys(key: Option<&str>) -> bool {
    key.is_some_and(|key| OWN_KEYS.contains(&key))
}

/// Below `arguments` all keys are from outside; elsewhere those of the next object alone.
fn key_of_child<'k>(key: Option<&'k str>, child: &'k str) -> Option<&'k str> {
    if key == Some("arguments") {
        key
    } else {
        Some(child)
    }
}

fn visit<'a>(value: &'a Value, key: Option<&str>, see: &mut impl FnMut(&'a str)) {
    match value {
        Value::String(text) if !key.is_some_and(|key| KNOWN_WORDS.contains(&key)) => see(text),
        Value::Array(items) => {
            for item in items {
                visit(item, key, see);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if has_own_keys(key) {
                    see(name);
                }
                visit(field, key_of_child(key, name), see);
            }
        }
        _ => {}
    }
}

/// Rewrites the contents of a value.
fn rewrite(value: &Value, key: Option<&str>, change: &mut impl FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) if !key.is_some_and(|key| KNOWN_WORDS.contains(&key)) => {
            Value::String(change(text))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| rewrite(item, key, change));
            Value::Array(items.collect())
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| {
                let own = has_own_keys(key);
                let field = rewrite(field, key_of_child(key, name), change);
                (if own { change(name) } else { name.clone() }, field)
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn rewritten(adapted: &Adapted, change: &mut impl FnMut(&str) -> String) -> Adapted {
    Adapted {
        messages: adapted
            .messages
            .iter()
            .map(|message| rewrite(message, None, change))
            .collect(),
        tools: adapted
            .tools
            .as_ref()
            .map(|tools| rewrite(tools, None, change)),
    }
}

/// Finds the first control token in the contents of a conversation, and its place in words.
pub(super) fn find(adapted: &Adapted, controls: &ControlTexts) -> Option<(String, String)> {
    let messages = adapted.messages.iter().enumerate();
    let places = messages
        .map(|(index, message)| (format!("message {index}"), message))
        .chain(
            adapted
                .tools
                .iter()
                .map(|tools| ("the list of tools".to_owned(), tools)),
        );
    for (place, value) in places {
        let mut found = None;
        visit(value, None, &mut |text| {
            found = found
                .take()
                .or_else(|| controls.find(text).map(str::to_owned));
        });
        if let Some(token) = found {
            return Some((place, token));
        }
    }
    None
}

/// Tells the control tokens of a rendered text from the contents'.
///
/// # Errors
/// Those of `render` on a conversation whose control tokens were taken apart.
pub(super) fn prompt(
    adapted: &Adapted,
    text: String,
    controls: &ControlTexts,
    render: impl Fn(&Adapted) -> Result<String, TemplateError>,
) -> Result<PromptText, TemplateError> {
    let contents = Contents::of(adapted);
    if !contents.texts.iter().any(|text| controls.is_risky(text)) {
        return Ok(PromptText { text, marked: None });
    }
    let Some(alphabet) = Alphabet::draw(&controls.letters, &contents) else {
        return taken_apart(adapted, controls, render);
    };
    let marker = Marker {
        controls,
        alphabet,
        render: &render,
    };
    if let Some(marked) = marker.marked(adapted, &text) {
        let marked = Some(marked);
        return Ok(PromptText { text, marked });
    }
    // Only the contents that the template looks at are changed.
    let split = rewritten(adapted, &mut |content| {
        if controls.find(content).is_none() || marker.survives(content, adapted, &text) {
            content.to_owned()
        } else {
            apart(content, controls)
        }
    });
    let text = render(&split)?;
    match marker.marked(&split, &text) {
        Some(marked) => {
            let marked = Some(marked);
            Ok(PromptText { text, marked })
        }
        None => taken_apart(adapted, controls, render),
    }
}

/// Marks contents and looks whether the marks survive the template.
struct Marker<'a, F> {
    controls: &'a ControlTexts,
    alphabet: Alphabet,
    render: &'a F,
}

impl<F: Fn(&Adapted) -> Result<String, TemplateError>> Marker<'_, F> {
    /// Marks as much as survives: all punctuation, or that of control tokens alone.
    fn marked(&self, adapted: &Adapted, text: &str) -> Option<MarkedText> {
        let all = |content: &str| self.mark_all(content);
        let tokens = |content: &str| mark_tokens(content, self.controls, &self.alphabet);
        let marked = self.attempt(adapted, text, all);
        Some(MarkedText {
            text: marked.or_else(|| self.attempt(adapted, text, tokens))?,
            alphabet: self.alphabet.clone(),
        })
    }

    /// Whether the marks of one content survive.
    fn survives(&self, content: &str, adapted: &Adapted, text: &str) -> bool {
        let alone = |other: &str| {
            if other == content {
                mark_tokens(other, self.controls, &self.alphabet)
            } else {
                other.to_owned()
            }
        };
        self.attempt(adapted, text, alone).is_some()
    }

    /// Renders with marks; nothing unless the text is the same without them.
    fn attempt(
        &self,
        adapted: &Adapted,
        text: &str,
        mut mark: impl FnMut(&str) -> String,
    ) -> Option<String> {
        let marked = (self.render)(&rewritten(adapted, &mut mark)).ok()?;
        (self.alphabet.undo(&marked) == text).then_some(marked)
    }

    fn mark_all(&self, content: &str) -> String {
        let inside = self.controls.insides.contains(content);
        let mark = |letter: char| {
            if letter.is_ascii_alphanumeric() && !inside {
                letter
            } else {
                self.alphabet.mark(letter)
            }
        };
        content.chars().map(mark).collect()
    }
}

/// The last resort: every control token of the contents is taken apart.
fn taken_apart(
    adapted: &Adapted,
    controls: &ControlTexts,
    render: impl Fn(&Adapted) -> Result<String, TemplateError>,
) -> Result<PromptText, TemplateError> {
    let split = rewritten(adapted, &mut |content| apart(content, controls));
    let text = render(&split)?;
    Ok(PromptText { text, marked: None })
}

/// Marks the first punctuation of each control token, and the punctuation at both ends, which a
/// neighbour could complete.
fn mark_tokens(content: &str, controls: &ControlTexts, alphabet: &Alphabet) -> String {
    let mut marked: Vec<char> = content.chars().collect();
    let is_letter = |letter: &char| controls.letters.binary_search(letter).is_ok();
    let leading = marked.iter().take_while(|letter| is_letter(letter)).count();
    let trailing = marked
        .iter()
        .rev()
        .take_while(|letter| is_letter(letter))
        .count();
    let count = marked.len();
    for (index, letter) in marked.iter_mut().enumerate() {
        if index < leading || index >= count - trailing {
            *letter = alphabet.mark(*letter);
        }
    }
    for found in controls.find_all(content) {
        let start = content[..found.start].chars().count();
        let length = content[found].chars().count();
        let inside = &mut marked[start..start + length];
        let first = inside.iter().position(is_letter).unwrap_or(0);
        if let Some(letter) = inside.get_mut(first) {
            *letter = alphabet.mark(*letter);
        }
    }
    marked.into_iter().collect()
}

/// Puts a space behind the first character of each control token, until none is left.
fn apart(content: &str, controls: &ControlTexts) -> String {
    let mut text = content.to_owned();
    while controls.find(&text).is_some() {
        let mut out = String::with_capacity(text.len() + 8);
        let mut at = 0;
        for found in controls.find_all(&text) {
            let first = text[found.start..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&text[at..found.start + first]);
            out.push(' ');
            at = found.start + first;
        }
        out.push_str(&text[at..]);
        // One of a single character cannot be taken apart.
        if out.len() > 4 * content.len() + 64 {
            return text
                .chars()
                .filter(|letter| letter.is_alphanumeric())
                .collect();
        }
        text = out;
    }
    text
}
