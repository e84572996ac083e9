//! The thread that writes sessions to the store.
//!
//! It writes the gathered changes in one transaction. If a batch fails and a single session may be
//! the cause, its sessions are written one by one. Changes that the store refuses are retried
//! (`relaxed`), or rolled back with an error to their callers (`sync`).

mod queue;

pub(super) use queue::{Admission, WriteQueue};

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::Batch;

use super::cell::Ack;
use super::reader::failed;
use crate::bus::EventBus;
use crate::event::Event;
use crate::settings::StoreSettings;
use crate::store::{Durability, SessionChange, StateStore, StoreError};
use crate::telemetry;

/// Shortest and longest pause between attempts to write.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Interval at which an idle store is verified. Nothing reports that its file was replaced or that
/// its disk is gone.
const VERIFY_EVERY: Duration = Duration::from_secs(1);

/// Number of sessions of a refused batch that are tried alone before the store itself is blamed.
const TRIED_ALONE: usize = 8;

/// Writes the changes in the queue.
pub(super) struct Writer {
    queue: Arc<WriteQueue>,
    store: Arc<dyn StateStore>,
    durability: Durability,
    /// Longest time that changes wait to be batched with others.
    flush: Duration,
    bus: EventBus,
    /// Pause before the next attempt.
    pause: Duration,
}

/// The part of a batch that was not written.
struct Unwritten {
    batch: Batch,
    error: StoreError,
    /// Whether every other session would fail too.
    general: bool,
}

impl Writer {
    pub(super) fn new(
        queue: Arc<WriteQueue>,
        store: Arc<dyn StateStore>,
        settings: &StoreSettings,
        bus: EventBus,
    ) -> Self {
        Self {
            queue,
            store,
            durability: settings.durability,
            flush: settings.flush_interval,
            bus,
            pause: RETRY.0,
        }
    }

    /// Writes waiting changes until the runtime closes. Survives panics.
    pub(super) fn run(mut self) {
        loop {
            let work = AssertUnwindSafe(|| self.write_next());
            match std::panic::catch_unwind(work) {
                Ok(true) => {}
                Ok(false) => break,
                Err(panic) => {
                    let error = failed(panicked(panic.as_ref()));
                    tracing::error!(%error, "store writer failed; it continues");
                    refuse(self.queue.roll_back_in_flight(), &error);
                    self.queue.notify_progress();
                }
            }
        }
        let queue = Arc::clone(&self.queue);
        // The store must be free before the end is announced.
        drop(self);
        queue.end();
    }

    /// Waits for changes and writes them. Returns `false` if no more will come.
    fn write_next(&mut self) -> bool {
        while !self.queue.wait_for_work(VERIFY_EVERY) {
            self.verify();
        }
        if self.queue.is_over() {
            return false;
        }
        if self.durability == Durability::Relaxed {
            self.queue.gather(self.flush);
        }
        let batch = self.queue.take();
        match self.write(batch) {
            None => {
                self.pause = RETRY.0;
                self.works();
            }
            Some(left) if self.durability == Durability::Sync => self.refuse(left),
            Some(left) => self.try_again(left),
        }
        self.queue.written();
        true
    }

    /// Writes a batch. If it fails and a single session may be the cause, writes each session on
    /// its own. Returns the part that was not written.
    fn write(&self, batch: Batch) -> Option<Unwritten> {
        let start = Instant::now();
        let Err(mut error) = self.commit(&batch.changes) else {
            self.committed(&batch, start);
            return None;
        };
        telemetry::store_failed(&error);
        // Sessions that do not fit into the store together may fit one by one.
        let mut general = error.is_general() && !matches!(error, StoreError::Full { .. });
        if general || batch.changes.len() == 1 {
            return Some(Unwritten {
                batch,
                error,
                general,
            });
        }
        let mut left = Batch::default();
        let mut written = 0;
        for alone in batch.split() {
            if general {
                left.append(alone);
                continue;
            }
            let start = Instant::now();
            match self.commit(&alone.changes) {
                Ok(()) => {
                    written += 1;
                    self.committed(&alone, start);
                }
                Err(refused) => {
                    left.append(alone);
                    let tried = written == 0 && left.changes.len() >= TRIED_ALONE;
                    general = tried || refused.is_general();
                    error = refused;
                }
            }
        }
        (!left.changes.is_empty()).then_some(Unwritten {
            batch: left,
            error,
            general: general || written == 0,
        })
    }

    /// Commits changes. A custom store may panic, which counts as an error.
    fn commit(&self, changes: &[SessionChange]) -> Result<(), StoreError> {
        let work = AssertUnwindSafe(|| self.store.commit(changes));
        std::panic::catch_unwind(work).unwrap_or_else(|panic| Err(failed(panicked(panic.as_ref()))))
    }

    fn committed(&self, batch: &Batch, start: Instant) {
        telemetry::store_written(&batch.changes, start.elapsed());
        for ack in self.queue.commit(batch) {
            ack(Ok(()));
        }
    }

    /// Verifies that written changes would be found again.
    fn verify(&self) {
        let work = AssertUnwindSafe(|| self.store.verify());
        let verified = std::panic::catch_unwind(work)
            .unwrap_or_else(|panic| Err(failed(panicked(panic.as_ref()))));
        match verified {
            Ok(()) if self.queue.is_verifiable() => self.works(),
            Ok(()) => {}
            Err(error) => self.fails(&error, true),
        }
    }

    fn works(&self) {
        if self.queue.works() {
            tracing::info!("the store works again");
            self.bus.publish(Event::StoreRecovered);
        }
    }

    /// Records that the store fails. `verifiable` tells whether verifying the store will show when
    /// it works again.
    fn fails(&self, error: &StoreError, verifiable: bool) {
        let reason = error.to_string();
        if self.queue.fails(&reason, verifiable) {
            tracing::error!(%error, "the store fails");
            self.bus.publish(Event::StoreFailing { reason });
        }
    }

    /// Puts unwritten changes back into the queue, and pauses.
    fn try_again(&mut self, left: Unwritten) {
        self.queue.put_back(left.batch);
        if self.queue.is_closing() {
            let changes = self.queue.unwritten();
            tracing::error!(error = %left.error, changes, "the last changes were not written");
            let acks = self.queue.roll_back_all();
            self.queue.lose(changes, left.error.to_string());
            return refuse(acks, &left.error);
        }
        self.fails(&left.error, false);
        self.queue.notify_progress();
        // If only some sessions fail, the others do not wait longer.
        let longest = if left.general { self.pause } else { RETRY.0 };
        self.queue.pause(longest);
        if left.general {
            self.pause = (self.pause * 2).min(RETRY.1);
        }
    }

    /// Rolls back the unwritten changes; if the store itself fails, also those that wait behind
    /// them.
    fn refuse(&self, left: Unwritten) {
        let Unwritten {
            batch,
            error,
            general,
        } = left;
        let sessions = batch.changes.len();
        tracing::error!(%error, sessions, "changes were rolled back because the store fails");
        self.fails(&error, false);
        let acks = if general {
            drop(batch);
            self.queue.roll_back_all()
        } else {
            self.queue.roll_back(&batch.cells)
        };
        refuse(acks, &error);
    }
}

fn refuse(acks: Vec<Ack>, error: &StoreError) {
    for ack in acks {
        ack(Err(error.clone()));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_default())
}
