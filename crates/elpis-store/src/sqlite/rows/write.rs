//! Writes the rows of a session.

use elpis_emotion::{EmotionConfig, JournalEntry, TrackerState};
use rusqlite::{Connection, OptionalExtension, Row};

use super::column_fault;
use crate::sqlite::faults::Faults;
use crate::sqlite::seal::{Chain, seal};
use crate::{SessionChange, StoreError};

/// A change whose texts are ready to be written.
pub(in crate::sqlite) struct Prepared<'a> {
    change: &'a SessionChange,
    state: String,
    entries: Vec<(f64, String)>,
}

impl<'a> Prepared<'a> {
    pub(in crate::sqlite) fn new(
        change: &'a SessionChange,
        faults: &Faults,
    ) -> Result<Self, StoreError> {
        let state = match &change.after {
            None => String::new(),
            Some(after) => json(&TrackerState::from(after), faults)?,
        };
        let text = |entry: &JournalEntry| Ok((entry.at, json(&entry.what, faults)?));
        let entries = change.entries.iter().map(text);
        let entries = entries.collect::<Result<_, StoreError>>()?;
        Ok(Self {
            change,
            state,
            entries,
        })
    }

    /// Number of bytes of its text.
    pub(in crate::sqlite) fn bytes(&self) -> usize {
        let entries = self.entries.iter().map(|(_, what)| what.len() + 16);
        self.state.len() + entries.sum::<usize>()
    }

    /// Writes the change. `config` is the row of the settings and their text.
    pub(in crate::sqlite) fn write(
        &self,
        connection: &Connection,
        config: Option<(i64, &str)>,
        faults: &Faults,
    ) -> Result<(), StoreError> {
        let sqlite = |error: rusqlite::Error| faults.sqlite(&error);
        let name = self.change.session.as_str();
        if self.change.forgotten {
            // The journal is deleted by the foreign key.
            connection
                .prepare_cached("DELETE FROM session WHERE name = ?1")
                .and_then(|mut delete| delete.execute([name]))
                .map_err(sqlite)?;
        }
        let Some((config, config_json)) = config else {
            return Ok(());
        };
        let known = connection
            .prepare_cached("SELECT id, entries, chain FROM session WHERE name = ?1")
            .and_then(|mut select| {
                let row = |row: &Row<'_>| {
                    let (id, entries): (i64, u64) = (row.get(0)?, row.get(1)?);
                    Ok((id, entries, Chain::from_bytes(row.get_ref(2)?.as_blob()?)))
                };
                select.query_row([name], row).optional()
            })
            .map_err(|error| column_fault(name, &error, faults))?;
        let first = self.change.first;
        let entries = first + self.entries.len() as u64;
        let mut chain = match &known {
            None if first == 0 => Chain::new(name),
            Some((_, kept, Some(chain))) if *kept == first => chain.clone(),
            Some((_, _, None)) => return Err(faults.session(name, "its row has no chain")),
            // An earlier transaction was committed, although it reported an error.
            Some((id, kept, _))
                if *kept == entries && self.is_there(connection, *id, faults)? =>
            {
                return Ok(());
            }
            // Another process has written to the session.
            _ => return Err(faults.in_use()),
        };
        for (at, what) in &self.entries {
            chain.add(*at, what);
        }
        let seal = seal(name, entries, chain.as_bytes(), &self.state, config_json);
        let id = match known {
            Some((id, ..)) => {
                connection
                    .prepare_cached(
                        "UPDATE session SET entries = ?2, state = ?3, config = ?4, chain = ?5, seal = ?6
                         WHERE id = ?1",
                    )
                    .and_then(|mut update| {
                        update.execute((id, entries, &self.state, config, chain.as_bytes(), seal))
                    })
                    .map_err(sqlite)?;
                id
            }
            None => connection
                .prepare_cached(
                    "INSERT INTO session (name, entries, state, config, chain, seal)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )
                .and_then(|mut insert| {
                    insert.insert((name, entries, &self.state, config, chain.as_bytes(), seal))
                })
                .map_err(sqlite)?,
        };
        let mut insert = connection
            .prepare_cached(
                "INSERT INTO journal (session, number, at, what) VALUES (?1, ?2, ?3, ?4)",
            )
            .map_err(sqlite)?;
        for (number, (at, what)) in (first..).zip(&self.entries) {
            insert.execute((id, number, at, what)).map_err(sqlite)?;
        }
        Ok(())
    }

    /// Whether the session's journal ends with the entries of this change.
    fn is_there(
        &self,
        connection: &Connection,
        id: i64,
        faults: &Faults,
    ) -> Result<bool, StoreError> {
        let fault = |error: rusqlite::Error| faults.sqlite(&error);
        let mut select = connection
            .prepare_cached(
                "SELECT at, what FROM journal WHERE session = ?1 AND number >= ?2 ORDER BY number",
            )
            .map_err(fault)?;
        let mut rows = select.query((id, self.change.first)).map_err(fault)?;
        let mut own = self.entries.iter();
        while let Some(row) = rows.next().map_err(fault)? {
            let there = (row.get(0).map_err(fault)?, row.get(1).map_err(fault)?);
            if own.next() != Some(&there) {
                return Ok(false);
            }
        }
        Ok(own.next().is_none())
    }
}

/// Returns the row of the settings and their text. Adds the row if it is new.
pub(in crate::sqlite) fn config_row(
    connection: &Connection,
    config: &EmotionConfig,
    faults: &Faults,
) -> Result<(i64, String), StoreError> {
    let json = json(config, faults)?;
    let row = connection
        .prepare_cached("INSERT INTO config (json) VALUES (?1) ON CONFLICT DO NOTHING")
        .and_then(|mut insert| insert.execute([&json]))
        .and_then(|_| connection.prepare_cached("SELECT id FROM config WHERE json = ?1"))
        .and_then(|mut select| select.query_row([&json], |row| row.get(0)))
        .map_err(|error| faults.sqlite(&error))?;
    Ok((row, json))
}

pub(in crate::sqlite) fn json(
    value: &impl serde::Serialize,
    faults: &Faults,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| faults.failed(&error.to_string()))
}

/// Writes a session with arbitrary texts and matching hashes.
pub(in crate::sqlite) fn insert_raw(
    connection: &Connection,
    name: &str,
    state: &str,
    config: &str,
    entries: &[&str],
) -> rusqlite::Result<()> {
    connection.execute("INSERT INTO config (id, json) VALUES (1, ?1)", [config])?;
    let mut chain = Chain::new(name);
    for (number, what) in entries.iter().enumerate() {
        chain.add(number as f64, what);
    }
    let count = entries.len() as u64;
    let seal = seal(name, count, chain.as_bytes(), state, config);
    connection.execute(
        "INSERT INTO session (id, name, entries, state, config, chain, seal)
         VALUES (1, ?1, ?2, ?3, 1, ?4, ?5)",
        (name, count, state, chain.as_bytes(), seal),
    )?;
    for (number, what) in entries.iter().enumerate() {
        connection.execute(
            "INSERT INTO journal (session, number, at, what) VALUES (1, ?1, ?2, ?3)",
            (number as u64, number as f64, what),
        )?;
    }
    Ok(())
}
