//! Contrasting sentences, shipped or a user's own.

mod error;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;

use elpis_steering::{BASE_EMOTIONS, Place, is_emotion_name};

pub use error::PairsError;
use read::TomlFile;

/// Largest file of pairs.
pub const MAX_PAIRS_BYTES: usize = 4 * 1024 * 1024;

/// Longest sentence or question.
pub const MAX_SENTENCE_BYTES: usize = 2000;

const SHIPPED: &str = include_str!("pairs.toml");

const FURTHER: &str = include_str!("emotions.toml");

/// What sentences are to the model that reads them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    strum::IntoStaticStr,
    strum::Display,
    strum::VariantNames,
    strum::EnumString,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Form {
    /// The assistant's own words, in reply to a question. Directions that are read from them change
    /// how the assistant speaks.
    Replies,
    /// Words about the assistant or to it, before a question. Directions that are read from them
    /// change what the assistant takes its situation to be.
    Statements,
}

impl Form {
    /// The names of all values.
    pub const NAMES: &[&'static str] = <Self as strum::VariantNames>::VARIANTS;
}

/// The emotion of replies that show none.
pub const NEUTRAL: &str = "neutral";

/// A reply of the assistant that shows an emotion, or none if the emotion is [`NEUTRAL`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmotionalReply {
    /// The emotion.
    pub emotion: String,
    /// The assistant's words.
    pub reply: String,
}

/// A sentence that puts the assistant in a mood, and one that does not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The emotion.
    pub emotion: String,
    /// The sentence that shows it.
    pub positive: String,
    /// Its neutral counterpart.
    pub negative: String,
}

/// The contrast pairs that vectors are trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct ContrastPairs {
    /// The user's questions after each sentence; never empty.
    pub questions: Vec<String>,
    /// The places on the plane of emotions beyond the four.
    pub places: BTreeMap<String, Place>,
    /// Pairs of statements, at least two for each emotion that has any.
    pub pairs: Vec<Pair>,
    /// Replies, at least two for each emotion that has any, and at least two that are neutral if
    /// any emotion has some.
    pub replies: Vec<EmotionalReply>,
}

/// A sentence of an emotion, and one without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contrast<'a> {
    pub(super) emotion: &'a str,
    pub(super) positive: &'a str,
    pub(super) negative: &'a str,
}

impl ContrastPairs {
    /// The pairs of the four emotions that come with the crate.
    pub fn shipped() -> Self {
        // A test reads it; an empty set is refused by whoever gets it.
        Self::from_toml(SHIPPED).unwrap_or_else(|_| Self {
            questions: Vec::new(),
            places: BTreeMap::new(),
            pairs: Vec::new(),
            replies: Vec::new(),
        })
    }

    /// The shipped pairs and replies of the four emotions, and replies of 24 further ones that are
    /// spread over the plane.
    pub fn shipped_with_further() -> Self {
        let mut all = Self::shipped();
        // A test reads it.
        if let Ok(further) = toml::from_str::<TomlFile>(FURTHER) {
            all.places.extend(further.places());
            all.replies.extend(further.replies);
        }
        all
    }

    /// The emotions that have sentences of a form, in the order of their names.
    pub fn emotions(&self, form: Form) -> Vec<&str> {
        let mut names: Vec<_> = match form {
            Form::Statements => self.pairs.iter().map(|p| p.emotion.as_str()).collect(),
            Form::Replies => {
                let names = self.replies.iter().map(|r| r.emotion.as_str());
                names.filter(|name| *name != NEUTRAL).collect()
            }
        };
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The form to train on by default: replies, if there are any.
    pub fn default_form(&self) -> Form {
        if self.replies.is_empty() {
            Form::Statements
        } else {
            Form::Replies
        }
    }

    /// Contrasting sentences of a form. Each emotion's replies are paired with the neutral ones in
    /// turn.
    pub(super) fn contrasts(&self, form: Form) -> Vec<Contrast<'_>> {
        match form {
            Form::Statements => self
                .pairs
                .iter()
                .map(|pair| Contrast {
                    emotion: &pair.emotion,
                    positive: &pair.positive,
                    negative: &pair.negative,
                })
                .collect(),
            Form::Replies => {
                let (neutral, felt): (Vec<&EmotionalReply>, Vec<&EmotionalReply>) =
                    self.replies.iter().partition(|r| r.emotion == NEUTRAL);
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                felt.into_iter()
                    .filter_map(|reply| {
                        let count = counts.entry(&reply.emotion).or_default();
                        let negative = neutral.get(*count % neutral.len().max(1))?;
                        *count += 1;
                        Some(Contrast {
                            emotion: &reply.emotion,
                            positive: &reply.reply,
                            negative: &negative.reply,
                        })
                    })
                    .collect()
            }
        }
    }

