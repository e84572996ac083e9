//! `[store]`: persistence.

use std::path::PathBuf;
use std::time::Duration;

use super::schema::{above, between, section};
use super::value::choices;
use elpis_store::{Durability, StoreOptions};

choices!(Durability);

section! {
    /// Persistence of emotional states.
    pub struct StoreSettings = Store, store, "store";

    /// SQLite file for the sessions' states and journals; created if missing. Needs the cargo
    /// feature `sqlite`.
    path: Option<PathBuf> = None, unset "states are only kept in memory";
    /// When an acknowledged event is on disk: soon afterwards, many in one transaction, or before
    /// the acknowledgement.
    durability: Durability = Durability::Relaxed;
    /// Time that changes may wait to be batched with others; `sync` does not wait.
    flush_interval: Duration = Duration::from_millis(100), in between(1.0, 60_000.0), as Milliseconds "flush_ms";
    /// Time without use after which a session is evicted from memory. Its next use loads it from
    /// the store.
    idle_timeout: Duration = Duration::from_hours(1), in above(0.0, 31_536_000.0), as Seconds "idle_seconds";
    /// Maximum size of the file and its write-ahead log together, in MiB. Changes that do not fit
    /// are refused, and nothing is lost.
    max_mib: Option<u32> = None, in between(1.0, 16_777_216.0), unset "no limit except the disk's";
}

impl From<&StoreSettings> for StoreOptions {
    fn from(settings: &StoreSettings) -> Self {
        Self {
            durability: settings.durability,
            max_mib: settings.max_mib,
        }
    }
}
