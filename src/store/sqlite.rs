//! A store in one SQLite file.
//!
//! Write-ahead logging: a commit is one transaction, a reader never waits for
//! it, and a process that is killed loses nothing that was committed. The file
//! belongs to one runtime at a time, which a lock on `<file>.lock` ensures;
//! tools may read it meanwhile.
//!
//! | table | row |
//! |---|---|
//! | `session` | name, number of journal entries, state as JSON without its settings, settings |
//! | `config` | settings of the dynamics as JSON, each only once |
//! | `journal` | session, number, time in seconds since the Unix epoch, what happened as JSON |
//!
//! `PRAGMA application_id` is `elps`, `PRAGMA user_version` the version of
//! this layout.

mod faults;
mod layout;

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde_json::{Map, Value};

use super::{SessionChange, StateStore, StoreError, StoredSession};
use crate::emotion::{EmotionConfig, EmotionTracker, Happening, JournalEntry};
use crate::inference::SessionId;
use crate::settings::{Durability, StoreSettings};
use faults::Faults;

/// Bytes of a page, SQLite's default.
const PAGE_BYTES: u64 = 4096;

/// Files up to this size are checked whole when they are opened.
const QUICK_CHECK_BYTES: u64 = 64 << 20;

/// The field of a state that lies in a table of its own.
const CONFIG: &str = "config";

/// A store in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    faults: Faults,
    // Closed first: the last to be closed folds the log into the file, for
    // which it must be the writer.
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
    /// Unlocked when the file is closed.
    _lock: Option<File>,
    config: Mutex<Option<(Arc<EmotionConfig>, i64)>>,
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, beside the runtime that owns it.
    Read,
    /// Reading and writing, as its only owner.
    Own,
}

impl SqliteStore {
    /// Opens a store as its only owner, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the file is in use, no store, damaged, of a later
    /// version or not accessible; it is left as it is.
    pub fn open(path: &Path, settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::open_as(path, Access::Own, settings)
    }

    /// Opens a store that exists, to read it beside its owner.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, Access::Read, &StoreSettings::default())
    }

    fn open_as(path: &Path, access: Access, settings: &StoreSettings) -> Result<Self, StoreError> {
        let faults = Faults::of(path);
        let lock = match access {
            Access::Own => Some(lock(path, &faults)?),
            Access::Read if path.is_file() => None,
            Access::Read => return Err(faults.failed("there is no such file")),
        };
        let connect = |access| connect(path, access, &faults);
        let mut writer = connect(access)?;
        // SQLite opens what it may not write without a word.
        let read_only = writer.is_readonly("main");
        if access == Access::Own && read_only.map_err(|error| faults.sqlite(&error))? {
            return Err(faults.read_only());
        }
        layout::prepare(&mut writer, access, &faults)?;
        if access == Access::Own {
            let synchronous = match settings.durability {
                Durability::Relaxed => "NORMAL",
                Durability::Sync => "FULL",
            };
            writer
                .pragma_update(None, "synchronous", synchronous)
                .and_then(|()| match settings.max_mib {
                    None => Ok(()),
                    Some(mib) => {
                        let pages = u64::from(mib) * (1 << 20) / PAGE_BYTES;
                        writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
                    }
                })
                .map_err(|error| faults.sqlite(&error))?;
        }
        let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= QUICK_CHECK_BYTES);
        if small {
            layout::quick_check(&writer, &faults)?;
        }
        Ok(Self {
            reader: Mutex::new(connect(Access::Read)?),
            writer: Mutex::new(writer),
            _lock: lock,
            config: Mutex::new(None),
            faults,
        })
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        self.faults.file()
    }

    /// Checks the whole file, page by page.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what SQLite found first.
    pub fn check_file(&self) -> Result<(), StoreError> {
        layout::integrity_check(&held(&self.reader), &self.faults)
    }

    fn state(&self, name: &str, state: &str, config: &str) -> Result<EmotionTracker, StoreError> {
        let damaged = |error: serde_json::Error| self.faults.session(name, &error.to_string());
        let mut state: Map<String, Value> = serde_json::from_str(state).map_err(damaged)?;
        let config = serde_json::from_str(config).map_err(damaged)?;
        state.insert(CONFIG.to_owned(), config);
        serde_json::from_value(Value::Object(state)).map_err(damaged)
    }

    /// The row of a set of settings, which is written if it is new.
    fn config_row(
        &self,
        connection: &Connection,
        config: &Arc<EmotionConfig>,
    ) -> Result<i64, StoreError> {
        let mut known = held(&self.config);
        if let Some((last, row)) = &*known
            && Arc::ptr_eq(last, config)
        {
            return Ok(*row);
        }
        let json = self.json(config.as_ref())?;
        let row = connection
            .prepare_cached("INSERT INTO config (json) VALUES (?1) ON CONFLICT DO NOTHING")
            .and_then(|mut insert| insert.execute([&json]))
            .and_then(|_| connection.prepare_cached("SELECT id FROM config WHERE json = ?1"))
            .and_then(|mut select| select.query_row([&json], |row| row.get(0)))
            .map_err(|error| self.faults.sqlite(&error))?;
        *known = Some((Arc::clone(config), row));
        Ok(row)
    }

    fn json(&self, value: &impl serde::Serialize) -> Result<String, StoreError> {
        serde_json::to_string(value).map_err(|error| self.faults.failed(&error.to_string()))
    }

    fn write(&self, connection: &Connection, change: &SessionChange) -> Result<(), StoreError> {
        let sqlite = |error: rusqlite::Error| self.faults.sqlite(&error);
        let name = change.session.as_str();
        if change.forgotten {
            // The journal goes with it.
            let mut delete = connection
                .prepare_cached("DELETE FROM session WHERE name = ?1")
                .map_err(sqlite)?;
            delete.execute([name]).map_err(sqlite)?;
        }
        let Some(after) = &change.after else {
            return Ok(());
        };
        let config = self.config_row(connection, after.config())?;
        let mut state = serde_json::to_value(after)
            .map_err(|error| self.faults.session(name, &error.to_string()))?;
        if let Value::Object(fields) = &mut state {
            fields.remove(CONFIG);
        }
        let entries = change.first + change.entries.len() as u64;
        let id: i64 = connection
            .prepare_cached(
                "INSERT INTO session (name, entries, state, config) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET entries = ?2, state = ?3, config = ?4
                 RETURNING id",
            )
            .and_then(|mut upsert| {
                let row = params![name, entries, state.to_string(), config];
                upsert.query_row(row, |row| row.get(0))
            })
            .map_err(sqlite)?;
        let mut insert = connection
            .prepare_cached(
                "INSERT INTO journal (session, number, at, what) VALUES (?1, ?2, ?3, ?4)",
            )
            .map_err(sqlite)?;
        for (number, entry) in (change.first..).zip(&change.entries) {
            let what = self.json(&entry.what)?;
            insert
                .execute(params![id, number, entry.at, what])
                .map_err(sqlite)?;
        }
        Ok(())
    }
}

