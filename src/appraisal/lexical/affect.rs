//! Reads the feeling of a sentence: the lexicon gives its pleasantness, words and phrases the kind
//! of feeling.

use std::sync::OnceLock;

use vader_parity::SentimentIntensityAnalyzer;

use super::feelings::{ANGER, CALM, GRIEF, INSULTS, JOY, SAD, THANKS};
use super::phrases::{NEGATION_REACH, Place, is_negated};
use super::prose::Sentence;
use super::turns::{FIXED, HERE, JUDGED, OWN, PLAIN_WORDS, POLITE, SAID, STATED, YOU};

/// A feeling that words express.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feeling {
    /// Joy, thanks, love, praise.
    Joy,
    /// Peace, relief.
    Calm,
    /// Anger, insult, fear.
    Anger,
    /// Grief, sadness, exhaustion.
    Sadness,
}

impl Feeling {
    pub(super) const ALL: [Self; 4] = [Self::Joy, Self::Calm, Self::Anger, Self::Sadness];

    fn is_pleasant(self) -> bool {
        matches!(self, Self::Joy | Self::Calm)
    }
}

/// The feeling of a sentence, its strength (in the lexicon's units, about 1 to 8), and the words
/// that express it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Affect {
    pub feeling: Feeling,
    pub weight: f64,
    pub words: Vec<String>,
}

/// `α` of VADER's normalisation, `x / √(x² + α)`.
const ALPHA: f64 = 15.0;

/// Weight of a phrase that says more than its single words.
const PHRASE: f64 = 2.5;

/// Minimum strength if no word names the feeling.
const PLAIN: f64 = 1.8;

/// Minimum strength in a sentence that addresses the reader.
const SPOKEN: f64 = 1.2;

/// Maximum number of words of a sentence that are reported.
const TOLD: usize = 4;

/// A sentence of at most this many words is about the matter at hand.
const SHORT: usize = 5;

fn lexicon() -> &'static SentimentIntensityAnalyzer {
    static LEXICON: OnceLock<SentimentIntensityAnalyzer> = OnceLock::new();
    LEXICON.get_or_init(SentimentIntensityAnalyzer::new)
}

/// The sum of valences of a text, with negations and boosters applied.
fn sum_of(text: &str) -> f64 {
    let compound = lexicon().polarity_scores(text).compound;
    let c = compound.clamp(-0.999, 0.999);
    c * (ALPHA / (1.0 - c * c)).sqrt()
}

/// Converts a sum of valences to a score in [0, 1).
pub(super) fn score_of(sum: f64) -> f64 {
    (sum / (sum * sum + ALPHA).sqrt()).abs()
}

/// The sum of the valences of words of a sentence, without those that the lexicon misreads.
fn valence(sentence: &Sentence, words: &str) -> f64 {
    let words = FIXED.without(words);
    let mut text = words
        .split(' ')
        .filter(|word| !matches!(*word, "<" | ">") && !PLAIN_WORDS.contains(word))
        .collect::<Vec<_>>()
        .join(" ");
    // Emoticons and emoji are not words.
    for mark in marks(sentence) {
        text.push(' ');
        text.push_str(&mark);
    }
    if sentence.exclamation {
        text.push('!');
    }
    sum_of(&text)
}

/// The words that the lexicon knows with this sign, as written in the sentence. Words with a
/// negated sign include the negation.
fn charged(sentence: &Sentence, pleasant: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    for word in sentence.words.split(' ') {
        let before = &sentence.words[..start];
        start += word.len() + 1;
        if PLAIN_WORDS.contains(&word) || word.is_empty() {
            continue;
        }
        let valence = lexicon().polarity_scores(word).compound;
        let negated = is_negated(before, NEGATION_REACH);
        let same = if pleasant {
            valence > 0.2
        } else {
            valence < -0.2
        };
        let turned = if pleasant {
            valence < -0.2
        } else {
            valence > 0.2
        };
        if same && !negated {
            found.push(word.to_owned());
        } else if turned && negated {
            found.push(format!("not {word}"));
        }
    }
    found
}

/// The phrases of a sentence that name a feeling.
#[derive(Debug)]
struct Named<'a> {
    joy: Option<Place<'a>>,
    calm: Option<Place<'a>>,
    anger: Option<Place<'a>>,
    sad: Option<Place<'a>>,
}

impl<'a> Named<'a> {
    /// The sum of the valences of a sentence with such phrases, each of which weighs more than its
    /// single words.
    fn weigh(&self, sentence: &Sentence) -> f64 {
        let mut rest = sentence.words.clone();
        let mut sum = 0.0;
        let pleasant = self
            .joy
            .into_iter()
            .chain(self.calm)
            .map(|place| (place, 1.0));
        let unpleasant = self
            .anger
            .into_iter()
            .chain(self.sad)
            .map(|place| (place, -1.0));
        for (place, sign) in pleasant.chain(unpleasant) {
            let own = sign * sum_of(place.words);
            if place.words.contains(' ') || own < PHRASE / 2.0 {
                rest = rest.replace(place.words, "~");
                sum += sign * own.max(PHRASE);
            }
        }
        sum + valence(sentence, &rest)
    }

