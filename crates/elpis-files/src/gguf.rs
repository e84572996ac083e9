//! The GGUF container (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): metadata and
//! the offsets of tensors, read from the beginning of a file. Their interpretation is left to the
//! callers.
//!
//! Nothing is copied: keys, texts and arrays are borrowed. What is allocated is bounded by the
//! limits on the numbers of pairs and tensors.

mod error;
mod types;
mod value;

use std::collections::HashSet;

pub use error::GgufError;
pub use types::TensorType;
pub use value::{Array, Kind, Value};

use crate::cursor::{Cursor, CursorError};

const WHAT: &str = "the GGUF header";
const MAGIC: &[u8; 4] = b"GGUF";
/// The alignment of tensors unless the file says otherwise.
pub const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 16;
const MAX_DIMENSIONS: u64 = 4;
/// Maximum length of a tensor's name, in bytes (ggml's `GGML_MAX_NAME` minus the terminator).
const MAX_TENSOR_NAME: u64 = 63;
/// Maximum length of a key, in bytes, according to the specification.
const MAX_KEY: u64 = 65_535;
const ALIGNMENT: &str = "general.alignment";

/// Maximum counts of a file.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub pairs: u64,
    pub tensors: u64,
}

/// The place, shape and type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    pub name: &'a str,
    /// The dimensions, innermost first; undeclared ones are 1.
    pub shape: [u64; 4],
    /// The number of declared dimensions.
    pub dimensions: usize,
    pub kind: TensorType,
    /// Offset from the beginning of the data, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A file without its data.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    /// The metadata in the order of the file; no key occurs twice.
    pub metadata: Vec<(&'a str, Value<'a>)>,
    /// The tensors in the order of the file; no name occurs twice.
    pub tensors: Vec<TensorInfo<'a>>,
    pub alignment: u64,
    /// The offset of the data in the file.
    pub data: u64,
}

impl<'a> Header<'a> {
    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// [`GgufError::Truncated`] if the bytes end within the header, and other errors for headers
    /// that llama.cpp's own reader would refuse.
    pub fn parse(bytes: &'a [u8], limits: Limits) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        if cursor.take(4)? != MAGIC {
            return Err(GgufError::NotGguf);
        }
        let version = cursor.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version { version });
        }
        let tensors = cursor.u64()?;
        let pairs = cursor.u64()?;
        within("number of tensors", tensors, limits.tensors)?;
        within("number of metadata pairs", pairs, limits.pairs)?;

        let metadata = metadata(&mut cursor, pairs)?;
        let alignment = match metadata.iter().find(|(key, _)| *key == ALIGNMENT) {
            None => DEFAULT_ALIGNMENT,
            Some((_, Value::U32(alignment))) => u64::from(*alignment),
            Some((_, other)) => {
                return Err(GgufError::Type {
                    key: ALIGNMENT.to_owned(),
                    found: other.kind_name(),
                    expected: "u32",
                });
            }
        };
        if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
            return Err(GgufError::Alignment {
                alignment,
                limit: MAX_ALIGNMENT,
            });
        }
        let tensors = tensor_infos(&mut cursor, tensors)?;
        let data = (cursor.position() as u64)
            .checked_next_multiple_of(alignment)
            .unwrap_or(u64::MAX);
        Ok(Self {
            metadata,
            tensors,
            alignment,
            data,
        })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.metadata
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// The text of a key, if it is text in UTF-8.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        match self.get(key)? {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

pub fn within(what: &'static str, value: u64, limit: u64) -> Result<(), GgufError> {
    if value > limit {
        return Err(GgufError::LimitExceeded { what, value, limit });
    }
    Ok(())
}

fn metadata<'a>(
    cursor: &mut Cursor<'a>,
    pairs: u64,
) -> Result<Vec<(&'a str, Value<'a>)>, GgufError> {
    let mut metadata = Vec::new();
    let mut seen = HashSet::new();
    // Each pair takes bytes, so a wrong count ends at the end of the file.
    for _ in 0..pairs {
        let length = cursor.u64()?;
        within("bytes of a metadata key", length, MAX_KEY)?;
        let key = cursor.text(length)?;
        // llama.cpp compares keys as C text.
        if key.is_empty() || key.contains('\0') {
            return Err(GgufError::Key {
                key: key.to_owned(),
            });
        }
        let kind = cursor.u32()?;
        let value = Value::read(cursor, kind).map_err(|error| error.at(key))?;
        if !seen.insert(key) {
            return Err(GgufError::DuplicateKey {
                key: key.to_owned(),
            });
        }
        metadata.push((key, value));
    }
    Ok(metadata)
}

fn tensor_infos<'a>(cursor: &mut Cursor<'a>, count: u64) -> Result<Vec<TensorInfo<'a>>, GgufError> {
    let mut infos = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..count {
        let info = tensor_info(cursor)?;
        if !seen.insert(info.name) {
            return Err(GgufError::DuplicateTensor {
                tensor: info.name.to_owned(),
            });
        }
        infos.push(info);
    }
    Ok(infos)
}

fn tensor_info<'a>(cursor: &mut Cursor<'a>) -> Result<TensorInfo<'a>, GgufError> {
    let length = cursor.u64()?;
    within("bytes of a tensor's name", length, MAX_TENSOR_NAME)?;
    let name = cursor.text(length)?;
    if name.contains('\0') {
        return Err(GgufError::TensorName {
            tensor: name.to_owned(),
        });
    }
    let dimensions = u64::from(cursor.u32()?);
    within("dimensions of a tensor", dimensions, MAX_DIMENSIONS)?;
    let dimensions = dimensions as usize;
    let mut shape = [1_u64; 4];
    for size in shape.iter_mut().take(dimensions) {
        *size = cursor.u64()?;
    }
    let number = cursor.u32()?;
    let kind = TensorType::of(number).ok_or_else(|| GgufError::TensorType {
        tensor: name.to_owned(),
        number,
    })?;
    let offset = cursor.u64()?;
    let bad_shape = || GgufError::Shape {
        tensor: name.to_owned(),
        shape: shape.to_vec(),
        kind: kind.name,
    };
    // Whole blocks in a row, and a size that fits 63 bits, as ggml counts with a sign.
    let [row, rest @ ..] = shape;
    if row % kind.block != 0 {
        return Err(bad_shape());
    }
    let bytes = rest
        .iter()
        .try_fold(row / kind.block, |n, &m| n.checked_mul(m))
        .and_then(|blocks| blocks.checked_mul(kind.bytes))
        .filter(|&bytes| i64::try_from(bytes).is_ok());
    let elements = shape.iter().try_fold(1_u64, |n, &m| n.checked_mul(m));
    let elements = elements.filter(|&n| i64::try_from(n).is_ok());
    match (bytes, elements) {
        (Some(bytes), Some(_)) => Ok(TensorInfo {
            name,
            shape,
            dimensions,
            kind,
            offset,
            bytes,
        }),
        _ => Err(bad_shape()),
    }
}

impl From<CursorError> for GgufError {
    fn from(error: CursorError) -> Self {
        Self::Truncated(error)
    }
}
