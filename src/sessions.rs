//! The emotional states of all sessions.
//!
//! Each session has a [cell](cell): one lock over its state. A call goes straight from the handle
//! of the session to its cell, without a mailbox, and waits only while the session is loaded from
//! the store or while there is no room. The calls of a session keep their order; calls of other
//! sessions proceed meanwhile. The [cache](cache) bounds how many sessions are in memory. The
//! [writer](writer) is a thread that writes changes to the store: soon afterwards (`relaxed`), or
//! before they take effect (`sync`).
//!
//! A running generation follows the state of its session through a watch channel, which the engine
//! reads at token boundaries, so an acknowledged event is visible to every generation that starts
//! after it.
//!
//! The emotion actor evicts idle sessions and reports silences. The sessions outlive it.

mod acting;
mod admission;
mod cache;
mod calls;
mod cell;
mod change;
mod crash;
mod idle;
mod loading;
mod mood;
mod places;
mod reader;
mod writer;

pub(crate) use idle::Activity;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use self::cache::Cache;
use self::crash::{Crashes, caught};
use self::idle::IdleTimers;
use self::reader::{Reader, failed, slow_after};
use self::writer::{WriteQueue, Writer};
use crate::bus::EventBus;
use crate::clock::Clock;
use crate::emotion::{EmotionConfig, SamplingBase};
use crate::error::{Error, StopReason};
use crate::fault_injection::Probe;
use crate::inference::{Conversation, SessionId};
use crate::settings::Settings;
use crate::store::{Durability, StateStore, StoreError};
use crate::telemetry;

/// Number of sweeps for idle sessions within the idle time.
const SWEEPS_PER_BOUND: u32 = 8;

/// The emotional states of all sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    cache: Arc<Cache>,
    timers: IdleTimers,
    reader: Reader,
    queue: Arc<WriteQueue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    crashes: Crashes,
    /// When a change is acknowledged; `None` without a store: at once.
    durability: Option<Durability>,
    /// Time without use after which a session is evicted.
    idle_timeout: Duration,
    config: Arc<EmotionConfig>,
    sampling: SamplingBase,
    clock: Arc<dyn Clock>,
    bus: EventBus,
    probe: Probe,
    /// Calls that are not answered yet.
    calls: AtomicUsize,
}

/// The arguments of [`Sessions::new`].
pub(crate) struct SessionParts<'a> {
    pub settings: &'a Settings,
    pub store: Option<Arc<dyn StateStore>>,
    pub clock: Arc<dyn Clock>,
    pub bus: EventBus,
    /// Why the runtime has stopped; `None` while it runs.
    pub stopped: watch::Receiver<Option<StopReason>>,
    pub probe: Probe,
}

impl Sessions {
    /// Creates the sessions, none of which is in memory yet, and starts the writer thread if there
    /// is a store.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the thread cannot be started.
    pub(crate) fn new(parts: SessionParts<'_>) -> Result<Self, StoreError> {
        let SessionParts {
            settings,
            store,
            clock,
            bus,
            stopped,
            probe,
        } = parts;
        let durability = store.is_some().then_some(settings.store.durability);
        let queue = Arc::new(WriteQueue::new());
        let writer = if let Some(store) = &store {
            let (queue, store) = (Arc::clone(&queue), Arc::clone(store));
            let writer = Writer::new(queue, store, &settings.store, bus.clone());
            let spawned = std::thread::Builder::new()
                .name("elpis-store".to_owned())
                .spawn(move || writer.run());
            Some(spawned.map_err(|error| failed(error.to_string()))?)
        } else {
            queue.end();
            None
        };
        Ok(Self {
            cache: Arc::new(Cache::new(settings.runtime.max_sessions)),
            timers: IdleTimers::default(),
            reader: Reader::new(store),
            queue,
            writer: Mutex::new(writer),
            crashes: Crashes::new(stopped),
            durability,
            idle_timeout: settings.store.idle_timeout,
            config: Arc::new(settings.emotion.clone()),
            sampling: SamplingBase {
                temperature: settings.model.temperature,
                top_p: settings.model.top_p,
            },
            clock,
            bus,
            probe,
            calls: AtomicUsize::new(0),
        })
    }

