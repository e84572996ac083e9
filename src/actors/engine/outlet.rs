//! The stream of a generation: its writing and its reading end.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use compact_str::CompactString;
use futures_core::Stream;
use tokio::sync::mpsc;

use super::Permit;
use crate::bus::EventBus;
use crate::error::EngineError;
use crate::event::Event;
use crate::inference::{Completion, GenerationReport, RequestId, SessionId};
use crate::scheduler::{Outcome, Outlet};
use crate::telemetry;

type Ending = Result<Arc<GenerationReport>, EngineError>;

/// Makes the two ends of a generation's stream, with room for the text of
/// `buffer` tokens.
pub fn stream(
    id: RequestId,
    session: SessionId,
    model: String,
    buffer: usize,
    bus: EventBus,
    permit: Permit,
) -> (impl Outlet + use<>, GenerationStream) {
    // The last token may bring text twice: its own and what was held back.
    let (sender, receiver) = mpsc::channel(buffer.max(1) + 1);
    let ending = Arc::new(OnceLock::new());
    let outlet = StreamOutlet {
        id,
        session,
        model,
        sender,
        ending: Arc::clone(&ending),
        bus,
        _permit: permit,
    };
    let stream = GenerationStream {
        id,
        receiver,
        ending,
        over: false,
    };
    (outlet, stream)
}

struct StreamOutlet {
    id: RequestId,
    session: SessionId,
    model: String,
    sender: mpsc::Sender<CompactString>,
    ending: Arc<OnceLock<Ending>>,
    bus: EventBus,
    _permit: Permit,
}

impl Outlet for StreamOutlet {
    fn started(&mut self) {
        self.bus.publish(Event::GenerationStarted {
            id: self.id,
            session: self.session.clone(),
        });
    }

    fn has_room(&self) -> bool {
        self.sender.capacity() >= 2
    }

    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    fn text(&mut self, text: &str) {
        // A reader that is gone is noticed at the next token boundary.
        let _ = self.sender.try_send(text.into());
    }

    fn finish(&mut self, outcome: Outcome) {
        let (id, session) = (self.id, self.session.clone());
        match outcome {
            Outcome::Done(report) => {
                telemetry::generation_done(&report);
                let report = Arc::<GenerationReport>::from(report);
                let _ = self.ending.set(Ok(Arc::clone(&report)));
                self.bus.publish(Event::GenerationFinished(report));
            }
            Outcome::Failed(error) => {
                telemetry::generation_failed(&self.model, &error);
                let _ = self.ending.set(Err(error.clone()));
                self.bus.publish(Event::GenerationFailed {
                    id,
                    session,
                    kind: error.kind(),
                    reason: error.to_string(),
                });
            }
            Outcome::Cancelled => {
                telemetry::generation_cancelled(&self.model);
                self.bus.publish(Event::GenerationCancelled { id, session });
            }
        }
    }
}

impl Drop for StreamOutlet {
    fn drop(&mut self) {
        // Dropped without an ending: the engine died under it.
        if self.ending.get().is_none() && !self.sender.is_closed() {
            self.finish(Outcome::Failed(EngineError::EngineRestarted));
        }
    }
}

/// What a stream yields.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GenerationEvent {
    /// The next piece of the reply: whole characters, at least one.
    Text(String),
    /// The end, with the account of the generation.
    Finished(Arc<GenerationReport>),
}

/// A running generation.
///
/// It yields texts and then one [`GenerationEvent::Finished`], or an error as
/// its last item. Dropping it cancels the generation within one token.
#[derive(Debug)]
#[must_use = "a dropped stream cancels its generation"]
pub struct GenerationStream {
    id: RequestId,
    receiver: mpsc::Receiver<CompactString>,
    ending: Arc<OnceLock<Ending>>,
    over: bool,
}

impl GenerationStream {
    /// Names the generation in events and reports.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Waits for the next item; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<GenerationEvent, EngineError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Waits for the whole reply.
    ///
    /// # Errors
    /// The error that ended the generation.
    pub async fn completion(mut self) -> Result<Completion, EngineError> {
        let mut text = String::new();
        while let Some(event) = self.next().await {
            match event? {
                GenerationEvent::Text(piece) => text.push_str(&piece),
                GenerationEvent::Finished(report) => {
                    return Ok(Completion {
                        text,
                        report: Arc::unwrap_or_clone(report),
                    });
                }
            }
        }
        Err(EngineError::EngineRestarted)
    }
}

impl Stream for GenerationStream {
    type Item = Result<GenerationEvent, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        match self.receiver.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(text)) => Poll::Ready(Some(Ok(GenerationEvent::Text(text.into())))),
            Poll::Ready(None) => {
                self.over = true;
                let ending = self.ending.get().cloned();
                Poll::Ready(Some(
                    ending
                        .unwrap_or(Err(EngineError::EngineRestarted))
                        .map(GenerationEvent::Finished),
                ))
            }
        }
    }
}
