//! Thin actors over plain state.
//!
//! The supervisor starts the actors in dependency order (hardware, engine, steering, emotion),
//! restarts the ones that fail and connects the channels between them; actors do not know each
//! other. Each takes an argument struct with the parts that it uses. Data that must outlive an
//! actor (emotional states, waiting generations, the steering library in force) belongs to the
//! runtime and is shared with each incarnation of the actor.

pub mod emotion;
pub mod engine;
pub mod hardware;
pub mod mailbox;
pub mod observer;
pub mod restart;
pub mod steering;
pub mod supervisor;

use std::time::Duration;

use ractor::{ActorRef, Message};

/// A timer of an actor. Dropping it stops the timer, so it ends together with the actor.
#[derive(Debug)]
pub struct Ticking(tokio::task::JoinHandle<()>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends an actor a message periodically for as long as the timer is held.
pub fn tick<M: Message>(
    actor: &ActorRef<M>,
    every: Duration,
    message: impl Fn() -> M + Send + 'static,
) -> Ticking {
    Ticking(actor.send_interval(every, message))
}
