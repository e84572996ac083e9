//! Why a store could not do what it was asked.

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
        hint = "end what uses it, or name another file; `elpis store check` and `elpis store export` read beside it"
    ))]
    InUse {
        /// The file.
        file: String,
    },
    /// The file is there and is not a store; it is left as it is.
    #[error("{file} is not a store of elpis: {found}")]
    #[strum(props(
        hint = "name another file; where there is none, the runtime and `elpis store import` make one"
    ))]
    NotAStore {
        /// The file.
        file: String,
        /// The content found.
        found: String,
    },
    /// The store was written by a later version; it is left as it is.
    #[error("store {file} has version {found}, this build knows versions up to {known}")]
    #[strum(props(
        hint = "use the elpis that wrote it, or take sessions over: `elpis store export` there, `elpis store import` here"
    ))]
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
    #[strum(props(
        hint = "put the file back and the store goes on; otherwise end the program before it does more that is not kept"
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
    #[strum(props(hint = "check who may write the file and its folder"))]
    ReadOnly {
        /// The file.
        file: String,
    },
    /// Too much waits to be written.
    #[error("{waiting} changes wait for the store, which has failed: {reason}")]
    #[strum(props(hint = "repair what the reason names; what waits is written then"))]
    Behind {
        /// Changes that wait.
        waiting: usize,
        /// Why it failed.
        reason: String,
    },
    /// The runtime ended, and the store had not taken its last changes.
    #[error("the last {changes} changes were not written and are lost: {reason}")]
    #[strum(props(
        hint = "repair what the reason names before the next start; a store in durability \"sync\" tells at each event"
    ))]
    Lost {
        /// Changes that are lost.
        changes: usize,
        /// Why they were not written.
        reason: String,
    },
    /// The store has not answered in time.
    #[error("the store has not answered for {seconds} s; whether the change counts is not known")]
    #[strum(props(hint = "look at the disk, and whether the file lies on a network file system"))]
    Slow {
        /// The time waited, in whole seconds.
        seconds: u64,
    },
    /// The store keeps moods alone.
    #[error("this store keeps no conversations")]
    #[strum(props(
        hint = "implement `StateStore::keep_conversation`, or keep conversations elsewhere"
    ))]
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
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Whether it has nothing to do with the session that met it: every other
    /// one would meet it too.
    pub const fn is_general(&self) -> bool {
        !matches!(self, Self::DamagedSession { .. } | Self::Failed { .. })
    }
}
