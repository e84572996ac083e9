//! Errors of stores.

/// Errors of stores of emotional states.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    thiserror::Error,
    strum::IntoStaticStr,
    strum::VariantNames,
    strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case")]
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
    #[strum(props(
        hint = "stop the runtime that uses it, or name another file; `elpis store check` and `elpis store export` can read it meanwhile"
    ))]
    InUse {
        /// The file.
        file: String,
    },
    /// The file exists but is not a store. It is left unchanged.
    #[error("{file} is not a store of elpis: {found}")]
    #[strum(props(
        hint = "name another file; if it does not exist, the runtime or `elpis store import` creates it"
    ))]
    NotAStore {
        /// The file.
        file: String,
        /// The content found.
        found: String,
    },
    /// The store was written by a later version. It is left unchanged.
    #[error("store {file} has version {found}, this build knows versions up to {known}")]
    #[strum(props(
        hint = "use the elpis version that wrote it, or transfer the sessions: `elpis store export` there, `elpis store import` here"
    ))]
    FutureVersion {
        /// The file.
        file: String,
        /// Its version.
        found: i64,
        /// The latest version that this build knows.
        known: i64,
    },
    /// The file is damaged. It is left unchanged.
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
    /// A file of the store was removed or replaced, so data written now would be lost.
    #[error(
        "{part} was removed or replaced while store {file} was in use; changes are no longer kept"
    )]
    #[strum(props(
        hint = "put the file back, and the store continues; otherwise stop the program before more changes are lost"
    ))]
    Gone {
        /// The file.
        file: String,
        /// The name of the store's file.
        part: String,
    },
    /// There is no room to write.
    #[error("no room to write store {file}: {reason}")]
    #[strum(props(hint = "make room on the disk, or raise store.max_mib"))]
    Full {
        /// The file.
        file: String,
        /// The limit that was reached.
        reason: String,
    },
    /// The file may not be written.
    #[error("store {file} is read-only")]
    #[strum(props(hint = "check the permissions of the file and its folder"))]
    ReadOnly {
        /// The file.
        file: String,
    },
    /// Too many changes wait to be written.
    #[error("{waiting} changes wait for the store, which has failed: {reason}")]
    #[strum(props(hint = "fix the cause; the waiting changes are then written"))]
    Behind {
        /// Number of waiting changes.
        waiting: usize,
        /// Why it failed.
        reason: String,
    },
    /// The runtime ended before the store had written the last changes.
    #[error("the last {changes} changes were not written and are lost: {reason}")]
    #[strum(props(
        hint = "fix the cause before the next start; with store.durability = \"sync\", each event reports such an error"
    ))]
    Lost {
        /// Number of lost changes.
        changes: usize,
        /// Why they were not written.
        reason: String,
    },
    /// The store has not answered in time.
    #[error(
        "the store has not answered for {seconds} s; the change may or may not have been saved"
    )]
    #[strum(props(hint = "check the disk, and whether the file is on a network file system"))]
    Slow {
        /// The time waited, in whole seconds.
        seconds: u64,
    },
    /// The store only keeps emotional states.
    #[error("this store keeps no conversations")]
    #[strum(props(
        hint = "implement `StateStore::keep_conversation`, or keep conversations elsewhere"
    ))]
    NoConversations,
    /// Another failure.
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
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Whether it concerns the whole store, so that any other session would get it too.
    pub const fn is_general(&self) -> bool {
        !matches!(self, Self::DamagedSession { .. } | Self::Failed { .. })
    }
}
