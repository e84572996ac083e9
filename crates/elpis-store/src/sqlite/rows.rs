//! Rows of sessions.

mod write;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::faults::Faults;
use super::seal::{Chain, Hash, seal};
use crate::{FoundSession, StoreError, StoredSession};
use elpis_emotion::SessionId;
use elpis_emotion::{EmotionConfig, EmotionTracker, EmotionalState, MoodRecord, TrackerState};
pub(super) use write::{Prepared, config_row, insert_raw};

/// The columns of a session in the order that [`SessionRow::read`] expects.
pub(super) const COLUMNS: &str =
    "session.id, name, entries, state, session.config, json, chain, seal";

/// The settings read so far, by the number of their row, each with its text.
pub(super) type Configs = HashMap<i64, (String, Arc<EmotionConfig>)>;

/// A session's row, before any check.
pub(super) struct SessionRow<'a> {
    pub(super) id: i64,
    pub(super) name: &'a str,
    pub(super) entries: u64,
    state: &'a str,
    config: i64,
    config_json: &'a str,
    chain: &'a [u8],
    seal: &'a [u8],
}

impl<'a> SessionRow<'a> {
    pub(super) fn read(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get_ref(1)?.as_str()?,
            entries: row.get(2)?,
            state: row.get_ref(3)?.as_str()?,
            config: row.get(4)?,
            config_json: row.get_ref(5)?.as_str()?,
            chain: row.get_ref(6)?.as_blob()?,
            seal: row.get_ref(7)?.as_blob()?,
        })
    }

    /// The chain of the row, if the seal matches the row.
    pub(super) fn sealed_chain(&self, faults: &Faults) -> Result<Hash, StoreError> {
        let chain = Chain::from_bytes(self.chain).map(|chain| *chain.as_bytes());
        chain
            .filter(|chain| {
                let kept = seal(self.name, self.entries, chain, self.state, self.config_json);
                kept == self.seal
            })
            .ok_or_else(|| faults.session(self.name, "its row does not match its seal"))
    }

    /// The state. The seal is not checked.
    pub(super) fn tracker(
        &self,
        configs: &mut Configs,
        faults: &Faults,
    ) -> Result<EmotionTracker, StoreError> {
        let damaged = |error: &dyn std::error::Error| faults.session(self.name, &error.to_string());
        let known = configs.get(&self.config);
        let config = if let Some((_, config)) = known.filter(|(text, _)| text == self.config_json) {
            Arc::clone(config)
        } else {
            let config = serde_json::from_str(self.config_json);
            let config: Arc<EmotionConfig> = config.map_err(|error| damaged(&error))?;
            let text = self.config_json.to_owned();
            configs.insert(self.config, (text, Arc::clone(&config)));
            config
        };
        let state: TrackerState =
            serde_json::from_str(self.state).map_err(|error| damaged(&error))?;
        EmotionTracker::restore(config, state).map_err(|error| damaged(&error))
    }

    /// The stored session, after a check of its seal.
    pub(super) fn stored(
        &self,
        configs: &mut Configs,
        faults: &Faults,
    ) -> Result<StoredSession, StoreError> {
        self.sealed_chain(faults)?;
        Ok(StoredSession {
            tracker: self.tracker(configs, faults)?,
            entries: self.entries,
        })
    }
}

/// Converts an error of SQLite: a column of a wrong type or value is damage of the session, anything
/// else is an error of the store.
pub(super) fn column_fault(session: &str, error: &rusqlite::Error, faults: &Faults) -> StoreError {
    match error {
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => faults.session(session, &error.to_string()),
        error => faults.sqlite(error),
    }
}

