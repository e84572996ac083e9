//! The layout of the cache that all Hugging Face tools share.
//!
//! ```text
//! models--ORG--NAME/refs/main                   the commit that was fetched last
//! models--ORG--NAME/blobs/ID                    contents, by their SHA-256 or git id
//! models--ORG--NAME/snapshots/COMMIT/FILE       links to blobs, or copies where there are no links
//! ```
//!
//! Data from the Hub never becomes a path unchecked: a blob is named by a [`ContentId`], a snapshot
//! by a [`Commit`], and a file by a name that was checked when the listing was read. Folders below
//! the repository's own are never links, so that nothing is written or removed elsewhere.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::protocol::{Commit, ContentId};

/// Maximum number of entries of a snapshot that are read.
const MAX_ENTRIES: usize = 100_000;

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

    /// The commit of the main branch at its last complete download.
    pub(super) fn main(&self) -> Option<Commit> {
        let text = fs::read_to_string(self.root.join("refs").join("main")).ok()?;
        Commit::parse(&text)
    }

    /// Records the commit of the main branch.
    pub(super) fn set_main(&self, commit: &Commit) -> Result<(), (PathBuf, io::Error)> {
        let folder = self.folder(&["refs"])?;
        let path = folder.join("main");
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            io::Write::write_all(&mut file, commit.as_str().as_bytes())?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error: io::Error| (path.clone(), error))
    }

    /// The path of a file of a commit.
    pub(super) fn snapshot(&self, commit: &Commit, file: &str) -> PathBuf {
        self.root.join("snapshots").join(commit.as_str()).join(file)
    }

    /// Lists the cached files of a commit.
    pub(super) fn files(&self, commit: &Commit) -> Vec<String> {
        let snapshot = self.root.join("snapshots").join(commit.as_str());
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        let mut left = MAX_ENTRIES;
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(snapshot.join(&folder)) else {
                continue;
            };
            for entry in entries.flatten().take(left) {
                left -= 1;
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let path = if folder.is_empty() {
                    name
                } else {
                    format!("{folder}/{name}")
                };
                // A link to a folder is not followed.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else if self.cached(commit, &path).is_some() {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }

    /// Returns a cached file of a commit with its size and the name of its blob, which a copy does
    /// not have. A link to anything but a blob of this repository does not count.
    pub(super) fn cached(&self, commit: &Commit, file: &str) -> Option<Cached> {
        let path = self.snapshot(commit, file);
        let own = fs::symlink_metadata(&path).ok()?;
        if own.is_file() {
            let size = own.len();
            return Some(Cached {
                path,
                size,
                blob: None,
            });
        }
        if !own.is_symlink() {
            return None;
        }
        let target = fs::canonicalize(&path).ok()?;
        let blobs = fs::canonicalize(self.root.join("blobs")).ok()?;
        let blob = target.file_name()?.to_str()?.to_ascii_lowercase();
        if target.parent() != Some(blobs.as_path()) {
            return None;
        }
        let content = fs::symlink_metadata(&target).ok()?;
        content.is_file().then_some(Cached {
            path,
            size: content.len(),
            blob: Some(blob),
        })
    }

    /// The size of a cached blob.
    pub(super) fn blob_size(&self, id: &ContentId) -> Option<u64> {
        let path = self.root.join("blobs").join(id.as_str());
        let found = fs::symlink_metadata(path).ok()?;
        found.is_file().then_some(found.len())
    }

    /// Opens an unfinished download. Its name, which contains `key`, differs from those of other
    /// tools.
    pub(super) fn partial(&self, key: &ContentId) -> Result<Partial, (PathBuf, io::Error)> {
        let path = self
            .folder(&["blobs"])?
            .join(format!("{key}.elpis-partial"));
        let open = || {
            // Anything that is not a file is removed, because it may lead elsewhere.
            if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
                fs::remove_file(&path)?;
            }
            let mut options = File::options();
            options.create(true).append(true).read(true);
            #[cfg(unix)]
            {
                use std::os::unix::fs::OpenOptionsExt as _;
                options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
            }
            options.open(&path)
        };
        match open() {
            Ok(file) => Ok(Partial { path, file }),
            Err(error) => Err((path, error)),
        }
    }

    /// Turns a complete download into the blob of this name.
    pub(super) fn finish(
        &self,
        partial: &Partial,
        id: &ContentId,
    ) -> Result<(), (PathBuf, io::Error)> {
        let blob = self.folder(&["blobs"])?.join(id.as_str());
        fs::rename(&partial.path, &blob).map_err(|error| (blob, error))
    }

    /// Makes a file of a commit point to a blob, and returns its path.
    pub(super) fn point(
        &self,
        commit: &Commit,
        file: &str,
        id: &ContentId,
    ) -> Result<PathBuf, (PathBuf, io::Error)> {
        let depth = file.split('/').count();
        let (folders, name) = file.rsplit_once('/').unwrap_or(("", file));
        let mut parts = vec!["snapshots", commit.as_str()];
        parts.extend(folders.split('/').filter(|part| !part.is_empty()));
        let folder = self.folder(&parts)?;
        let path = folder.join(name);
        if self
            .cached(commit, file)
            .and_then(|cached| cached.blob)
            .as_deref()
            == Some(id.as_str())
        {
            return Ok(path);
        }
        let mut target = PathBuf::new();
        for _ in 0..=depth {
            target.push("..");
        }
        target.extend(["blobs", id.as_str()]);
        let link = || {
            let made = tempfile::Builder::new()
                .prefix(".elpis-")
                .make_in(&folder, |temporary| link(&target, temporary))?;
            made.into_temp_path().persist(&path)?;
            Ok(())
        };
        match link() {
            Ok(()) => Ok(path),
            Err(error) => Err::<PathBuf, (PathBuf, io::Error)>((path, error)),
        }
    }

    /// Creates a folder below the repository's, and checks that no part of it is a link.
    fn folder(&self, parts: &[&str]) -> Result<PathBuf, (PathBuf, io::Error)> {
        let mut folder = self.root.clone();
        fs::create_dir_all(&folder).map_err(|error| (folder.clone(), error))?;
        for part in parts {
            folder.push(part);
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err((folder, error));
                }
                _ => {}
            }
            let is_folder = fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir());
            if !is_folder {
                let error = io::Error::new(
                    io::ErrorKind::NotADirectory,
                    "it is not a real folder, as the cache requires",
                );
                return Err((folder, error));
            }
        }
        Ok(folder)
    }
}

