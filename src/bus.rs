//! The event bus: publish and subscribe.
//!
//! The bus is for observers. A slow subscriber misses events and learns how many, but never delays
//! a publisher. No control messages travel on the bus.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use tokio::sync::broadcast::{self, Receiver, error::RecvError};

use crate::event::Event;
use crate::telemetry;

/// Publishes the events of one runtime.
#[derive(Debug, Clone)]
pub struct EventBus {
    sender: broadcast::Sender<Event>,
}

impl EventBus {
    /// Creates a bus that keeps `capacity` events (at least 1) for each subscriber.
    pub fn new(capacity: usize) -> Self {
        Self {
            sender: broadcast::Sender::new(capacity.max(1)),
        }
    }

    /// Publishes an event to all current subscribers.
    pub fn publish(&self, event: Event) {
        // An error only means that there are no subscribers.
        let _ = self.sender.send(event);
    }

    /// Number of events that the slowest subscriber has not received.
    pub fn lag(&self) -> usize {
        self.sender.len()
    }

    /// Subscribes to the events from now on.
    pub fn subscribe(&self) -> Events {
        Events {
            next: Box::pin(receive(self.sender.subscribe())),
        }
    }
}

/// A subscription to the bus: a [`Stream`] of [`Delivery`]s, which ends once the runtime is gone.
///
/// A subscription that is not read delays nobody. When it is read again, it reports how many events
/// it has missed and continues with those still kept.
pub struct Events {
    /// Waits for the next event and returns the receiver with it. The future is kept between polls,
    /// because a receiver that stops waiting is not woken.
    next: Pin<Box<dyn Future<Output = Received> + Send + Sync>>,
}

type Received = (Result<Event, RecvError>, Receiver<Event>);

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
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Takes the next event if one has already arrived.
    pub fn try_next(&mut self) -> Option<Delivery> {
        let mut context = Context::from_waker(Waker::noop());
        // Otherwise Tokio would hide events from a task that has taken many at once.
        let poll = std::future::poll_fn(|context| self.poll(context));
        let poll = std::pin::pin!(tokio::task::unconstrained(poll));
        match poll.poll(&mut context) {
            Poll::Ready(delivery) => delivery,
            Poll::Pending => None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let (received, receiver) = std::task::ready!(self.next.as_mut().poll(context));
        self.next = Box::pin(receive(receiver));
        Poll::Ready(match received {
            Ok(event) => Some(Delivery::Event(Box::new(event))),
            Err(RecvError::Lagged(missed)) => Some(lagged(missed)),
            Err(RecvError::Closed) => None,
        })
    }
}

impl Stream for Events {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.poll(context)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

async fn receive(mut receiver: Receiver<Event>) -> Received {
    (receiver.recv().await, receiver)
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

    #[tokio::test(start_paused = true)]
    async fn a_dropped_wait_loses_no_event_and_a_stream_is_woken() {
        let bus = EventBus::new(1000);
        let mut events = bus.subscribe();
        for _ in 0..3 {
            let wait = std::time::Duration::from_millis(1);
            assert!(tokio::time::timeout(wait, events.next()).await.is_err());
            assert!(events.try_next().is_none());
        }
        let publisher = bus.clone();
        let woken = tokio::spawn(async move {
            let mut stream = std::pin::pin!(&mut events);
            let first = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await;
            (first, events)
        });
        tokio::task::yield_now().await;
        publisher.publish(restarted());
        let (first, mut events) = woken.await.unwrap();
        assert!(matches!(first, Some(Delivery::Event(_))));
        // More than Tokio lets a task take in one go.
        for _ in 0..700 {
            bus.publish(restarted());
        }
        assert_eq!(std::iter::from_fn(|| events.try_next()).count(), 700);
    }

    #[test]
    fn publishing_to_nobody_is_no_error() {
        EventBus::new(0).publish(restarted());
    }
}
