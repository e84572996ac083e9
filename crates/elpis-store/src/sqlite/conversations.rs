//! Rows of conversations.

use rusqlite::{Connection, OptionalExtension};

use super::faults::Faults;
use super::rows::{column_fault, session_id};
use super::seal::{Hash, conversation_seal};
use crate::StoreError;
use elpis_emotion::SessionId;
use elpis_inference::Conversation;

/// A conversation ready to be written.
pub(super) struct Sealed<'a> {
    name: &'a str,
    messages: String,
    seal: Hash,
}

impl<'a> Sealed<'a> {
    pub(super) fn new(
        session: &'a SessionId,
        conversation: &Conversation,
        faults: &Faults,
    ) -> Result<Self, StoreError> {
        let name = session.as_str();
        let messages = serde_json::to_string(conversation)
            .map_err(|error| faults.session(name, &format!("its conversation: {error}")))?;
        Ok(Self {
            seal: conversation_seal(name, &messages),
            name,
            messages,
        })
    }

    /// Number of bytes of its text.
    pub(super) fn bytes(&self) -> usize {
        self.messages.len()
    }

    /// Writes it in place of the previous one.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO conversation (name, messages, seal) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET messages = ?2, seal = ?3",
            )?
            .execute((self.name, &self.messages, self.seal))
            .map(drop)
    }
}

/// Removes a conversation, if there is one.
pub(super) fn remove(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM conversation WHERE name = ?1")?
        .execute([name])
        .map(drop)
}

/// Reads a conversation and checks it against its seal.
pub(super) fn read(
    connection: &Connection,
    session: &SessionId,
    faults: &Faults,
) -> Result<Option<Conversation>, StoreError> {
    let name = session.as_str();
    let row: Option<(String, Vec<u8>)> = connection
        .prepare_cached("SELECT messages, seal FROM conversation WHERE name = ?1")
        .and_then(|mut select| {
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            select.query_row([name], row).optional()
        })
        .map_err(|error| column_fault(name, &error, faults))?;
    let Some((messages, seal)) = row else {
        return Ok(None);
    };
    let damaged = |reason: &str| faults.session(name, &format!("its conversation {reason}"));
    if seal != conversation_seal(name, &messages) {
        return Err(damaged("does not match its seal"));
    }
    serde_json::from_str(&messages)
        .map(Some)
        .map_err(|error| damaged(&format!("cannot be read: {error}")))
}

/// The sessions that have conversations, in order of their names.
pub(super) fn names(
    connection: &Connection,
    faults: &Faults,
) -> Result<Vec<SessionId>, StoreError> {
    let names: Vec<String> = connection
        .prepare_cached("SELECT name FROM conversation ORDER BY name")
        .and_then(|mut select| select.query_map([], |row| row.get(0))?.collect())
        .map_err(|error| faults.sqlite(&error))?;
    names.iter().map(|name| session_id(name, faults)).collect()
}
