//! The queue of requests for the engine thread.

use std::collections::VecDeque;
use std::sync::Arc;

use super::admission::{Admission, Permit};
use super::command::{CacheCommand, CommandId, QueuedCommand};
use super::inbox::Inbox;
use super::signal::Signals;
use super::stream::RunningStreams;
use crate::error::EngineError;
use crate::scheduler::{AdmissionQueue, Outcome, Recovered, Task};
use crate::sync::{Mutex, lock};

/// Maximum number of cache commands that wait for the engine thread.
const MAX_COMMANDS: usize = 1024;

/// Admission, and the work that waits for the engine thread.
///
/// It outlives the engine thread, so waiting requests survive a restart.
#[derive(Debug)]
pub struct RequestQueue {
    admission: Admission,
    inbox: Inbox<Waiting>,
    /// Generations that hold a slot.
    streams: Arc<RunningStreams>,
    signals: Arc<Signals>,
    /// Why new requests are refused.
    refused: Mutex<Option<Arc<str>>>,
}

/// The work that waits for the engine thread.
#[derive(Debug, Default)]
struct Waiting {
    /// New generations that the thread has not collected yet.
    arrivals: VecDeque<Task>,
    /// Generations that wait for a slot.
    queue: AdmissionQueue,
    commands: VecDeque<QueuedCommand>,
    /// Generations that wait for another engine.
    recovered: Vec<Recovered>,
    /// The next deadline that [`RequestQueue::retire`] knows of.
    known_deadline: Option<f64>,
}

impl Waiting {
    fn next_deadline(&self) -> Option<f64> {
        let arrivals = self.arrivals.iter().filter_map(Task::deadline);
        let recovered = self.recovered.iter().filter_map(Recovered::deadline);
        let queued = self.queue.next_deadline();
        arrivals
            .chain(recovered)
            .chain(queued)
            .min_by(f64::total_cmp)
    }
}

