//! The way in to the engine thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use super::admission::{Admission, Permit};
use super::command::{CacheCommand, CommandId, QueuedCommand};
use super::stream::RunningStreams;
use crate::clock::Clock;
use crate::error::EngineError;
use crate::scheduler::{AdmissionQueue, Outcome, Recovered, Task};

/// Cache commands that may wait for the engine thread.
const MAX_COMMANDS: usize = 1024;

/// Admission, the channel that feeds the engine thread, and the generations
/// that wait for a slot.
///
/// It outlives the engine thread: after a restart, what waited still waits.
#[derive(Debug)]
pub struct RequestQueue {
    admission: Admission,
    sender: Sender<Task>,
    receiver: Receiver<Task>,
    commands: (Sender<QueuedCommand>, Receiver<QueuedCommand>),
    queue: Mutex<AdmissionQueue>,
    /// Generations that wait for another engine.
    recovered: Mutex<Vec<Recovered>>,
    /// Generations that hold a slot.
    streams: Arc<RunningStreams>,
    /// Why nothing new is taken.
    refused: Mutex<Option<Arc<str>>>,
    /// Why nothing that waits is served any more.
    ended: Mutex<Option<Arc<str>>>,
}

impl RequestQueue {
    /// Makes a request queue for `limit` generations, running and waiting together.
    pub fn new(limit: usize) -> Self {
        let admission = Admission::new(limit);
        // One place for each permit: a send never waits.
        let (sender, receiver) = crossbeam_channel::bounded(admission.limit());
        Self {
            admission,
            sender,
            receiver,
            commands: crossbeam_channel::bounded(MAX_COMMANDS),
            queue: Mutex::default(),
            recovered: Mutex::default(),
            streams: Arc::default(),
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
        self.admission.admit()
    }

    /// Submits a generation whose sink holds a [`Permit`].
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn submit(&self, task: Task) -> Result<(), EngineError> {
        let refused = if let Err(error) = self.check_open() {
            Some((task, error))
        } else {
            let full = self.sender.try_send(task).err();
            full.map(|full| (full.into_inner(), self.admission.overloaded()))
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

    /// Sends a cache command to the engine thread.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), with the bound of cache commands.
    pub fn command(&self, command: CacheCommand) -> Result<CommandId, EngineError> {
        self.check_open()?;
        let (queued, id) = QueuedCommand::new(command);
        let limit = MAX_COMMANDS;
        let sent = self.commands.0.try_send(queued);
        sent.map_err(|_| EngineError::Overloaded { limit })?;
        if lock(&self.ended).is_some() {
            self.commands.1.try_iter().for_each(drop);
        }
        Ok(id)
    }

    /// Keeps generations of a broken engine for the next one.
    pub(crate) fn keep(&self, recovered: Vec<Recovered>) {
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

    /// The streams of the generations that hold a slot.
    pub(crate) fn streams(&self) -> &Arc<RunningStreams> {
        &self.streams
    }

    /// Ends the running generations of an engine that is given up, but for
    /// those that are kept for the next one.
    pub(crate) fn cut(&self) {
        let kept: Vec<_> = lock(&self.recovered).iter().map(Recovered::id).collect();
        let outcome = Outcome::Failed(EngineError::EngineRestarted);
        self.streams.end(|id| !kept.contains(&id), &outcome);
    }

    /// Ends what still runs on an engine that did not stop.
    pub(crate) fn end_running(&self, reason: &str) {
        let outcome = Outcome::Failed(EngineError::Stopped {
            reason: reason.to_owned(),
        });
        self.streams.end(|_| true, &outcome);
    }

    /// Refuses everything to come.
    pub fn refuse(&self, reason: &str) {
        lock(&self.refused).get_or_insert_with(|| reason.into());
    }

    /// Waits until nothing runs or waits any more.
    pub async fn drained(&self) {
        self.admission.drained().await;
    }

    /// Ends everything that waits and refuses everything to come.
    pub fn close(&self, reason: &str) {
        self.refuse(reason);
        lock(&self.ended).get_or_insert_with(|| reason.into());
        let mut queue = self.queue();
        for task in self.receiver.try_iter() {
            queue.push(task);
        }
        // Who waits for a command hears that it was dropped.
        self.commands.1.try_iter().for_each(drop);
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

    /// Generations and cache commands that the engine thread has not taken in yet.
    pub fn arrived(&self) -> usize {
        self.receiver.len() + self.commands.1.len()
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
        if queue.len() > before && self.commands.0.is_empty() {
            let (wake, _) = QueuedCommand::new(CacheCommand::Wake);
            let _ = self.commands.0.try_send(wake);
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

    /// Where cache commands arrive.
    pub(super) fn commands(&self) -> &Receiver<QueuedCommand> {
        &self.commands.1
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
