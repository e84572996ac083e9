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
    /// The panic's message, until the actor works again.
    last: watch::Sender<Option<String>>,
    stopped: watch::Receiver<Option<StopReason>>,
}

impl Crashes {
    /// `stopped` holds the reason once the runtime has stopped.
    pub(super) fn new(stopped: watch::Receiver<Option<StopReason>>) -> Self {
        Self {
            last: watch::Sender::new(None),
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
        self.last.send_replace(Some(message));
    }

    /// Waits until the actor works again.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the runtime stops instead.
    pub(super) async fn recovery(&self) -> Result<(), Error> {
        let mut last = self.last.subscribe();
        let works = async {
            // `self` holds the sender, so it cannot be dropped.
            let _ = last.wait_for(Option::is_none).await;
            Ok(())
        };
        self.unless_stopped(works).await
    }

    /// Records that the actor works again.
    pub(super) fn recovered(&self) {
        self.last.send_replace(None);
    }

    /// Waits for a panic and returns its message.
    pub(super) fn next(&self) -> impl Future<Output = String> + Send + 'static {
        let mut last = self.last.subscribe();
        async move {
            let message = last.wait_for(Option::is_some).await;
            let message = message.ok().and_then(|message| message.clone());
            match message {
                Some(message) => message,
                // Without sessions there are no calls.
                None => std::future::pending().await,
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
