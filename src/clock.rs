//! Where the time comes from.
//!
//! Emotions decay by the wall clock, also across restarts of the process, so
//! times are seconds since the Unix epoch. Everything takes its time from a
//! [`Clock`], so that tests can hold it still.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time that never runs backwards.
pub trait Clock: Send + Sync + Debug {
    /// Seconds since the Unix epoch.
    fn now(&self) -> f64;
}

/// The system's wall clock, read once and carried on by the monotonic clock,
/// so that setting the system's time back does not reach a running process.
#[derive(Debug)]
pub struct SystemClock {
    epoch: f64,
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            epoch: epoch.as_secs_f64(),
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> f64 {
        self.epoch + self.started.elapsed().as_secs_f64()
    }
}

/// A clock that stands still until it is told to go on: for tests and replays.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<Duration>,
}

impl ManualClock {
    /// Makes a clock that shows `start` seconds (0 if not finite or negative).
    pub fn new(start: f64) -> Self {
        let clock = Self::default();
        clock.advance(start);
        clock
    }

    /// Moves the clock forward; anything but a positive time is ignored.
    pub fn advance(&self, seconds: f64) {
        if let Ok(step) = Duration::try_from_secs_f64(seconds) {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = now.saturating_add(step);
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> f64 {
        self.now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_secs_f64()
    }
}
