//! Thin actors over the pure state below.
//!
//! The supervisor starts the actors in the order of what they need (hardware,
//! engine, steering, emotion), restarts the ones that fail and wires the
//! channels between them; actors never know each other. What must outlive an
//! actor (emotional states, waiting generations, the steering library in
//! force) lives in [`Wiring`] and is lent to whichever incarnation works.

pub mod emotion;
pub mod engine;
pub mod hardware;
pub mod observer;
#[doc(hidden)]
pub mod probe;
pub mod restart;
pub mod steering;
pub mod supervisor;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ractor::{ActorRef, Message, RpcReplyPort};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::backend::BackendFactory;
use crate::bus::EventBus;
use crate::clock::Clock;
use crate::error::{Cause, Error};
use crate::settings::{ModelSource, Settings};

/// What all actors of a runtime share.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// Where the model comes from, resolved.
    pub source: ModelSource,
    /// Where the backend comes from.
    pub factory: BackendFactory,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where events are published.
    pub bus: EventBus,
    /// The hardware report, once there is one.
    pub hardware: Arc<watch::Sender<Option<Arc<hardware::HardwareReport>>>>,
    /// The loaded model, while there is one.
    pub model: Arc<watch::Sender<Option<Arc<crate::engine::LoadedModel>>>>,
    /// The steering library in force.
    pub library: Arc<watch::Sender<Arc<crate::steering::SteeringLibrary>>>,
    /// The emotional states.
    pub sessions: Arc<emotion::Sessions>,
    /// Generations that wait, and the way in.
    pub request_queue: Arc<crate::engine::RequestQueue>,
    /// Where tests break the actors.
    #[doc(hidden)]
    pub probe: probe::Probe,
}

/// Why a runtime has stopped.
#[derive(Debug, Clone)]
pub struct StopReason {
    text: Arc<str>,
    cause: Option<Cause>,
}

impl StopReason {
    /// Makes a reason that no failure led to.
    pub fn new(text: &str) -> Self {
        let text = text.into();
        Self { text, cause: None }
    }

    /// Makes a reason out of the failure that led to it.
    pub fn failure(text: &str, cause: Option<Cause>) -> Self {
        let text = text.into();
        Self { text, cause }
    }

    /// The reason in words.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<StopReason> for Error {
    fn from(reason: StopReason) -> Self {
        Self::Stopped {
            reason: reason.text.to_string(),
            source: reason.cause,
        }
    }
}

/// Where an actor stands.
#[derive(Debug)]
pub enum ActorStatus<M> {
    /// It is being started or restarted.
    Starting,
    /// It works.
    Live(ActorRef<M>),
    /// It is gone for good.
    Stopped(StopReason),
}

impl<M> Clone for ActorStatus<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Starting => Self::Starting,
            Self::Live(actor) => Self::Live(actor.clone()),
            Self::Stopped(reason) => Self::Stopped(reason.clone()),
        }
    }
}

/// Messages that may lie in an actor's mailbox; more wait with their senders.
pub const MAX_CALLS: usize = 8192;

/// An actor's address; it stays valid across the actor's restarts.
#[derive(Debug)]
pub struct Handle<M> {
    actor_status: watch::Receiver<ActorStatus<M>>,
    waiting: Arc<AtomicUsize>,
    places: Arc<Semaphore>,
}

/// A message's place in a mailbox; dropped once the message has left it.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

/// Counts a call for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self {
            actor_status: self.actor_status.clone(),
            waiting: Arc::clone(&self.waiting),
            places: Arc::clone(&self.places),
        }
    }
}

/// Why a call did not come back with an answer.
#[derive(Debug, Clone)]
pub enum CallError {
    /// The actor failed before it answered.
    Unanswered,
    /// The actor is gone for good.
    Stopped(StopReason),
}

