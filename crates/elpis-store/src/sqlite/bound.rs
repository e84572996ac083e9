//! The maximum size of a store: the database and its write-ahead log together.

use rusqlite::Connection;

use super::faults::Faults;
use super::place::Place;
use crate::StoreError;

/// Bytes of a page, SQLite's default.
const PAGE_BYTES: u64 = 4096;

/// Pages that a transaction may add besides those for its text, such as those of a growing tree.
const SPARE_PAGES: u64 = 12;

/// Existing pages that a change may modify: those of the session, its name and its journal.
const PAGES_PER_CHANGE: u64 = 5;

/// Bytes of a change besides its text: hashes, names, numbers.
const BYTES_PER_CHANGE: u64 = 256;

/// Bytes of text per added page; pages are seldom full.
const BYTES_PER_PAGE: u64 = 2048;

/// The bound on the size of a store.
#[derive(Debug)]
pub(super) struct Bound {
    bytes: u64,
}

impl Bound {
    pub(super) fn new(mib: u32) -> Self {
        let bytes = u64::from(mib) << 20;
        Self { bytes }
    }

    /// Maximum number of pages of the database.
    pub(super) fn pages(&self) -> u64 {
        self.bytes / PAGE_BYTES
    }

    /// Makes sure that changes of these sizes fit, first into the log and finally into the
    /// database. If they do not, the log is checkpointed into the database, unless a reader uses
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Full`].
    pub(super) fn make_room(
        &self,
        connection: &Connection,
        place: &Place,
        changes: impl Iterator<Item = usize>,
        faults: &Faults,
    ) -> Result<(), StoreError> {
        let (mut count, mut bytes) = (0, 0);
        for change in changes {
            count += 1;
            bytes += change as u64 + BYTES_PER_CHANGE;
        }
        let added = SPARE_PAGES + bytes / BYTES_PER_PAGE;
        let sqlite = |error: rusqlite::Error| faults.sqlite(&error);
        let database: u64 = connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .map_err(sqlite)?;
        let free: u64 = connection
            .pragma_query_value(None, "freelist_count", |row| row.get(0))
            .map_err(sqlite)?;
        let grown = database + added.saturating_sub(free);
        let touched = added + database.min(PAGES_PER_CHANGE * count);
        let fits = || (grown + touched) * PAGE_BYTES + place.log_bytes() <= self.bytes;
        if fits() {
            return Ok(());
        }
        // Do not wait for readers.
        connection
            .busy_timeout(std::time::Duration::ZERO)
            .map_err(sqlite)?;
        let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        connection
            .busy_timeout(super::reader::BUSY_TIMEOUT)
            .map_err(sqlite)?;
        let is_held: bool = folded.map_err(sqlite)?;
        if fits() {
            return Ok(());
        }
        Err(if is_held {
            faults.full("the setting store.max_mib; a reader uses the store, so its log cannot be checkpointed")
        } else {
            faults.full("the setting store.max_mib")
        })
    }
}
