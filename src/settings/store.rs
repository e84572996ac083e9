//! `[store]`: what outlives the process.

use std::path::PathBuf;
use std::time::Duration;

use super::schema::{above, between, section};
use super::value::choices;
use elpis_store::{Durability, StoreOptions};

choices!(Durability);

section! {
    /// Where emotional states outlive the process.
    pub struct StoreSettings = Store, store, "store";

    /// SQLite file that keeps the sessions' states and journals; made if it is not there. Needs the cargo feature
    /// `sqlite`.
    path: Option<PathBuf> = None, unset "states live in memory alone";
    /// When an event that was acknowledged is on disk: soon, many in one transaction, or before.
    durability: Durability = Durability::Relaxed;
    /// Time, while the process runs, that changes may wait to be written together with others; `sync` does not wait.
    flush_interval: Duration = Duration::from_millis(100), in between(1.0, 60_000.0), as Milliseconds "flush_ms";
    /// Time without use after which a session leaves memory; it comes back from the store with its next use.
    idle_timeout: Duration = Duration::from_hours(1), in above(0.0, 31_536_000.0), as Seconds "idle_seconds";
    /// Largest size of the file and its write-ahead log together in MiB; what does not fit is refused, and nothing is
    /// lost.
    max_mib: Option<u32> = None, in between(1.0, 16_777_216.0), unset "no limit but the disk's";
}

impl From<&StoreSettings> for StoreOptions {
    fn from(settings: &StoreSettings) -> Self {
        Self {
            durability: settings.durability,
            max_mib: settings.max_mib,
        }
    }
}
