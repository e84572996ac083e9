//! Combines changes in quick succession into one.

use std::time::{Duration, Instant};

/// Maximum number of debounce times before a reload, even if changes continue.
const MAX_DEBOUNCES: u32 = 10;

/// Longest time before a reload, even if changes continue, unless the debounce time itself is
/// longer.
const MAX: Duration = Duration::from_millis(500);

/// A series of changes without a quiet period between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debouncer {
    first: Instant,
    last: Instant,
}

impl Debouncer {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            first: now,
            last: now,
        }
    }

    /// Records another change.
    pub(super) fn goes_on(&mut self, now: Instant) {
        self.last = now;
    }

    /// Time until the reload: when no change has come for the debounce time, or the series has
    /// lasted too long.
    pub(super) fn remains(&self, now: Instant, debounce: Duration) -> Duration {
        let longest = (debounce * MAX_DEBOUNCES).min(MAX).max(debounce);
        let due = (self.last + debounce).min(self.first + longest);
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_ends_when_it_is_quiet_or_lasts_too_long() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let after = |debounce, changes: &[u64], now| {
            let mut debouncer = Debouncer::begin(start);
            for &change in changes {
                debouncer.goes_on(start + ms(change));
            }
            debouncer.remains(start + ms(now), ms(debounce))
        };
        assert_eq!(after(50, &[], 10), ms(40));
        assert_eq!(after(50, &[], 50), ms(0));
        assert_eq!(after(50, &[20, 40], 50), ms(40));
        let always: Vec<u64> = (0..100).map(|i| 10 * i).collect();
        assert_eq!(after(50, &always[..40], 395), ms(45));
        assert_eq!(after(50, &always[..50], 495), ms(5));
        assert_eq!(after(50, &always[..51], 505), ms(0));
        assert_eq!(after(5, &always[..6], 50), ms(0));
        assert_eq!(after(100, &always, 500), ms(0));
        // A long configured debounce time is respected.
        assert_eq!(after(2000, &always, 500), ms(1500));
        assert_eq!(after(0, &[], 0), ms(0));
    }
}
