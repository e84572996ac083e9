//! Phrases and their places in a sentence.

use std::sync::OnceLock;

use regex::Regex;

/// Maximum number of words between a negation and the phrase that it negates.
pub(super) const NEGATION_REACH: usize = 3;

/// A list of phrases, over the words of a sentence ([`super::prose::Sentence::words`]). A phrase is
/// a regular expression over whole words; `<` and `>` are the sentence's ends.
#[derive(Debug)]
pub(super) struct Phrases {
    source: &'static [&'static str],
    compiled: OnceLock<Option<Regex>>,
}

/// The place of a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub words: &'a str,
    /// Number of bytes of the sentence's words before it.
    pub start: usize,
}

impl Phrases {
    pub const fn new(source: &'static [&'static str]) -> Self {
        Self {
            source,
            compiled: OnceLock::new(),
        }
    }

    /// All phrases as one expression; the tests show that each list compiles.
    fn regex(&self) -> Option<&Regex> {
        let compile = || {
            let all = format!(" (?:{}) ", self.source.join("|"));
            Regex::new(&all).ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    /// The first phrase in a sentence's words.
    pub fn find<'a>(&self, words: &'a str) -> Option<Place<'a>> {
        let found = self.regex()?.find(words)?;
        Some(Place {
            words: trimmed(found.as_str()),
            start: found.start(),
        })
    }

    /// The first phrase that is not negated.
    pub fn stated<'a>(&self, words: &'a str) -> Option<Place<'a>> {
        self.stated_within(words, NEGATION_REACH)
    }

    /// The first phrase that is not negated within `reach` words before it.
    pub fn stated_within<'a>(&self, words: &'a str, reach: usize) -> Option<Place<'a>> {
        let mut from = 0;
        while let Some(found) = self.regex()?.find_at(words, from) {
            // `never felt so alone` denies nothing.
            let more = [" so ", " this ", " such "]
                .iter()
                .any(|begin| found.as_str().starts_with(begin));
            if more || !is_negated(&words[..found.start()], reach) {
                return Some(Place {
                    words: trimmed(found.as_str()),
                    start: found.start(),
                });
            }
            // The space after a phrase may be the one before the next phrase.
            from = found.end() - 1;
        }
        None
    }

    /// A sentence's words without these phrases.
    pub fn without(&self, words: &str) -> String {
        let regex = self.regex();
        regex.map_or_else(
            || words.to_owned(),
            |regex| regex.replace_all(words, " ").into_owned(),
        )
    }

    pub fn is_in(&self, words: &str) -> bool {
        self.find(words).is_some()
    }

    #[cfg(test)]
    pub fn compile(&self) -> Result<Regex, regex::Error> {
        Regex::new(&format!(" (?:{}) ", self.source.join("|")))
    }
}

/// The words of a phrase without the marks of a sentence's ends.
fn trimmed(words: &str) -> &str {
    words.trim_matches([' ', '<', '>'])
}

/// Whether one of the last `reach` words negates what follows.
pub(super) fn is_negated(before: &str, reach: usize) -> bool {
    let mut words: Vec<&str> = before.split_whitespace().rev().take(reach).collect();
    words.reverse();
    let negates = |(at, word): (usize, &&str)| {
        let next = words.get(at + 1).copied().unwrap_or_default();
        let fixed = match *word {
            "can't" | "cannot" | "couldn't" => {
                matches!(
                    next,
                    "believe" | "wait" | "stop" | "help" | "thank" | "stand" | "even" | "take"
                )
            }
            "not" => next == "only",
            "don't" => matches!(next, "know" | "understand" | "worry"),
            _ => false,
        };
        is_negation(word) && !fixed
    };
    words.iter().enumerate().any(negates)
}

fn is_negation(word: &str) -> bool {
    let known = matches!(
        word,
        "not"
            | "never"
            | "no"
            | "nor"
            | "neither"
            | "without"
            | "hardly"
            | "cannot"
            | "nothing"
            | "nobody"
            | "none"
            | "rarely"
            | "barely"
    );
    known || word.ends_with("n't")
}
