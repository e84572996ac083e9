//! Where tests break an actor: before it handles a message.

use std::fmt;
use std::sync::Arc;

use super::emotion::{EmotionMessage, SessionCall};
use super::engine::EngineMessage;
use super::hardware::HardwareMessage;
use super::steering::SteeringMessage;
use super::supervisor::SupervisorMessage;

type Fault = dyn Fn(&'static str, &'static str) + Send + Sync;

/// What a test does before an actor handles a message; nothing outside of
/// tests.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<Fault>>);

impl Probe {
    /// Calls `fault` with the actor's name and the kind of the message. It may
    /// panic.
    pub fn new(fault: impl Fn(&'static str, &'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(fault)))
    }

    pub(super) fn at<M: Kind>(&self, message: &M) {
        if let Some(fault) = &self.0 {
            fault(M::ACTOR, message.kind());
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probe").field(&self.0.is_some()).finish()
    }
}

/// A message whose kind has a name.
pub(super) trait Kind {
    /// The actor that understands it.
    const ACTOR: &'static str;

    fn kind(&self) -> &'static str;
}

impl Kind for HardwareMessage {
    const ACTOR: &'static str = "hardware";

    fn kind(&self) -> &'static str {
        match self {
            Self::Refresh(_) => "refresh",
        }
    }
}

impl Kind for EngineMessage {
    const ACTOR: &'static str = "engine";

    fn kind(&self) -> &'static str {
        match self {
            Self::ThreadEnded(_) => "thread_ended",
            Self::Watch => "watch",
        }
    }
}

impl Kind for SteeringMessage {
    const ACTOR: &'static str = "steering";

    fn kind(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Settled => "settled",
            Self::ModelLoaded => "model_loaded",
            Self::Reload(_) => "reload",
        }
    }
}

impl Kind for EmotionMessage {
    const ACTOR: &'static str = "emotion";

    fn kind(&self) -> &'static str {
        match self {
            Self::Call(_, call) => match call {
                SessionCall::Feel(..) => "feel",
                SessionCall::Observe(..) => "observe",
                SessionCall::Snapshot(_) => "snapshot",
                SessionCall::Follow(_) => "follow",
                SessionCall::Reset(_) => "reset",
                SessionCall::SetStrength(..) => "set_strength",
                SessionCall::SetLimits(..) => "set_limits",
                SessionCall::Forget(_) => "forget",
            },
            Self::List(_) => "list",
            Self::Loaded(..) => "loaded",
            Self::Progress => "progress",
            Self::Sweep => "sweep",
            Self::ReportIdle => "report_idle",
        }
    }
}

impl Kind for SupervisorMessage {
    const ACTOR: &'static str = "supervisor";

    fn kind(&self) -> &'static str {
        match self {
            Self::Restart(_) => "restart",
            Self::Started(..) => "started",
            Self::Shutdown(..) => "shutdown",
        }
    }
}
