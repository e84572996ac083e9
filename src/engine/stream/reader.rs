//! The reader's end of a generation's stream.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::event::GenerationEvent;
use super::shared::StreamState;
use crate::error::EngineError;
use crate::inference::{Completion, RequestId};

type Item = Result<GenerationEvent, EngineError>;

/// A running generation.
///
/// It yields texts and tool calls and then one [`GenerationEvent::Finished`],
/// or an error as its last item. Dropping it cancels the generation within one token.
#[derive(Debug)]
#[must_use = "a dropped stream cancels its generation"]
pub struct GenerationStream {
    id: RequestId,
    source: Source,
}

enum Source {
    /// A generation of this runtime's engine.
    Engine(EngineReader),
    /// The events of another implementation of the engine, until the last. The mutex is never locked; it
    /// makes the stream [`Sync`].
    Events(Option<Mutex<Pin<Box<dyn Stream<Item = Item> + Send>>>>),
}

/// The reader of an engine's stream; when dropped, the reader is gone.
struct EngineReader(Arc<StreamState>);

impl Drop for EngineReader {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(reader) => f.debug_tuple("Engine").field(&reader.0).finish(),
            Self::Events(_) => f.debug_tuple("Events").finish_non_exhaustive(),
        }
    }
}

impl GenerationStream {
    pub(crate) fn new(state: Arc<StreamState>) -> Self {
        Self {
            id: state.id(),
            source: Source::Engine(EngineReader(state)),
        }
    }

    /// Creates a stream from events, for other implementations of
    /// [`InferenceEngine`](crate::InferenceEngine). Events after the first error or
    /// [`GenerationEvent::Finished`] are not read; if the events end without either, the engine
    /// counts as restarted.
    pub fn from_events(
        id: RequestId,
        events: impl Stream<Item = Result<GenerationEvent, EngineError>> + Send + 'static,
    ) -> Self {
        Self {
            id,
            source: Source::Events(Some(Mutex::new(Box::pin(events)))),
        }
    }

    /// Number of the oldest messages that were left out of the prompt because they did not fit into
    /// the context (`model.context_overflow = "drop-oldest"`).
    pub fn dropped_messages(&self) -> usize {
        match &self.source {
            Source::Engine(reader) => reader.0.dropped_messages(),
            Source::Events(_) => 0,
        }
    }

    /// Returns the id of the generation in events and reports.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Waits for the next item; `None` after the last.
    ///
    /// # Cancel safety
    /// Cancel safe: no item is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<GenerationEvent, EngineError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Waits for the whole reply.
    ///
    /// # Errors
    /// The error that ended the generation.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the generation within one token.
    pub async fn completion(mut self) -> Result<Completion, EngineError> {
        let mut text = String::new();
        let mut thinking = String::new();
        let mut tool_calls = Vec::new();
        while let Some(event) = self.next().await {
            match event? {
                GenerationEvent::Text(piece) => text.push_str(&piece),
                GenerationEvent::Thinking(piece) => thinking.push_str(&piece),
                GenerationEvent::ToolCall(call) => tool_calls.push(call),
                GenerationEvent::ToolCallStarted { .. }
                | GenerationEvent::ToolCallArguments { .. } => {}
                GenerationEvent::Finished(report) => {
                    return Ok(Completion {
                        text,
                        thinking,
                        tool_calls,
                        report: Arc::unwrap_or_clone(report),
                    });
                }
            }
        }
        Err(EngineError::EngineRestarted)
    }
}

impl Stream for GenerationStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        match &mut self.source {
            Source::Engine(reader) => reader.0.poll_event(context),
            Source::Events(source) => {
                let Some(events) = source else {
                    return Poll::Ready(None);
                };
                let events = events.get_mut().unwrap_or_else(PoisonError::into_inner);
                let item = ready!(events.as_mut().poll_next(context));
                let item = item.unwrap_or(Err(EngineError::EngineRestarted));
                if matches!(item, Ok(GenerationEvent::Finished(_)) | Err(_)) {
                    *source = None;
                }
                Poll::Ready(Some(item))
            }
        }
    }
}
