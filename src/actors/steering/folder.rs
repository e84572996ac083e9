//! Reading the folder of vectors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use crate::error::SteeringError;
use crate::steering::{LibraryFile, MANIFEST_FILE, VectorFormat};

/// Largest file taken as a vector file.
const FILE_LIMIT: u64 = 1 << 30;

/// Whether the file belongs to a library: a vector file or the manifest.
pub(crate) fn is_library_file(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str());
    name == MANIFEST_FILE || extension.is_some_and(|e| VectorFormat::from_extension(e).is_some())
}

/// The files of a folder as they were read.
pub(super) struct Reading {
    pub(super) files: Result<Vec<LibraryFile>, SteeringError>,
    /// Whether a file changed meanwhile, so that some may be older than others.
    pub(super) torn: bool,
}

impl Reading {
    /// Files that nobody changes.
    pub(super) fn still(files: Vec<LibraryFile>) -> Self {
        Self {
            files: Ok(files),
            torn: false,
        }
    }
}

/// Reads the folder and tells whether it stood still.
pub(super) fn read_at_rest(folder: &Path) -> Reading {
    let before = Stamp::of(folder);
    let files = read(folder);
    Reading {
        files,
        torn: Stamp::of(folder) != before,
    }
}

/// What changes with any file of a library, whether it is written to, replaced
/// or reached by another link.
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
pub(crate) fn read(folder: &Path) -> Result<Vec<LibraryFile>, SteeringError> {
    let unreadable = |path: &Path, error: &std::io::Error| SteeringError::Unreadable {
        file: path.display().to_string(),
        reason: error.to_string(),
    };
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
        if metadata.len() > FILE_LIMIT {
            return Err(SteeringError::Unreadable {
                file: path.display().to_string(),
                reason: format!(
                    "its {} bytes exceed the limit of {FILE_LIMIT}",
                    metadata.len()
                ),
            });
        }
        files.push(LibraryFile {
            name: name.to_owned(),
            bytes: std::fs::read(&path).map_err(|error| unreadable(&path, &error))?,
        });
    }
    Ok(files)
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
        assert!(!read_at_rest(folder.path()).torn);

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
