//! Errors of a manifest.

use thiserror::Error;

use super::MAX_MANIFEST_BYTES;

/// Refusal of a manifest.
#[derive(Debug, Clone, PartialEq, Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ManifestError {
    /// The file is longer than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {bytes} bytes, must have at most {MAX_MANIFEST_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The file is not UTF-8.
    #[error("the manifest is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The first byte that is not.
        offset: usize,
    },
    /// The file is not TOML.
    #[error("the manifest is not TOML, line {line}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The TOML parser's message.
        reason: String,
    },
    /// There is no such key.
    #[error("unknown key {field}{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// The key with its path.
        field: String,
        /// The known key with the most similar spelling.
        nearest: Option<String>,
    },
    /// A value has another type.
    #[error("{field} is {found}, must be {expected}")]
    WrongType {
        /// The key with its path.
        field: String,
        /// The type found.
        found: &'static str,
        /// The expected type.
        expected: &'static str,
    },
    /// A number is not finite or outside its range.
    #[error("{field} is {value}, must be {limit}")]
    OutOfRange {
        /// The key with its path.
        field: String,
        /// The value found.
        value: f64,
        /// The allowed values.
        limit: String,
    },
    /// A name or file name is not allowed.
    #[error("{field} is {value:?}, must {limit}")]
    InvalidName {
        /// The key with its path.
        field: String,
        /// The value found.
        value: String,
        /// The allowed values.
        limit: &'static str,
    },
    /// `layer` and `layers` exclude each other.
    #[error("layer and layers are both set, only one of them may be set")]
    LayerAndLayers,
    /// A list is empty or has an entry twice.
    #[error("{field} is {value}, must be {limit}")]
    InvalidList {
        /// The key.
        field: String,
        /// The value found.
        value: String,
        /// The allowed values.
        limit: &'static str,
    },
    /// A custom emotion has only one coordinate.
    #[error("{field} is missing, a custom emotion needs both valence and arousal")]
    Missing {
        /// The key with its path.
        field: String,
    },
    /// A vector within a file is named without the file.
    #[error("{field} is set without file, it names a vector within one")]
    VectorWithoutFile {
        /// The key with its path.
        field: String,
    },
    /// One of [`BASE_EMOTIONS`](super::BASE_EMOTIONS) is given a place.
    #[error("{field} is set, the place of a base emotion is fixed")]
    FixedPlace {
        /// The key with its path.
        field: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| {
        format!(", the nearest known key is {key}")
    })
}

impl ManifestError {
    /// Stable label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}
