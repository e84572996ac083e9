//! Errors of GGUF headers.

use thiserror::Error;

use crate::cursor::CursorError;
use crate::printable::printable_start;

/// Maximum length of a displayed name.
const SHOWN: usize = 80;

/// Refusal of a GGUF file's structure.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GgufError {
    /// The bytes end within the header, or a text in it is not UTF-8.
    #[error(transparent)]
    Truncated(CursorError),
    #[error("it does not begin with GGUF")]
    NotGguf,
    #[error("version is {version}{}, must be 2 or 3 in little-endian order", big_endian(*version))]
    Version { version: u32 },
    #[error("{what} is {value}, must be at most {limit}")]
    LimitExceeded {
        what: &'static str,
        value: u64,
        limit: u64,
    },
    #[error("{} is not a valid key", quoted(key))]
    Key { key: String },
    #[error("{} occurs twice", quoted(key))]
    DuplicateKey { key: String },
    #[error("{} has value type {kind}, which does not exist", quoted(key))]
    ValueType { key: String, kind: u32 },
    #[error("{} is an array of arrays, which is not read", quoted(key))]
    NestedArray { key: String },
    #[error("{} is {found}, must be {expected}", quoted(key))]
    Type {
        key: String,
        found: &'static str,
        expected: &'static str,
    },
    #[error("general.alignment is {alignment}, must be a power of two up to {limit}")]
    Alignment { alignment: u64, limit: u64 },
    #[error("{} is not a valid tensor name", quoted(tensor))]
    TensorName { tensor: String },
    #[error("tensor {} occurs twice", quoted(tensor))]
    DuplicateTensor { tensor: String },
    #[error("tensor {} has type {number}, which does not exist", quoted(tensor))]
    TensorType { tensor: String, number: u32 },
    #[error(
        "tensor {} has shape {shape:?}, which does not divide into {kind} blocks",
        quoted(tensor)
    )]
    Shape {
        tensor: String,
        shape: Vec<u64>,
        kind: &'static str,
    },
}

impl GgufError {
    /// Adds the key at which the error occurred.
    pub(super) fn at(self, at: &str) -> Self {
        match self {
            Self::ValueType { kind, .. } => Self::ValueType {
                key: at.to_owned(),
                kind,
            },
            Self::NestedArray { .. } => Self::NestedArray { key: at.to_owned() },
            other => other,
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", printable_start(name, SHOWN))
}

fn big_endian(version: u32) -> &'static str {
    if (2..=3).contains(&version.swap_bytes()) {
        " (a big-endian file)"
    } else {
        ""
    }
}
