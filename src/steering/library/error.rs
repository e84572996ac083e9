//! Why a set of files is refused.

use thiserror::Error;

use super::{MAX_EMOTIONS, MAX_RESIDUAL_MULTIPLE};
use crate::steering::format::FormatError;
use crate::steering::manifest::{MANIFEST_FILE, ManifestError};
use crate::steering::vector::VectorError;

/// Refusal of a set of files; nothing of it is used.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// A file could not be read as a steering vector.
    #[error("{file}: {source}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The manifest could not be read.
    #[error("{file}: {source}")]
    Manifest {
        /// The manifest's name.
        file: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The rows that the manifest selects are not a steering vector.
    #[error("{file}: {source}")]
    Vector {
        /// The file.
        file: String,
        /// What is wrong with the rows.
        source: VectorError,
    },
    /// A file was given twice.
    #[error("{file} was given twice")]
    DuplicateFile {
        /// The file.
        file: String,
    },
    /// Two files stand for one emotion.
    #[error("{first} and {second} are both for emotion {emotion:?}, there must be one")]
    DuplicateEmotion {
        /// The emotion.
        emotion: String,
        /// The one file.
        first: String,
        /// The other.
        second: String,
    },
    /// The manifest names an emotion that has no file.
    #[error("{MANIFEST_FILE}: emotion {emotion:?} has no file {file}")]
    MissingFile {
        /// The emotion.
        emotion: String,
        /// The file that was looked for.
        file: String,
    },
    /// A custom emotion has no place on the valence–arousal plane.
    #[error(
        "{file}: emotion {emotion:?} has no place, \
         set emotions.{emotion}.valence and arousal in {MANIFEST_FILE}"
    )]
    NoPlace {
        /// The file.
        file: String,
        /// The emotion.
        emotion: String,
    },
    /// A bare vector has no layer.
    #[error("{file}: the vector has no layer, set layer in {MANIFEST_FILE} or a default layer")]
    NoLayer {
        /// The file.
        file: String,
    },
    /// The manifest selects a layer that a layered vector does not have.
    #[error("{file}: there is no row for layer {layer}, which {MANIFEST_FILE} selects")]
    MissingRow {
        /// The file.
        file: String,
        /// The layer.
        layer: usize,
    },
    /// The model has no such layer, or does not show it.
    #[error(
        "{file}: layer is {layer}, must be below {limit}; layers in {MANIFEST_FILE} selects rows"
    )]
    LayerOutOfRange {
        /// The file.
        file: String,
        /// The layer.
        layer: usize,
        /// The first layer that cannot be steered.
        limit: usize,
    },
    /// The model's architecture cannot be steered.
    #[error("{file}: this model cannot be steered: {reason}")]
    Unsteerable {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The vector is not as wide as the model.
    #[error("{file}: width is {width}, must be the model's {n_embd}")]
    Width {
        /// The file.
        file: String,
        /// Its width.
        width: usize,
        /// The model's width.
        n_embd: usize,
    },
    /// A row is so long that it would drown the model's own activations.
    #[error(
        "{file}: norm at layer {layer} times scale and cap is {norm}, must be at most {limit} \
         ({MAX_RESIDUAL_MULTIPLE} x the residual norm {residual})"
    )]
    TooStrong {
        /// The file.
        file: String,
        /// The layer.
        layer: usize,
        /// cap × scale × norm of the row.
        norm: f64,
        /// The most that is accepted.
        limit: f64,
        /// The residual stream's norm at that layer.
        residual: f32,
    },
    /// The description of the model is not usable.
    #[error("{field} is {value}, must be {limit}")]
    Context {
        /// Field of [`LibraryContext`](super::LibraryContext).
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is allowed.
        limit: String,
    },
    /// There are more emotions than [`MAX_EMOTIONS`].
    #[error("there are {count} emotions, must be at most {MAX_EMOTIONS}")]
    TooManyEmotions {
        /// How many there are.
        count: usize,
    },
}

impl LibraryError {
    /// Stable label for metrics: the cause in the file where there is one.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Format { source, .. } => source.kind(),
            Self::Manifest { source, .. } => source.kind(),
            Self::Vector { source, .. } => source.kind(),
            Self::DuplicateFile { .. } => "duplicate_file",
            Self::DuplicateEmotion { .. } => "duplicate_emotion",
            Self::MissingFile { .. } => "missing_file",
            Self::NoPlace { .. } => "no_place",
            Self::NoLayer { .. } => "no_layer",
            Self::MissingRow { .. } => "missing_row",
            Self::LayerOutOfRange { .. } => "layer_out_of_range",
            Self::Unsteerable { .. } => "unsteerable",
            Self::Width { .. } => "width",
            Self::TooStrong { .. } => "too_strong",
            Self::Context { .. } => "context",
            Self::TooManyEmotions { .. } => "too_many_emotions",
        }
    }

    /// The file that was refused, where one was.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Format { file, .. }
            | Self::Manifest { file, .. }
            | Self::Vector { file, .. }
            | Self::DuplicateFile { file }
            | Self::MissingFile { file, .. }
            | Self::NoPlace { file, .. }
            | Self::NoLayer { file }
            | Self::MissingRow { file, .. }
            | Self::LayerOutOfRange { file, .. }
            | Self::Unsteerable { file, .. }
            | Self::Width { file, .. }
            | Self::TooStrong { file, .. } => Some(file),
            Self::DuplicateEmotion { second, .. } => Some(second),
            Self::Context { .. } | Self::TooManyEmotions { .. } => None,
        }
    }
}