impl StateStore for SqliteStore {
    fn load(&self, session: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        let name = session.as_str();
        let row = held(&self.reader)
            .prepare_cached(
                "SELECT entries, state, json FROM session
                 JOIN config ON config.id = session.config WHERE name = ?1",
            )
            .and_then(|mut select| {
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                select.query_row([name], row).optional()
            });
        let row: Option<(u64, String, String)> = match row {
            Err(error @ rusqlite::Error::InvalidColumnType(..)) => {
                return Err(self.faults.session(name, &error.to_string()));
            }
            row => row.map_err(|error| self.faults.sqlite(&error))?,
        };
        let Some((entries, state, config)) = row else {
            return Ok(None);
        };
        let tracker = self.state(name, &state, &config)?;
        Ok(Some(StoredSession { tracker, entries }))
    }

    fn commit(&self, changes: &[SessionChange]) -> Result<(), StoreError> {
        let sqlite = |error: rusqlite::Error| self.faults.sqlite(&error);
        let mut writer = held(&self.writer);
        let transaction = writer.transaction().map_err(sqlite)?;
        for change in changes {
            if let Err(error) = self.write(&transaction, change) {
                // Rolled back, with a row of settings that may be new.
                *held(&self.config) = None;
                return Err(error);
            }
        }
        transaction.commit().map_err(|error| {
            *held(&self.config) = None;
            sqlite(error)
        })
    }

    fn sessions(&self) -> Result<Vec<SessionId>, StoreError> {
        let reader = held(&self.reader);
        let names: Vec<String> = reader
            .prepare_cached("SELECT name FROM session ORDER BY name")
            .and_then(|mut select| select.query_map([], |row| row.get(0))?.collect())
            .map_err(|error| self.faults.sqlite(&error))?;
        names
            .into_iter()
            .map(|name| {
                SessionId::new(&name)
                    .map_err(|error| self.faults.session(&name, &error.to_string()))
            })
            .collect()
    }

    fn journal(
        &self,
        session: &SessionId,
        visit: &mut dyn FnMut(JournalEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let name = session.as_str();
        let sqlite = |error: rusqlite::Error| self.faults.sqlite(&error);
        let damaged = |reason: &str| Err(self.faults.session(name, reason));
        let reader = held(&self.reader);
        let mut select = reader
            .prepare_cached(
                "SELECT number, at, what FROM journal
                 WHERE session = (SELECT id FROM session WHERE name = ?1) ORDER BY number",
            )
            .map_err(sqlite)?;
        let mut rows = select.query([name]).map_err(sqlite)?;
        let mut expected = 0_u64;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let entry = || Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?));
            let (number, at, what): (u64, f64, String) = match entry() {
                Ok(entry) => entry,
                Err::<_, rusqlite::Error>(error) => return damaged(&error.to_string()),
            };
            if number != expected {
                return damaged(&format!("entry {expected} of its journal is missing"));
            }
            let what: Happening = match serde_json::from_str(&what) {
                Ok(what) => what,
                Err(error) => return damaged(&format!("entry {number} of its journal: {error}")),
            };
            expected += 1;
            if visit(JournalEntry { at, what }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A transaction that a panic cut short was rolled back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, access: Access, faults: &Faults) -> Result<Connection, StoreError> {
    let flags = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Own => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| {
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.set_prepared_statement_cache_capacity(16);
            Ok(connection)
        })
        .map_err(|error| faults.sqlite(&error))
}

/// Makes sure that nobody else owns the store.
fn lock(path: &Path, faults: &Faults) -> Result<File, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(beside))
        .map_err(|error| faults.io(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(faults.in_use()),
        Err(std::fs::TryLockError::Error(error)) => Err(faults.io(&error)),
    }
}
