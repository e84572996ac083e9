//! Fault injection for tests, before the runtime handles a message or a call.
//!
//! Without the cargo feature `fault-injection`, which only the tests enable, it compiles to
//! nothing.

use std::fmt;

#[cfg(feature = "fault-injection")]
type Fault = dyn Fn(&'static str, &'static str) + Send + Sync;

/// A hook that runs before an actor handles a message or a session handles a call.
#[derive(Clone, Default)]
pub struct Probe {
    #[cfg(feature = "fault-injection")]
    fault: Option<std::sync::Arc<Fault>>,
}

#[cfg(not(feature = "fault-injection"))]
const _: () = assert!(size_of::<Probe>() == 0);

impl Probe {
    /// Creates a hook that calls `fault` with the actor's name and the kind of the message. `fault`
    /// may panic.
    #[cfg(feature = "fault-injection")]
    pub fn new(fault: impl Fn(&'static str, &'static str) + Send + Sync + 'static) -> Self {
        let fault = Some(std::sync::Arc::new(fault) as _);
        Self { fault }
    }

    #[cfg(feature = "fault-injection")]
    pub(crate) fn at(&self, actor: &'static str, kind: &'static str) {
        if let Some(fault) = &self.fault {
            fault(actor, kind);
        }
    }

    #[cfg(not(feature = "fault-injection"))]
    #[expect(clippy::unused_self, reason = "nothing is injected in this build")]
    pub(crate) fn at(&self, _actor: &'static str, _kind: &'static str) {}
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").finish_non_exhaustive()
    }
}
