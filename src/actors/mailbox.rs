//! Mailboxes that outlive their actors.
//!
//! With ractor a mailbox dies with its actor. Requests with a reply therefore go to a separate
//! queue. An actor removes a request only after answering it, so the next incarnation answers
//! requests that a failed one did not. Such requests must be idempotent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::{ActorRef, Message};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::Ticking;
use crate::error::{Error, StopReason};

/// Maximum number of requests in a mailbox. Further callers wait.
pub const MAX_REQUESTS: usize = 8192;

/// The callers' end. Requests a value from an actor, whichever incarnation is running.
#[derive(Debug)]
pub struct Mailbox<T> {
    inbox: Inbox<T>,
    stopped: watch::Receiver<Option<StopReason>>,
}

/// The actor's end.
#[derive(Debug)]
pub struct Inbox<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    requests: Mutex<VecDeque<Request<T>>>,
    arrived: Notify,
    places: Arc<Semaphore>,
    /// Calls that are not answered yet.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Request<T> {
    reply: oneshot::Sender<T>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Counts a call while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            stopped: self.stopped.clone(),
        }
    }
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Mailbox<T> {
    /// Creates an empty mailbox. `stopped` holds the reason once the runtime has stopped.
    pub fn new(stopped: watch::Receiver<Option<StopReason>>) -> Self {
        let inbox = Inbox(Arc::new(Shared {
            requests: Mutex::default(),
            arrived: Notify::new(),
            places: Arc::new(Semaphore::new(MAX_REQUESTS)),
            waiting: AtomicUsize::new(0),
        }));
        Self { inbox, stopped }
    }

    /// The actor's end.
    pub fn inbox(&self) -> Inbox<T> {
        self.inbox.clone()
    }

    /// Calls that are not answered yet.
    pub fn waiting(&self) -> usize {
        self.inbox.0.waiting.load(Ordering::Relaxed)
    }

    /// Sends a request to the actor and waits for the answer. If the mailbox already holds
    /// [`MAX_REQUESTS`], waits for room first.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the runtime stops first.
    ///
    /// # Cancel safety
    /// If the future is dropped, the request is not handled unless handling has begun.
    pub async fn ask(&self) -> Result<T, Error> {
        let shared = &self.inbox.0;
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&shared.waiting);
        let mut stopped = self.stopped.clone();
        let answered = async {
            let places = Arc::clone(&shared.places);
            let (reply, answer) = oneshot::channel();
            // The semaphore is never closed.
            let place = places.acquire_owned().await.ok();
            let request = Request {
                reply,
                _place: place,
            };
            self.inbox.lock().push_back(request);
            shared.arrived.notify_one();
            match answer.await {
                Ok(answer) => answer,
                // Requests are kept until they are answered.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answered => Ok(answer),
            reason = stopped.wait_for(Option::is_some) => {
                let reason = reason.ok().and_then(|reason| reason.clone());
                let reason = reason.unwrap_or_else(|| StopReason::new("the runtime is gone"));
                Err(reason.into())
            }
        }
    }
}

impl<T> Inbox<T> {
    /// Number of requests.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether a request waits. Requests whose callers are gone are dropped.
    pub fn has_request(&self) -> bool {
        let mut requests = self.lock();
        while requests.front().is_some_and(|r| r.reply.is_closed()) {
            requests.pop_front();
        }
        !requests.is_empty()
    }

    /// Answers the first request and removes it.
    pub fn answer(&self, answer: T) {
        if let Some(request) = self.lock().pop_front() {
            // The caller may be gone.
            let _ = request.reply.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Request<T>>> {
        // Every change is a single insertion or removal, so the queue is consistent after a panic.
        let requests = self.0.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Inbox<T> {
    /// Sends an actor a message whenever requests have arrived, for as long as the result is held.
    pub fn wake<M: Message>(
        &self,
        actor: ActorRef<M>,
        message: impl Fn() -> M + Send + 'static,
    ) -> Ticking {
        let inbox = self.clone();
        Ticking(tokio::spawn(async move {
            // Requests left by an earlier incarnation come first.
            let mut waits = inbox.has_request();
            loop {
                if waits && actor.send_message(message()).is_err() {
                    return;
                }
                inbox.0.arrived.notified().await;
                waits = true;
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_calls_are_on_their_way_than_the_mailbox_has_places() {
        let stop = watch::Sender::new(None);
        let mailbox = Mailbox::<()>::new(stop.subscribe());
        let inbox = mailbox.inbox();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..MAX_REQUESTS + 100 {
            let mailbox = mailbox.clone();
            calls.spawn(async move { mailbox.ask().await });
        }
        while mailbox.waiting() < MAX_REQUESTS + 100 {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(inbox.count(), MAX_REQUESTS, "the others wait outside");
        // An answer makes room for another.
        inbox.answer(());
        assert!(calls.join_next().await.unwrap().unwrap().is_ok());
        while inbox.count() < MAX_REQUESTS {
            tokio::task::yield_now().await;
        }
        assert_eq!(mailbox.waiting(), MAX_REQUESTS + 99);
        // Nobody waits for ever once the runtime has stopped.
        stop.send_replace(Some(StopReason::new("it was stopped")));
        let outcomes = calls.join_all().await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(mailbox.waiting(), 0);
    }

    #[tokio::test]
    async fn a_request_stays_until_it_is_answered_or_nobody_waits_for_it() {
        let stop = watch::Sender::new(None);
        let mailbox = Mailbox::new(stop.subscribe());
        let inbox = mailbox.inbox();
        let ask = |mailbox: &Mailbox<u32>| {
            let mailbox = mailbox.clone();
            tokio::spawn(async move { mailbox.ask().await })
        };
        let (gone, kept) = (ask(&mailbox), ask(&mailbox));
        while inbox.count() < 2 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.is_err());
        // An actor that fails here has only looked, and leaves the request to the next incarnation.
        assert!(inbox.has_request() && inbox.has_request());
        inbox.answer(7);
        assert_eq!(kept.await.unwrap().unwrap(), 7);
        assert!(!inbox.has_request());
    }
}
