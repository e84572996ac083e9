//! Thin actors over the pure state below.
//!
//! The supervisor starts the actors in the order of what they need (hardware,
//! engine, steering, emotion), restarts the ones that fail and wires the
//! channels between them; actors never know each other. Each takes an argument
//! struct of what it uses. What must outlive an actor (emotional states, waiting
//! generations, the steering library in force) belongs to the runtime and is
//! lent to whichever incarnation works.

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

/// A timer of an actor; it ends with the actor, however that ends.
#[derive(Debug)]
pub struct Ticking(tokio::task::JoinHandle<()>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends an actor a message again and again, for as long as the timer is
/// held.
pub fn tick<M: Message>(
    actor: &ActorRef<M>,
    every: Duration,
    message: impl Fn() -> M + Send + 'static,
) -> Ticking {
    Ticking(actor.send_interval(every, message))
}
