//! Why a list of pairs is refused.

use super::MAX_PAIRS_BYTES;

/// Why pairs are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error, strum::IntoStaticStr, strum::EnumProperty)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum PairsError {
    /// The file is too large.
    #[error("{bytes} bytes exceed the limit of {MAX_PAIRS_BYTES}")]
    #[strum(props(hint = "a few hundred pairs for each emotion are enough"))]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The file cannot be parsed.
    #[error("line {line}: {reason}")]
    #[strum(props(
        hint = "a line of JSONL is {\"emotion\": …, \"positive\": …, \"negative\": …} or {\"question\": …}; docs/vectors.md describes both forms"
    ))]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The reason.
        reason: String,
    },
    /// A value is not allowed.
    #[error("{field} is {value:?}, but must {limit}")]
    #[strum(props(
        hint = "a line of JSONL is {\"emotion\": …, \"positive\": …, \"negative\": …} or {\"question\": …}; docs/vectors.md describes both forms"
    ))]
    Value {
        /// The field.
        field: String,
        /// The value found, cut to 64 characters.
        value: String,
        /// The allowed values.
        limit: String,
    },
    /// There are too few pairs or replies of an emotion.
    #[error("{emotion} has {count} {what}, at least 2 are needed: one is held out")]
    #[strum(props(hint = "add pairs, or leave --pairs out for the shipped ones"))]
    TooFew {
        /// The emotion, or `neutral`.
        emotion: String,
        /// `pairs` or `replies`.
        what: &'static str,
        /// How many of these it has.
        count: usize,
    },
    /// There are no pairs at all.
    #[error("there are no pairs and no replies")]
    #[strum(props(hint = "add pairs, or leave --pairs out for the shipped ones"))]
    Empty,
}

impl PairsError {
    /// A short name for metric labels.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}
