//! Every change of a session reaches the store once and in order, whoever waits for it is told, and
//! the writer ends.

use std::sync::Arc;
use std::time::Duration;

use elpis_emotion::{EmotionConfig, EmotionEvent, EmotionTracker, JournalEntry, JournalRecord};
use elpis_store::{Durability, StoredSession};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::queue::{Admission, WriteQueue};
use crate::explore;
use crate::sessions::cache::Lease;
use crate::sessions::cell::Resident;
use crate::sessions::places::Place;

/// So long that only a wake-up ends it.
const LONG: Duration = Duration::from_hours(1);

struct World {
    queue: WriteQueue,
    cell: Lease,
    /// The numbers of the journal entries in the store.
    stored: Mutex<Vec<u64>>,
    /// Calls that were told that their change is committed.
    told: Arc<AtomicUsize>,
}

fn world() -> Arc<World> {
    let cell = Lease::new("ada");
    let config = Arc::new(EmotionConfig::default());
    let stored = StoredSession {
        tracker: EmotionTracker::new(config, 0.0).unwrap(),
        entries: 1,
    };
    cell.lock().resident = Some(Resident::new(stored, Place));
    Arc::new(World {
        queue: WriteQueue::new(),
        cell,
        stored: Mutex::default(),
        told: Arc::new(AtomicUsize::new(0)),
    })
}

impl World {
    /// Makes a change as a call does; `false` if the runtime closes.
    fn change(&self) -> bool {
        let Admission::Open(reservation) = self.queue.admit(false) else {
            return false;
        };
        let mut state = self.cell.lock();
        let event = EmotionEvent::named("success").unwrap();
        let entry = JournalEntry {
            at: 1.0,
            what: JournalRecord::Felt(event),
        };
        let changed = state.change(Some(Durability::Relaxed), entry, |_| Ok(()));
        self.queue.enqueue(&self.cell, &changed.unwrap().unwritten);
        let told = Arc::clone(&self.told);
        state.when_committed(Box::new(move |committed| {
            committed.unwrap();
            told.fetch_add(1, Ordering::SeqCst);
        }));
        drop(state);
        drop(reservation);
        true
    }

    /// Writes as the writer does; the store refuses the first `refusals` batches.
    fn write(&self, mut refusals: usize) {
        loop {
            assert!(self.queue.wait_for_work(LONG));
            if self.queue.is_over() {
                return self.queue.end();
            }
            let batch = self.queue.take();
            if refusals > 0 {
                refusals -= 1;
                self.queue.put_back(batch);
                continue;
            }
            for change in &batch.changes {
                let numbers = change.first..change.first + change.entries.len() as u64;
                self.stored.lock().unwrap().extend(numbers);
            }
            for ack in self.queue.commit(&batch) {
                ack(Ok(()));
            }
            self.queue.written();
        }
    }
}

/// Two changes, the writer, and the end of the runtime at any time.
fn everything_is_written(preemptions: usize, refusals: usize) {
    explore(preemptions, move || {
        let world = world();
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.write(refusals))
        };
        let caller = {
            let world = Arc::clone(&world);
            thread::spawn(move || (0..2).filter(|_| world.change()).count())
        };
        world.queue.begin_closing();
        let changes = caller.join().unwrap();
        writer.join().unwrap();
        let numbers: Vec<_> = (1..=changes as u64).collect();
        assert_eq!(*world.stored.lock().unwrap(), numbers);
        assert_eq!(world.told.load(Ordering::SeqCst), changes);
        assert_eq!(world.queue.unwritten(), 0);
        assert!(!world.cell.lock().is_unwritten());
    });
}

#[test]
fn a_change_that_was_accepted_is_written_before_the_writer_ends() {
    everything_is_written(2, 0);
}

#[test]
fn what_a_store_refused_is_written_in_order_with_what_came_meanwhile() {
    everything_is_written(2, 1);
}
