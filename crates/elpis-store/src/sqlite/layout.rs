//! The tables, their version, and the migration from older versions.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::Access;
use super::faults::Faults;
use super::seal::{Chain, seal};
use crate::StoreError;

/// `elps`, which identifies the file.
const APPLICATION_ID: i64 = 0x656c_7073;

/// A migration step from one version to the next.
#[derive(Clone, Copy)]
enum Step {
    Tables(&'static str),
    /// SQL that adds columns, and a function that fills them.
    Filled(&'static str, fn(&Transaction<'_>) -> rusqlite::Result<()>),
}

/// The migration steps. The first creates version 1 in an empty file.
const STEPS: [Step; 3] = [
    Step::Tables(
        "
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
",
    ),
    Step::Filled(
        "
    ALTER TABLE session ADD COLUMN chain BLOB NOT NULL DEFAULT x'';
    ALTER TABLE session ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
",
        seal_all,
    ),
    Step::Tables(
        "
    CREATE TABLE conversation (
        name TEXT PRIMARY KEY,
        messages TEXT NOT NULL,
        seal BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    ),
];

/// Computes each session's chain and seal from the stored data.
fn seal_all(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut sessions = transaction.prepare(
        "SELECT session.id, name, entries, state, json FROM session
         JOIN config ON config.id = session.config ORDER BY session.id",
    )?;
    let mut journal =
        transaction.prepare("SELECT at, what FROM journal WHERE session = ?1 ORDER BY number")?;
    let mut update =
        transaction.prepare("UPDATE session SET chain = ?2, seal = ?3 WHERE id = ?1")?;
    let mut rows = sessions.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let (name, entries): (String, u64) = (row.get(1)?, row.get(2)?);
        let (state, config): (String, String) = (row.get(3)?, row.get(4)?);
        let mut chain = Chain::new(&name);
        let mut entry = journal.query([id])?;
        while let Some(row) = entry.next()? {
            chain.add(row.get(0)?, row.get_ref(1)?.as_str()?);
        }
        let seal = seal(&name, entries, chain.as_bytes(), &state, &config);
        update.execute((id, chain.as_bytes(), seal))?;
    }
    Ok(())
}

/// Migrates the file to the version of this build. A file that is not a store or has a later
/// version is refused and left unchanged.
pub(super) fn prepare(
    connection: &mut Connection,
    access: Access,
    faults: &Faults,
) -> Result<(), StoreError> {
    bring_up(connection, access, faults, &STEPS)
}

/// Applies the missing migration steps, all of them or none.
fn bring_up(
    connection: &mut Connection,
    access: Access,
    faults: &Faults,
    steps: &[Step],
) -> Result<(), StoreError> {
    let sqlite = |error: rusqlite::Error| faults.sqlite(&error);
    let known = steps.len() as i64;
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
            Err(faults.not_a_store("its owner has not migrated it to this version yet"))
        };
    }
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .map_err(sqlite)?;
    if version == known {
        return Ok(());
    }
    let steps = steps.iter().skip(usize::try_from(version).unwrap_or(0));
    let migrate = |transaction: Transaction<'_>| {
        for step in steps {
            match step {
                Step::Tables(text) => transaction.execute_batch(text)?,
                Step::Filled(text, fill) => {
                    transaction.execute_batch(text)?;
                    fill(&transaction)?;
                }
            }
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

/// Checks the pages for damage.
pub(super) fn quick_check(connection: &Connection, faults: &Faults) -> Result<(), StoreError> {
    check(connection, "quick_check(1)", faults)
}

/// Creates an empty store in memory.
pub(super) fn in_memory(faults: &Faults) -> Result<Connection, StoreError> {
    let mut fresh = Connection::open_in_memory().map_err(|error| faults.sqlite(&error))?;
    bring_up(&mut fresh, Access::Own, faults, &STEPS)?;
    Ok(fresh)
}

/// Checks the pages, the tables and indices, and the schema for damage.
pub(super) fn integrity_check(connection: &Connection, faults: &Faults) -> Result<(), StoreError> {
    check(connection, "integrity_check(1)", faults)?;
    let sqlite = |error: rusqlite::Error| faults.sqlite(&error);
    let fresh = in_memory(faults)?;
    if tables(connection).map_err(sqlite)? != tables(&fresh).map_err(sqlite)? {
        return Err(faults.damaged("its tables differ from those of this version"));
    }
    let orphans: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get(0)
        })
        .map_err(|error| faults.sqlite(&error))?;
    if orphans > 0 {
        return Err(faults.damaged(&format!("{orphans} rows refer to missing rows")));
    }
    Ok(())
}

