//! Reads the beginning of a model file, up to the end of its header.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::LIMITS;
use super::defect::Defect;
use crate::BackendError;
use elpis_files::cursor::CursorError;
use elpis_files::gguf::{GgufError, Header};
use elpis_files::lfs::LfsPointer;

/// Number of bytes read first. The header of a large vocabulary is ten times longer.
const FIRST: u64 = 4 << 20;
/// Number of bytes that suffice to distinguish a model from a Git LFS pointer.
const BEGINNING: u64 = 2048;
/// Maximum length of a header, in bytes.
const MAX: u64 = 512 << 20;

/// The bytes that a header is parsed from.
pub(super) struct HeaderBytes {
    bytes: Vec<u8>,
    /// Length of the whole file, in bytes.
    pub(super) length: u64,
}

impl HeaderBytes {
    /// Reads as much of a file as its header needs.
    pub(super) fn read(path: &Path) -> Result<Self, BackendError> {
        let (mut file, length) = open(path)?;
        let mut bytes = Vec::new();
        let mut wanted = FIRST;
        loop {
            let more = wanted.saturating_sub(bytes.len() as u64);
            (&mut file)
                .take(more)
                .read_to_end(&mut bytes)
                .map_err(|error| unreadable(path, &error))?;
            let whole = bytes.len() as u64 >= length.min(MAX) || (bytes.len() as u64) < wanted;
            let cut = matches!(
                Header::parse(&bytes, LIMITS),
                Err(GgufError::Truncated(CursorError::Truncated { .. }))
            );
            if whole || !cut {
                return Ok(Self { bytes, length });
            }
            wanted = wanted.saturating_mul(4).min(MAX);
        }
    }

    /// The header.
    pub(super) fn header(&self, path: &Path) -> Result<Header<'_>, BackendError> {
        check_magic(&self.bytes, path)?;
        Header::parse(&self.bytes, LIMITS).map_err(|error| Defect::from(error).of(path))
    }
}

/// Checks that a file begins like a GGUF file.
///
/// # Errors
/// [`BackendError::Unreadable`], [`BackendError::LfsPointer`], [`BackendError::NotAModel`].
pub fn check_beginning(path: &Path) -> Result<(), BackendError> {
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.take(BEGINNING)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error))?;
    check_magic(&bytes, path)
}

/// Opens a file and returns its length in bytes.
fn open(path: &Path) -> Result<(File, u64), BackendError> {
    let failed = |error| unreadable(path, &error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        // Reading a pipe would block, and a device has no end.
        let kind = io::ErrorKind::InvalidInput;
        return Err(failed(io::Error::new(kind, "not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    Ok((file, metadata.len()))
}

fn unreadable(path: &Path, error: &io::Error) -> BackendError {
    BackendError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn check_magic(bytes: &[u8], path: &Path) -> Result<(), BackendError> {
    let path = path.to_owned();
    if let Some(pointer) = LfsPointer::of(bytes) {
        let size = pointer.size;
        return Err(BackendError::LfsPointer { path, size });
    }
    if !bytes.starts_with(b"GGUF") {
        let head = bytes.get(..4).unwrap_or(bytes);
        return Err(BackendError::NotAModel {
            path,
            expected: "GGUF",
            found: format!("it begins with {:?}", String::from_utf8_lossy(head)),
        });
    }
    Ok(())
}
