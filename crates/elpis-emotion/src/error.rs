//! Errors in input to the emotional state.

use std::borrow::Cow;

use thiserror::Error;

/// Refusal of a value from outside. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum EmotionError {
    /// A number is not finite or outside its range.
    #[error("{field} is {value}, must be {limit}")]
    OutOfRange {
        /// The setting or argument.
        field: &'static str,
        /// The value that was given.
        value: f64,
        /// The allowed values.
        limit: Cow<'static, str>,
    },
    /// A name is empty, too long, contains control characters, or is taken.
    #[error("{field} is {value:?}, must {limit}")]
    InvalidName {
        /// The argument.
        field: &'static str,
        /// The given name, shortened to the maximum length.
        value: String,
        /// The allowed values.
        limit: &'static str,
    },
    /// A name is neither a known nor a declared event.
    #[error(
        "no event is named {name:?}; {}",
        nearest.as_ref().map_or_else(
            || "declare it in `emotion.events`, or give it a shift (`EmotionEvent::custom`)".to_owned(),
            |nearest| format!("did you mean {nearest:?}?"),
        )
    )]
    UnknownEvent {
        /// The name that was given.
        name: String,
        /// The name that was probably meant.
        nearest: Option<String>,
    },
    /// Text or an object does not have the expected form.
    #[error("{field} is malformed: {reason}")]
    Malformed {
        /// The field, or `line` for the whole text.
        field: &'static str,
        /// The parser's message.
        reason: String,
    },
    /// A step of a replayed sequence was refused.
    #[error("step {step}: {source}")]
    Step {
        /// Index of the step, from 0.
        step: usize,
        /// Why it was refused.
        source: Box<EmotionError>,
    },
}

impl EmotionError {
    /// Stable label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "out_of_range",
            Self::InvalidName { .. } => "invalid_name",
            Self::UnknownEvent { .. } => "unknown_event",
            Self::Malformed { .. } => "malformed",
            Self::Step { source, .. } => source.kind(),
        }
    }

    /// The setting or argument that was refused.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OutOfRange { field, .. }
            | Self::InvalidName { field, .. }
            | Self::Malformed { field, .. } => field,
            Self::UnknownEvent { .. } => "event",
            Self::Step { source, .. } => source.field(),
        }
    }

    pub(super) fn at_step(self, step: usize) -> Self {
        Self::Step {
            step,
            source: Box::new(self),
        }
    }
}

/// Checks that `value` is finite and in `low..=high`.
pub(super) fn in_range(
    field: &'static str,
    value: f64,
    low: f64,
    high: f64,
) -> Result<f64, EmotionError> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(EmotionError::OutOfRange {
        field,
        value,
        limit: format!("in {low}..={high}").into(),
    })
}
