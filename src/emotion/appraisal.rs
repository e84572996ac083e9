//! Reading the emotion of a model's own reply.

use super::config::EmotionConfig;
use super::event::{EmotionEvent, KnownEvent, known};

/// Judges a reply by the words in it.
///
/// With `n` different entries of a category's word list in the reply, the category's score is
/// `min(1, √n / d)`. The highest score from the threshold on gives its event with intensity
/// `0.3 + 0.5·score`; of equal scores the first in the order success, error, frustration,
/// exploration, uncertainty. If an amplifier (*still*, *again*, *yet another*, *keeps*,
/// *repeatedly*, *same*) stands within 50 characters of an error word, the event is frustration
/// with intensity `0.5 + 0.3·min(1, 0.3·m)` for `m` different such amplifiers.
///
/// Whole words count, in their regular inflections, whatever their case: *new* does not fire on
/// *renewed*. An underscore belongs to its word, so that identifiers in code do not fire.
#[derive(Debug, Clone, PartialEq)]
pub struct LexicalAppraiser {
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

impl LexicalAppraiser {
    /// Makes an appraiser with the settings' `response_analysis_threshold`.
    pub fn new(config: &EmotionConfig) -> Self {
        Self {
            threshold: config.response_analysis_threshold,
        }
    }
}

impl Default for LexicalAppraiser {
    fn default() -> Self {
        Self::new(&EmotionConfig::default())
    }
}

impl LexicalAppraiser {
    /// Returns the event that a reply stands for, if any.
    pub fn appraise(&self, reply: &str) -> Option<EmotionEvent> {
        let tokens = tokens(reply);
        let errors: Vec<(usize, usize)> = ERROR
            .iter()
            .flat_map(|entry| places(entry, &tokens))
            .collect();
        let amplifiers = AMPLIFIERS
            .iter()
            .filter(|entry| places(entry, &tokens).any(|place| is_near(place, &errors)))
            .count();
        if amplifiers > 0 {
            let weight = (0.3 * amplifiers as f64).min(1.0);
            return Some(EmotionEvent::weighted(
                known::FRUSTRATION,
                0.5 + 0.3 * weight,
            ));
        }
        let mut best: Option<(f64, KnownEvent)> = None;
        for (words, divisor, event) in CATEGORIES {
            let n = words
                .iter()
                .filter(|entry| places(entry, &tokens).next().is_some())
                .count();
            let score = ((n as f64).sqrt() / divisor).min(1.0);
            if n > 0 && score >= self.threshold && best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, event));
            }
        }
        best.map(|(score, event)| EmotionEvent::weighted(event, 0.3 + 0.5 * score))
    }
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

/// Where an entry of a word list stands.
fn places(entry: &'static str, tokens: &[Token]) -> impl Iterator<Item = (usize, usize)> {
    let phrase = entry.split(' ').count();
    tokens
        .windows(phrase)
        .filter(move |window| {
            window
                .iter()
                .zip(entry.split(' '))
                .all(|(token, word)| matches(word, &token.text))
        })
        .map(|window| (window[0].start, window[window.len() - 1].end))
}

fn matches(word: &str, token: &str) -> bool {
    word.split('|').any(|form| match form.strip_suffix('*') {
        Some(stem) => token.starts_with(stem),
        None => token == form,
    })
}

/// Whether a place is near one of others, which need not be in order.
fn is_near(place: (usize, usize), others: &[(usize, usize)]) -> bool {
    others.iter().any(|other| {
        let gap = place
            .0
            .saturating_sub(other.1)
            .max(other.0.saturating_sub(place.1));
        gap <= AMPLIFIER_REACH
    })
}