/// The schema of the tables.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut select =
        connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NEXT: Step =
        Step::Tables("ALTER TABLE session ADD COLUMN note TEXT NOT NULL DEFAULT 'none'");

    fn open(path: &Path) -> (Connection, Faults) {
        (Connection::open(path).unwrap(), Faults::of(path))
    }

    fn version(path: &Path) -> i64 {
        number(&open(path).0, "user_version").unwrap()
    }

    fn filled(path: &Path, steps: &[Step]) {
        let (mut old, faults) = open(path);
        bring_up(&mut old, Access::Own, &faults, steps).unwrap();
        old.execute_batch(
            "INSERT INTO config VALUES (1, '{}');
             INSERT INTO session (id, name, entries, state, config) VALUES (1, 'ada', 2, '{}', 1);
             INSERT INTO journal VALUES (1, 0, 2.5, 'started'), (1, 1, 3.0, 'felt');",
        )
        .unwrap();
    }

    #[test]
    fn a_file_of_an_older_layout_is_brought_up_with_all_that_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moods.db");
        filled(&path, &STEPS);
        let newer = [&STEPS[..], &[NEXT]].concat();

        // A reader must wait for the owner to migrate.
        let (mut reader, faults) = open(&path);
        let error = bring_up(&mut reader, Access::Read, &faults, &newer).unwrap_err();
        assert_eq!(error.kind(), "not_a_store", "{error}");
        drop(reader);

        // A step that breaks leaves the file as it was.
        let (mut broken, faults) = open(&path);
        let breaks = [
            &newer[..],
            &[Step::Tables("INSERT INTO nowhere VALUES (1)")],
        ]
        .concat();
        bring_up(&mut broken, Access::Own, &faults, &breaks).unwrap_err();
        drop(broken);
        assert_eq!(version(&path), STEPS.len() as i64);

        let (mut owner, faults) = open(&path);
        bring_up(&mut owner, Access::Own, &faults, &newer).unwrap();
        let row: (String, i64, String, f64) = owner
            .query_row(
                "SELECT name, entries, note, at FROM session JOIN journal ON session = id",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .unwrap();
        assert_eq!(row, ("ada".to_owned(), 2, "none".to_owned(), 2.5));
        // A second run changes nothing.
        bring_up(&mut owner, Access::Own, &faults, &newer).unwrap();
        drop(owner);
        assert_eq!(version(&path), newer.len() as i64);

        // The previous build refuses it now.
        let (mut late, faults) = open(&path);
        let error = bring_up(&mut late, Access::Own, &faults, &STEPS).unwrap_err();
        assert_eq!(error.kind(), "future_version", "{error}");
    }

    #[test]
    fn sessions_of_the_first_layout_are_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moods.db");
        filled(&path, &STEPS[..1]);
        let (mut owner, faults) = open(&path);
        prepare(&mut owner, Access::Own, &faults).unwrap();
        integrity_check(&owner, &faults).unwrap();
        let kept: (Vec<u8>, Vec<u8>) = owner
            .query_row("SELECT chain, seal FROM session", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        let mut chain = Chain::new("ada");
        chain.add(2.5, "started");
        chain.add(3.0, "felt");
        let sealed = seal("ada", 2, chain.as_bytes(), "{}", "{}");
        assert_eq!(kept, (chain.as_bytes().to_vec(), sealed.to_vec()));
    }

    #[test]
    fn tables_that_were_changed_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moods.db");
        filled(&path, &STEPS);
        let (other, faults) = open(&path);
        other.execute_batch("CREATE TABLE extra (x)").unwrap();
        let error = integrity_check(&other, &faults).unwrap_err();
        assert_eq!(error.kind(), "damaged", "{error}");
    }
}
