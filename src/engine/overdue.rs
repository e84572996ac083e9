//! Ends requests that wait too long for an engine, even if there is none.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::queue::RequestQueue;
use crate::clock::Clock;
use crate::error::StopReason;

/// Maximum time to sleep before a deadline is checked again. A clock may be set forward, be stopped
/// by a test, or run while the machine is suspended, and no timer reports that. Without a deadline
/// there are no checks.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Returns how long to sleep for a deadline when the clock shows `now`; `None` without a deadline.
pub(super) fn until(deadline: Option<f64>, now: f64) -> Option<Duration> {
    let left = (deadline? - now).max(0.0);
    let left = Duration::try_from_secs_f64(left).unwrap_or(MAX_SLEEP);
    Some(left.min(MAX_SLEEP))
}

/// Ends waiting generations whose caller leaves or whose time runs out, until the runtime has
/// stopped.
pub(crate) async fn retire_overdue(
    request_queue: Arc<RequestQueue>,
    clock: Arc<dyn Clock>,
    mut stopped: watch::Receiver<Option<StopReason>>,
) {
    loop {
        let overdue = &request_queue.signals().overdue;
        let seen = overdue.seen();
        let look = AssertUnwindSafe(|| {
            let now = clock.now();
            until(request_queue.retire(now), now)
        });
        let wait = std::panic::catch_unwind(look).unwrap_or_else(|_| {
            // A failed check does not end the checking.
            tracing::error!("timeout check of queued requests failed; it is repeated");
            Some(MAX_SLEEP)
        });
        let timer = async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stopped.wait_for(Option::is_some) => return,
            () = overdue.changed(seen) => {}
            () = timer => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_slept_for_but_not_for_long_and_none_not_at_all() {
        assert_eq!(until(None, 5.0), None);
        assert_eq!(until(Some(5.25), 5.0), Some(Duration::from_millis(250)));
        assert_eq!(until(Some(4.0), 5.0), Some(Duration::ZERO));
        for far in [100.0, 1e300, f64::INFINITY] {
            assert_eq!(until(Some(far), 5.0), Some(MAX_SLEEP));
        }
    }
}