impl RequestQueue {
    /// Creates a request queue for `limit` generations, running and waiting together.
    pub fn new(limit: usize) -> Self {
        Self {
            admission: Admission::new(limit),
            inbox: Inbox::default(),
            streams: Arc::default(),
            signals: Arc::default(),
            refused: Mutex::default(),
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

    /// Waits for the right to submit a generation later.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once closed.
    pub async fn reserve(&self) -> Result<Permit, EngineError> {
        self.check_open()?;
        let reserved = self.admission.reserve().await;
        // If the queue was closed meanwhile, the permit of an ended generation may have been free.
        self.check_open()?;
        reserved.ok_or_else(|| stopped("no generation is admitted any more"))
    }

    /// Turns a [reserved](Self::reserve) permit into the permit of a generation.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn redeem(&self, reserved: Permit) -> Result<Permit, EngineError> {
        self.check_open()?;
        self.admission.redeem(reserved)
    }

    /// Submits a generation whose sink holds a [`Permit`].
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn submit(&self, task: Task) -> Result<(), EngineError> {
        let put = match self.check_open() {
            Err(error) => Err((task, error)),
            Ok(()) => self
                .inbox
                .put(task, |waiting, task| {
                    let known = waiting.known_deadline.unwrap_or(f64::INFINITY);
                    let is_next = task.deadline().is_some_and(|deadline| deadline < known);
                    waiting.arrivals.push_back(task);
                    is_next
                })
                .map_err(|(task, reason)| (task, stopped(&reason))),
        };
        match put {
            Ok(is_next) => {
                self.signals.engine.raise();
                if is_next {
                    self.signals.overdue.raise();
                }
                Ok(())
            }
            Err((mut task, error)) => {
                task.sink.finish(Outcome::Failed(error.clone()));
                Err(error)
            }
        }
    }

    /// Sends a cache command to the engine thread.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), with the bound of cache commands.
    pub fn command(&self, command: CacheCommand) -> Result<CommandId, EngineError> {
        self.check_open()?;
        let (queued, id) = QueuedCommand::new(command);
        let put = self.inbox.put(queued, |waiting, queued| {
            let has_room = waiting.commands.len() < MAX_COMMANDS;
            if has_room {
                waiting.commands.push_back(queued);
            }
            has_room
        });
        match put {
            Ok(true) => {
                self.signals.engine.raise();
                Ok(id)
            }
            Ok(false) => Err(EngineError::Overloaded {
                limit: MAX_COMMANDS,
            }),
            Err((_, reason)) => Err(stopped(&reason)),
        }
    }

    /// Keeps generations of a failed engine for the next one.
    pub(crate) fn keep(&self, recovered: Vec<Recovered>) {
        let put = self.inbox.put(recovered, |waiting, recovered| {
            waiting.recovered.extend(recovered);
        });
        match put {
            Ok(()) => self.signals.overdue.raise(),
            Err((recovered, reason)) => {
                for recovered in recovered {
                    recovered.end(Outcome::Failed(stopped(&reason)));
                }
            }
        }
    }

    /// Takes the generations passed to [`keep`](Self::keep).
    pub(super) fn take_recovered(&self) -> Vec<Recovered> {
        self.inbox
            .with(|waiting| std::mem::take(&mut waiting.recovered))
    }

    /// The streams of the generations that hold a slot.
    pub(crate) fn streams(&self) -> &Arc<RunningStreams> {
        &self.streams
    }

    /// Ends the running generations of an abandoned engine, except those kept for the next one.
    pub(crate) fn cut(&self) {
        let kept: Vec<_> = self
            .inbox
            .with(|waiting| waiting.recovered.iter().map(Recovered::id).collect());
        let outcome = Outcome::Failed(EngineError::EngineRestarted);
        self.streams.end(|id| !kept.contains(&id), &outcome);
    }

    /// Ends the generations still running on an engine that did not stop.
    pub(crate) fn end_running(&self, reason: &str) {
        let outcome = Outcome::Failed(stopped(reason));
        self.streams.end(|_| true, &outcome);
    }

    /// Refuses all further requests.
    pub fn refuse(&self, reason: &str) {
        lock(&self.refused).get_or_insert_with(|| reason.into());
    }

    /// Waits until no generation runs or waits.
    pub async fn drained(&self) {
        self.admission.drained().await;
    }

    /// Ends every waiting request and refuses all further ones.
    pub fn close(&self, reason: &str) {
        self.refuse(reason);
        // Dropping a command notifies its caller.
        let mut waiting = self.inbox.close(reason);
        let outcome = Outcome::Failed(stopped(reason));
        for task in waiting.arrivals.drain(..) {
            waiting.queue.push(task);
        }
        waiting.queue.drain(&outcome);
        for recovered in waiting.recovered {
            recovered.end(outcome.clone());
        }
    }

    /// Number of generations that wait for a slot or for another engine.
    pub fn waiting(&self) -> usize {
        self.inbox
            .with(|waiting| waiting.arrivals.len() + waiting.queue.len() + waiting.recovered.len())
    }

    /// Number of generations and cache commands that the engine thread has not received yet.
    pub fn arrived(&self) -> usize {
        self.inbox
            .with(|waiting| waiting.arrivals.len() + waiting.commands.len())
    }

    /// Ends waiting requests whose caller is gone or whose time has run out at `now`, even while
    /// there is no engine. Returns the next deadline, in seconds of the same clock.
    /// [`Signals::overdue`] reports when the deadline changes or a caller leaves.
    pub fn retire(&self, now: f64) -> Option<f64> {
        self.inbox.with(|waiting| {
            waiting.arrivals.retain_mut(|task| !task.retire(now));
            waiting.queue.retire(now);
            for recovered in std::mem::take(&mut waiting.recovered) {
                waiting.recovered.extend(recovered.retire(now));
            }
            waiting.known_deadline = waiting.next_deadline();
            waiting.known_deadline
        })
    }

    /// The signals for changes to generations.
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// Moves new generations into the queue. Changes made before a generation was submitted are
    /// visible after this call.
    pub(super) fn collect(&self) {
        self.inbox.with(|waiting| {
            for task in waiting.arrivals.drain(..) {
                waiting.queue.push(task);
            }
        });
    }

    /// Takes the next cache command.
    pub(super) fn next_command(&self) -> Option<QueuedCommand> {
        self.inbox.with(|waiting| waiting.commands.pop_front())
    }

    /// Takes the generation whose turn it is from the collected ones.
    pub(super) fn next_task(&self) -> Option<Task> {
        self.inbox.with(|waiting| waiting.queue.pop())
    }

    /// Puts a generation that found no slot back into the queue.
    pub(super) fn put_back(&self, task: Task) {
        let put = self
            .inbox
            .put(task, |waiting, task| waiting.queue.push(task));
        if let Err((mut task, reason)) = put {
            task.sink.finish(Outcome::Failed(stopped(&reason)));
        }
    }

    /// Number of collected generations that wait for a slot.
    pub(super) fn queued(&self) -> usize {
        self.inbox.with(|waiting| waiting.queue.len())
    }

    fn check_open(&self) -> Result<(), EngineError> {
        match lock(&self.refused).as_deref() {
            None => Ok(()),
            Some(reason) => Err(stopped(reason)),
        }
    }
}

fn stopped(reason: &str) -> EngineError {
    EngineError::Stopped {
        reason: reason.to_owned(),
    }
}
