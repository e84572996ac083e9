//! Work on the prefix cache that a session asks the engine thread for.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use crate::backend::ModelFacts;
use crate::error::EngineError;
use crate::inference::SessionId;
use crate::scheduler::Scheduler;

/// Work on the prefix cache, done between two steps.
#[derive(Debug)]
pub enum CacheCommand {
    /// Writes the latest cached sequence of a session down.
    Save(SessionId, oneshot::Sender<SaveResult>),
    /// Takes a written cached sequence back; answers with its tokens.
    Restore(SessionId, Vec<u8>, oneshot::Sender<RestoreResult>),
    /// Forgets what a session left behind.
    Forget(SessionId),
}

type SaveResult = Result<Option<Vec<u8>>, EngineError>;
type RestoreResult = Result<usize, EngineError>;

impl CacheCommand {
    /// Does the work. Whoever asked may be gone: that is no error.
    fn carry_out(self, scheduler: &mut Scheduler) {
        match self {
            Self::Save(session, reply) => drop(reply.send(scheduler.save(&session))),
            Self::Restore(session, bytes, reply) => {
                drop(reply.send(scheduler.restore(&session, &bytes)));
            }
            Self::Forget(session) => {
                if let Err(error) = scheduler.forget(&session) {
                    tracing::warn!(%session, %error, "its cache was not cleared");
                }
            }
        }
    }
}

/// Names a cache command, and tells which engine thread has taken it up.
#[derive(Debug, Clone, Default)]
pub struct CommandId(Arc<OnceLock<Arc<ModelFacts>>>);

impl CommandId {
    /// The model of the thread that has taken the command up, if one has.
    pub fn taken_by(&self) -> Option<&Arc<ModelFacts>> {
        self.0.get()
    }
}

/// A cache command on its way to the engine thread.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    command: CacheCommand,
    id: CommandId,
}

impl QueuedCommand {
    pub fn new(command: CacheCommand) -> (Self, CommandId) {
        let id = CommandId::default();
        let queued = Self {
            command,
            id: id.clone(),
        };
        (queued, id)
    }

    pub fn carry_out(self, scheduler: &mut Scheduler) {
        let _ = self.id.0.set(Arc::clone(scheduler.facts()));
        self.command.carry_out(scheduler);
    }
}
