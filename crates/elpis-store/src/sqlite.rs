//! A store in one SQLite file.
//!
//! The database uses write-ahead logging. A commit is one transaction, readers never wait for it,
//! and a process that is killed loses nothing that was committed. The file belongs to one runtime
//! at a time, which holds a lock on it; other programs may read it meanwhile. Before and after
//! every transaction the owner checks that its files are still in place and that no other process
//! has written to them.
//!
//! | table | row |
//! |---|---|
//! | `session` | name, number of journal entries, state as JSON without its settings, settings, chain, seal |
//! | `config` | settings of the dynamics as JSON, without duplicates |
//! | `conversation` | name of a session, messages as JSON, seal |
//! | `journal` | session, number, time in seconds since the Unix epoch, record as JSON |
//!
//! `chain` is a running hash over the session's journal, and `seal` is a hash over its row (see
//! `seal.rs`). Both are checked when a session is read.
//!
//! `PRAGMA application_id` is `elps`, and `PRAGMA user_version` is the version of this layout.

mod bound;
mod claim;
mod conversations;
mod faults;
mod layout;
mod owner;
mod place;
mod reader;
mod rows;
mod seal;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use rusqlite::Connection;

use self::claim::Claim;
use self::faults::Faults;
use self::owner::Owner;
use self::rows::{Configs, read_journal, read_moods, session_id};
use super::{SessionChange, StateStore, StoreError, StoredSession};
use crate::StoreOptions;
use elpis_emotion::SessionId;
use elpis_emotion::{EmotionTracker, EmotionalState, JournalEntry};
use elpis_inference::Conversation;
use reader::{Reader, connect, held};

/// Maximum size in bytes of a file that is checked completely when it is opened.
const QUICK_CHECK_BYTES: u64 = 64 << 20;

/// Maximum number of journal entries that are checked against the chain whenever their session is
/// read. `elpis store check` checks longer journals.
const CHAIN_CHECK_ENTRIES: u64 = 65_536;

/// A store in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    faults: Faults,
    // Declared before the owner, so that it is closed first: the last connection to be closed
    // checkpoints the log into the database, which only the writer can do.
    reader: Mutex<Reader>,
    owner: Option<Owner>,
    /// Dropped after the connections. A store in memory has none.
    _claim: Option<Claim>,
}

/// The access that a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, while a runtime may own the store.
    Read,
    /// Reading and writing, as the only owner.
    Own,
}

/// A session that [`SqliteStore::moods`] or [`SqliteStore::check_each`] has read.
#[derive(Debug)]
pub struct FoundSession<T> {
    /// The name as stored.
    pub name: String,
    /// Number of entries in its journal.
    pub entries: u64,
    /// The state, or the error that reading it returned.
    pub state: Result<T, StoreError>,
}

impl SqliteStore {
    /// Opens a store as its only owner, and creates it if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if the file is in use, damaged, inaccessible, not a store or of a later
    /// version. The file is then unchanged.
    pub fn open(path: &Path, options: impl Into<StoreOptions>) -> Result<Self, StoreError> {
        let faults = Faults::of(path);
        if path.exists() && !path.is_file() {
            return Err(faults.not_a_store("not a regular file"));
        }
        let claim = Claim::own(path, &faults)?;
        let mut writer = connect(path, Access::Own, &faults)?;
        // SQLite falls back to read-only access without an error.
        let read_only = writer.is_readonly("main");
        if read_only.map_err(|error| faults.sqlite(&error))? {
            return Err(faults.read_only());
        }
        layout::prepare(&mut writer, Access::Own, &faults)?;
        check_if_small(&writer, path, &faults)?;
        let reader = Reader::open(path, &faults)?;
        Ok(Self {
            reader: Mutex::new(reader),
            owner: Some(Owner::new(writer, path, &options.into(), faults.clone())?),
            _claim: Some(claim),
            faults,
        })
    }

