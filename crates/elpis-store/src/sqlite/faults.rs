//! Converts SQLite's errors to errors of the store.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::StoreError;

/// Creates errors that name the file.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    file: String,
}

impl Faults {
    pub fn of(path: &Path) -> Self {
        Self {
            file: path.display().to_string(),
        }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn failed(&self, reason: &str) -> StoreError {
        StoreError::Failed {
            file: self.file.clone(),
            reason: reason.to_owned(),
        }
    }

    pub fn in_use(&self) -> StoreError {
        StoreError::InUse {
            file: self.file.clone(),
        }
    }

    pub fn damaged(&self, reason: &str) -> StoreError {
        StoreError::Damaged {
            file: self.file.clone(),
            reason: reason.to_owned(),
        }
    }

    pub fn not_a_store(&self, found: &str) -> StoreError {
        StoreError::NotAStore {
            file: self.file.clone(),
            found: found.to_owned(),
        }
    }

    pub fn future_version(&self, found: i64, known: i64) -> StoreError {
        StoreError::FutureVersion {
            file: self.file.clone(),
            found,
            known,
        }
    }

    pub fn session(&self, session: &str, reason: &str) -> StoreError {
        StoreError::DamagedSession {
            file: self.file.clone(),
            session: session.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub fn io(&self, error: &std::io::Error) -> StoreError {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                self.read_only()
            }
            std::io::ErrorKind::StorageFull => self.full(&error.to_string()),
            _ => self.failed(&error.to_string()),
        }
    }

    pub fn read_only(&self) -> StoreError {
        StoreError::ReadOnly {
            file: self.file.clone(),
        }
    }

    /// The error of a missing or replaced file of the store.
    pub fn gone(&self, part: &Path) -> StoreError {
        StoreError::Gone {
            file: self.file.clone(),
            part: part.display().to_string(),
        }
    }

    pub fn full(&self, reason: &str) -> StoreError {
        StoreError::Full {
            file: self.file.clone(),
            reason: reason.to_owned(),
        }
    }

    pub fn sqlite(&self, error: &rusqlite::Error) -> StoreError {
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => self.not_a_store("not an SQLite file"),
            Some(ErrorCode::DatabaseCorrupt) => self.damaged(&reason),
            Some(ErrorCode::DiskFull) => {
                self.full(&format!("{reason}; the disk, or the setting store.max_mib"))
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => self.read_only(),
            // Numbers and names stay unique unless another process writes.
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ConstraintViolation,
            ) => self.in_use(),
            _ => self.failed(&reason),
        }
    }
}