impl<M: Message> Handle<M> {
    /// Makes a handle over what the supervisor tells of the actor.
    pub fn new(actor_status: watch::Receiver<ActorStatus<M>>) -> Self {
        Self {
            actor_status,
            waiting: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_CALLS)),
        }
    }

    /// Calls through this handle and its clones that are not answered yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits until the actor works.
    ///
    /// # Errors
    /// [`CallError::Stopped`] if it is gone for good.
    pub async fn live(&self) -> Result<ActorRef<M>, CallError> {
        let mut actor_status = self.actor_status.clone();
        let found = actor_status
            .wait_for(|actor_status| !matches!(actor_status, ActorStatus::Starting))
            .await;
        match found.as_deref() {
            Ok(ActorStatus::Live(actor)) => Ok(actor.clone()),
            Ok(ActorStatus::Stopped(reason)) => Err(CallError::Stopped(reason.clone())),
            Ok(ActorStatus::Starting) | Err(_) => Err(CallError::Stopped(StopReason::new(
                "the supervisor is gone",
            ))),
        }
    }

    /// Sends a message and waits for its answer. While [`MAX_CALLS`] wait for
    /// theirs, it waits to be sent.
    ///
    /// # Errors
    /// [`CallError::Unanswered`] if the actor failed meanwhile: the message
    /// may or may not have been handled.
    pub async fn call<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, CallError> {
        let mut kept = None;
        self.call_from(|reply, place| {
            kept = Some(place);
            message(reply)
        })
        .await
    }

    /// As [`call`](Self::call), but the message takes its place in the mailbox along: an actor that
    /// puts it aside gives the place to another.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_from<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>, Option<Place>) -> M,
    ) -> Result<T, CallError> {
        let _waiting = Waiting::new(&self.waiting);
        // An error would say that it was closed, which it never is.
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .ok()
            .map(Place);
        let actor = self.live().await?;
        let (sender, receiver) = ractor::concurrency::oneshot();
        if actor.send_message(message(sender.into(), place)).is_err() {
            self.wait_for_news(&actor).await;
            return Err(CallError::Unanswered);
        }
        if let Ok(answer) = receiver.await {
            return Ok(answer);
        }
        self.wait_for_news(&actor).await;
        Err(CallError::Unanswered)
    }

    /// Waits until the supervisor has noticed that `dead` works no longer, so
    /// that a caller that tries again does not meet it once more.
    async fn wait_for_news(&self, dead: &ActorRef<M>) {
        let mut actor_status = self.actor_status.clone();
        let _ = actor_status
            .wait_for(|p| !matches!(p, ActorStatus::Live(actor) if actor.get_id() == dead.get_id()))
            .await;
    }
}

/// A timer of an actor; it ends with the actor, however that ends.
#[derive(Debug)]
pub struct Ticking(tokio::task::JoinHandle<()>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends an actor a message again and again, for as long as the timer is
/// held.
pub fn tick<M: Message>(
    actor: &ActorRef<M>,
    every: std::time::Duration,
    message: impl Fn() -> M + Send + 'static,
) -> Ticking {
    Ticking(actor.send_interval(every, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ractor::{Actor, ActorProcessingErr};
    use tokio::sync::mpsc;

    /// Counts what arrives and answers nothing before it is told to.
    struct Silent;

    type Question = RpcReplyPort<()>;

    impl Actor for Silent {
        type Msg = Question;
        type State = (Vec<Question>, mpsc::UnboundedSender<usize>);
        type Arguments = mpsc::UnboundedSender<usize>;

        async fn pre_start(
            &self,
            _: ActorRef<Question>,
            arrived: Self::Arguments,
        ) -> Result<Self::State, ActorProcessingErr> {
            Ok((Vec::new(), arrived))
        }

        async fn handle(
            &self,
            _: ActorRef<Question>,
            question: Question,
            (asked, arrived): &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            asked.push(question);
            arrived.send(asked.len())?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn no_more_calls_are_on_their_way_than_the_mailbox_has_places() {
        let (tell, mut arrived) = mpsc::unbounded_channel();
        let (actor, ended) = Actor::spawn(None, Silent, tell).await.unwrap();
        let (actor_status, looked_at) = watch::channel(ActorStatus::Live(actor.clone()));
        let handle = Handle::new(looked_at);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..MAX_CALLS + 100 {
            let handle = handle.clone();
            calls.spawn(async move { handle.call(|reply: Question| reply).await });
        }
        while arrived.recv().await != Some(MAX_CALLS) {}
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(arrived.try_recv().is_err(), "the others wait outside");
        assert_eq!(handle.waiting(), MAX_CALLS + 100);
        // Nobody waits for ever once the actor is gone.
        actor_status.send_replace(ActorStatus::Stopped(StopReason::new("it was stopped")));
        actor.stop(None);
        ended.await.unwrap();
        let outcomes = calls.join_all().await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(handle.waiting(), 0);
    }
}
