//! Decides when a failed actor is restarted.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use crate::event::FailureKind;

/// Maximum length of a stored cause, in characters.
const CAUSE_CHARS: usize = 500;

/// Exponential backoff with a bounded restart intensity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// Maximum number of restarts within the window.
    pub max_restarts: u32,
    /// Length of the window.
    pub window: Duration,
    /// Delay before the first restart of a window.
    pub initial_backoff: Duration,
    /// Longest delay.
    pub max_backoff: Duration,
}

/// How to handle a failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// Restart the actor after a delay.
    Restart {
        /// The delay.
        after: Duration,
        /// Number of restarts within the window, including this one.
        attempt: u32,
    },
    /// The intensity is exceeded: stop for good.
    GiveUp,
}

/// How and why an actor failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How it failed.
    pub kind: FailureKind,
    /// The cause.
    pub cause: String,
}

/// The failures of one actor within the window, at most one more than the allowed restarts.
#[derive(Debug, Clone)]
pub struct RestartHistory {
    policy: RestartPolicy,
    failures: VecDeque<(f64, Failure)>,
}

impl RestartHistory {
    /// Creates an empty history.
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            failures: VecDeque::new(),
        }
    }

    /// Records a failure at `now` (seconds). `jitter` in [0, 1) spreads the delay over the upper
    /// half of the backoff, so that actors that failed together are not restarted together.
    pub fn fail(&mut self, now: f64, jitter: f64, failure: &Failure) -> Decision {
        let horizon = now - self.policy.window.as_secs_f64();
        let is_over = |(time, _): &(f64, Failure)| *time <= horizon;
        while self.failures.front().is_some_and(is_over) {
            self.failures.pop_front();
        }
        let before = self.failures.len() as u32;
        let cause = failure.cause.chars().take(CAUSE_CHARS).collect();
        let kind = failure.kind;
        self.failures.push_back((now, Failure { kind, cause }));
        if before >= self.policy.max_restarts {
            return Decision::GiveUp;
        }
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

    /// Describes the failures within the window in order, each with the seconds since the first.
    /// Equal consecutive failures are combined.
    pub fn story(&self) -> String {
        let mut story = String::new();
        let mut failures = self.failures.iter().peekable();
        let start = failures.peek().map_or(0.0, |(time, _)| *time);
        while let Some((time, failure)) = failures.next() {
            let mut times = 1;
            while failures.next_if(|(_, next)| next == failure).is_some() {
                times += 1;
            }
            let Failure { kind, cause } = failure;
            if !story.is_empty() {
                story.push_str("; then ");
            }
            // Writing to a string does not fail.
            let _ = write!(story, "at {:.1} s ", time - start);
            if times > 1 {
                let _ = write!(story, "({times} times in a row) ");
            }
            let _ = write!(story, "{}: {cause}", kind.as_str());
        }
        story
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RestartPolicy = RestartPolicy {
        max_restarts: 3,
        window: Duration::from_mins(1),
        initial_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_millis(250),
    };

    fn failure(cause: &str) -> Failure {
        Failure {
            kind: FailureKind::Panic,
            cause: cause.to_owned(),
        }
    }

    fn fail(history: &mut RestartHistory, now: f64, jitter: f64) -> Decision {
        history.fail(now, jitter, &failure("injected"))
    }

    fn delay(decision: Decision) -> (u128, u32) {
        match decision {
            Decision::Restart { after, attempt } => (after.as_millis(), attempt),
            Decision::GiveUp => panic!("gave up"),
        }
    }

    #[test]
    fn delays_double_up_to_the_limit_and_then_it_gives_up() {
        let mut history = RestartHistory::new(POLICY);
        assert_eq!(delay(fail(&mut history, 0.0, 1.0)), (100, 1));
        assert_eq!(delay(fail(&mut history, 1.0, 1.0)), (200, 2));
        assert_eq!(delay(fail(&mut history, 2.0, 1.0)), (250, 3));
        assert_eq!(fail(&mut history, 3.0, 1.0), Decision::GiveUp);
    }

    #[test]
    fn restarts_outside_the_window_are_forgotten() {
        let mut history = RestartHistory::new(POLICY);
        for time in 0..50 {
            let at = f64::from(time) * 61.0;
            assert_eq!(delay(fail(&mut history, at, 0.0)), (50, 1), "at {at}");
        }
    }

    #[test]
    fn a_policy_of_no_restarts_gives_up_at_once() {
        let none = RestartPolicy {
            max_restarts: 0,
            ..POLICY
        };
        assert_eq!(
            fail(&mut RestartHistory::new(none), 0.0, 0.0),
            Decision::GiveUp
        );
    }

    #[test]
    fn the_story_tells_what_happened_within_the_window_in_its_order() {
        let mut history = RestartHistory::new(POLICY);
        for (now, cause) in [
            (0.0, "forgotten"),
            (70.0, "first"),
            (71.0, "second"),
            (72.0, "second"),
        ] {
            let _ = history.fail(now, 0.0, &failure(cause));
        }
        let last = Failure {
            kind: FailureKind::Hung,
            cause: "x".repeat(10_000),
        };
        assert_eq!(history.fail(73.5, 0.0, &last), Decision::GiveUp);
        let expected = format!(
            "at 0.0 s panic: first; then at 1.0 s (2 times in a row) panic: second; then at 3.5 s hung: {}",
            "x".repeat(CAUSE_CHARS)
        );
        assert_eq!(history.story(), expected);
    }
}
