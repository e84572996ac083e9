//! The emotional states of all sessions, and the thread that writes them down.
//!
//! They outlive the emotion actor, which alone changes them: a restart keeps
//! every state, and what waits to be written.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::table::{Batch, Keeping, Table};
use crate::bus::EventBus;
use crate::event::Event;
use crate::settings::{Durability, StoreSettings};
use crate::store::{StateStore, StoreError};
use crate::telemetry;

/// Changes that may wait to be written; more wait to be made.
pub(super) const MOST_WAITING: usize = 65_536;

/// Waiting changes that are written before their time.
const MANY_WAITING: usize = MOST_WAITING / 8;

/// Waits between attempts to write, from the first to the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// How often a closing runtime looks whether the writer has ended.
const JOIN_POLL: Duration = Duration::from_millis(2);

/// The emotional states of all sessions.
#[derive(Debug)]
pub struct Sessions {
    shared: Arc<Shared>,
    limit: usize,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Given up when the runtime closes, so that others may open it.
    store: Mutex<Option<Arc<dyn StateStore>>>,
    keeping: Keeping,
    flush: Duration,
    bus: EventBus,
    /// Tells the writer that there is something to do.
    work: Condvar,
    /// Tells the actor that something was written, or failed.
    progress: Notify,
}

impl Sessions {
    /// Makes a table for at most `limit` sessions in memory, and starts the
    /// thread that writes them to the store, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the thread cannot be started.
    pub fn new(
        limit: usize,
        store: Option<Arc<dyn StateStore>>,
        settings: &StoreSettings,
        bus: EventBus,
    ) -> Result<Self, StoreError> {
        let keeping = match (&store, settings.durability) {
            (None, _) => Keeping::Memory,
            (Some(_), Durability::Relaxed) => Keeping::Relaxed,
            (Some(_), Durability::Sync) => Keeping::Sync,
        };
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            store: Mutex::new(store.clone()),
            keeping,
            flush: settings.flush_interval(),
            bus,
            work: Condvar::new(),
            progress: Notify::new(),
        });
        let writer = match store {
            None => None,
            Some(store) => {
                let shared = Arc::clone(&shared);
                let spawned = std::thread::Builder::new()
                    .name("elpis-store".to_owned())
                    .spawn(move || {
                        shared.write_on(store.as_ref());
                    });
                Some(spawned.map_err(|error| failed(error.to_string()))?)
            }
        };
        Ok(Self {
            shared,
            limit,
            writer: Mutex::new(writer),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.shared.lock()
    }

    /// Most sessions in memory.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn keeping(&self) -> Keeping {
        self.shared.keeping
    }

    pub(super) fn store(&self) -> Option<Arc<dyn StateStore>> {
        wait(self.shared.store.lock()).clone()
    }

    /// Tells the writer of new work; while it gathers, only of much.
    pub(super) fn changed(&self, table: &Table) {
        if table.idle || table.waiting() >= MANY_WAITING {
            self.shared.work.notify_one();
        }
    }

    /// Waits until something was written, or failed to be, if `still` holds.
    pub(super) async fn progress(&self, still: impl FnOnce(&Table) -> bool) {
        let notified = self.shared.progress.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if still(&self.lock()) {
            notified.await;
        }
    }

    /// Has the writer write what waits now, and waits for it.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the store fails; it is tried again.
    pub async fn flush(&self) -> Result<(), StoreError> {
        loop {
            let notified = self.shared.progress.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let mut table = self.lock();
                let waiting = table.unwritten();
                if waiting == 0 {
                    return Ok(());
                }
                if let Some(reason) = table.failing.clone() {
                    return Err(StoreError::Behind { waiting, reason });
                }
                table.hurried = true;
            }
            self.shared.work.notify_one();
            notified.await;
        }
    }

    /// Has the writer write what waits, and end; does not wait for it.
    pub fn begin_closing(&self) {
        self.lock().closing = true;
        self.shared.work.notify_one();
    }

    /// Has the writer write what waits, and waits at most `limit` for it.
    pub async fn close(&self, limit: Duration) {
        self.begin_closing();
        drop(wait(self.shared.store.lock()).take());
        let start = Instant::now();
        loop {
            let writer = {
                let mut writer = wait(self.writer.lock());
                match &*writer {
                    // There is none, or another call has waited for it.
                    None => return,
                    Some(running) if !running.is_finished() => None,
                    Some(_) => writer.take(),
                }
            };
            if let Some(ended) = writer {
                let _ = ended.join();
                return;
            }
            if start.elapsed() > limit {
                tracing::error!("the store did not take the last changes in time");
                return;
            }
            tokio::time::sleep(JOIN_POLL).await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change is a single insertion or swap, so a table whose holder
        // panicked is still whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits until the runtime closes.
    fn write_on(&self, store: &dyn StateStore) {
        let mut table = self.lock();
        loop {
            table.idle = true;
            while table.waiting() == 0 && !table.closing {
                table = wait(self.work.wait(table));
            }
            table.idle = false;
            if table.waiting() == 0 {
                return;
            }
            if self.keeping == Keeping::Relaxed {
                let start = Instant::now();
                while !table.closing && !table.hurried && table.waiting() < MANY_WAITING {
                    let Some(rest) = self.flush.checked_sub(start.elapsed()) else {
                        break;
                    };
                    table = wait(self.work.wait_timeout(table, rest)).0;
                }
            }
            let batch = table.take();
            drop(table);
            self.write(store, batch);
            table = self.lock();
            table.hurried &= table.waiting() > 0;
            self.progress.notify_waiters();
        }
    }

    /// Writes a batch: again and again until it is written, or, if its
    /// senders wait for it, until it has failed once.
    fn write(&self, store: &dyn StateStore, batch: Batch) {
        let mut pause = RETRY.0;
        loop {
            let start = Instant::now();
            let error = match commit(store, &batch) {
                Ok(()) => {
                    telemetry::store_written(&batch.changes, start.elapsed());
                    return self.written(batch);
                }
                Err(error) => error,
            };
            telemetry::store_failed(&error);
            if self.keeping == Keeping::Sync {
                return self.refuse(batch, &error);
            }
            let mut table = self.lock();
            if table.closing {
                let sessions = batch.changes.len();
                tracing::error!(%error, sessions, "the last changes were not written");
                drop(table.take_back(batch));
                return;
            }
            if table.failing.replace(error.to_string()).is_none() {
                tracing::error!(%error, "the store fails; it is tried again");
                let reason = error.to_string();
                self.bus.publish(Event::StoreFailing { reason });
            }
            self.progress.notify_waiters();
            let start = Instant::now();
            while !table.closing
                && let Some(rest) = pause.checked_sub(start.elapsed())
            {
                table = wait(self.work.wait_timeout(table, rest)).0;
            }
            drop(table);
            pause = (pause * 2).min(RETRY.1);
        }
    }

    fn written(&self, batch: Batch) {
        let mut table = self.lock();
        let recovered = table.failing.take().is_some();
        let acks = table.written(batch);
        drop(table);
        if recovered {
            tracing::info!("the store works again");
            self.bus.publish(Event::StoreRecovered);
        }
        for ack in acks {
            ack(Ok(()));
        }
    }

    fn refuse(&self, batch: Batch, error: &StoreError) {
        tracing::error!(%error, "changes were refused, because the store fails");
        let mut table = self.lock();
        let first = table.failing.replace(error.to_string()).is_none();
        let acks = table.take_back(batch);
        drop(table);
        if first {
            let reason = error.to_string();
            self.bus.publish(Event::StoreFailing { reason });
        }
        for ack in acks {
            ack(Err(error.clone()));
        }
    }
}

/// A store of one's own may panic.
fn commit(store: &dyn StateStore, batch: &Batch) -> Result<(), StoreError> {
    let work = AssertUnwindSafe(|| store.commit(&batch.changes));
    std::panic::catch_unwind(work).unwrap_or_else(|panic| Err(failed(panicked(panic.as_ref()))))
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_default())
}

pub(super) fn failed(reason: String) -> StoreError {
    StoreError::Failed {
        file: "of the runtime".to_owned(),
        reason,
    }
}

fn wait<T>(outcome: Result<T, PoisonError<T>>) -> T {
    outcome.unwrap_or_else(PoisonError::into_inner)
}
