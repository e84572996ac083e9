//! The way in to the engine thread.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::stream_state::RunningStreams;
use crate::backend::ModelFacts;
use crate::clock::Clock;
use crate::error::EngineError;
use crate::inference::SessionId;
use crate::scheduler::{AdmissionQueue, Outcome, Recovered, Scheduler, Task};

/// Orders that may wait for the engine thread.
const ORDER_LIMIT: usize = 1024;

/// Work on the prefix cache, done between two steps.
#[derive(Debug)]
pub enum CacheCommand {
    /// Writes the latest cached sequence of a session down.
    Save(SessionId, oneshot::Sender<SaveResult>),
    /// Takes a written cached sequence back; answers with its tokens.
    Restore(SessionId, Vec<u8>, oneshot::Sender<RestoreResult>),
    /// Forgets what a session left behind.
    Forget(SessionId),
    /// Nothing; wakes an engine thread that sleeps.
    Wake,
}

type SaveResult = Result<Option<Vec<u8>>, EngineError>;
type RestoreResult = Result<usize, EngineError>;

impl CacheCommand {
    /// Does the work. Whoever asked may be gone: that is no error.
    fn carry_out(self, scheduler: &mut Scheduler) {
        match self {
            Self::Wake => {}
            Self::Save(session, reply) => drop(reply.send(scheduler.save(&session))),
            Self::Restore(session, bytes, reply) => {
                drop(reply.send(scheduler.restore(&session, &bytes)));
            }
            Self::Forget(session) => {
                if let Err(error) = scheduler.forget(&session) {
                    tracing::warn!(%session, %error, "its cache was not cleared");
                }
            }
        }
    }
}

/// Tells which engine thread has taken up an order.
#[derive(Debug, Clone, Default)]
pub struct CommandId(Arc<OnceLock<Arc<ModelFacts>>>);

impl CommandId {
    /// The model of the thread that has, if one has.
    pub fn taken_by(&self) -> Option<&Arc<ModelFacts>> {
        self.0.get()
    }
}

/// An order on its way.
#[derive(Debug)]
pub(super) struct Ordered {
    order: CacheCommand,
    ticket: CommandId,
}

impl Ordered {
    pub(super) fn carry_out(self, scheduler: &mut Scheduler) {
        let _ = self.ticket.0.set(Arc::clone(scheduler.facts()));
        self.order.carry_out(scheduler);
    }
}

/// The right to have one generation running or waiting; given back on drop.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// Admission, the channel that feeds the engine thread, and the generations
/// that wait for a slot.
///
/// It outlives the engine thread: after a restart, what waited still waits.
#[derive(Debug)]
pub struct RequestQueue {
    permits: Arc<Semaphore>,
    limit: usize,
    sender: Sender<Task>,
    receiver: Receiver<Task>,
    orders: (Sender<Ordered>, Receiver<Ordered>),
    queue: Mutex<AdmissionQueue>,
    /// Generations that wait for another engine.
    recovered: Mutex<Vec<Recovered>>,
    /// Generations that hold a slot.
    lines: Arc<RunningStreams>,
    /// Why nothing new is taken.
    refused: Mutex<Option<Arc<str>>>,
    /// Why nothing that waits is served any more.
    ended: Mutex<Option<Arc<str>>>,
}

