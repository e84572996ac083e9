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
    /// Milliseconds, while the process runs, that changes may wait to be written together with others; `sync` does not
    /// wait.
    flush_ms: u64 = 100, in between(1.0, 60_000.0);
    /// Seconds without use after which a session leaves memory; it comes back from the store with its next use.
    idle_seconds: f64 = 3600.0, in above(0.0, 31_536_000.0);
    /// Largest size of the file and its write-ahead log together in MiB; what does not fit is refused, and nothing is
    /// lost.
    max_mib: Option<u32> = None, in between(1.0, 16_777_216.0), unset "no limit but the disk's";
}

impl StoreSettings {
    /// Returns the time that changes may wait to be written.
    pub fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_ms)
    }
}

impl From<&StoreSettings> for StoreOptions {
    fn from(settings: &StoreSettings) -> Self {
        Self {
            durability: settings.durability,
            max_mib: settings.max_mib,
        }
    }
}
