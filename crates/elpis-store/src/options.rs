//! Options of a store: durability, intervals and limits.

use serde::{Deserialize, Serialize};

/// When an event that was acknowledged is on disk.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::Display,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
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
    pub const NAMES: &[&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// Returns the name that the settings use for this value.
    pub fn as_str(self) -> &'static str {
        self.into()
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
