//! Options of a store: durability, intervals and limits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// When an event that was acknowledged is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Within the time that changes may wait, in which the process runs; one that was stopped
    /// meanwhile writes once it runs again. A killed process can lose that much, and a power cut
    /// what the disk had not taken; whatever is kept is whole.
    #[default]
    Relaxed,
    /// Before it is acknowledged, and before it is in force.
    Sync,
}

impl Durability {
    /// The names of all values, as the settings write them.
    pub const NAMES: &'static [&'static str] = &["relaxed", "sync"];

    /// Returns the name that the settings use for this value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Sync => "sync",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Options for opening a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreOptions {
    /// When an event that was acknowledged is on disk.
    pub durability: Durability,
    /// Largest size of the file and its write-ahead log together in MiB; `None`: the disk's.
    pub max_mib: Option<u32>,
}
