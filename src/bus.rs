//! The event bus: publish and subscribe.
//!
//! The bus is for observers. A slow subscriber misses events and is told how
//! many; it never holds anyone up, and nothing that matters for control
//! travels here.

use tokio::sync::broadcast;

use crate::event::Event;
use crate::telemetry;

/// Publishes the events of one runtime.
#[derive(Debug, Clone)]
pub struct EventBus {
    sender: broadcast::Sender<Event>,
}

impl EventBus {
    /// Makes a bus that keeps `capacity` events (at least 1) for each
    /// subscriber.
    pub fn new(capacity: usize) -> Self {
        Self {
            sender: broadcast::Sender::new(capacity.max(1)),
        }
    }

    /// Publishes an event to all current subscribers.
    pub fn publish(&self, event: Event) {
        // An error only says that nobody listens.
        let _ = self.sender.send(event);
    }

    /// Events that the slowest subscriber has not received.
    pub fn lag(&self) -> usize {
        self.sender.len()
    }

    /// Subscribes to the events from now on.
    pub fn subscribe(&self) -> Events {
        Events {
            receiver: self.sender.subscribe(),
        }
    }
}

/// A subscription to the bus.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

/// What a subscriber receives.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The next event.
    Event(Box<Event>),
    /// The subscriber was too slow and missed this many events.
    Lagged(u64),
}

impl Events {
    /// Waits for the next event; `None` once the runtime is gone.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self.receiver.recv().await {
            Ok(event) => Some(Delivery::Event(Box::new(event))),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Takes the next event if one has come already.
    pub fn try_next(&mut self) -> Option<Delivery> {
        match self.receiver.try_recv() {
            Ok(event) => Some(Delivery::Event(Box::new(event))),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(lagged(missed)),
            Err(_) => None,
        }
    }
}

fn lagged(missed: u64) -> Delivery {
    telemetry::bus_missed(missed);
    Delivery::Lagged(missed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ActorName;

    fn restarted() -> Event {
        Event::ActorRestarted {
            actor: ActorName::Engine,
        }
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_what_it_missed() {
        let bus = EventBus::new(4);
        let mut events = bus.subscribe();
        for _ in 0..10 {
            bus.publish(restarted());
        }
        assert!(matches!(events.next().await, Some(Delivery::Lagged(6))));
        for _ in 0..4 {
            assert!(matches!(events.next().await, Some(Delivery::Event(_))));
        }
        assert!(events.try_next().is_none());
        drop(bus);
        assert!(events.next().await.is_none());
    }

    #[test]
    fn publishing_to_nobody_is_no_error() {
        EventBus::new(0).publish(restarted());
    }
}
