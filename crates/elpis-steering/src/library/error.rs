//! Errors of building a library.

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
        /// The error of the rows.
        source: VectorError,
    },
    /// A file was given twice.
    #[error("{} was given twice", printable(file))]
    DuplicateFile {
        /// The file.
        file: String,
    },
    /// Two files are for one emotion.
    #[error(
        "{} and {} are both for emotion {emotion:?}, there must be one",
        printable(first),
        printable(second)
    )]
    DuplicateEmotion {
        /// The emotion.
        emotion: String,
        /// The first file.
        first: String,
        /// The second file.
        second: String,
    },
    /// The manifest names an emotion that has no file.
    #[error("{MANIFEST_FILE}: emotion {emotion:?} has no file {}", printable(file))]
    #[strum(props(hint = "correct `file` of that emotion in vectors.toml, or remove the emotion"))]
    MissingFile {
        /// The emotion.
        emotion: String,
        /// The expected file.
        file: String,
    },
    /// The manifest names a file with the axes of reading that is not there.
    #[error(
        "{MANIFEST_FILE}: the axes of reading have no file {}",
        printable(file)
    )]
    #[strum(props(
        hint = "correct `file` of the table `reading` in vectors.toml, or remove the table"
    ))]
    MissingAxes {
        /// The expected file.
        file: String,
    },
    /// The file with the axes of reading lacks one of them.
    #[error(
        "{}: no axis {axis:?}, must be a pack of two vectors, \"valence\" and \"arousal\", without layers",
        printable(file)
    )]
    #[strum(props(
        hint = "train the axes again with `elpis vectors train`, or remove the table `reading` from vectors.toml"
    ))]
    NoAxis {
        /// The file.
        file: String,
        /// The missing axis.
        axis: &'static str,
    },
    /// The manifest takes a vector from a pack that does not have it.
    #[error("{}: the pack has no vector {vector:?}, it has {}", printable(file), has.join(", "))]
    NotInPack {
        /// The file.
        file: String,
        /// The expected vector.
        vector: String,
        /// The names of the existing ones.
        has: Vec<String>,
    },
    /// The manifest names a vector within a file that is not a pack.
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
    /// The layer in a file's name differs from that of its rows or the manifest.
    #[error(
        "{}: the file's name says layer {named}, but the vector is for {}; \
         rename the file or correct layer in {MANIFEST_FILE}",
        printable(file),
        list(layers)
    )]
    LayerConflict {
        /// The file.
        file: String,
        /// The layer of its name.
        named: usize,
        /// The layers of its rows, or those that the manifest selects.
        layers: Vec<usize>,
    },
    /// A file's name refers to a layer ambiguously, and nothing else names it.
    #[error(
        "{}: the file's name does not name a layer clearly: {reason}; use layer-N",
        printable(file)
    )]
    UnclearLayer {
        /// The file.
        file: String,
        /// The reason.
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
    /// The model has no such layer, or does not expose it.
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
    #[strum(props(hint = "use another model, or unset model.emotion_vectors_dir"))]
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
    /// A row's norm is so large that it would drown the model's own activations.
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
        /// The maximum.
        limit: f64,
        /// The residual stream's norm at that layer.
        residual: f32,
    },
    /// The description of the model is invalid.
    #[error("{field} is {value}, must be {limit}")]
    Context {
        /// Field of [`LibraryContext`](super::LibraryContext).
        field: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        limit: String,
    },
    /// There are more emotions than [`MAX_EMOTIONS`].
    #[error("there are {count} emotions, must be at most {MAX_EMOTIONS}")]
    #[strum(props(hint = "remove some files from the folder"))]
    TooManyEmotions {
        /// The number of emotions.
        count: usize,
    },
}

impl LibraryError {
    /// Stable label for metrics: that of the cause in a file if there is one.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Format { source, .. } => source.kind(),
            Self::Manifest { source, .. } => source.kind(),
            Self::Vector { source, .. } => source.kind(),
            _ => self.into(),
        }
    }

    /// The refused file, if there is one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Format { file, .. }
            | Self::Manifest { file, .. }
            | Self::Vector { file, .. }
            | Self::DuplicateFile { file }
            | Self::MissingFile { file, .. }
            | Self::MissingAxes { file }
            | Self::NoAxis { file, .. }
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
