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
    /// Within the configured flush time, during which the process must run; a suspended process
    /// writes when it is resumed. A killed process can lose the changes of that time, and a power
    /// failure those that the disk had not written. Stored data is always consistent.
    #[default]
    Relaxed,
    /// Before it is acknowledged and takes effect.
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
    /// Maximum size of the file and its write-ahead log together, in MiB; `None` for no limit
    /// except the disk's.
    pub max_mib: Option<u32>,
}
