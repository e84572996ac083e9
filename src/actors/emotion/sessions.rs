//! The emotional states of all sessions, and the thread that writes them down.
//!
//! They outlive the emotion actor, which alone changes them: a restart keeps
//! every state, and what waits to be written.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use super::table::{Ack, Keeping, Table};
use crate::bus::EventBus;
use crate::event::Event;
use crate::inference::{Conversation, SessionId};
use crate::settings::{Durability, StoreSettings};
use crate::store::{SessionChange, StateStore, StoreError, StoredSession};
use crate::telemetry;

/// Changes that may wait to be written; more wait to be made.
pub(super) const MAX_WAITING: usize = 65_536;

/// Waiting changes that are written before their time.
const MANY_WAITING: usize = MAX_WAITING / 8;

/// Waits between attempts to write, from the first to the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Longest time that anybody waits for the store's answer.
const MAX_PATIENCE: Duration = Duration::from_secs(30);

/// Most that read from the store at once.
const MAX_READERS: usize = 32;

/// How often a store that nothing is written to is looked at.
const VERIFY_EVERY: Duration = Duration::from_secs(1);

/// Sessions of a refused batch that are tried alone before the store itself is
/// to blame.
const TRIED_ALONE: usize = 8;

/// How often a closing runtime looks whether the writer has ended.
const JOIN_POLL: Duration = Duration::from_millis(2);

/// The emotional states of all sessions.
#[derive(Debug)]
pub struct Sessions {
    shared: Arc<Shared>,
    limit: usize,
    /// Places for those who read from the store.
    readers: Arc<Semaphore>,
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
    /// What was not written at the end, though it was acknowledged.
    lost: Mutex<Option<StoreError>>,
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
            lost: Mutex::default(),
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
            readers: Arc::new(Semaphore::new(MAX_READERS)),
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

    /// Longest time that a caller waits for an answer, if there is a store that
    /// may hang.
    pub fn patience(&self) -> Option<Duration> {
        (self.keeping() != Keeping::Memory).then_some(MAX_PATIENCE)
    }

    pub(super) fn keeping(&self) -> Keeping {
        self.shared.keeping
    }

    /// Reads a session from the store, if there is one and it has it.
    ///
    /// # Errors
    /// What the store says; [`StoreError::Slow`] if it does not answer.
    pub(super) async fn load(
        &self,
        session: SessionId,
    ) -> Result<Option<StoredSession>, StoreError> {
        let loaded = self.ask(move |store| store.load(&session)).await?;
        Ok(loaded.flatten())
    }

    /// Reads a conversation from the store, if there is one and it has it.
    ///
    /// # Errors
    /// As for a session: what the store says, or that it does not answer.
    pub async fn conversation(
        &self,
        session: SessionId,
    ) -> Result<Option<Conversation>, StoreError> {
        let kept = self.ask(move |store| store.conversation(&session)).await?;
        Ok(kept.flatten())
    }

    /// Writes a conversation to the store, or removes it; `false` if there is no store.
    ///
    /// # Errors
    /// What the store says; with [`StoreError::Slow`] it may be written later.
    pub async fn keep_conversation(
        &self,
        session: SessionId,
        conversation: Option<Conversation>,
    ) -> Result<bool, StoreError> {
        let keep =
            move |store: &dyn StateStore| store.keep_conversation(&session, conversation.as_ref());
        Ok(self.ask(keep).await?.is_some())
    }

