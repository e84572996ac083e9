//! The tables, their version, and how an older version becomes this one.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::Access;
use super::faults::Faults;
use crate::store::StoreError;

/// `elps`, so that tools and people can tell the file.
const APPLICATION_ID: i64 = 0x656c_7073;

/// Each step makes the next version out of the one before; the first makes
/// version 1 out of an empty file.
const STEPS: [&str; 1] = ["
    CREATE TABLE config (
        id INTEGER PRIMARY KEY,
        json TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        entries INTEGER NOT NULL,
        state TEXT NOT NULL,
        config INTEGER NOT NULL REFERENCES config
    ) STRICT;
    CREATE TABLE journal (
        session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at REAL NOT NULL,
        what TEXT NOT NULL,
        PRIMARY KEY (session, number)
    ) STRICT, WITHOUT ROWID;
"];

/// Brings the file to the version of this build; a file that is no store or
/// of a later version is refused and left as it is.
pub(super) fn prepare(
    connection: &mut Connection,
    access: Access,
    faults: &Faults,
) -> Result<(), StoreError> {
    let sqlite = |error: rusqlite::Error| faults.sqlite(&error);
    let known = STEPS.len() as i64;
    let version = number(connection, "user_version").map_err(sqlite)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    let ours = number(connection, "application_id").map_err(sqlite)? == APPLICATION_ID;
    if !ours && (tables > 0 || version > 0) {
        return Err(faults.not_a_store("an SQLite file of another program"));
    }
    if version > known {
        return Err(faults.future_version(version, known));
    }
    if access == Access::Read {
        return if version == known {
            Ok(())
        } else {
            Err(faults.not_a_store("its owner has not brought it up to this version yet"))
        };
    }
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .map_err(sqlite)?;
    if version == known {
        return Ok(());
    }
    let steps = STEPS.iter().skip(usize::try_from(version).unwrap_or(0));
    let migrate = |transaction: Transaction<'_>| {
        for step in steps {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", known)?;
        transaction.commit()
    };
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .and_then(migrate)
        .map_err(sqlite)
}

/// Looks for damage within the pages.
pub(super) fn quick_check(connection: &Connection, faults: &Faults) -> Result<(), StoreError> {
    check(connection, "quick_check(1)", faults)
}

/// Looks for damage within the pages and between tables and indices.
pub(super) fn integrity_check(connection: &Connection, faults: &Faults) -> Result<(), StoreError> {
    check(connection, "integrity_check(1)", faults)?;
    let orphans: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get(0)
        })
        .map_err(|error| faults.sqlite(&error))?;
    if orphans > 0 {
        return Err(faults.damaged(&format!("{orphans} rows refer to rows that are not there")));
    }
    Ok(())
}

fn check(connection: &Connection, pragma: &str, faults: &Faults) -> Result<(), StoreError> {
    let found: String = connection
        .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
        .map_err(|error| faults.sqlite(&error))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(faults.damaged(&found))
    }
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}
