//! Reads the folder of vectors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use crate::error::SteeringError;
use crate::steering::{LibraryFile, MANIFEST_FILE, MAX_MANIFEST_BYTES, VectorFormat};

/// Longest vector file: a pack of a hundred emotions for eighty layers of 8,192 values in f32.
const FILE_LIMIT: u64 = 1 << 28;

/// Maximum total size of a folder's files, in bytes.
const FOLDER_LIMIT: u64 = 1 << 30;

/// Whether the file belongs to a library: a vector file or the manifest.
pub fn is_library_file(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str());
    name == MANIFEST_FILE || extension.is_some_and(|e| VectorFormat::from_extension(e).is_some())
}

/// The files of a folder at the time of reading.
pub(super) struct Snapshot {
    pub(super) files: Result<Vec<LibraryFile>, SteeringError>,
    /// Whether a file changed meanwhile, so that the snapshot is inconsistent.
    pub(super) inconsistent: bool,
}

impl Snapshot {
    /// Creates a consistent snapshot of files that cannot change.
    pub(super) fn consistent(files: Vec<LibraryFile>) -> Self {
        Self {
            files: Ok(files),
            inconsistent: false,
        }
    }
}

/// Reads the folder and records whether it changed meanwhile.
pub(super) fn read_snapshot(folder: &Path) -> Snapshot {
    let before = Stamp::of(folder);
    let files = read(folder);
    Snapshot {
        files,
        inconsistent: Stamp::of(folder) != before,
    }
}

/// A fingerprint that changes whenever a file of a library is written, replaced or reached by
/// another link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(BTreeMap<OsString, Option<(u64, Option<SystemTime>, u64)>>);

impl Stamp {
    pub(super) fn of(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        let names = names.filter(|name| name.to_str().is_some_and(is_library_file));
        let stamps = names.map(|name| {
            let metadata = std::fs::metadata(folder.join(&name)).ok();
            let stamp = metadata.map(|m| (m.len(), m.modified().ok(), identity(&m)));
            (name, stamp)
        });
        Self(stamps.collect())
    }
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> u64 {
    0
}

/// Reads the folder's vector files and manifest.
///
/// # Errors
/// [`SteeringError`] if the folder or a file is missing, cannot be read or is too large.
pub fn read(folder: &Path) -> Result<Vec<LibraryFile>, SteeringError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(SteeringError::FolderMissing {
                folder: folder.display().to_string(),
            });
        }
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut files = Vec::new();
    let mut total = 0_u64;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !is_library_file(name) {
            continue;
        }
        // Follows links, as mounted configuration uses them.
        let metadata = std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if !metadata.is_file() {
            continue;
        }
        let bytes = read_file(&path)?;
        total += bytes.len() as u64;
        within(folder, total, FOLDER_LIMIT)?;
        files.push(LibraryFile {
            name: name.to_owned(),
            bytes,
        });
    }
    Ok(files)
}

/// Reads a vector file or a manifest, unless it is too large: a sparse file of terabytes occupies
/// no disk space.
///
/// # Errors
/// [`SteeringError::Unreadable`], [`SteeringError::TooLarge`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, SteeringError> {
    use std::io::Read as _;

    let limit = if path.file_name().is_some_and(|name| name == MANIFEST_FILE) {
        MAX_MANIFEST_BYTES as u64
    } else {
        FILE_LIMIT
    };
    let failed = |error| unreadable(path, &error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() {
            std::io::ErrorKind::IsADirectory.into()
        } else {
            // Reading a pipe would block, and a device has no end.
            std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file")
        };
        return Err(unreadable(path, &kind));
    }
    within(path, metadata.len(), limit)?;
    // The file may grow meanwhile.
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    within(path, bytes.len() as u64, limit)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> SteeringError {
    SteeringError::Unreadable {
        file: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn within(path: &Path, bytes: u64, limit: u64) -> Result<(), SteeringError> {
    if bytes > limit {
        return Err(SteeringError::TooLarge {
            file: path.display().to_string(),
            bytes,
            limit,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_the_files_of_a_library_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("calm.pt"), "one").unwrap();
        let first = Stamp::of(folder.path());
        std::fs::write(path("notes.txt"), "x").unwrap();
        assert_eq!(Stamp::of(folder.path()), first);
        assert!(!read_snapshot(folder.path()).inconsistent);

        std::fs::write(path("calm.pt"), "other").unwrap();
        let longer = Stamp::of(folder.path());
        assert_ne!(longer, first);
        std::fs::write(path("excited.pt"), "").unwrap();
        let more = Stamp::of(folder.path());
        assert_ne!(more, longer);
        std::fs::remove_file(path("calm.pt")).unwrap();
        assert_ne!(Stamp::of(folder.path()), more);
        assert_eq!(Stamp::of(&path("nowhere")), Stamp(BTreeMap::new()));
    }

    #[test]
    fn sparse_giants_are_refused_by_their_length() {
        let folder = tempfile::tempdir().unwrap();
        let sparse = |name: &str, length: u64| {
            let path = folder.path().join(name);
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(length).unwrap();
            path
        };
        for (name, length, limit) in [
            ("calm.pt", 1 << 40, FILE_LIMIT),
            ("calm.gguf", FILE_LIMIT + 1, FILE_LIMIT),
            (MANIFEST_FILE, 1 << 40, MAX_MANIFEST_BYTES as u64),
        ] {
            let path = sparse(name, length);
            let refused = SteeringError::TooLarge {
                file: path.display().to_string(),
                bytes: length,
                limit,
            };
            assert_eq!(read_file(&path), Err(refused.clone()));
            assert_eq!(read(folder.path()), Err(refused));
            std::fs::remove_file(path).unwrap();
        }
        let path = sparse("calm.pt", 3);
        assert_eq!(read_file(&path).unwrap(), [0; 3]);
        assert_eq!(read_file(folder.path()).unwrap_err().kind(), "unreadable");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calm.pt");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let refused = read_file(&path).unwrap_err().to_string();
        assert!(refused.ends_with("not a regular file"), "{refused}");
        assert_eq!(read(folder.path()), Ok(Vec::new()));
    }

    #[cfg(unix)]
    #[test]
    fn a_stamp_changes_with_a_link_to_a_like_file() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for set in ["..1", "..2"] {
            std::fs::create_dir(path(set)).unwrap();
            std::fs::write(path(set).join("calm.pt"), "same").unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/calm.pt", path("calm.pt")).unwrap();
        let first = Stamp::of(folder.path());
        symlink("..2", path("..next")).unwrap();
        std::fs::rename(path("..next"), path("..data")).unwrap();
        assert_ne!(Stamp::of(folder.path()), first);
    }
}
