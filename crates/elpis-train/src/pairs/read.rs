//! Reads pairs and replies from TOML and JSONL.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ContrastPairs, EmotionalReply, MAX_PAIRS_BYTES, Pair, PairsError};
use elpis_steering::Place;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TomlFile {
    #[serde(default)]
    questions: Vec<String>,
    #[serde(default)]
    emotions: BTreeMap<String, TomlPlace>,
    #[serde(default)]
    pairs: Vec<Pair>,
    #[serde(default)]
    pub(super) replies: Vec<EmotionalReply>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlPlace {
    valence: f64,
    arousal: f64,
}

impl TomlFile {
    pub(super) fn places(&self) -> impl Iterator<Item = (String, Place)> {
        self.emotions.iter().map(|(name, place)| {
            let &TomlPlace { valence, arousal } = place;
            (name.clone(), Place { valence, arousal })
        })
    }
}

/// A line of a JSONL file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Pair(Pair),
    Reply(EmotionalReply),
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
    /// Parses TOML: `questions` (optional), `[emotions.NAME]` with `valence` and `arousal` for
    /// emotions beyond the four, `[[pairs]]` with `emotion`, `positive` and `negative`, and
    /// `[[replies]]` with `emotion` and `reply`, where `neutral` is an emotion too.
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
        Self {
            places: file.places().collect(),
            questions: file.questions,
            pairs: file.pairs,
            replies: file.replies,
        }
        .checked()
    }

    /// Parses JSONL: on each line an object, either a pair or a reply as in
    /// [`from_toml`](Self::from_toml), `{"question": …}`, or `{"emotion": …, "valence": …,
    /// "arousal": …}`. Empty lines are skipped.
    ///
    /// # Errors
    /// [`PairsError`].
    pub fn from_jsonl(text: &str) -> Result<Self, PairsError> {
        check_size(text)?;
        let mut read = Self {
            questions: Vec::new(),
            places: BTreeMap::new(),
            pairs: Vec::new(),
            replies: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let value: Line = serde_json::from_str(line).map_err(|error| PairsError::Syntax {
                line: index + 1,
                reason: if error.is_data() {
                    "this is neither a pair (emotion, positive, negative), nor a reply (emotion, reply), \
                         nor a question, nor a place (emotion, valence, arousal)"
                        .to_owned()
                } else {
                    error.to_string()
                },
            })?;
            match value {
                Line::Pair(pair) => read.pairs.push(pair),
                Line::Reply(reply) => read.replies.push(reply),
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
}

fn check_size(text: &str) -> Result<(), PairsError> {
    if text.len() > MAX_PAIRS_BYTES {
        return Err(PairsError::TooLarge { bytes: text.len() });
    }
    Ok(())
}
