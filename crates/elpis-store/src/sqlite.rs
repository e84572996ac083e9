//! A store in one SQLite file.
//!
//! Write-ahead logging: a commit is one transaction, a reader never waits for
//! it, and a process that is killed loses nothing that was committed. The file
//! belongs to one runtime at a time, which holds a lock on it; tools may read it
//! meanwhile. Before and after every transaction the owner sees that its files
//! are still in their places, and that no other process has written to them.
//!
//! | table | row |
//! |---|---|
//! | `session` | name, number of journal entries, state as JSON without its settings, settings, chain, seal |
//! | `config` | settings of the dynamics as JSON, each only once |
//! | `conversation` | name of a session, messages as JSON, seal |
//! | `journal` | session, number, time in seconds since the Unix epoch, what happened as JSON |
//!
//! `chain` is a running hash over the session's journal, `seal` a hash over its
//! row (see `seal.rs`); both are checked when a session is read.
//!
//! `PRAGMA application_id` is `elps`, `PRAGMA user_version` the version of
//! this layout.

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

/// Files up to this size are checked whole when they are opened.
const QUICK_CHECK_BYTES: u64 = 64 << 20;

/// Journals up to this length are checked against their chain whenever their session is read; longer ones by
/// `elpis store check`.
const CHAIN_CHECK_ENTRIES: u64 = 65_536;

/// A store in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    faults: Faults,
    // Closed first: the last to be closed folds the log into the file, for
    // which it must be the writer.
    reader: Mutex<Reader>,
    owner: Option<Owner>,
    /// Dropped after the connections; none of a store in memory.
    _claim: Option<Claim>,
}

/// The kind of access that a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, beside the runtime that owns it.
    Read,
    /// Reading and writing, as its only owner.
    Own,
}

/// A session as [`SqliteStore::moods`] and [`SqliteStore::check_each`] find it.
#[derive(Debug)]
pub struct FoundSession<T> {
    /// Its name as it is kept.
    pub name: String,
    /// Number of entries of its journal.
    pub entries: u64,
    /// Its state, or what is wrong with it.
    pub state: Result<T, StoreError>,
}

impl SqliteStore {
    /// Opens a store as its only owner, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the file is in use, no store, damaged, of a later
    /// version or not accessible; it is left as it is.
    pub fn open(path: &Path, options: impl Into<StoreOptions>) -> Result<Self, StoreError> {
        let faults = Faults::of(path);
        if path.exists() && !path.is_file() {
            return Err(faults.not_a_store("no file"));
        }
        let claim = Claim::own(path, &faults)?;
        let mut writer = connect(path, Access::Own, &faults)?;
        // SQLite opens what it may not write without a word.
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

    /// Opens a store that exists, to read it beside its owner.
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

    /// The file's name.
    pub fn file(&self) -> &str {
        self.faults.file()
    }

    /// Checks the whole file, page by page.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what SQLite found first.
    pub fn check_file(&self) -> Result<(), StoreError> {
        layout::integrity_check(&held(&self.reader).connection, &self.faults)
    }

    /// Number of sessions.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    pub fn count(&self) -> Result<u64, StoreError> {
        held(&self.reader)
            .connection
            .query_row("SELECT count(*) FROM session", [], |row| row.get(0))
            .map_err(|error| self.faults.sqlite(&error))
    }

    /// Visits every session in the order of creation, with its mood at `now` in
    /// seconds; `visit` may stop. Only what is read is checked.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read. A fault of one session is
    /// passed to `visit` in its place.
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

    /// Names the sessions that have a conversation, in order.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub fn conversations(&self) -> Result<Vec<SessionId>, StoreError> {
        conversations::names(&held(&self.reader).connection, &self.faults)
    }

    /// Visits every session in the order in which they came, and checks it: its
    /// row against its seal, its journal against its chain, and whether the
    /// journal leads to the state that is kept, bit for bit.
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

    /// Reads a session and its journal as they are at one moment, and checks
    /// them against each other's hashes; `None` if there is no such session.
    ///
    /// # Errors
    /// As [`StateStore::journal`]; entries may have been visited before.
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

/// Reads bytes as the rows of a store, for fuzzing: a line of a name, one of a state, one of settings, then entries of
/// a journal. Their hashes are right, as a careful enemy would have them.
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
    assert!(checked.is_ok(), "what is wrong is told with the session");
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

/// Looks for damage in a file that is small enough for it.
fn check_if_small(connection: &Connection, path: &Path, faults: &Faults) -> Result<(), StoreError> {
    let is_small = std::fs::metadata(path).is_ok_and(|file| file.len() <= QUICK_CHECK_BYTES);
    if is_small {
        layout::quick_check(connection, faults)?;
    }
    Ok(())
}
