//! Persistent storage of emotional states.
//!
//! A [`StateStore`] keeps, for each session, the current state and the journal of everything that
//! led to it. Replaying the journal gives the state bit for bit, which `elpis store check`
//! verifies. Without a store, states are only kept in memory.

#![forbid(unsafe_code)]

mod error;
mod import;
mod options;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use error::StoreError;
pub use import::{ExportedLine, Import, ImportError, Imported};
pub use options::{Durability, StoreOptions};
#[cfg(feature = "sqlite")]
pub use sqlite::{Access, FoundSession, SqliteStore, read_rows};

use std::fmt::Debug;
use std::ops::ControlFlow;

use elpis_emotion::SessionId;
use elpis_emotion::{EmotionTracker, JournalEntry};
use elpis_inference::Conversation;

/// A stored session.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSession {
    /// The state.
    pub tracker: EmotionTracker,
    /// Number of entries of its journal.
    pub entries: u64,
}

/// The changes of a session since it was last written.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionChange {
    /// The session.
    pub session: SessionId,
    /// Whether the session is removed from the store first.
    pub forgotten: bool,
    /// Number of entries of its journal before these.
    pub first: u64,
    /// New entries of its journal, in order.
    pub entries: Vec<JournalEntry>,
    /// The state after them; `None` if the session was only forgotten.
    pub after: Option<EmotionTracker>,
}

/// Keeps sessions across restarts of the process.
///
/// One thread writes; other threads may read at the same time. The runtime never calls a store on a
/// thread that serves events.
pub trait StateStore: Send + Sync + Debug {
    /// Reads a session; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is damaged.
    fn load(&self, session: &SessionId) -> Result<Option<StoredSession>, StoreError>;

    /// Writes changes of distinct sessions, all of them or none. When it
    /// returns, they are as durable as the store promises.
    ///
    /// # Errors
    /// [`StoreError`]. Nothing was written then.
    fn commit(&self, changes: &[SessionChange]) -> Result<(), StoreError>;

    /// Lists the sessions, sorted by name.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    fn sessions(&self) -> Result<Vec<SessionId>, StoreError>;

    /// Reads a session's journal from its beginning. `visit` may stop early.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is damaged.
    fn journal(
        &self,
        session: &SessionId,
        visit: &mut dyn FnMut(JournalEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Reads the conversation last stored for a session; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is damaged.
    fn conversation(&self, session: &SessionId) -> Result<Option<Conversation>, StoreError> {
        let _ = session;
        Ok(None)
    }

    /// Stores a session's conversation in place of the previous one; `None` removes it. When it
    /// returns, the change is as durable as a [`commit`](Self::commit). It may be called
    /// concurrently with `commit`. A change that forgets a session does not affect its
    /// conversation, which the runtime removes separately: the session may have started again
    /// before the change is written.
    ///
    /// # Errors
    /// [`StoreError::NoConversations`] from a store that does not implement it; otherwise
    /// [`StoreError`], and the previous conversation is unchanged.
    fn keep_conversation(
        &self,
        session: &SessionId,
        conversation: Option<&Conversation>,
    ) -> Result<(), StoreError> {
        let _ = session;
        match conversation {
            None => Ok(()),
            Some(_) => Err(StoreError::NoConversations),
        }
    }

    /// Verifies that written data would be found again after a restart. Called about once a second
    /// while nothing is written.
    ///
    /// # Errors
    /// [`StoreError`] if the store is gone, has been replaced or is no longer writable.
    fn verify(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