    /// The feeling of a sentence with this sum, and the phrase that names it.
    fn feeling(&self, sum: f64) -> (Feeling, Option<Place<'a>>) {
        if sum > 0.0 {
            return match (self.joy, self.calm) {
                (None, Some(calm)) => (Feeling::Calm, Some(calm)),
                (joy, _) => (Feeling::Joy, joy),
            };
        }
        match (self.anger, self.sad) {
            (Some(anger), Some(sad)) if sad.start < anger.start => (Feeling::Sadness, Some(sad)),
            (None, Some(sad)) => (Feeling::Sadness, Some(sad)),
            (anger, _) => (Feeling::Anger, anger),
        }
    }
}

/// Reads a message's sentence. A question or supposition does not describe the present state, but
/// may still be an insult.
pub(super) fn read(sentence: &Sentence, asked: bool, supposed: bool) -> Option<Affect> {
    let words = sentence.words.as_str();
    let felt = |feeling, weight, phrase: Option<Place<'_>>| {
        affect(feeling, weight, sentence, phrase.map(|place| place.words))
    };
    if let insult @ Some(_) = INSULTS.stated_within(words, 2) {
        let weight = -valence(sentence, words);
        return Some(felt(Feeling::Anger, weight.max(PHRASE), insult));
    }
    if asked {
        return None;
    }
    let (thanks, grief) = (THANKS.stated(words), GRIEF.stated_within(words, 1));
    let joy = JOY.stated(words);
    let tears = joy.is_some_and(|joy| joy.words.contains("tears"));
    let own = OWN.is_in(words) || HERE.is_in(words);
    // Grief also speaks of love and of the best.
    if grief.is_some() && (own || JUDGED.is_in(words)) && thanks.is_none() && !tears {
        let weight = -valence(sentence, words);
        return Some(felt(Feeling::Sadness, weight.max(0.0) + PHRASE, grief));
    }
    if supposed {
        return None;
    }
    let named = Named {
        joy: thanks.or(joy),
        calm: CALM.stated(words),
        anger: ANGER.stated(words),
        sad: SAD.stated(words),
    };
    let judged = named.anger.or(joy).or(named.sad).is_some() && JUDGED.is_in(words);
    let here = sentence.len() <= SHORT || sentence.exclamation;
    if !own && !here && !judged && thanks.is_none() {
        return None;
    }
    let sum = named.weigh(sentence);
    let (feeling, phrase) = named.feeling(sum);
    let affect = felt(feeling, sum.abs(), phrase);
    if phrase.is_some() {
        Some(affect)
    } else {
        unnamed(sentence, affect)
    }
}

/// Checks a feeling that no phrase names, which must be unmistakable.
fn unnamed(sentence: &Sentence, affect: Affect) -> Option<Affect> {
    let words = sentence.words.as_str();
    let plain = if YOU.is_in(words) { SPOKEN } else { PLAIN };
    if affect.weight < plain || !(STATED.is_in(words) || sentence.len() <= SHORT) {
        return None;
    }
    if affect.words.is_empty() {
        // The sentence is only an emoticon.
        let marks = marks(sentence);
        let feeling = match affect.feeling {
            Feeling::Anger => Feeling::Sadness,
            other => other,
        };
        return (!marks.is_empty()).then_some(Affect {
            feeling,
            words: marks,
            ..affect
        });
    }
    // Words after "about" describe a subject, not a feeling.
    let subject = words.find(" about ").unwrap_or(words.len());
    let said = |word: &String| match word.strip_prefix("not ") {
        Some(_) => affect.feeling == Feeling::Anger,
        None => words
            .find(&format!(" {word} "))
            .is_some_and(|at| at < subject),
    };
    affect.words.iter().any(said).then_some(affect)
}

/// The emoticons and emoji of a sentence that the lexicon knows.
fn marks(sentence: &Sentence) -> Vec<String> {
    let marks = sentence.raw.split_whitespace().filter(|word| {
        let letters = word.chars().any(|c| c.is_ascii_alphanumeric());
        !letters && sum_of(word).abs() > 0.5
    });
    marks.map(str::to_owned).collect()
}

/// Reads a reply's sentence. Only an explicit feeling counts, because replies are polite and
/// describe much that is not felt.
pub(super) fn read_reply(sentence: &Sentence) -> Option<Affect> {
    let words = sentence.words.as_str();
    let loss = GRIEF.stated_within(words, 1);
    let loss = loss.filter(|place| place.words.starts_with("my ") && sentence.len() <= 2 * SHORT);
    let said = SAID.find(words);
    let polite = said.is_some_and(|said| POLITE.is_in(&format!(" {} ", said.words)));
    let abuse = INSULTS.stated_within(words, 2).is_some() && sentence.len() <= 2 * SHORT;
    if polite || (said.is_none() && loss.is_none() && !abuse) {
        return None;
    }
    read(sentence, false, false).filter(|affect| !affect.words.is_empty())
}

fn affect(feeling: Feeling, weight: f64, sentence: &Sentence, phrase: Option<&str>) -> Affect {
    let mut told: Vec<String> = phrase.map(str::to_owned).into_iter().collect();
    for word in charged(sentence, feeling.is_pleasant()) {
        let known = told
            .iter()
            .any(|known| known.split(' ').any(|part| part == word));
        if !known && told.len() < TOLD {
            told.push(word);
        }
    }
    Affect {
        feeling,
        weight,
        words: told,
    }
}
