//! Prefix-cache commands that a session sends to the engine thread.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use crate::backend::ModelFacts;
use crate::error::EngineError;
use crate::inference::SessionId;
use crate::scheduler::Scheduler;

/// A command for the prefix cache, carried out between two steps.
#[derive(Debug)]
pub enum CacheCommand {
    /// Serialises the latest cached sequence of a session.
    Save(SessionId, oneshot::Sender<SaveResult>),
    /// Restores a serialised cached sequence and answers with its number of tokens.
    Restore(SessionId, Vec<u8>, oneshot::Sender<RestoreResult>),
    /// Drops the cached sequences of a session.
    Forget(SessionId),
}

type SaveResult = Result<Option<Vec<u8>>, EngineError>;
type RestoreResult = Result<usize, EngineError>;

impl CacheCommand {
    /// Carries the command out. It is not an error if the caller is gone.
    fn carry_out(self, scheduler: &mut Scheduler) {
        match self {
            Self::Save(session, reply) => drop(reply.send(scheduler.save(&session))),
            Self::Restore(session, bytes, reply) => {
                drop(reply.send(scheduler.restore(&session, &bytes)));
            }
            Self::Forget(session) => {
                if let Err(error) = scheduler.forget(&session) {
                    tracing::warn!(%session, %error, "the session's cached sequences were not dropped");
                }
            }
        }
    }
}

/// Identifies a cache command and records which engine thread has taken it.
#[derive(Debug, Clone, Default)]
pub struct CommandId(Arc<OnceLock<Arc<ModelFacts>>>);

impl CommandId {
    /// The model of the thread that took the command, if one has.
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