    fn checked(mut self) -> Result<Self, PairsError> {
        if self.pairs.is_empty() && self.replies.is_empty() {
            return Err(PairsError::Empty);
        }
        if self.questions.is_empty() {
            self.questions = Self::shipped().questions;
        }
        for (name, place) in &self.places {
            check_name(name)?;
            if BASE_EMOTIONS.contains(&name.as_str()) {
                let limit = "not be placed: it is a corner of the plane";
                return Err(refused("emotion", name, limit));
            }
            if name == NEUTRAL {
                let limit = "not be placed: it is the middle of the plane";
                return Err(refused("emotion", name, limit));
            }
            for (field, value) in [("valence", place.valence), ("arousal", place.arousal)] {
                if !(-1.0..=1.0).contains(&value) {
                    let field = format!("emotions.{name}.{field}");
                    return Err(refused(&field, &value.to_string(), "lie in [-1, 1]"));
                }
            }
        }
        for (index, question) in self.questions.iter().enumerate() {
            check_sentence(&format!("question {}", index + 1), question)?;
        }
        for (index, pair) in self.pairs.iter().enumerate() {
            let number = index + 1;
            self.check_emotion(&pair.emotion)?;
            check_sentence(&format!("positive of pair {number}"), &pair.positive)?;
            check_sentence(&format!("negative of pair {number}"), &pair.negative)?;
        }
        for (index, reply) in self.replies.iter().enumerate() {
            if reply.emotion != NEUTRAL {
                self.check_emotion(&reply.emotion)?;
            }
            check_sentence(&format!("reply {}", index + 1), &reply.reply)?;
        }
        let too_few = |emotion: &str, what, count| PairsError::TooFew {
            emotion: emotion.to_owned(),
            what,
            count,
        };
        for emotion in self.emotions(Form::Statements) {
            let count = self.pairs.iter().filter(|p| p.emotion == emotion).count();
            if count < 2 {
                return Err(too_few(emotion, "pairs", count));
            }
        }
        let needed = (!self.replies.is_empty()).then_some(NEUTRAL);
        for emotion in self.emotions(Form::Replies).into_iter().chain(needed) {
            let count = self.replies.iter().filter(|r| r.emotion == emotion).count();
            if count < 2 {
                return Err(too_few(emotion, "replies", count));
            }
        }
        if self.replies.iter().all(|reply| reply.emotion == NEUTRAL) && self.pairs.is_empty() {
            return Err(PairsError::Empty);
        }
        Ok(self)
    }

    fn check_emotion(&self, emotion: &str) -> Result<(), PairsError> {
        check_name(emotion)?;
        if BASE_EMOTIONS.contains(&emotion) || self.places.contains_key(emotion) {
            return Ok(());
        }
        let limit = "have a place (valence and arousal), as it is not one of the four";
        Err(refused("emotion", emotion, limit))
    }
}

fn check_name(name: &str) -> Result<(), PairsError> {
    if is_emotion_name(name) {
        return Ok(());
    }
    Err(refused("emotion", name, "be 1 to 64 of a-z, 0-9, _ and -"))
}

fn check_sentence(field: &str, text: &str) -> Result<(), PairsError> {
    if text.trim().is_empty() {
        return Err(refused(field, text, "not be empty"));
    }
    if text.len() > MAX_SENTENCE_BYTES {
        let limit = format!("have at most {MAX_SENTENCE_BYTES} bytes");
        return Err(refused(field, text, &limit));
    }
    Ok(())
}

fn refused(field: &str, value: &str, limit: &str) -> PairsError {
    PairsError::Value {
        field: field.to_owned(),
        value: value.chars().take(64).collect(),
        limit: limit.to_owned(),
    }
}
