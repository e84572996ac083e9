//! The folder of vectors: reading it and noticing its changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::error::SteeringError;
use crate::steering::{LibraryFile, MANIFEST_FILE, VectorFormat};

/// Largest file taken as a vector file.
const FILE_LIMIT: u64 = 1 << 30;

/// Watches a folder, and its parent so that a folder that appears later, is
/// replaced, or is a link that is switched over is noticed too.
pub(super) struct FolderWatch {
    watcher: RecommendedWatcher,
    folder: PathBuf,
    told: Arc<AtomicBool>,
}

impl FolderWatch {
    /// Starts to watch; `changed` is called on another thread.
    pub(super) fn start(
        folder: &Path,
        changed: impl Fn() + Send + 'static,
    ) -> notify::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let told = Arc::new(AtomicBool::new(false));
        let pending = Arc::clone(&told);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the vectors is itself an access; it changes nothing. A
            // watch error may hide a change.
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            // One message at a time, however fast the folder changes.
            if !pending.swap(true, Ordering::AcqRel) {
                changed();
            }
        })?;
        let mut watch = Self {
            watcher,
            folder,
            told,
        };
        watch.rearm();
        Ok(watch)
    }

    /// Lets the next change be told; to be called when one has been heard.
    pub(super) fn heard(&self) {
        self.told.store(false, Ordering::Release);
    }

    /// Watches what exists by now. A watch follows the folder's identity, not
    /// its path, so it is laid anew after every change.
    pub(super) fn rearm(&mut self) {
        let _ = self.watcher.unwatch(&self.folder);
        let targets = [Some(self.folder.as_path()), existing_parent(&self.folder)];
        for target in targets.into_iter().flatten() {
            match self.watcher.watch(target, RecursiveMode::NonRecursive) {
                Err(error) if target.exists() => {
                    tracing::warn!(%error, folder = %target.display(), "cannot watch");
                }
                // What is not there yet is noticed through its parent.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

impl std::fmt::Debug for FolderWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderWatch")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Whether the file belongs to a library: a vector file or the manifest.
pub(crate) fn is_library_file(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str());
    name == MANIFEST_FILE || extension.is_some_and(|e| VectorFormat::from_extension(e).is_some())
}

fn existing_parent(folder: &Path) -> Option<&Path> {
    folder.ancestors().skip(1).find(|parent| parent.is_dir())
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