impl RequestQueue {
    /// Makes a request queue for `limit` generations, running and waiting together.
    pub fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        // One place for each permit: a send never waits.
        let (sender, receiver) = crossbeam_channel::bounded(limit);
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            limit,
            sender,
            receiver,
            orders: crossbeam_channel::bounded(ORDER_LIMIT),
            queue: Mutex::default(),
            recovered: Mutex::default(),
            lines: Arc::default(),
            refused: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Asks for the right to submit a generation.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] if running and waiting generations have
    /// reached the bound; [`EngineError::Stopped`] once closed.
    pub fn admit(&self) -> Result<Permit, EngineError> {
        self.check_open()?;
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Ok(Permit { _permit: permit }),
            Err(_) => Err(EngineError::Overloaded { limit: self.limit }),
        }
    }

    /// Submits a generation whose sink holds a [`Permit`].
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn submit(&self, task: Task) -> Result<(), EngineError> {
        let refused = match self.check_open() {
            Err(error) => Some((task, error)),
            Ok(()) => self.sender.try_send(task).err().map(|full| {
                let error = EngineError::Overloaded { limit: self.limit };
                (full.into_inner(), error)
            }),
        };
        if let Some((mut task, error)) = refused {
            task.sink.finish(Outcome::Failed(error.clone()));
            return Err(error);
        }
        // Closed in between: nobody else may ever look at the task.
        let ended = lock(&self.ended).clone();
        if let Some(reason) = ended {
            self.close(&reason);
        }
        Ok(())
    }

    /// Sends an order to the engine thread.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), with the bound of orders.
    pub fn order(&self, order: CacheCommand) -> Result<CommandId, EngineError> {
        self.check_open()?;
        let ticket = CommandId::default();
        let ordered = Ordered {
            order,
            ticket: ticket.clone(),
        };
        self.orders
            .0
            .try_send(ordered)
            .map_err(|_| EngineError::Overloaded { limit: ORDER_LIMIT })?;
        if lock(&self.ended).is_some() {
            self.orders.1.try_iter().for_each(drop);
        }
        Ok(ticket)
    }

    /// Keeps generations of a broken engine for the next one.
    pub(super) fn keep(&self, recovered: Vec<Recovered>) {
        lock(&self.recovered).extend(recovered);
        let ended = lock(&self.ended).clone();
        if let Some(reason) = ended {
            self.close(&reason);
        }
    }

    /// Takes what [`keep`](Self::keep) got.
    pub(super) fn take_recovered(&self) -> Vec<Recovered> {
        std::mem::take(&mut *lock(&self.recovered))
    }

    /// The lines of the generations that hold a slot.
    pub(super) fn lines(&self) -> &Arc<RunningStreams> {
        &self.lines
    }

    /// Ends the running generations of an engine that is given up, but for
    /// those that are kept for the next one.
    pub(super) fn cut(&self) {
        let kept: Vec<_> = lock(&self.recovered).iter().map(Recovered::id).collect();
        let outcome = Outcome::Failed(EngineError::EngineRestarted);
        self.lines.end(|id| !kept.contains(&id), &outcome);
    }

    /// Ends what still runs on an engine that did not stop.
    pub(in crate::actors) fn end_running(&self, reason: &str) {
        let outcome = Outcome::Failed(EngineError::Stopped {
            reason: reason.to_owned(),
        });
        self.lines.end(|_| true, &outcome);
    }

    /// Refuses everything to come.
    pub fn refuse(&self, reason: &str) {
        lock(&self.refused).get_or_insert_with(|| reason.into());
    }

    /// Waits until nothing runs or waits any more.
    pub async fn drained(&self) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        // The semaphore is never closed; the permits go back at once.
        let _ = self.permits.acquire_many(all).await;
    }

    /// Ends everything that waits and refuses everything to come.
    pub fn close(&self, reason: &str) {
        self.refuse(reason);
        lock(&self.ended).get_or_insert_with(|| reason.into());
        let mut queue = self.queue();
        for task in self.receiver.try_iter() {
            queue.push(task);
        }
        // Who waits for an order hears that it was dropped.
        self.orders.1.try_iter().for_each(drop);
        let outcome = Outcome::Failed(EngineError::Stopped {
            reason: reason.to_owned(),
        });
        queue.drain(&outcome);
        for recovered in self.take_recovered() {
            recovered.end(outcome.clone());
        }
    }

    /// Generations that wait for a slot, or for another engine.
    pub fn waiting(&self) -> usize {
        self.receiver.len() + self.queue().len() + lock(&self.recovered).len()
    }

    /// Generations and orders that the engine thread has not taken in yet.
    pub fn arrived(&self) -> usize {
        self.receiver.len() + self.orders.1.len()
    }

    /// Ends what waits and whose caller is gone or whose time has run out,
    /// also while there is no engine.
    pub fn retire(&self, clock: &dyn Clock) {
        let mut queue = self.queue();
        let before = queue.len();
        for task in self.receiver.try_iter() {
            queue.push(task);
        }
        // An engine that sleeps waits for what was just taken away.
        if queue.len() > before && self.orders.0.is_empty() {
            let _ = self.orders.0.try_send(Ordered {
                order: CacheCommand::Wake,
                ticket: CommandId::default(),
            });
        }
        let mut recovered = lock(&self.recovered);
        if queue.is_empty() && recovered.is_empty() {
            return;
        }
        let now = clock.now();
        queue.retire(now);
        for waiting in std::mem::take(&mut *recovered) {
            recovered.extend(waiting.retire(now));
        }
    }

    /// Where submitted generations arrive.
    pub(super) fn receiver(&self) -> &Receiver<Task> {
        &self.receiver
    }

    /// Where orders arrive.
    pub(super) fn orders(&self) -> &Receiver<Ordered> {
        &self.orders.1
    }

    /// The generations that wait.
    pub(super) fn queue(&self) -> MutexGuard<'_, AdmissionQueue> {
        lock(&self.queue)
    }

    fn check_open(&self) -> Result<(), EngineError> {
        match lock(&self.refused).as_deref() {
            None => Ok(()),
            Some(reason) => Err(EngineError::Stopped {
                reason: reason.to_owned(),
            }),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