    /// Opens an existing store for reading, while another process may own it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let faults = Faults::of(path);
        if path.is_dir() {
            return Err(faults.not_a_store("a folder"));
        }
        if !path.is_file() {
            return Err(faults.failed("there is no such file"));
        }
        let claim = Claim::read(path, &faults)?;
        let mut reader = Reader::open(path, &faults)?;
        layout::prepare(&mut reader.connection, Access::Read, &faults)?;
        check_if_small(&reader.connection, path, &faults)?;
        Ok(Self {
            reader: Mutex::new(reader),
            owner: None,
            _claim: Some(claim),
            faults,
        })
    }

    /// The path of the file.
    pub fn file(&self) -> &str {
        self.faults.file()
    }

    /// Checks every page of the file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with the first problem that SQLite found.
    pub fn check_file(&self) -> Result<(), StoreError> {
        layout::integrity_check(&held(&self.reader).connection, &self.faults)
    }

    /// Counts the sessions.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    pub fn count(&self) -> Result<u64, StoreError> {
        held(&self.reader)
            .connection
            .query_row("SELECT count(*) FROM session", [], |row| row.get(0))
            .map_err(|error| self.faults.sqlite(&error))
    }

    /// Visits the sessions in the order of their creation, each with its mood at `now` (seconds
    /// since the Unix epoch), until `visit` breaks. Hashes are not checked.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read. If one session cannot be read, `visit` gets the
    /// error as its state.
    pub fn moods(
        &self,
        now: f64,
        visit: &mut dyn FnMut(FoundSession<EmotionalState>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut reader = held(&self.reader);
        let Reader {
            connection,
            configs,
        } = &mut *reader;
        read_moods(connection, configs, now, &self.faults, visit)
    }

    /// Returns the sessions that have a conversation, sorted by name.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub fn conversations(&self) -> Result<Vec<SessionId>, StoreError> {
        conversations::names(&held(&self.reader).connection, &self.faults)
    }

    /// Visits the sessions in the order of their creation, until `visit` breaks, and checks each:
    /// its row against the seal, its journal against the chain, and its state against the replayed
    /// journal, bit for bit.
    ///
    /// # Errors
    /// As [`moods`](Self::moods).
    pub fn check_each(
        &self,
        visit: &mut dyn FnMut(FoundSession<EmotionTracker>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.rows(&mut |connection, name, row, configs| {
            visit(FoundSession {
                name: name.to_owned(),
                entries: row.as_ref().map_or(0, |row| row.entries),
                state: row.and_then(|row| self.checked(connection, &row, configs)),
            })
        })
    }

    /// Reads a session and its journal in one transaction and checks both against their hashes.
    /// Returns `None` if there is no such session.
    ///
    /// # Errors
    /// As [`StateStore::journal`]. Entries may have been visited before the error.
    pub fn whole(
        &self,
        session: &SessionId,
        visit: &mut dyn FnMut(JournalEntry) -> ControlFlow<()>,
    ) -> Result<Option<StoredSession>, StoreError> {
        self.one(session, |connection, row, configs| {
            let stored = row.stored(configs, &self.faults)?;
            self.entries(connection, row, visit)?;
            Ok(stored)
        })
    }
}

/// Reads bytes as the rows of a store, for fuzzing. The lines are a name, a state, settings, and then
/// journal entries. The hashes are valid, since an attacker can compute them.
#[doc(hidden)]
pub fn read_rows(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (name, state, config) = (line(), line(), line());
    let faults = Faults::of(Path::new("memory"));
    let Ok(connection) = layout::in_memory(&faults) else {
        return;
    };
    let entries: Vec<&str> = lines.collect();
    if rows::insert_raw(&connection, name, state, config, &entries).is_err() {
        return;
    }
    let reader = Reader {
        connection,
        configs: Configs::new(),
    };
    let store = SqliteStore {
        faults,
        reader: Mutex::new(reader),
        owner: None,
        _claim: None,
    };
    let checked = store.check_each(&mut |found| {
        if let Ok(tracker) = found.state {
            assert!(tracker.last_at().is_finite() && SessionId::new(&found.name).is_ok());
        }
        ControlFlow::Continue(())
    });
    assert!(checked.is_ok(), "errors are reported with their session");
    let _ = store.moods(1e9, &mut |_| ControlFlow::Continue(()));
    if let Ok(session) = SessionId::new(name) {
        let _ = store.load(&session);
        let _ = store.journal(&session, &mut |_| ControlFlow::Continue(()));
    }
}

impl StateStore for SqliteStore {
    fn load(&self, session: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        self.verify()?;
        self.one(session, |connection, row, configs| {
            let stored = row.stored(configs, &self.faults)?;
            if stored.entries <= CHAIN_CHECK_ENTRIES {
                let chain = row.sealed_chain(&self.faults)?;
                read_journal(connection, row, &chain, &self.faults, &mut |_, _| Ok(true))?;
            }
            Ok(stored)
        })
    }

    fn commit(&self, changes: &[SessionChange]) -> Result<(), StoreError> {
        match &self.owner {
            Some(owner) => owner.commit(changes),
            None => Err(self.faults.read_only()),
        }
    }

    fn sessions(&self) -> Result<Vec<SessionId>, StoreError> {
        let reader = held(&self.reader);
        let names: Vec<String> = reader
            .connection
            .prepare_cached("SELECT name FROM session ORDER BY name")
            .and_then(|mut select| select.query_map([], |row| row.get(0))?.collect())
            .map_err(|error| self.faults.sqlite(&error))?;
        names
            .into_iter()
            .map(|name| session_id(&name, &self.faults))
            .collect()
    }

    fn journal(
        &self,
        session: &SessionId,
        visit: &mut dyn FnMut(JournalEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.one(session, |connection, row, _| {
            self.entries(connection, row, visit)
        })
        .map(drop)
    }

    fn conversation(&self, session: &SessionId) -> Result<Option<Conversation>, StoreError> {
        conversations::read(&held(&self.reader).connection, session, &self.faults)
    }

    fn keep_conversation(
        &self,
        session: &SessionId,
        conversation: Option<&Conversation>,
    ) -> Result<(), StoreError> {
        match &self.owner {
            Some(owner) => owner.keep_conversation(session, conversation),
            None => Err(self.faults.read_only()),
        }
    }

    fn verify(&self) -> Result<(), StoreError> {
        self.owner.as_ref().map_or(Ok(()), Owner::verify)
    }
}

/// Checks a file for damage if it is small enough.
fn check_if_small(connection: &Connection, path: &Path, faults: &Faults) -> Result<(), StoreError> {
    let is_small = std::fs::metadata(path).is_ok_and(|file| file.len() <= QUICK_CHECK_BYTES);
    if is_small {
        layout::quick_check(connection, faults)?;
    }
    Ok(())
}
