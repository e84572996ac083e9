//! What is submitted while the runtime closes is served or refused, and never forgotten.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::engine::inbox::Inbox;
use crate::engine::signal::Signals;
use crate::explore;

#[derive(Default)]
struct World {
    inbox: Inbox<Vec<u32>>,
    signals: Signals,
    stop: AtomicBool,
    served: Mutex<Vec<u32>>,
    refused: Mutex<Vec<u32>>,
}

impl World {
    fn submit(&self, item: u32) {
        match self.inbox.put(item, Vec::push) {
            Ok(()) => self.signals.engine.raise(),
            Err((item, reason)) => {
                assert_eq!(&*reason, "closed");
                self.refused.lock().unwrap().push(item);
            }
        }
    }

    /// Takes what arrives, as the engine thread does, until it is told to stop.
    fn serve(&self) {
        loop {
            let seen = self.signals.engine.seen();
            let stop = self.stop.load(Ordering::SeqCst);
            let arrived = self.inbox.with(std::mem::take);
            let nothing = arrived.is_empty();
            self.served.lock().unwrap().extend(arrived);
            if stop {
                return;
            }
            if nothing {
                self.signals.engine.wait(seen, None);
            }
        }
    }

    fn close(&self) {
        let left = self.inbox.close("closed");
        self.refused.lock().unwrap().extend(left);
        // What was refused once is not there again.
        assert!(self.inbox.close("closed again").is_empty());
        self.stop.store(true, Ordering::SeqCst);
        self.signals.engine.raise();
    }

    fn all(&self) -> Vec<u32> {
        let mut all = self.served.lock().unwrap().clone();
        all.extend(self.refused.lock().unwrap().iter());
        all.sort_unstable();
        all
    }
}

#[test]
fn each_request_is_served_or_refused_once_while_the_runtime_closes() {
    explore(2, || {
        let world = Arc::<World>::default();
        let parts: [fn(&World); 3] = [
            World::serve,
            |world| {
                world.submit(1);
                world.submit(2);
            },
            World::close,
        ];
        let parts = parts.map(|part| {
            let world = Arc::clone(&world);
            thread::spawn(move || part(&world))
        });
        for part in parts {
            part.join().unwrap();
        }
        assert_eq!(world.all(), [1, 2]);
        assert!(world.inbox.with(|left| left.is_empty()));
    });
}

#[test]
fn a_request_wakes_an_engine_that_sleeps() {
    explore(3, || {
        let world = Arc::<World>::default();
        let submitter = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.submit(1))
        };
        while world.served.lock().unwrap().is_empty() {
            let seen = world.signals.engine.seen();
            let arrived = world.inbox.with(std::mem::take);
            if arrived.is_empty() {
                world.signals.engine.wait(seen, None);
            }
            world.served.lock().unwrap().extend(arrived);
        }
        submitter.join().unwrap();
        assert_eq!(world.all(), [1]);
    });
}
