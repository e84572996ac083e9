//! Retries failed requests, with waits in between.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::Http;
use super::failure::Failed;
use crate::HubError;

/// Maximum wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The number of retries of a failed request, the waits between them, and the limit on silence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) retries: usize,
    /// The wait before the first retry. It doubles with each further retry.
    pub(crate) first_wait: Duration,
    /// Maximum time without data from the Hub.
    pub(crate) silence: Duration,
}

/// The waits between failed attempts, up to the last retry.
pub(crate) struct Waits {
    left: usize,
    wait: Duration,
}

impl Waits {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            left: patience.retries,
            wait: patience.first_wait,
        }
    }
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let wait = self.wait;
        self.wait = wait.saturating_mul(2).min(MAX_WAIT);
        Some(wait)
    }
}

impl Http {
    /// Calls `work` until it succeeds, fails permanently, or has used up its retries.
    pub(super) fn repeated<T>(
        &self,
        mut work: impl FnMut() -> Result<T, Failed>,
    ) -> Result<T, HubError> {
        let mut waits = Waits::new(self.patience);
        loop {
            match work() {
                Ok(value) => return Ok(value),
                Err(Failed::Passing(error)) => self.wait(&mut waits, error)?,
                Err(Failed::Lasting(error)) => return Err(error),
            }
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The error of the last attempt, if no retry is left or the caller has gone away.
    pub(crate) fn wait(&self, waits: &mut Waits, error: HubError) -> Result<(), HubError> {
        let Some(wait) = waits.next() else {
            return Err(error);
        };
        self.progress.repeating(&error);
        self.pause(wait).then_some(()).ok_or(error)
    }

    /// Waits. Returns `false` if the wait ended early because the caller has gone away.
    pub(crate) fn pause(&self, wait: Duration) -> bool {
        self.stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let patience = |retries| Patience {
            retries,
            first_wait: Duration::from_secs(3),
            silence: Duration::ZERO,
        };
        let waits: Vec<_> = Waits::new(patience(4)).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [3, 6, 10, 10]);
        assert_eq!(Waits::new(patience(0)).next(), None);
    }
}
