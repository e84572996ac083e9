//! Checks that the files of a store are still those that it has open.
//!
//! SQLite continues with a file that was removed or replaced, and data written there is lost when
//! the process ends. The owner therefore checks before and after every transaction: the name must
//! lead to the same file, the write-ahead log and its index must be next to it, and no other
//! process may have written.

use std::path::Path;
use std::time::SystemTime;

use super::faults::Faults;
use crate::StoreError;

/// When a file was last written, and its size in bytes.
pub(super) type Stamp = (Option<SystemTime>, u64);

/// The files of a store at the time it was opened.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Place {
    /// The path under which a restart would look for it.
    given: std::path::PathBuf,
    real: std::path::PathBuf,
    /// The database, its log, and the index of the log: device and inode.
    files: [(std::path::PathBuf, (u64, u64)); 3],
}

#[cfg(unix)]
impl Place {
    /// Records the files of a database that was read at least once.
    pub(super) fn of(path: &Path, faults: &Faults) -> Result<Self, StoreError> {
        let io = |error: std::io::Error| faults.io(&error);
        let given = std::path::absolute(path).map_err(io)?;
        let real = std::fs::canonicalize(&given).map_err(io)?;
        let mut files = ["", "-wal", "-shm"].map(|ending| (beside(&real, ending), (0, 0)));
        for (file, key) in &mut files {
            *key = identity(file).ok_or_else(|| faults.gone(file))?;
        }
        Ok(Self { given, real, files })
    }

    /// Checks that all files are in place and writable.
    pub(super) fn check(&self, faults: &Faults) -> Result<(), StoreError> {
        for (file, known) in &self.files {
            if identity(file) != Some(*known) {
                return Err(faults.gone(file));
            }
        }
        if std::fs::canonicalize(&self.given).ok().as_ref() != Some(&self.real) {
            return Err(faults.gone(&self.given));
        }
        match rustix::fs::access(&self.real, rustix::fs::Access::WRITE_OK) {
            Ok(()) => Ok(()),
            Err(_) => Err(faults.read_only()),
        }
    }

    /// When the database was last written.
    pub(super) fn stamp(&self) -> Stamp {
        stamp(&self.real)
    }

    /// Size of the write-ahead log in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.files[1].0).map_or(0, |file| file.len())
    }
}

#[cfg(unix)]
fn identity(file: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::symlink_metadata(file).ok()?;
    found.is_file().then(|| (found.dev(), found.ino()))
}

/// On systems where open files cannot be replaced there is nothing to check.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Place {
    path: std::path::PathBuf,
}

#[cfg(not(unix))]
impl Place {
    pub(super) fn of(path: &Path, _: &Faults) -> Result<Self, StoreError> {
        let path = path.to_owned();
        Ok(Self { path })
    }

    #[expect(clippy::unused_self, reason = "as on other systems")]
    pub(super) fn check(&self, _: &Faults) -> Result<(), StoreError> {
        Ok(())
    }

    pub(super) fn stamp(&self) -> Stamp {
        stamp(&self.path)
    }

    pub(super) fn log_bytes(&self) -> u64 {
        std::fs::metadata(beside(&self.path, "-wal")).map_or(0, |file| file.len())
    }
}

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file);
    found.map_or((None, 0), |file| (file.modified().ok(), file.len()))
}

fn beside(file: &Path, ending: &str) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
