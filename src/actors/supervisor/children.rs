//! Starts the actors.

use ractor::{Actor, ActorCell, SpawnErr};

use super::failure::startup_error;
use crate::actors::emotion::{EmotionActor, EmotionArguments};
use crate::actors::engine::{EngineActor, EngineArguments};
use crate::actors::hardware::{HardwareActor, HardwareArguments};
use crate::actors::steering::{SteeringActor, SteeringArguments};
use crate::error::Error;
use crate::event::ActorName;

/// The arguments that each actor is started and restarted with.
#[derive(Debug, Clone)]
pub struct Children {
    /// The hardware actor's arguments.
    pub hardware: HardwareArguments,
    /// The engine actor's arguments.
    pub engine: EngineArguments,
    /// The steering actor's arguments.
    pub steering: SteeringArguments,
    /// The emotion actor's arguments.
    pub emotion: EmotionArguments,
}

impl Children {
    /// Starts an actor.
    pub(super) async fn start(
        self,
        name: ActorName,
        supervisor: ActorCell,
    ) -> Result<ActorCell, Error> {
        let started = match name {
            ActorName::Hardware => spawn(HardwareActor, self.hardware, supervisor).await,
            ActorName::Engine => spawn(EngineActor, self.engine, supervisor).await,
            ActorName::Steering => spawn(SteeringActor, self.steering, supervisor).await,
            ActorName::Emotion => spawn(EmotionActor, self.emotion, supervisor).await,
        };
        started.map_err(startup_error)
    }
}

async fn spawn<A: Actor>(
    actor: A,
    arguments: A::Arguments,
    supervisor: ActorCell,
) -> Result<ActorCell, SpawnErr> {
    // Actors are unnamed because several runtimes can exist in one process.
    let (actor, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
    Ok(actor.get_cell())
}
