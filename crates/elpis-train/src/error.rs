//! Errors of training and calibration.

use elpis_backend::BackendError;
use elpis_inference::{SamplingError, TemplateError};
use elpis_steering::contrast::ContrastError;
use elpis_steering::{FormatError, LibraryError, VectorError};

/// Why training or calibration ended without a result.
#[derive(Debug, Clone, PartialEq, thiserror::Error, strum::IntoStaticStr, strum::EnumProperty)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum TrainingError {
    /// The model could not evaluate a prompt.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The chat template could not be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The activations give no direction.
    #[error("{emotion} at layer {layer}: {source}")]
    #[strum(props(
        hint = "give that emotion pairs whose sentences differ, or omit --pairs to use the shipped ones"
    ))]
    Contrast {
        /// The emotion.
        emotion: String,
        /// The layer.
        layer: usize,
        /// Why.
        source: ContrastError,
    },
    /// A direction cannot be used as a vector.
    #[error("{emotion}: {source}")]
    Vector {
        /// The emotion.
        emotion: String,
        /// Why.
        source: VectorError,
    },
    /// A vector cannot be written in the requested format.
    #[error("{emotion}: {source}")]
    Format {
        /// The emotion.
        emotion: String,
        /// Why.
        source: FormatError,
    },
    /// The vectors to calibrate do not fit the model.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A token could not be sampled.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// An option is outside its range.
    #[error("{field} is {value}, but must be {limit}")]
    Limit {
        /// The option.
        field: &'static str,
        /// The requested value.
        value: String,
        /// The allowed values.
        limit: String,
    },
    /// A prompt does not fit into one evaluation.
    #[error(
        "{what} makes a prompt of {tokens} tokens, but at most {limit} can be evaluated at once"
    )]
    #[strum(props(hint = "shorten it, or raise model.batch_size"))]
    TooLong {
        /// The sentence or question that it consists of.
        what: String,
        /// Its length in tokens.
        tokens: usize,
        /// The batch size or the context length, minus the room for a reply.
        limit: usize,
    },
    /// The model's replies are empty without any vector, so nothing can be compared.
    #[error("the model's replies are empty without any vector")]
    #[strum(props(
        hint = "use an instruction-tuned model, or another template with model.chat_format"
    ))]
    Silent,
    /// The chat template drops a sentence wherever it is put.
    #[error(
        "the chat template shows neither system nor user messages as they are: {sentence:?} is missing"
    )]
    #[strum(props(
        hint = "choose another template with model.chat_format: it must render messages unchanged"
    ))]
    NotRendered {
        /// The sentence.
        sentence: String,
    },
    /// There is nothing to calibrate.
    #[error("the library holds no vectors")]
    #[strum(props(
        hint = "train some first with `elpis vectors train --output DIR`, then pass that folder with --vectors"
    ))]
    NoVectors,
    /// The caller interrupted it.
    #[error("interrupted")]
    Interrupted,
}

impl TrainingError {
    /// A short name for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Contrast { source, .. } => source.kind(),
            Self::Vector { source, .. } => source.kind(),
            Self::Format { source, .. } => source.kind(),
            Self::Library(error) => error.kind(),
            _ => self.into(),
        }
    }
}