/// A cached file of a commit.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// The name of its blob, if it is a link.
    pub(super) blob: Option<String>,
}

/// An unfinished download.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Partial {
    /// Whether the path still leads to this file: another process may have finished or removed it.
    #[cfg(unix)]
    pub(super) fn is_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let place = |found: &fs::Metadata| (found.dev(), found.ino());
        let (own, there) = (self.file.metadata(), fs::symlink_metadata(&self.path));
        matches!((own, there), (Ok(own), Ok(there)) if place(&own) == place(&there))
    }

    /// Open files cannot be moved on this system.
    #[cfg(not(unix))]
    pub(super) fn is_in_place(&self) -> bool {
        self.path.exists()
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

/// Links need a privilege on Windows. Without it, the file is a hard link to the blob, or a copy.
#[cfg(not(unix))]
fn link(target: &Path, at: &Path) -> io::Result<()> {
    let content = at.parent().unwrap_or(Path::new("")).join(target);
    #[cfg(windows)]
    if std::os::windows::fs::symlink_file(target, at).is_ok() {
        return Ok(());
    }
    fs::hard_link(&content, at).or_else(|_| fs::copy(&content, at).map(drop))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const GIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn cache() -> (tempfile::TempDir, RepoCache, Commit, ContentId) {
        let folder = tempfile::tempdir().unwrap();
        let cache = RepoCache::new(&folder.path().join("hub"), "org/name");
        (
            folder,
            cache,
            Commit::parse(GIT).unwrap(),
            ContentId::parse(GIT).unwrap(),
        )
    }

    #[test]
    fn a_finished_download_is_found_by_its_name() {
        let (_folder, cache, commit, id) = cache();
        let partial = cache.partial(&id).unwrap();
        io::Write::write_all(&mut &partial.file, b"seven..").unwrap();
        assert!(partial.is_in_place());
        cache.finish(&partial, &id).unwrap();
        assert!(!partial.is_in_place());
        assert_eq!(cache.blob_size(&id), Some(7));
        let path = cache.point(&commit, "q/r/m.gguf", &id).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"seven..");
        assert_eq!(
            fs::read_link(&path).unwrap(),
            Path::new("../../../../blobs").join(GIT)
        );
        assert_eq!(cache.point(&commit, "q/r/m.gguf", &id).unwrap(), path);
        assert_eq!(cache.files(&commit), ["q/r/m.gguf"]);
        assert_eq!(cache.main(), None);
        cache.set_main(&commit).unwrap();
        assert_eq!(cache.main(), Some(commit));
    }

    #[test]
    fn links_that_lead_elsewhere_are_neither_read_nor_written_through() {
        let (folder, cache, commit, id) = cache();
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        let root = folder.path().join("hub/models--org--name");
        let snapshot = root.join("snapshots").join(GIT);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(root.join("blobs")).unwrap();

        // A file of the snapshot that leads out of the cache is not there, and is replaced.
        symlink(&victim, snapshot.join("m.gguf")).unwrap();
        assert!(cache.cached(&commit, "m.gguf").is_none());
        assert!(cache.files(&commit).is_empty());
        fs::write(root.join("blobs").join(GIT), "content").unwrap();
        let path = cache.point(&commit, "m.gguf", &id).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"content");

        // A content that is a link is none.
        let other = ContentId::parse(&GIT.replace('0', "f")).unwrap();
        symlink(&victim, root.join("blobs").join(other.as_str())).unwrap();
        assert_eq!(cache.blob_size(&other), None);

        // An unfinished download that is a link is begun anew.
        let link = root.join(format!("blobs/{other}.elpis-partial"));
        symlink(&victim, &link).unwrap();
        let partial = cache.partial(&other).unwrap();
        io::Write::write_all(&mut &partial.file, b"theirs").unwrap();
        partial.remove();

        // Folders that lead elsewhere are refused.
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, snapshot.join("q")).unwrap();
        assert!(cache.point(&commit, "q/m.gguf", &id).is_err());
        assert!(
            cache
                .files(&commit)
                .iter()
                .all(|file| !file.starts_with("q/"))
        );
        fs::remove_dir_all(root.join("blobs")).unwrap();
        symlink(&elsewhere, root.join("blobs")).unwrap();
        assert!(cache.partial(&id).is_err());
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }

    #[test]
    fn a_reference_that_is_no_commit_is_none() {
        let (folder, cache, _, _) = cache();
        let refs = folder.path().join("hub/models--org--name/refs");
        fs::create_dir_all(&refs).unwrap();
        for text in ["", "../../..", "/etc", "main", &GIT[1..]] {
            fs::write(refs.join("main"), text).unwrap();
            assert_eq!(cache.main(), None, "{text}");
        }
    }
}
