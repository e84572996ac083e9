//! Recovery from calls that panic.
//!
//! A session changes on a copy, so a call that panics has changed nothing. The emotion actor
//! receives the panic and fails as if the call had been its own: the supervisor counts the failure,
//! restarts the actor after a pause, and stops the runtime if this happens too often. The call is
//! repeated once the actor works again. All other calls proceed meanwhile.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::watch;

use crate::error::{Error, StopReason};

/// Passes panics of calls on to the emotion actor.
#[derive(Debug)]
pub(super) struct Crashes {
    recovery: watch::Sender<Recovery>,
    stopped: watch::Receiver<Option<StopReason>>,
}

/// How far the recovery from a panic has come.
#[derive(Debug)]
enum Recovery {
    /// No call has panicked since the actor began to work.
    Done,
    /// A call has panicked with this message. The actor does not know yet.
    Untold(String),
    /// The actor knows of the panic, and fails. Further panics belong to the same failure.
    Told,
}

impl Recovery {
    const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl Crashes {
    /// `stopped` holds the reason once the runtime has stopped.
    pub(super) fn new(stopped: watch::Receiver<Option<StopReason>>) -> Self {
        Self {
            recovery: watch::Sender::new(Recovery::Done),
            stopped,
        }
    }

    /// Checks that the runtime has not stopped.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it has.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &*self.stopped.borrow() {
            None => Ok(()),
            Some(reason) => Err(reason.clone().into()),
        }
    }

    /// Runs some work unless the runtime stops.
    ///
    /// # Errors
    /// [`Error::Stopped`], or the error of the work.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            result = work => result,
            error = self.stopped() => Err(error),
        }
    }

    /// Waits until the runtime has stopped and returns the reason.
    pub(super) async fn stopped(&self) -> Error {
        let mut stopped = self.stopped.clone();
        let reason = stopped.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| reason.clone());
        let reason = reason.unwrap_or_else(|| StopReason::new("the runtime is gone"));
        reason.into()
    }

    /// Tells the actor of a panic.
    pub(super) fn tell(&self, message: String) {
        self.recovery.send_if_modified(|recovery| {
            let first = recovery.is_done();
            if first {
                *recovery = Recovery::Untold(message);
            }
            first
        });
    }

    /// Waits until the actor works again.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the runtime stops instead.
    pub(super) async fn recovery(&self) -> Result<(), Error> {
        let mut recovery = self.recovery.subscribe();
        let works = async {
            // `self` holds the sender, so it cannot be dropped.
            let _ = recovery.wait_for(Recovery::is_done).await;
            Ok(())
        };
        self.unless_stopped(works).await
    }

    /// Records that the actor works. A panic that the actor does not know of stays.
    pub(super) fn works(&self) {
        self.recovery.send_if_modified(|recovery| {
            let told = matches!(recovery, Recovery::Told);
            if told {
                *recovery = Recovery::Done;
            }
            told
        });
    }

    /// Waits for a panic and returns its message. From then on the actor knows of it.
    ///
    /// # Cancel safety
    /// If the future is dropped, the panic stays.
    pub(super) fn next(&self) -> impl Future<Output = String> + Send + 'static {
        let recovery = self.recovery.clone();
        async move {
            let mut changes = recovery.subscribe();
            loop {
                let mut message = None;
                recovery.send_if_modified(|recovery| {
                    if let Recovery::Untold(untold) = recovery {
                        message = Some(std::mem::take(untold));
                        *recovery = Recovery::Told;
                    }
                    message.is_some()
                });
                if let Some(message) = message {
                    return message;
                }
                // This future holds a sender, so there is always one.
                let _ = changes.changed().await;
            }
        }
    }
}

/// Runs some work. If it panics, returns the panic's message.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        let poll = AssertUnwindSafe(|| work.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(message(panic.as_ref()))),
        }
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashes() -> (Crashes, watch::Sender<Option<StopReason>>) {
        let stop = watch::Sender::new(None);
        (Crashes::new(stop.subscribe()), stop)
    }

    #[tokio::test]
    async fn a_panic_before_the_actor_works_reaches_it() {
        let (crashes, _stop) = crashes();
        crashes.tell("first".to_owned());
        crashes.works();
        assert_eq!(crashes.next().await, "first");
        crashes.works();
        crashes.recovery().await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_outlives_an_actor_that_does_not_know_of_it() {
        let (crashes, _stop) = crashes();
        crashes.works();
        drop(crashes.next());
        crashes.tell("first".to_owned());
        let next = crashes.next();
        // The actor dies of something else.
        drop(next);
        crashes.works();
        assert_eq!(crashes.next().await, "first");
    }

    #[tokio::test]
    async fn calls_that_panic_together_are_one_failure() {
        let (crashes, stop) = crashes();
        crashes.works();
        crashes.tell("first".to_owned());
        crashes.tell("second".to_owned());
        assert_eq!(crashes.next().await, "first");
        crashes.tell("third".to_owned());
        crashes.works();
        crashes.recovery().await.unwrap();
        // A panic is reported once.
        stop.send_replace(Some(StopReason::new("it was stopped")));
        crashes.tell("fourth".to_owned());
        assert_eq!(crashes.next().await, "fourth");
        assert!(crashes.recovery().await.is_err());
    }
}
