//! The layout of the cache that all Hugging Face tools share.

use std::path::{Path, PathBuf};

/// One repository's folder in the cache.
#[derive(Debug, Clone)]
pub(super) struct RepoCache {
    root: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, repo: &str) -> Self {
        Self {
            root: cache.join(format!("models--{}", repo.replace('/', "--"))),
        }
    }

    /// Returns where a file with this content, by its SHA-256, is kept.
    pub(super) fn blob(&self, sha256: &str) -> PathBuf {
        self.root.join("blobs").join(sha256)
    }

    /// Returns where an unfinished download of the file is kept: ours, beside those of other tools.
    pub(super) fn partial(&self, file: &str) -> PathBuf {
        self.root
            .join("blobs")
            .join(format!("{}.elpis-partial", file.replace('/', "--")))
    }

    /// Lists the files of the main branch as it was when it was last fetched.
    pub(super) fn files(&self) -> Vec<String> {
        let Ok(commit) = std::fs::read_to_string(self.root.join("refs").join("main")) else {
            return Vec::new();
        };
        let snapshot = self.root.join("snapshots").join(commit.trim());
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(snapshot.join(&folder)) else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let path = if folder.is_empty() {
                    name
                } else {
                    format!("{folder}/{name}")
                };
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }
}

/// Returns the name of the blob that a cached path points to; none where the cache holds copies.
pub(super) fn blob_name(cached: &Path) -> Option<String> {
    let blob = std::fs::read_link(cached).ok()?;
    Some(blob.file_name()?.to_str()?.to_ascii_lowercase())
}

/// Returns the SHA-256 that a cached file must have, where its blob is named after it.
pub(super) fn expected_sha256(cached: &Path) -> Option<String> {
    blob_name(cached).filter(|name| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Takes a bad file out of the cache: the pointer and what it points to.
pub(super) fn remove(cached: &Path) {
    if let Ok(blob) = std::fs::canonicalize(cached) {
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(cached);
}
