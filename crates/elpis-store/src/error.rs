//! Why a store could not do what it was asked.

/// Errors of stores of emotional states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The build lacks the store.
    #[error("cannot open store {file}: this build has no store; enable the cargo feature `sqlite`")]
    NotBuilt {
        /// The file.
        file: String,
    },
    /// Another process, or another runtime of this one, has the store.
    #[error("store {file} is in use by another runtime")]
    InUse {
        /// The file.
        file: String,
    },
    /// The file is there and is not a store; it is left as it is.
    #[error("{file} is not a store of elpis: {found}")]
    NotAStore {
        /// The file.
        file: String,
        /// The content found.
        found: String,
    },
    /// The store was written by a later version; it is left as it is.
    #[error("store {file} has version {found}, this build knows versions up to {known}")]
    FutureVersion {
        /// The file.
        file: String,
        /// Its version.
        found: i64,
        /// The latest version that this build knows.
        known: i64,
    },
    /// The file is damaged; it is left as it is.
    #[error(
        "store {file} is damaged: {reason}; restore a copy, or save what can be read with `elpis store export`"
    )]
    Damaged {
        /// The file.
        file: String,
        /// The reason.
        reason: String,
    },
    /// The stored data of a session is damaged.
    #[error("session {session} in store {file} is damaged: {reason}")]
    DamagedSession {
        /// The file.
        file: String,
        /// The session.
        session: String,
        /// The reason.
        reason: String,
    },
    /// A file of the store was removed, or another stands in its place: what is
    /// written now would not be found again.
    #[error(
        "{part} was removed or replaced while store {file} was in use; what happens now is not kept"
    )]
    Gone {
        /// The file.
        file: String,
        /// The name of the store's file.
        part: String,
    },
    /// There is no room to write.
    #[error("no room to write store {file}: {reason}")]
    Full {
        /// The file.
        file: String,
        /// The limit that was reached.
        reason: String,
    },
    /// The file may not be written.
    #[error("store {file} is read-only")]
    ReadOnly {
        /// The file.
        file: String,
    },
    /// Too much waits to be written.
    #[error("{waiting} changes wait for the store, which has failed: {reason}")]
    Behind {
        /// Changes that wait.
        waiting: usize,
        /// Why it failed.
        reason: String,
    },
    /// The runtime ended, and the store had not taken its last changes.
    #[error("the last {changes} changes were not written and are lost: {reason}")]
    Lost {
        /// Changes that are lost.
        changes: usize,
        /// Why they were not written.
        reason: String,
    },
    /// The store has not answered in time.
    #[error("the store has not answered for {seconds} s; whether the change counts is not known")]
    Slow {
        /// The time waited, in whole seconds.
        seconds: u64,
    },
    /// The store keeps moods alone.
    #[error("this store keeps no conversations")]
    NoConversations,
    /// Anything else.
    #[error("store {file} failed: {reason}")]
    Failed {
        /// The file.
        file: String,
        /// The reported reason.
        reason: String,
    },
}

impl StoreError {
    /// A short name for metric labels.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotBuilt { .. } => "not_built",
            Self::InUse { .. } => "in_use",
            Self::NotAStore { .. } => "not_a_store",
            Self::FutureVersion { .. } => "future_version",
            Self::Damaged { .. } => "damaged",
            Self::DamagedSession { .. } => "damaged_session",
            Self::Gone { .. } => "gone",
            Self::Full { .. } => "full",
            Self::ReadOnly { .. } => "read_only",
            Self::Behind { .. } => "behind",
            Self::Lost { .. } => "lost",
            Self::Slow { .. } => "slow",
            Self::NoConversations => "no_conversations",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether it has nothing to do with the session that met it: every other
    /// one would meet it too.
    pub const fn is_general(&self) -> bool {
        !matches!(self, Self::DamagedSession { .. } | Self::Failed { .. })
    }
}
