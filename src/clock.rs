//! Sources of time.
//!
//! Emotions decay by the wall clock, also across restarts of the process, so times are seconds
//! since the Unix epoch. All code takes its time from a [`Clock`], so that tests can stop it.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of time that never runs backwards.
pub trait Clock: Send + Sync + Debug {
    /// Seconds since the Unix epoch.
    fn now(&self) -> f64;
}

/// The system's wall clock, read once and continued with a monotonic clock, so that setting the
/// system's time back does not affect a running process. On Linux, time during which the machine is
/// suspended counts.
#[derive(Debug)]
pub struct SystemClock {
    epoch: f64,
    started: Ticks,
}

/// A reading of the monotonic clock.
#[cfg(target_os = "linux")]
type Ticks = Duration;
#[cfg(not(target_os = "linux"))]
type Ticks = std::time::Instant;

#[cfg(target_os = "linux")]
fn ticks() -> Ticks {
    // Unlike `CLOCK_MONOTONIC`, it continues while the machine is suspended.
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn ticks() -> Ticks {
    std::time::Instant::now()
}

impl Default for SystemClock {
    fn default() -> Self {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            epoch: epoch.as_secs_f64(),
            started: ticks(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> f64 {
        #[cfg(target_os = "linux")]
        let elapsed = ticks().saturating_sub(self.started);
        #[cfg(not(target_os = "linux"))]
        let elapsed = self.started.elapsed();
        self.epoch + elapsed.as_secs_f64()
    }
}

/// A clock that only moves when told to, for tests and replays.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<Duration>,
}

impl ManualClock {
    /// Creates a clock at `start` seconds (0 if not finite or negative).
    pub fn new(start: f64) -> Self {
        let now = Mutex::new(Duration::try_from_secs_f64(start).unwrap_or_default());
        Self { now }
    }

    /// Moves the clock forward.
    pub fn advance(&self, step: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(step);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_clock_shows_the_wall_clocks_time_and_never_runs_backwards() {
        let clock = SystemClock::default();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!((clock.now() - wall.as_secs_f64()).abs() < 60.0);
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn suspended_time_counts() {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let first = ticks();
        assert!(first.as_secs() >= u64::try_from(boot.tv_sec).unwrap());
        assert!(first.as_secs() <= u64::try_from(boot.tv_sec).unwrap() + 60);
    }
}
