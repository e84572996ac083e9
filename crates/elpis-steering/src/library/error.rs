//! Why a set of files is refused.

use thiserror::Error;

use super::{MAX_EMOTIONS, MAX_RESIDUAL_MULTIPLE};
use crate::format::FormatError;
use crate::manifest::{MANIFEST_FILE, ManifestError};
use crate::vector::VectorError;
use elpis_files::printable::printable;

/// Refusal of a set of files; nothing of it is used.
#[derive(
    Debug, Clone, PartialEq, Error, strum::IntoStaticStr, strum::VariantNames, strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum LibraryError {
    /// A file could not be read as a steering vector.
    #[error("{}: {source}", printable(file))]
    Format {
        /// The file.
        file: String,
        /// The reason.
        source: FormatError,
    },
    /// The manifest could not be read.
    #[error("{}: {source}", printable(file))]
    #[strum(props(
        hint = "docs/vectors.md describes vectors.toml; it must stand beside the vectors, or be absent"
    ))]
    Manifest {
        /// The manifest's name.
        file: String,
        /// The reason.
        source: ManifestError,
    },
    /// The rows that the manifest selects are not a steering vector.
    #[error("{}: {source}", printable(file))]
    Vector {
        /// The file.
        file: String,
        /// What is wrong with the rows.
        source: VectorError,
    },
    /// A file was given twice.
    #[error("{} was given twice", printable(file))]
    DuplicateFile {
        /// The file.
        file: String,
    },
    /// Two files stand for one emotion.
    #[error(
        "{} and {} are both for emotion {emotion:?}, there must be one",
        printable(first),
        printable(second)
    )]
    DuplicateEmotion {
        /// The emotion.
        emotion: String,
        /// The one file.
        first: String,
        /// The other.
        second: String,
    },
    /// The manifest names an emotion that has no file.
    #[error("{MANIFEST_FILE}: emotion {emotion:?} has no file {}", printable(file))]
    #[strum(props(hint = "correct `file` of that emotion in vectors.toml, or remove the emotion"))]
    MissingFile {
        /// The emotion.
        emotion: String,
        /// The file that was looked for.
        file: String,
    },
    /// The manifest takes a vector from a pack that does not have it.
    #[error("{}: the pack has no vector {vector:?}, it has {}", printable(file), has.join(", "))]
    NotInPack {
        /// The file.
        file: String,
        /// The vector that was looked for.
        vector: String,
        /// The names of those that are there.
        has: Vec<String>,
    },
    /// The manifest names a vector within a file that is no pack.
    #[error(
        "{}: the file is the vector of one emotion; \
         leave emotions.{emotion}.vector out of {MANIFEST_FILE}",
        printable(file)
    )]
    NoPack {
        /// The file.
        file: String,
        /// The emotion.
        emotion: String,
    },
    /// A file's name tells another layer than its rows or the manifest.
    #[error(
        "{}: the file's name tells layer {told}, the vector is for {}; \
         rename the file or correct layer in {MANIFEST_FILE}",
        printable(file),
        list(layers)
    )]
    LayerConflict {
        /// The file.
        file: String,
        /// The layer of its name.
        told: usize,
        /// The layers of its rows, or those that the manifest selects.
        layers: Vec<usize>,
    },
    /// A file's name tells a layer in a way that cannot be used, and nothing else tells it.
    #[error(
        "{}: the file's name tells no clear layer: {reason}; name it layer-N",
        printable(file)
    )]
    UnclearLayer {
        /// The file.
        file: String,
        /// Why not.
        reason: &'static str,
    },
    /// A custom emotion has no place on the valence–arousal plane.
    #[error(
        "{}: emotion {emotion:?} has no place, \
         set emotions.{emotion}.valence and arousal in {MANIFEST_FILE}",
        printable(file)
    )]
    NoPlace {
        /// The file.
        file: String,
        /// The emotion.
        emotion: String,
    },
    /// A bare vector has no layer.
    #[error(
        "{}: the vector has no layer, set layer in {MANIFEST_FILE} or a default layer",
        printable(file)
    )]
    NoLayer {
        /// The file.
        file: String,
    },
    /// The manifest selects a layer that a layered vector does not have.
    #[error(
        "{}: there is no row for layer {layer}, which {MANIFEST_FILE} selects",
        printable(file)
    )]
    MissingRow {
        /// The file.
        file: String,
        /// The layer.
        layer: usize,
    },
    /// The model has no such layer, or does not show it.
    #[error(
        "{}: layer is {layer}, must be below {limit}; layers in {MANIFEST_FILE} selects rows",
        printable(file)
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
    #[error("{}: this model cannot be steered: {reason}", printable(file))]
    #[strum(props(hint = "use another model, or leave model.emotion_vectors_dir away"))]
    Unsteerable {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The vector is not as wide as the model.
    #[error("{}: width is {width}, must be the model's {n_embd}", printable(file))]
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
        "{}: norm at layer {layer} times scale and cap is {norm}, must be at most {limit} \
         ({MAX_RESIDUAL_MULTIPLE} x the residual norm {residual})",
        printable(file)
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
        /// The allowed values.
        limit: String,
    },
    /// There are more emotions than [`MAX_EMOTIONS`].
    #[error("there are {count} emotions, must be at most {MAX_EMOTIONS}")]
    #[strum(props(hint = "take some files out of the folder"))]
    TooManyEmotions {
        /// The number found.
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
            _ => self.into(),
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
            | Self::NotInPack { file, .. }
            | Self::NoPack { file, .. }
            | Self::LayerConflict { file, .. }
            | Self::UnclearLayer { file, .. }
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

fn list(layers: &[usize]) -> String {
    const SHOWN: usize = 8;
    let few = layers.get(..SHOWN).unwrap_or(layers);
    let few: Vec<String> = few.iter().map(usize::to_string).collect();
    let more = if layers.len() > SHOWN { ", …" } else { "" };
    let noun = if layers.len() == 1 { "layer" } else { "layers" };
    format!("{noun} {}{more}", few.join(", "))
}