/// Reads a session's journal entry by entry and compares it with its chain.
///
/// Reading stops when `visit` returns `false`, and the chain is then not compared.
pub(super) fn read_journal(
    connection: &Connection,
    session: &SessionRow<'_>,
    chain: &Hash,
    faults: &Faults,
    visit: &mut dyn FnMut(f64, &str) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let damaged = |reason: &str| faults.session(session.name, reason);
    let fault = |error: rusqlite::Error| column_fault(session.name, &error, faults);
    let mut select = connection
        .prepare_cached("SELECT number, at, what FROM journal WHERE session = ?1 ORDER BY number")
        .map_err(fault)?;
    let mut rows = select.query([session.id]).map_err(fault)?;
    let mut found = Chain::new(session.name);
    let mut expected = 0_u64;
    while let Some(row) = rows.next().map_err(fault)? {
        let number: u64 = row.get(0).map_err(fault)?;
        if number != expected {
            return Err(damaged(&format!(
                "entry {expected} of its journal is missing"
            )));
        }
        let at: f64 = row.get(1).map_err(fault)?;
        let what = match row.get_ref(2).map_err(fault)? {
            ValueRef::Text(text) => std::str::from_utf8(text)
                .map_err(|error| damaged(&format!("entry {number} of its journal: {error}")))?,
            _ => {
                return Err(damaged(&format!(
                    "entry {number} of its journal is not text"
                )));
            }
        };
        found.add(at, what);
        if !visit(at, what)? {
            return Ok(());
        }
        expected += 1;
    }
    if expected != session.entries {
        let entries = session.entries;
        return Err(damaged(&format!(
            "its journal ends after {expected} of {entries} entries"
        )));
    }
    if found.as_bytes() != chain {
        return Err(damaged("its journal does not match its chain"));
    }
    Ok(())
}

/// Reads the mood of every session at `now`, in transactions of bounded length.
pub(super) fn read_moods(
    connection: &mut Connection,
    configs: &mut Configs,
    now: f64,
    faults: &Faults,
    visit: &mut dyn FnMut(FoundSession<EmotionalState>) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    const AT_ONCE: usize = 10_000;
    let sqlite = |error: rusqlite::Error| faults.sqlite(&error);
    let mut last = i64::MIN;
    loop {
        let transaction = connection.transaction().map_err(sqlite)?;
        let mut select = transaction
            .prepare_cached(&format!(
                "SELECT id, name, entries, state, config FROM session WHERE id > ?1 ORDER BY id LIMIT {AT_ONCE}"
            ))
            .map_err(sqlite)?;
        let mut rows = select.query([last]).map_err(sqlite)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(sqlite)? {
            count += 1;
            last = row.get(0).map_err(sqlite)?;
            let name = row.get_ref(1).ok().and_then(|name| name.as_str().ok());
            let name = name.unwrap_or("(unnamed)");
            let found = FoundSession {
                name: name.to_owned(),
                entries: row.get(2).unwrap_or_default(),
                state: mood(&transaction, row, name, configs, now, faults),
            };
            if visit(found).is_break() {
                return Ok(());
            }
        }
        if count < AT_ONCE {
            return Ok(());
        }
    }
}

/// The mood of a row's session at `now`.
fn mood(
    connection: &Connection,
    row: &Row<'_>,
    name: &str,
    configs: &mut Configs,
    now: f64,
    faults: &Faults,
) -> Result<EmotionalState, StoreError> {
    let fault = |error: rusqlite::Error| column_fault(name, &error, faults);
    let damaged = |error: serde_json::Error| faults.session(name, &error.to_string());
    let state = row.get_ref(3).map_err(fault)?;
    let state = state
        .as_str()
        .map_err(|error| faults.session(name, &error.to_string()))?;
    let mood: MoodRecord = serde_json::from_str(state).map_err(damaged)?;
    let id: i64 = row.get(4).map_err(fault)?;
    let config = match configs.entry(id) {
        Entry::Occupied(known) => Arc::clone(&known.get().1),
        Entry::Vacant(place) => {
            let text: String = connection
                .prepare_cached("SELECT json FROM config WHERE id = ?1")
                .and_then(|mut select| select.query_row([id], |row| row.get(0)))
                .map_err(|error| match error {
                    rusqlite::Error::QueryReturnedNoRows => {
                        faults.session(name, "its settings are missing")
                    }
                    error => column_fault(name, &error, faults),
                })?;
            let config: Arc<EmotionConfig> = serde_json::from_str(&text).map_err(damaged)?;
            place.insert((text, Arc::clone(&config)));
            config
        }
    };
    Ok(mood.state_at(&config, now))
}

/// Checks the stored name of a session.
pub(super) fn session_id(name: &str, faults: &Faults) -> Result<SessionId, StoreError> {
    SessionId::new(name).map_err(|error| faults.session(name, &error.to_string()))
}
