//! The writing thread of a store, which also watches its files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, TransactionBehavior};

use super::bound::Bound;
use super::conversations::{self, Sealed};
use super::faults::Faults;
use super::place::{Place, Stamp};
use super::rows::{Prepared, config_row};
use super::{Access, check_if_small, connect, held, layout};
use crate::{Durability, StoreOptions};
use crate::{SessionChange, StoreError};
use elpis_emotion::EmotionConfig;
use elpis_emotion::SessionId;
use elpis_inference::Conversation;

/// The writing side of a store.
#[derive(Debug)]
pub(super) struct Owner {
    path: PathBuf,
    place: Place,
    faults: Faults,
    durability: Durability,
    bound: Option<Bound>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    /// The settings written last, with their row and text.
    config: Option<(Arc<EmotionConfig>, i64, String)>,
    /// When the database file was written last, as far as this owner knows.
    stamp: Stamp,
    /// SQLite's data version, which changes when other connections write.
    version: i64,
}

impl Owner {
    /// Creates the writing side from a connection whose file has been checked.
    pub(super) fn new(
        connection: Connection,
        path: &Path,
        options: &StoreOptions,
        faults: Faults,
    ) -> Result<Self, StoreError> {
        let bound = options.max_mib.map(Bound::new);
        prepare(&connection, options.durability, bound.as_ref())
            .map_err(|error| faults.sqlite(&error))?;
        let version = data_version(&connection).map_err(|error| faults.sqlite(&error))?;
        let place = Place::of(path, &faults)?;
        let writer = Writer {
            connection,
            config: None,
            stamp: place.stamp(),
            version,
        };
        Ok(Self {
            path: path.to_owned(),
            place,
            durability: options.durability,
            bound,
            writer: Mutex::new(writer),
            faults,
        })
    }

    /// Checks that the files are in place and that no other process has written.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        self.place.check(&self.faults)?;
        // A commit in progress checks by itself.
        match self.writer.try_lock() {
            Ok(mut writer) => self.sole_writer(&mut writer),
            Err(_) => Ok(()),
        }
    }

    /// Writes changes, all of them or none.
    pub(super) fn commit(&self, changes: &[SessionChange]) -> Result<(), StoreError> {
        let faults = &self.faults;
        let mut prepared = Vec::with_capacity(changes.len());
        for change in changes {
            prepared.push((change, Prepared::new(change, faults)?));
        }
        let mut writer = held(&self.writer);
        self.place.check(faults)?;
        self.sole_writer(&mut writer)?;
        if let Some(bound) = &self.bound {
            let sizes = prepared.iter().map(|(_, prepared)| prepared.bytes());
            let room = bound.make_room(&writer.connection, &self.place, sizes, faults);
            writer.stamp = self.place.stamp();
            room?;
        }
        let Writer {
            connection, config, ..
        } = &mut *writer;
        let written = write(connection, config, &prepared, faults);
        writer.stamp = self.place.stamp();
        if written.is_err() {
            // The rollback may have removed a new row of settings.
            writer.config = None;
        }
        written?;
        // Data in removed files would be lost.
        self.place.check(faults)
    }

    /// Stores or removes a conversation.
    pub(super) fn keep_conversation(
        &self,
        session: &SessionId,
        conversation: Option<&Conversation>,
    ) -> Result<(), StoreError> {
        let faults = &self.faults;
        let sealed = conversation.map(|kept| Sealed::new(session, kept, faults));
        let sealed = sealed.transpose()?;
        let mut writer = held(&self.writer);
        self.place.check(faults)?;
        self.sole_writer(&mut writer)?;
        if let (Some(bound), Some(sealed)) = (&self.bound, &sealed) {
            let size = std::iter::once(sealed.bytes());
            let room = bound.make_room(&writer.connection, &self.place, size, faults);
            writer.stamp = self.place.stamp();
            room?;
        }
        let connection = &writer.connection;
        // A single statement is its own transaction.
        let written = match &sealed {
            Some(sealed) => sealed.write(connection),
            None => conversations::remove(connection, session.as_str()),
        };
        writer.stamp = self.place.stamp();
        written.map_err(|error| faults.sqlite(&error))?;
        self.place.check(faults)
    }

    /// Checks that no other process has written since the last check.
    ///
    /// # Errors
    /// [`StoreError::InUse`] once for each such write; [`StoreError::Damaged`] while the file they
    /// left is not a store.
    fn sole_writer(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let faults = &self.faults;
        let version = data_version(&writer.connection).map_err(|error| faults.sqlite(&error))?;
        let stamp = self.place.stamp();
        if version == writer.version && stamp == writer.stamp {
            return Ok(());
        }
        // The connection's cache of the file may be stale.
        let mut fresh = connect(&self.path, Access::Own, faults)?;
        layout::prepare(&mut fresh, Access::Read, faults)?;
        prepare(&fresh, self.durability, self.bound.as_ref())
            .map_err(|error| faults.sqlite(&error))?;
        check_if_small(&fresh, &self.path, faults)?;
        writer.version = data_version(&fresh).map_err(|error| faults.sqlite(&error))?;
        writer.connection = fresh;
        writer.config = None;
        writer.stamp = stamp;
        Err(faults.in_use())
    }
}

fn write(
    connection: &mut Connection,
    known: &mut Option<(Arc<EmotionConfig>, i64, String)>,
    changes: &[(&SessionChange, Prepared<'_>)],
    faults: &Faults,
) -> Result<(), StoreError> {
    let sqlite = |error: rusqlite::Error| faults.sqlite(&error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    for (change, prepared) in changes {
        if let Some(after) = &change.after {
            let config = after.config();
            if !known
                .as_ref()
                .is_some_and(|(last, ..)| Arc::ptr_eq(last, config))
            {
                let (row, json) = config_row(&transaction, config, faults)?;
                *known = Some((Arc::clone(config), row, json));
            }
        }
        let config = known.as_ref().map(|(_, row, json)| (*row, json.as_str()));
        let config = config.filter(|_| change.after.is_some());
        prepared.write(&transaction, config, faults)?;
    }
    transaction.commit().map_err(sqlite)
}

/// Sets the pragmas of a writing connection.
fn prepare(
    connection: &Connection,
    durability: Durability,
    bound: Option<&Bound>,
) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Relaxed => "NORMAL",
        Durability::Sync => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    if let Some(bound) = bound {
        let pages = bound.pages();
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    // The log and its index exist once something was read.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// A number that changes whenever another connection has written.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}
