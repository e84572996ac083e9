//! Persistent storage of emotional states.
//!
//! A [`StateStore`] keeps, for each session, the state as it stands and the
//! journal of everything that led to it. The two say the same: replaying a
//! journal gives the state bit for bit, which `elpis store check` verifies.
//! Without a store, states live in memory alone.

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

/// A session as it is kept.
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
    /// Whether everything that is kept of it is removed first.
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
/// One thread writes; reading may happen beside it. The runtime never calls
/// any of it on a thread that serves events.
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
    /// [`StoreError`]; nothing was written then.
    fn commit(&self, changes: &[SessionChange]) -> Result<(), StoreError>;

    /// Names the sessions, in order.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    fn sessions(&self) -> Result<Vec<SessionId>, StoreError>;

    /// Reads a session's journal from its beginning; `visit` may break it off.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is damaged.
    fn journal(
        &self,
        session: &SessionId,
        visit: &mut dyn FnMut(JournalEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Reads the conversation that was kept last for a session; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is damaged.
    fn conversation(&self, session: &SessionId) -> Result<Option<Conversation>, StoreError> {
        let _ = session;
        Ok(None)
    }

    /// Keeps a session's conversation in place of the one before; with `None` there is none any
    /// more. When it returns, that is as durable as a [`commit`](Self::commit). May be called
    /// beside `commit`. A change that forgets a session says nothing of its conversation, which the
    /// runtime removes by itself: it may have begun anew before the change is written.
    ///
    /// # Errors
    /// [`StoreError::NoConversations`] from a store that does not implement it; else
    /// [`StoreError`], and the conversation before is still there.
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

    /// Sees that what is written would be found again after a restart. Called
    /// about once a second while nothing is written.
    ///
    /// # Errors
    /// [`StoreError`] if the store is gone, has been replaced, or may not be
    /// written any more.
    fn verify(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
