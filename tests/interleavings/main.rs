//! Every interleaving of the code that threads share: streams, what waits for the engine thread,
//! generations in flight, changes on their way to the store.
//!
//! The files under test are those of the library, compiled once more with locks of `loom`, which
//! tries each order in which threads may take them. A wake-up that is lost shows as a deadlock.
//! What the files use of the rest of the library is replaced by what a model needs of it.

mod channel;
mod inbox;
mod lent;
mod signal;

use elpis_emotion as emotion;
use elpis_emotion as inference;
use elpis_store as store;

/// As `src/sync.rs`.
mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(dead_code, reason = "the models need a part of a stream alone")]
#[path = "../../src/engine"]
mod engine {
    pub mod inbox;
    pub mod signal;

    pub mod stream {
        pub mod channel;
    }
}

#[path = "../../src/scheduler"]
mod scheduler {
    pub mod lent;
}

#[allow(
    dead_code,
    unused_imports,
    reason = "the models need a part of the sessions alone"
)]
#[path = "../../src/sessions"]
mod sessions {
    pub mod cell;

    pub mod writer {
        pub mod queue;

        #[path = "../../../tests/interleavings/write_queue.rs"]
        mod model;
    }

    pub mod cache {
        use std::sync::Arc;

        use super::cell::{CellState, SessionCell};
        use crate::inference::SessionId;
        use crate::sync::MutexGuard;

        #[derive(Debug, Clone)]
        pub struct Lease(Arc<SessionCell>);

        impl Lease {
            pub(in crate::sessions) fn new(session: &str) -> Self {
                let session = SessionId::new(session).unwrap();
                Self(Arc::new(SessionCell::new(session)))
            }

            pub fn session(&self) -> &SessionId {
                self.0.id()
            }

            pub(in crate::sessions) fn lock(&self) -> MutexGuard<'_, CellState> {
                self.0.lock()
            }
        }
    }

    pub mod idle {
        #[derive(Debug)]
        pub struct Watch;
    }

    pub mod places {
        #[derive(Debug)]
        pub struct Place;
    }

    pub mod reader {
        use std::time::Duration;

        use crate::store::StoreError;

        pub const MAX_PATIENCE: Duration = Duration::from_secs(30);

        pub fn slow_after(limit: Duration) -> StoreError {
            StoreError::Slow {
                seconds: limit.as_secs(),
            }
        }
    }
}

mod error {
    #[allow(dead_code, reason = "it is shown when a model fails")]
    #[derive(Debug)]
    pub enum Error {
        Uncertain { actor: &'static str },
    }
}

mod event {
    #[derive(Clone, Copy)]
    pub enum ActorName {
        Emotion,
    }

    impl ActorName {
        pub fn as_str(self) -> &'static str {
            match self {
                Self::Emotion => "emotion",
            }
        }
    }
}

/// Tries the interleavings of a model, of which all with at most `preemptions` switches of a thread
/// that could have gone on; most errors need one or two.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