    /// Names the sessions of the store; without one, none.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) async fn stored_names(&self) -> Result<Vec<SessionId>, StoreError> {
        let names = self.ask(|store| store.sessions()).await?;
        Ok(names.unwrap_or_default())
    }

    /// Asks the store away from the threads that serve events; a few at a time,
    /// so that one that hangs does not take all threads.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn StateStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(store) = wait(self.shared.store.lock()).clone() else {
            return Ok(None);
        };
        let readers = Arc::clone(&self.readers);
        let asked = async move {
            // It is never closed.
            let reader = readers.acquire_owned().await;
            let work = move || {
                let _reader = reader;
                work(store.as_ref())
            };
            tokio::task::spawn_blocking(work).await
        };
        match tokio::time::timeout(MAX_PATIENCE, asked).await {
            Ok(Ok(result)) => result.map(Some),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(slow()),
        }
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

    /// Has the writer write what waits now, and waits for it; what comes later
    /// is not waited for.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the store fails; it is tried again.
    /// [`StoreError::Slow`] if it does not answer.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let goal = self.lock().goal();
        let flushed = self.settled(goal);
        let flushed = tokio::time::timeout(MAX_PATIENCE, flushed).await;
        flushed.unwrap_or_else(|_| Err(slow()))
    }

    async fn settled(&self, goal: u64) -> Result<(), StoreError> {
        loop {
            let notified = self.shared.progress.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let mut table = self.lock();
                let waiting = table.unwritten();
                if waiting == 0 || table.settled() >= goal {
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

    /// Has the writer write what waits, and waits at most `limit` for it. Who
    /// still waits then is told so.
    ///
    /// # Errors
    /// [`StoreError::Lost`] if acknowledged changes were not written.
    pub async fn close(&self, limit: Duration) -> Result<(), StoreError> {
        self.end_writing(limit).await;
        match wait(self.shared.lost.lock()).clone() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    async fn end_writing(&self, limit: Duration) {
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
                let mut table = self.lock();
                let (acks, changes) = (table.take_acks(), table.unwritten());
                drop(table);
                // Those of a synchronous store are told one by one.
                if self.keeping() == Keeping::Relaxed && changes > 0 {
                    let reason = slow_after(limit).to_string();
                    *wait(self.shared.lost.lock()) = Some(StoreError::Lost { changes, reason });
                }
                for ack in acks {
                    ack(Err(slow_after(limit)));
                }
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

    /// Writes what waits until the runtime closes, whatever breaks on the way.
    fn write_on(&self, store: &dyn StateStore) {
        let mut pause = RETRY.0;
        loop {
            let work = AssertUnwindSafe(|| self.write_next(store, &mut pause));
            match std::panic::catch_unwind(work) {
                Ok(true) => {}
                Ok(false) => return,
                Err(panic) => {
                    let error = failed(panicked(panic.as_ref()));
                    tracing::error!(%error, "the writer of the store failed and goes on");
                    let acks = self.lock().take_back_flights();
                    refuse(acks, &error);
                    self.progress.notify_waiters();
                }
            }
        }
    }

    /// Waits for something to write and writes it; `false` if nothing will
    /// come any more.
    fn write_next(&self, store: &dyn StateStore, pause: &mut Duration) -> bool {
        let mut table = self.lock();
        table.idle = true;
        while table.waiting() == 0 && !table.closing {
            let (woken, late) = wait(self.work.wait_timeout(table, VERIFY_EVERY));
            table = woken;
            if late.timed_out() {
                drop(table);
                self.verify(store);
                table = self.lock();
            }
        }
        table.idle = false;
        if table.waiting() == 0 {
            return false;
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
        let changes = table.take();
        drop(table);
        match self.write(store, changes) {
            None => {
                *pause = RETRY.0;
                self.works();
            }
            Some(left) if self.keeping == Keeping::Sync => self.refuse(left),
            Some(left) => self.try_again(left, pause),
        }
        let mut table = self.lock();
        table.hurried &= table.waiting() > 0;
        self.progress.notify_waiters();
        true
    }

    /// Writes a batch; if a session may be to blame that it fails, each one by
    /// itself. Returns what was not written.
    fn write(&self, store: &dyn StateStore, changes: Vec<SessionChange>) -> Option<Left> {
        let start = Instant::now();
        let Err(mut error) = commit(store, &changes) else {
            self.landed(changes, start);
            return None;
        };
        telemetry::store_failed(&error);
        // What does not fit together may fit one by one.
        let mut general = error.is_general() && !matches!(error, StoreError::Full { .. });
        if general || changes.len() == 1 {
            return Some(Left {
                changes,
                error,
                general,
            });
        }
        let mut left = Vec::new();
        let mut written = 0;
        for change in changes {
            if general {
                left.push(change);
                continue;
            }
            let start = Instant::now();
            match commit(store, std::slice::from_ref(&change)) {
                Ok(()) => {
                    written += 1;
                    self.landed(vec![change], start);
                }
                Err(alone) => {
                    left.push(change);
                    let tried = written == 0 && left.len() >= TRIED_ALONE;
                    general = tried || alone.is_general();
                    error = alone;
                }
            }
        }
        (!left.is_empty()).then_some(Left {
            changes: left,
            error,
            general: general || written == 0,
        })
    }

    fn landed(&self, changes: Vec<SessionChange>, start: Instant) {
        telemetry::store_written(&changes, start.elapsed());
        let mut table = self.lock();
        let landed = changes.into_iter().map(|change| table.landed(change));
        let acks: Vec<_> = landed.collect();
        drop(table);
        for ack in acks.into_iter().flatten() {
            ack(Ok(()));
        }
    }

    /// Looks whether what is written would be found again.
    fn verify(&self, store: &dyn StateStore) {
        let work = AssertUnwindSafe(|| store.verify());
        let verified = std::panic::catch_unwind(work)
            .unwrap_or_else(|panic| Err(failed(panicked(panic.as_ref()))));
        match verified {
            Ok(()) if self.lock().verifiable => self.works(),
            Ok(()) => {}
            Err(error) => self.fails(&error, true),
        }
    }

    fn works(&self) {
        let mut table = self.lock();
        table.verifiable = false;
        let failed = table.failing.take();
        drop(table);
        if failed.is_some() {
            tracing::info!("the store works again");
            self.bus.publish(Event::StoreRecovered);
        }
    }

    fn fails(&self, error: &StoreError, verifiable: bool) {
        let mut table = self.lock();
        table.verifiable = verifiable;
        let before = table.failing.replace(error.to_string());
        drop(table);
        if before.is_none() {
            tracing::error!(%error, "the store fails");
            let reason = error.to_string();
            self.bus.publish(Event::StoreFailing { reason });
        }
    }

    /// Has what was not written wait again, and pauses.
    fn try_again(&self, left: Left, pause: &mut Duration) {
        let mut table = self.lock();
        for change in left.changes {
            table.put_back(change);
        }
        if table.closing {
            let changes = table.unwritten();
            tracing::error!(error = %left.error, changes, "the last changes were not written");
            let acks = table.take_all_back();
            drop(table);
            let reason = left.error.to_string();
            *wait(self.lost.lock()) = Some(StoreError::Lost { changes, reason });
            return refuse(acks, &left.error);
        }
        drop(table);
        self.fails(&left.error, false);
        self.progress.notify_waiters();
        // Some sessions alone do not keep the others waiting.
        let longest = if left.general { *pause } else { RETRY.0 };
        let start = Instant::now();
        let mut table = self.lock();
        while !table.closing
            && let Some(rest) = longest.checked_sub(start.elapsed())
        {
            table = wait(self.work.wait_timeout(table, rest)).0;
        }
        if left.general {
            *pause = (*pause * 2).min(RETRY.1);
        }
    }

    /// Takes back what was not written; if the store itself fails, what waits
    /// behind it too.
    fn refuse(&self, left: Left) {
        let Left {
            changes,
            error,
            general,
        } = left;
        let sessions = changes.len();
        tracing::error!(%error, sessions, "changes were refused, because the store fails");
        self.fails(&error, false);
        let acks = if general {
            self.lock().take_all_back()
        } else {
            let mut table = self.lock();
            let refused = changes
                .iter()
                .map(|change| table.take_back(&change.session));
            refused.flatten().collect()
        };
        refuse(acks, &error);
    }
}

/// What of a batch was not written.
struct Left {
    changes: Vec<SessionChange>,
    error: StoreError,
    /// Whether every other session would fail too.
    general: bool,
}

fn refuse(acks: Vec<Ack>, error: &StoreError) {
    for ack in acks {
        ack(Err(error.clone()));
    }
}

/// A store of one's own may panic.
fn commit(store: &dyn StateStore, changes: &[SessionChange]) -> Result<(), StoreError> {
    let work = AssertUnwindSafe(|| store.commit(changes));
    std::panic::catch_unwind(work).unwrap_or_else(|panic| Err(failed(panicked(panic.as_ref()))))
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_default())
}

fn failed(reason: String) -> StoreError {
    StoreError::Failed {
        file: "of the runtime".to_owned(),
        reason,
    }
}

/// The store has not answered in time.
fn slow() -> StoreError {
    slow_after(MAX_PATIENCE)
}

fn slow_after(limit: Duration) -> StoreError {
    StoreError::Slow {
        seconds: limit.as_secs(),
    }
}

fn wait<T>(outcome: Result<T, PoisonError<T>>) -> T {
    outcome.unwrap_or_else(PoisonError::into_inner)
}
