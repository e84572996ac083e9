//! Reads sessions and their journals, in transactions of bounded length.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elpis_emotion::{EmotionTracker, JournalEntry, SessionId};
use rusqlite::{Connection, OpenFlags};

use super::faults::Faults;
use super::rows::{COLUMNS, Configs, SessionRow, column_fault, read_journal, session_id};
use super::{Access, SqliteStore};
use crate::StoreError;

/// Maximum wait for another connection that has locked the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of sessions read in one transaction. Between two transactions the owner can checkpoint its
/// log.
const SESSIONS_AT_ONCE: usize = 1000;

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) configs: Configs,
}

/// A function that is called for each row and may stop the reading.
type Work<'a> = dyn FnMut(&Connection, &str, Result<SessionRow<'_>, StoreError>, &mut Configs) -> ControlFlow<()>
    + 'a;

impl Reader {
    pub(super) fn open(path: &Path, faults: &Faults) -> Result<Self, StoreError> {
        Ok(Self {
            connection: connect(path, Access::Read, faults)?,
            configs: Configs::new(),
        })
    }
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // If a panic interrupted a transaction, it was rolled back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn connect(
    path: &Path,
    access: Access,
    faults: &Faults,
) -> Result<Connection, StoreError> {
    let flags = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Own => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.set_prepared_statement_cache_capacity(32);
            Ok(connection)
        })
        .map_err(|error| faults.sqlite(&error))
}

impl SqliteStore {
    /// Replays a session's journal and compares the result with the stored state.
    pub(super) fn checked(
        &self,
        connection: &Connection,
        row: &SessionRow<'_>,
        configs: &mut Configs,
    ) -> Result<EmotionTracker, StoreError> {
        let faults = &self.faults;
        session_id(row.name, faults)?;
        let stored = row.stored(configs, faults)?;
        let (mut again, mut number) = (None, 0_u64);
        let mut fault = None;
        let read = self.entries(
            connection,
            row,
            &mut |entry| match elpis_emotion::replay_entry(&mut again, &entry) {
                Ok(()) => {
                    number += 1;
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    fault = Some(format!("entry {number} of its journal: {error}"));
                    ControlFlow::Break(())
                }
            },
        );
        let is_complete = number == row.entries;
        match fault {
            Some(reason) => Err(faults.session(row.name, &reason)),
            // This error says more than that of a wrong hash.
            None if is_complete && again.as_ref() != Some(&stored.tracker) => {
                let reason = "its journal does not lead to the stored state";
                Err(faults.session(row.name, reason))
            }
            None => read.map(|()| stored.tracker),
        }
    }

    /// Reads the journal of a session.
    pub(super) fn entries(
        &self,
        connection: &Connection,
        row: &SessionRow<'_>,
        visit: &mut dyn FnMut(JournalEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let chain = row.sealed_chain(&self.faults)?;
        let mut number = 0_u64;
        read_journal(connection, row, &chain, &self.faults, &mut |at, what| {
            let what = serde_json::from_str(what).map_err(|error| {
                let reason = format!("entry {number} of its journal: {error}");
                self.faults.session(row.name, &reason)
            })?;
            number += 1;
            Ok(visit(JournalEntry { at, what }).is_continue())
        })
    }

    /// Calls `work` with a session's row, in a separate transaction.
    pub(super) fn one<T>(
        &self,
        session: &SessionId,
        work: impl FnOnce(&Connection, &SessionRow<'_>, &mut Configs) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let name = session.as_str();
        let fault = |error: rusqlite::Error| column_fault(name, &error, &self.faults);
        let mut reader = held(&self.reader);
        let Reader {
            connection,
            configs,
        } = &mut *reader;
        let transaction = connection.transaction().map_err(fault)?;
        let mut select = transaction
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM session LEFT JOIN config ON config.id = session.config WHERE name = ?1"
            ))
            .map_err(fault)?;
        let mut rows = select.query([name]).map_err(fault)?;
        let Some(row) = rows.next().map_err(fault)? else {
            return Ok(None);
        };
        let row = SessionRow::read(row).map_err(fault)?;
        work(&transaction, &row, configs).map(Some)
    }

    /// Calls `work` with each row in the order of creation.
    pub(super) fn rows(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let sqlite = |error: rusqlite::Error| self.faults.sqlite(&error);
        let mut last = i64::MIN;
        loop {
            let mut reader = held(&self.reader);
            let Reader {
                connection,
                configs,
            } = &mut *reader;
            let transaction = connection.transaction().map_err(sqlite)?;
            let mut select = transaction
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM session LEFT JOIN config ON config.id = session.config
                     WHERE session.id > ?1 ORDER BY session.id LIMIT {SESSIONS_AT_ONCE}"
                ))
                .map_err(sqlite)?;
            let mut rows = select.query([last]).map_err(sqlite)?;
            let mut count = 0;
            while let Some(row) = rows.next().map_err(sqlite)? {
                count += 1;
                last = row.get(0).map_err(sqlite)?;
                let name = row.get_ref(1).ok().and_then(|name| name.as_str().ok());
                let name = name.unwrap_or("(unnamed)");
                let read = SessionRow::read(row);
                let read = read.map_err(|error| column_fault(name, &error, &self.faults));
                if work(&transaction, name, read, configs).is_break() {
                    return Ok(());
                }
            }
            if count < SESSIONS_AT_ONCE {
                return Ok(());
            }
        }
    }
}
