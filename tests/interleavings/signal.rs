//! A change is never slept through.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::engine::signal::{Seen, Signal};
use crate::explore;

/// Wakes a thread that polls.
pub struct Polling(Signal);

impl Wake for Polling {
    fn wake(self: Arc<Self>) {
        self.0.raise();
    }
}

/// Polls until there is an answer, and sleeps in between.
pub fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let polling = Arc::new(Polling(Signal::default()));
    let waker = Waker::from(Arc::clone(&polling));
    loop {
        let seen = polling.0.seen();
        if let Poll::Ready(answer) = poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        polling.0.wait(seen, None);
    }
}

#[derive(Default)]
struct Shared {
    signal: Signal,
    first: AtomicBool,
    second: AtomicBool,
}

impl Shared {
    fn is_done(&self) -> bool {
        self.first.load(Ordering::SeqCst) && self.second.load(Ordering::SeqCst)
    }
}

/// Two threads that change something each, while the third waits for both by `wait`.
fn every_change_is_seen(wait: fn(&Signal, Seen)) {
    explore(2, move || {
        let shared = Arc::<Shared>::default();
        let flags: [fn(&Shared) -> &AtomicBool; 2] =
            [|shared| &shared.first, |shared| &shared.second];
        let changing = flags.map(|flag| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                flag(&shared).store(true, Ordering::SeqCst);
                shared.signal.raise();
            })
        });
        loop {
            let seen = shared.signal.seen();
            if shared.is_done() {
                break;
            }
            wait(&shared.signal, seen);
        }
        for thread in changing {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_thread_sees_every_change_of_two_others() {
    every_change_is_seen(|signal, seen| signal.wait(seen, None));
}

#[test]
fn a_task_sees_every_change_of_two_threads() {
    every_change_is_seen(|signal, seen| {
        let mut changed = pin!(signal.changed(seen));
        block_on(|context| changed.as_mut().poll(context));
    });
}
