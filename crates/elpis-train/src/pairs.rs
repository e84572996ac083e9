//! Contrasting sentences, shipped or a user's own.

mod error;

use std::collections::BTreeMap;

use serde::Deserialize;

use elpis_steering::{BASE_EMOTIONS, Place, is_emotion_name};

pub use error::PairsError;

/// Largest file of pairs.
pub const MAX_PAIRS_BYTES: usize = 4 * 1024 * 1024;

/// Longest sentence or question.
pub const MAX_SENTENCE_BYTES: usize = 2000;

const SHIPPED: &str = include_str!("pairs.toml");

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
    /// The pairs, at least two for each emotion.
    pub pairs: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    questions: Vec<String>,
    #[serde(default)]
    emotions: BTreeMap<String, TomlPlace>,
    #[serde(default)]
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlPlace {
    valence: f64,
    arousal: f64,
}

/// A line of a JSONL file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Pair(Pair),
    Question(QuestionLine),
    Place(PlaceLine),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionLine {
    question: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceLine {
    emotion: String,
    valence: f64,
    arousal: f64,
}

impl ContrastPairs {
    /// The pairs of the four emotions that come with the crate.
    pub fn shipped() -> Self {
        // A test reads it; an empty set is refused by whoever gets it.
        Self::from_toml(SHIPPED).unwrap_or_else(|_| Self {
            questions: Vec::new(),
            places: BTreeMap::new(),
            pairs: Vec::new(),
        })
    }

    /// Parses TOML: `questions` (optional), `[emotions.NAME]` with `valence`
    /// and `arousal` for emotions beyond the four, and `[[pairs]]` with
    /// `emotion`, `positive` and `negative`.
    ///
    /// # Errors
    /// [`PairsError`].
    pub fn from_toml(text: &str) -> Result<Self, PairsError> {
        check_size(text)?;
        let file: TomlFile = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            PairsError::Syntax {
                line: text.bytes().take(start).filter(|&b| b == b'\n').count() + 1,
                reason: error.message().to_owned(),
            }
        })?;
        let places = file.emotions.into_iter().map(|(name, place)| {
            let TomlPlace { valence, arousal } = place;
            (name, Place { valence, arousal })
        });
        Self {
            questions: file.questions,
            places: places.collect(),
            pairs: file.pairs,
        }
        .checked()
    }

    /// Parses JSONL: on each line an object, either a pair as in
    /// [`from_toml`](Self::from_toml), `{"question": …}`, or `{"emotion": …,
    /// "valence": …, "arousal": …}`. Empty lines are skipped.
    ///
    /// # Errors
    /// [`PairsError`].
    pub fn from_jsonl(text: &str) -> Result<Self, PairsError> {
        check_size(text)?;
        let mut read = Self {
            questions: Vec::new(),
            places: BTreeMap::new(),
            pairs: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let value: Line = serde_json::from_str(line).map_err(|error| PairsError::Syntax {
                line: index + 1,
                reason: if error.is_data() {
                    "this is neither a pair (emotion, positive, negative), nor a question, \
                         nor a place (emotion, valence, arousal)"
                        .to_owned()
                } else {
                    error.to_string()
                },
            })?;
            match value {
                Line::Pair(pair) => read.pairs.push(pair),
                Line::Question(line) => read.questions.push(line.question),
                Line::Place(PlaceLine {
                    emotion,
                    valence,
                    arousal,
                }) => {
                    read.places.insert(emotion, Place { valence, arousal });
                }
            }
        }
        read.checked()
    }

    /// The emotions that have pairs, in the order of their names.
    pub fn emotions(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.pairs.iter().map(|p| p.emotion.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn checked(mut self) -> Result<Self, PairsError> {
        if self.pairs.is_empty() {
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
            check_name(&pair.emotion)?;
            check_sentence(&format!("positive of pair {number}"), &pair.positive)?;
            check_sentence(&format!("negative of pair {number}"), &pair.negative)?;
            let known = BASE_EMOTIONS.contains(&pair.emotion.as_str());
            if !known && !self.places.contains_key(&pair.emotion) {
                let limit = "have a place (valence and arousal), as it is not one of the four";
                return Err(refused("emotion", &pair.emotion, limit));
            }
        }
        for emotion in self.emotions() {
            let count = self.pairs.iter().filter(|p| p.emotion == emotion).count();
            if count < 2 {
                return Err(PairsError::TooFew {
                    emotion: emotion.to_owned(),
                    count,
                });
            }
        }
        Ok(self)
    }
}

fn check_size(text: &str) -> Result<(), PairsError> {
    if text.len() > MAX_PAIRS_BYTES {
        return Err(PairsError::TooLarge { bytes: text.len() });
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_pairs_cover_the_four_emotions() {
        let shipped = ContrastPairs::from_toml(SHIPPED).unwrap();
        let mut four = BASE_EMOTIONS;
        four.sort_unstable();
        assert_eq!(shipped.emotions(), four);
        for emotion in four {
            let pairs = shipped.pairs.iter().filter(|p| p.emotion == emotion);
            assert!(pairs.count() >= 12, "{emotion}");
        }
        assert!(shipped.questions.len() >= 8);
    }

    #[test]
    fn jsonl_and_toml_say_the_same() {
        let jsonl = r#"
            {"emotion": "calm", "positive": "Rest.", "negative": "Sit."}
            {"emotion": "calm", "positive": "Sleep.", "negative": "Stand."}
            {"emotion": "curious", "valence": 0.5, "arousal": 0.2}
            {"emotion": "curious", "positive": "Why?", "negative": "So."}
            {"emotion": "curious", "positive": "How?", "negative": "Yes."}
            {"question": "What now?"}
        "#;
        let toml = r#"
            questions = ["What now?"]
            [emotions.curious]
            valence = 0.5
            arousal = 0.2
            [[pairs]]
            emotion = "calm"
            positive = "Rest."
            negative = "Sit."
            [[pairs]]
            emotion = "calm"
            positive = "Sleep."
            negative = "Stand."
            [[pairs]]
            emotion = "curious"
            positive = "Why?"
            negative = "So."
            [[pairs]]
            emotion = "curious"
            positive = "How?"
            negative = "Yes."
        "#;
        assert_eq!(
            ContrastPairs::from_jsonl(jsonl).unwrap(),
            ContrastPairs::from_toml(toml).unwrap()
        );
    }

    #[test]
    fn bad_files_are_refused_with_the_place() {
        let pair = r#"{"emotion": "calm", "positive": "a", "negative": "b"}"#;
        for (text, message) in [
            (String::new(), "there are no pairs"),
            (pair.to_owned(), "calm has 1 pairs"),
            (
                format!("{pair}\n{{\"emotion\": 1}}"),
                "line 2: this is neither",
            ),
            (format!("{pair}\n{{"), "line 2: EOF"),
            (pair.replace("calm", "Calm!"), "emotion is \"Calm!\""),
            (pair.replace("calm", "shy"), "must have a place"),
            (
                pair.replace("\"a\"", "\" \""),
                "positive of pair 1 is \" \"",
            ),
            (
                pair.replace("\"b\"", &format!("\"{}\"", "x".repeat(3000))),
                "at most 2000 bytes",
            ),
            (
                r#"{"emotion": "calm", "valence": 0, "arousal": 0}"#.to_owned() + "\n" + pair,
                "corner of the plane",
            ),
            (
                r#"{"emotion": "shy", "valence": 2, "arousal": 0}"#.to_owned() + "\n" + pair,
                "emotions.shy.valence is \"2\"",
            ),
            ("x".repeat(MAX_PAIRS_BYTES + 1), "exceed the limit"),
        ] {
            let error = ContrastPairs::from_jsonl(&text).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
        let error = ContrastPairs::from_toml("[[pairs]]\nemotion = 3\n").unwrap_err();
        assert!(
            matches!(error, PairsError::Syntax { line: 2, .. }),
            "{error}"
        );
    }
}