    /// Calls that are not answered yet.
    pub(crate) fn waiting(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Lists the sessions, in memory and in the store, in no particular order.
    ///
    /// # Errors
    /// [`Error::Store`], or [`Error::Stopped`].
    pub(crate) async fn list(&self) -> Result<Vec<SessionId>, Error> {
        loop {
            self.crashes.check()?;
            let listed = async {
                self.probe.at("emotion", "list");
                self.crashes.unless_stopped(self.names()).await
            };
            match caught(listed).await {
                Ok(names) => return names,
                Err(panic) => self.crashes.tell(panic),
            }
            self.crashes.recovery().await?;
        }
    }

    async fn names(&self) -> Result<Vec<SessionId>, Error> {
        let stored = self.reader.names().await?;
        let (mut names, mut leaving) = (Vec::new(), HashSet::new());
        self.cache.each(|session, state| {
            if state.resident.is_some() {
                names.push(session.clone());
            } else if state.is_leaving() {
                leaving.insert(session.clone());
            }
        });
        let here: HashSet<_> = names.iter().cloned().collect();
        let asleep = stored
            .into_iter()
            .filter(|name| !here.contains(name) && !leaving.contains(name));
        names.extend(asleep);
        Ok(names)
    }

    /// Reads a conversation from the store; `None` if there is no store or it has no such
    /// conversation.
    ///
    /// # Errors
    /// The store's error, or [`StoreError::Slow`] if it does not answer.
    pub(crate) async fn conversation(
        &self,
        session: SessionId,
    ) -> Result<Option<Conversation>, StoreError> {
        self.reader.conversation(session).await
    }

    /// Writes a conversation to the store or removes it. Returns `false` if there is no store.
    ///
    /// # Errors
    /// The store's error. After [`StoreError::Slow`] the write may still happen.
    pub(crate) async fn keep_conversation(
        &self,
        session: SessionId,
        conversation: Option<Conversation>,
    ) -> Result<bool, StoreError> {
        self.reader.keep_conversation(session, conversation).await
    }

    /// Waits until every change acknowledged so far is in the store.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the store fails; the write is retried. [`StoreError::Slow`] if it
    /// does not answer.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.queue.flush().await
    }

    /// Refuses further changes and tells the writer to write the waiting ones and end. Does not
    /// wait for it.
    pub(crate) fn begin_closing(&self) {
        self.queue.begin_closing();
    }

    /// Tells the writer to write the waiting changes, and waits for it for at most `limit`. Calls
    /// that still wait then get an error.
    ///
    /// # Errors
    /// [`StoreError::Lost`] if acknowledged changes were not written.
    pub(crate) async fn close(&self, limit: Duration) -> Result<(), StoreError> {
        self.queue.begin_closing();
        self.reader.close();
        if self.queue.wait_for_end(limit).await {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(ended) = writer.take() {
                // The writer has done all its work. A panic has been reported before.
                let _ = ended.join();
            }
        } else {
            self.give_up(limit);
        }
        self.queue.lost().map_or(Ok(()), Err)
    }

    /// Abandons a writer that does not end in time.
    fn give_up(&self, limit: Duration) {
        tracing::error!("the store did not take the last changes in time");
        let (acks, changes) = (self.queue.take_acks(), self.queue.unwritten());
        // With `sync`, each caller gets its own error instead.
        if self.durability == Some(Durability::Relaxed) && changes > 0 {
            self.queue.lose(changes, slow_after(limit).to_string());
        }
        for ack in acks {
            ack(Err(slow_after(limit)));
        }
    }
}

/// Periodic work that the emotion actor does.
impl Sessions {
    /// Time between two sweeps for idle sessions; `None` without a store, where sessions stay in
    /// memory.
    pub(crate) fn sweep_interval(&self) -> Option<Duration> {
        self.durability?;
        Some(self.idle_timeout / SWEEPS_PER_BOUND)
    }

    /// Evicts idle sessions.
    pub(crate) fn sweep(&self) {
        self.cache
            .sweep(self.clock.now(), self.idle_timeout.as_secs_f64());
        telemetry::sessions(self.resident());
    }

    /// Time between two checks for silent sessions; `None` if silence is not monitored.
    pub(crate) fn silence_interval(&self) -> Option<Duration> {
        let watched = self.config.behavioral_monitoring_enabled;
        watched.then(|| idle::tick_time(&self.config))
    }

    /// Wakes the calls that wait for the actor to work again.
    pub(crate) fn actor_works(&self) {
        self.crashes.works();
    }

    /// Waits until a call has panicked and returns the panic's message.
    pub(crate) fn next_crash(&self) -> impl Future<Output = String> + Send + 'static {
        self.crashes.next()
    }
}
