//! Detects an engine thread that makes no progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Records when the engine thread began its current piece of work.
#[derive(Debug)]
pub struct Heartbeat {
    epoch: Instant,
    /// Milliseconds from the epoch to the start of the work, plus 1; 0 when idle.
    since: AtomicU64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            since: AtomicU64::new(0),
        }
    }
}

impl Heartbeat {
    /// Records that a piece of work begins.
    pub fn work(&self) {
        let now = self.epoch.elapsed().as_millis() as u64;
        self.since.store(now + 1, Ordering::Relaxed);
    }

    /// Records that the thread is idle.
    pub fn rest(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// How long the current piece of work has taken so far; `None` when idle.
    pub fn busy_for(&self) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            self.epoch
                .elapsed()
                .saturating_sub(Duration::from_millis(since)),
        )
    }
}
