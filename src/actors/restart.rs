//! When a failed actor is started again.

use std::collections::VecDeque;
use std::time::Duration;

/// Exponential backoff inside a restart intensity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// Most restarts within the window.
    pub max_restarts: u32,
    /// The window in seconds.
    pub window_seconds: f64,
    /// Delay before the first restart of a window.
    pub initial_backoff: Duration,
    /// Longest delay.
    pub max_backoff: Duration,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// Start the actor again after a delay.
    Restart {
        /// The delay.
        after: Duration,
        /// Restarts within the window, this one included.
        attempt: u32,
    },
    /// The intensity is exceeded: stop for good.
    GiveUp,
}

/// The restarts of one actor.
#[derive(Debug, Clone)]
pub struct RestartHistory {
    policy: RestartPolicy,
    times: VecDeque<f64>,
}

impl RestartHistory {
    /// Starts with no restart.
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            times: VecDeque::new(),
        }
    }

    /// Records a failure at `now` (seconds). `jitter` in [0, 1) spreads the
    /// delay over the upper half of the backoff, so that actors that failed
    /// together do not come back together.
    pub fn fail(&mut self, now: f64, jitter: f64) -> Decision {
        let horizon = now - self.policy.window_seconds;
        while self.times.front().is_some_and(|&time| time <= horizon) {
            self.times.pop_front();
        }
        let before = self.times.len() as u32;
        if before >= self.policy.max_restarts {
            return Decision::GiveUp;
        }
        self.times.push_back(now);
        let doubled = 2_u32.checked_pow(before).unwrap_or(u32::MAX);
        let backoff = self
            .policy
            .initial_backoff
            .saturating_mul(doubled)
            .min(self.policy.max_backoff);
        Decision::Restart {
            after: backoff.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)),
            attempt: before + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RestartPolicy = RestartPolicy {
        max_restarts: 3,
        window_seconds: 60.0,
        initial_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_millis(250),
    };

    fn delay(decision: Decision) -> (u128, u32) {
        match decision {
            Decision::Restart { after, attempt } => (after.as_millis(), attempt),
            Decision::GiveUp => panic!("gave up"),
        }
    }

    #[test]
    fn delays_double_up_to_the_limit_and_then_it_gives_up() {
        let mut history = RestartHistory::new(POLICY);
        assert_eq!(delay(history.fail(0.0, 1.0)), (100, 1));
        assert_eq!(delay(history.fail(1.0, 1.0)), (200, 2));
        assert_eq!(delay(history.fail(2.0, 1.0)), (250, 3));
        assert_eq!(history.fail(3.0, 1.0), Decision::GiveUp);
    }

    #[test]
    fn restarts_outside_the_window_are_forgotten() {
        let mut history = RestartHistory::new(POLICY);
        for time in 0..50 {
            let at = f64::from(time) * 61.0;
            assert_eq!(delay(history.fail(at, 0.0)), (50, 1), "at {at}");
        }
    }

    #[test]
    fn a_policy_of_no_restarts_gives_up_at_once() {
        let none = RestartPolicy {
            max_restarts: 0,
            ..POLICY
        };
        assert_eq!(RestartHistory::new(none).fail(0.0, 0.0), Decision::GiveUp);
    }
}
