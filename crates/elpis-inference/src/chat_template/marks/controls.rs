//! Control tokens as texts, and the private characters that mark them.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::contents::Contents;

/// The range of the private characters: planes 15 and 16, which no script uses.
const PRIVATE: Range<u32> = 0xF_0000..0x10_FFFD;

/// Punctuation that templates, names and JSON use too often to be marked.
const COMMON: &str = "_-.'\"\\ ";

/// The texts that a tokenizer reads as control tokens.
#[derive(Debug, Clone)]
pub struct ControlTexts {
    /// Finds the texts; `None` if there are none.
    finder: Option<AhoCorasick>,
    /// Their punctuation, in the order of the private characters.
    pub(super) letters: Vec<char>,
    /// The words between the punctuation, such as `im_end` in `<|im_end|>`.
    pub(super) insides: HashSet<String>,
}

impl ControlTexts {
    /// Collects the texts of a vocabulary's control tokens, except empty ones.
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

    pub(super) fn find_all<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let finder = self.finder.iter();
        finder.flat_map(move |finder| finder.find_iter(text).map(|found| found.range()))
    }

    pub(super) fn is_risky(&self, text: &str) -> bool {
        self.insides.contains(text)
            || text
                .chars()
                .any(|letter| self.letters.binary_search(&letter).is_ok())
            || self.find(text).is_some()
    }
}

/// The full-width form of a character, which some tokenizers treat as the same.
fn wide(letter: char) -> Option<char> {
    match letter {
        '!'..='~' => char::from_u32(u32::from(letter) - 0x21 + 0xFF01),
        _ => None,
    }
}

/// The private characters of one rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alphabet {
    base: u32,
    letters: Vec<char>,
}

impl Alphabet {
    /// Draws characters that do not occur in the contents.
    pub(super) fn draw(letters: &[char], contents: &Contents) -> Option<Self> {
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

    pub(super) fn mark(&self, letter: char) -> char {
        let index = match self.letters.binary_search(&letter) {
            Ok(index) => index as u32,
            Err(_) if letter.is_ascii_alphanumeric() => {
                self.letters.len() as u32 + u32::from(letter)
            }
            Err(_) => return letter,
        };
        char::from_u32(self.base + index).unwrap_or(letter)
    }

    pub(super) fn undo(&self, text: &str) -> String {
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

/// Offset of the private characters for ASCII letters and digits, after those for punctuation.
const ALPHANUMERIC: u32 = 128;
