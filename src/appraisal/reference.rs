//! The reference implementation's appraisal of a reply: a single listed word is enough.

use crate::emotion::{EmotionConfig, EmotionEvent, KnownEvent, known};

/// Judges a text by single words, as the reference implementation does. It often finds feelings
/// where there are none; [`LexicalAppraiser`](super::LexicalAppraiser) reads more carefully.
///
/// With `n` different entries of a category's word list in the reply, the category's score is
/// `min(1, √n / d)`. The highest score that reaches the threshold yields its event with intensity
/// `0.3 + 0.5·score`; of equal scores, the first in the order success, error, frustration,
/// exploration, uncertainty. If an amplifier (*still*, *again*, *yet another*, *keeps*,
/// *repeatedly*, *same*) stands within 50 characters of an error word, the event is frustration
/// with intensity `0.5 + 0.3·min(1, 0.3·m)` for `m` different such amplifiers.
///
/// Whole words match in their regular inflections, regardless of case: *new* does not match
/// *renewed*. An underscore belongs to its word, so that identifiers in code do not match.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceAppraiser {
    threshold: f64,
}

/// Distance from an error word at which an amplifier acts, in characters between the two.
const AMPLIFIER_REACH: usize = 50;

/// Entries of a word list. `|` separates forms of one entry, `*` ends a stem, a space joins the
/// words of a phrase.
type Words = &'static [&'static str];

const SUCCESS: Words = &[
    "successfully",
    "completed",
    "done",
    "fixed",
    "working",
    "solved",
    "accomplished",
    "achieved",
    "passed",
    "correct|correctly",
    "works",
    "resolved",
];
const ERROR: Words = &[
    "error|errors|errored",
    "failed",
    "cannot",
    "unable",
    "exception|exceptions",
    "failure|failures",
    "broken",
    "crash|crashes|crashed|crashing",
    "bug|bugs|buggy",
    "issue|issues",
    "problem|problems|problematic",
    "wrong|wrongly",
];
const FRUSTRATION: Words = &[
    "still",
    "again",
    "yet another",
    "keeps",
    "repeatedly",
    "always",
    "never",
    "same",
    "stuck",
    "frustrat*",
];
const EXPLORATION: Words = &[
    "interesting|interestingly",
    "discover|discovers|discovered|discovering|discovery|discoveries",
    "learn|learns|learned|learnt|learning",
    "new|newer|newly|newest",
    "found",
    "explore|explores|explored|explorer",
    "curious|curiously",
    "novel|novelty",
    "fascinating|fascinatingly",
    "insight|insights|insightful",
];
const UNCERTAINTY: Words = &[
    "unsure",
    "uncertain|uncertainty|uncertainly",
    "might",
    "perhaps",
    "unclear",
    "maybe",
    "possibly",
    "wonder|wonders|wondered|wondering",
    "confused",
    "difficult|difficulty|difficulties",
];
const AMPLIFIERS: Words = &[
    "still",
    "again",
    "yet another",
    "keeps",
    "repeatedly",
    "same",
];

/// Word list, divisor `d` and event of each category.
const CATEGORIES: [(Words, f64, KnownEvent); 5] = [
    (SUCCESS, 2.0, known::SUCCESS),
    (ERROR, 2.0, known::ERROR),
    (FRUSTRATION, 2.0, known::FRUSTRATION),
    (EXPLORATION, 2.5, known::EXPLORATION),
    (UNCERTAINTY, 3.0, known::NOVELTY),
];

impl ReferenceAppraiser {
    /// Creates an appraiser with the settings' `response_analysis_threshold`.
    pub fn new(config: &EmotionConfig) -> Self {
        Self {
            threshold: config.response_analysis_threshold,
        }
    }
}

impl Default for ReferenceAppraiser {
    fn default() -> Self {
        Self::new(&EmotionConfig::default())
    }
}

impl ReferenceAppraiser {
    /// Returns the event that a text expresses, if any, with the words that it was derived from.
    pub fn appraise(&self, text: &str) -> Option<EmotionEvent> {
        let tokens = tokens(text);
        let errors: Vec<Place<'_>> = ERROR
            .iter()
            .flat_map(|entry| places(entry, &tokens))
            .collect();
        let amplifiers: Vec<_> = AMPLIFIERS
            .iter()
            .filter_map(|entry| places(entry, &tokens).find(|place| is_near(place, &errors)))
            .collect();
        if let Some(error) = errors.first()
            && !amplifiers.is_empty()
        {
            let weight = (0.3 * amplifiers.len() as f64).min(1.0);
            let words = amplifiers.iter().chain([error]).map(Place::words);
            return Some(event(known::FRUSTRATION, 0.5 + 0.3 * weight, words));
        }
        let mut best: Option<(f64, KnownEvent, Vec<Place<'_>>)> = None;
        for (words, divisor, event) in CATEGORIES {
            let found = words
                .iter()
                .filter_map(|entry| places(entry, &tokens).next());
            let found: Vec<_> = found.collect();
            let score = ((found.len() as f64).sqrt() / divisor).min(1.0);
            let beats = best.as_ref().is_none_or(|(highest, ..)| score > *highest);
            if !found.is_empty() && score >= self.threshold && beats {
                best = Some((score, event, found));
            }
        }
        let (score, known, found) = best?;
        Some(event(
            known,
            0.3 + 0.5 * score,
            found.iter().map(Place::words),
        ))
    }
}

fn event(known: KnownEvent, intensity: f64, words: impl Iterator<Item = String>) -> EmotionEvent {
    let words: Vec<_> = words.collect();
    EmotionEvent::weighted(known, intensity).with_words(&words.join(", "))
}

/// A lower-cased word with the characters it spans in the reply.
struct Token {
    text: String,
    start: usize,
    end: usize,
}

fn tokens(reply: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut count = 0;
    // The final space ends the last word.
    for (index, char) in reply.chars().chain([' ']).enumerate() {
        if char.is_alphanumeric() || char == '_' {
            word.extend(char.to_lowercase());
            count += 1;
        } else if count > 0 {
            let text = std::mem::take(&mut word);
            tokens.push(Token {
                text,
                start: index - count,
                end: index,
            });
            count = 0;
        }
    }
    tokens
}

/// The place of a word list's entry in the text.
struct Place<'a>(&'a [Token]);

impl Place<'_> {
    /// Its first and last character in the text.
    fn span(&self) -> (usize, usize) {
        let (first, last) = (self.0.first(), self.0.last());
        (first.map_or(0, |t| t.start), last.map_or(0, |t| t.end))
    }

    fn words(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|token| token.text.as_str()).collect();
        words.join(" ")
    }
}

fn places<'a>(entry: &'static str, tokens: &'a [Token]) -> impl Iterator<Item = Place<'a>> {
    let phrase = entry.split(' ').count();
    tokens
        .windows(phrase)
        .filter(move |window| {
            window
                .iter()
                .zip(entry.split(' '))
                .all(|(token, word)| matches(word, &token.text))
        })
        .map(Place)
}

fn matches(word: &str, token: &str) -> bool {
    word.split('|').any(|form| match form.strip_suffix('*') {
        Some(stem) => token.starts_with(stem),
        None => token == form,
    })
}

/// Whether a place is near one of others, which need not be sorted.
fn is_near(place: &Place<'_>, others: &[Place<'_>]) -> bool {
    let (start, end) = place.span();
    others.iter().map(Place::span).any(|other| {
        let gap = start
            .saturating_sub(other.1)
            .max(other.0.saturating_sub(end));
        gap <= AMPLIFIER_REACH
    })
}
