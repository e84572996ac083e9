//! Heartbeats during the loading of a model, for a process that waits for it.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Heartbeats at shorter intervals are dropped.
const SPACING: Duration = Duration::from_millis(100);

struct Listener {
    hear: Box<dyn FnMut()>,
    last: Option<Instant>,
}

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Reports a step of loading to [`listening`] on the same thread, if there is one.
pub fn beat() {
    LISTENER.with_borrow_mut(|listener| {
        let Some(listener) = listener else { return };
        let now = Instant::now();
        if listener.last.is_none_or(|last| now - last >= SPACING) {
            listener.last = Some(now);
            (listener.hear)();
        }
    });
}

/// Runs some work and calls `hear` at each heartbeat. `hear` itself must not call [`beat`].
pub fn listening<T>(hear: impl FnMut() + 'static, work: impl FnOnce() -> T) -> T {
    /// Unregisters the listener, however the work ends.
    struct Ended;

    impl Drop for Ended {
        fn drop(&mut self) {
            LISTENER.set(None);
        }
    }

    let _ended = Ended;
    LISTENER.set(Some(Listener {
        hear: Box::new(hear),
        last: None,
    }));
    work()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn signs_are_heard_while_somebody_listens_and_not_too_closely() {
        let count = Rc::new(Cell::new(0));
        let beats = Rc::clone(&count);
        beat();
        listening(
            move || beats.set(beats.get() + 1),
            || {
                for _ in 0..1000 {
                    beat();
                }
                assert_eq!(count.get(), 1);
                std::thread::sleep(SPACING);
                beat();
            },
        );
        beat();
        assert_eq!(count.get(), 2);
    }
}
