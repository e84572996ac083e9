//! The beginning of a model file, read no further than its header goes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::LIMITS;
use super::fault::Fault;
use crate::backend::BackendError;
use crate::cursor::CursorError;
use crate::gguf::{GgufError, Header};
use crate::lfs::LfsPointer;

/// What is read at first; the header of a large vocabulary has ten times as much.
const FIRST: u64 = 4 << 20;
/// Longest header.
const LONGEST: u64 = 512 << 20;

/// Bytes that a header is parsed from.
pub(super) struct HeaderBytes {
    bytes: Vec<u8>,
    /// Bytes of the whole file.
    pub(super) length: u64,
}

impl HeaderBytes {
    /// Reads as much of a file as its header needs.
    pub(super) fn read(path: &Path) -> Result<Self, BackendError> {
        let unreadable = |error: io::Error| BackendError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            // A pipe would be waited for, a device has no end.
            let kind = io::ErrorKind::InvalidInput;
            return Err(unreadable(io::Error::new(kind, "it is no regular file")));
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let length = metadata.len();
        let mut bytes = Vec::new();
        let mut wanted = FIRST;
        loop {
            let more = wanted.saturating_sub(bytes.len() as u64);
            (&mut file)
                .take(more)
                .read_to_end(&mut bytes)
                .map_err(unreadable)?;
            let whole = bytes.len() as u64 >= length.min(LONGEST) || (bytes.len() as u64) < wanted;
            let cut = matches!(
                Header::parse(&bytes, LIMITS),
                Err(GgufError::Truncated(CursorError::Truncated { .. }))
            );
            if whole || !cut {
                return Ok(Self { bytes, length });
            }
            wanted = wanted.saturating_mul(4).min(LONGEST);
        }
    }

    /// The header.
    pub(super) fn header(&self, path: &Path) -> Result<Header<'_>, BackendError> {
        if let Some(pointer) = LfsPointer::of(&self.bytes) {
            return Err(BackendError::LfsPointer {
                path: path.to_owned(),
                size: pointer.size,
            });
        }
        Header::parse(&self.bytes, LIMITS).map_err(|error| match error {
            GgufError::NotGguf | GgufError::Truncated(_) if !self.bytes.starts_with(b"GGUF") => {
                let head = self.bytes.get(..4).unwrap_or(&self.bytes);
                BackendError::NotAModel {
                    path: path.to_owned(),
                    expected: "GGUF",
                    found: format!("it begins with {:?}", String::from_utf8_lossy(head)),
                }
            }
            other => Fault::from(other).of(path),
        })
    }
}
