//! The stream of a generation: its writing and its reading end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use compact_str::CompactString;
use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::RequestQueue;
use super::event::GenerationEvent;
use super::parts::StreamParts;
use super::reader::ReplyReader;
use super::stream_state::{RunningStreams, StreamState};
use crate::error::EngineError;
use crate::inference::{
    AppliedModulation, Completion, ConstraintError, GenerationReport, RequestId,
};
use crate::scheduler::{Outcome, PromptAccount, TokenSink};
use crate::steering::SteeringLibrary;

/// Longest reply that a [`FinishHook`] gets, in bytes; of a longer one it gets
/// the beginning.
const MAX_HOOK_BYTES: usize = 256 * 1024;

/// Room for a reply that no token has to wait for.
const HOOK_START_BYTES: usize = 4096;

/// What follows a finished reply, before its end is told.
pub type FinishHook = Box<dyn FnOnce(String, GenerationReport) -> FinishFuture + Send>;

/// The work of a [`FinishHook`].
pub type FinishFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes the two ends of a generation's stream. The reader is told of a
/// finished reply once its finish hook has run, on the Tokio runtime that called
/// this; the slot is free before. Must be called within a Tokio runtime if
/// there is a finish hook.
pub(crate) fn stream(
    parts: StreamParts,
    request_queue: &RequestQueue,
    finish_hook: Option<FinishHook>,
) -> (impl TokenSink + use<>, GenerationStream) {
    // The last token may bring text twice: its own and what was held back.
    let (sender, receiver) = mpsc::channel(parts.buffer.max(1) + 1);
    let id = parts.id;
    let line = Arc::new(StreamState::new(sender, parts));
    let sink = StreamSink {
        line: Arc::clone(&line),
        lines: Arc::clone(request_queue.lines()),
        finish_hook: finish_hook.map(|finish_hook| Following {
            text: String::with_capacity(HOOK_START_BYTES),
            finish_hook,
            tasks: Handle::current(),
        }),
        handed_over: false,
    };
    let stream = GenerationStream {
        id,
        receiver,
        line,
        reader: None,
        ready: VecDeque::new(),
        dropped: 0,
        over: false,
    };
    (sink, stream)
}

struct StreamSink {
    line: Arc<StreamState>,
    lines: Arc<RunningStreams>,
    finish_hook: Option<Following>,
    /// Whether the finish hook ends the stream.
    handed_over: bool,
}

/// A finish hook that gathers its reply.
struct Following {
    text: String,
    finish_hook: FinishHook,
    tasks: Handle,
}

/// Ends a stream however its finish hook ends.
struct Ending {
    line: Arc<StreamState>,
    outcome: Option<Outcome>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.line.finish(outcome);
        }
    }
}

impl TokenSink for StreamSink {
    fn started(&mut self) {
        self.lines.started(&self.line);
        self.line.started();
    }

    fn modulated(&mut self, applied: &AppliedModulation, library: &SteeringLibrary) {
        self.line.tell(|watch| watch.modulated(applied, library));
    }

    fn first_token(&mut self, prompt: PromptAccount) {
        self.line.tell(|watch| watch.first_token(prompt));
    }

    fn has_room(&self) -> bool {
        // A line that was cut takes everything and keeps nothing.
        let room = self.line.with(|sender| sender.capacity() >= 2);
        room.unwrap_or(true)
    }

    fn is_closed(&self) -> bool {
        self.line.with(mpsc::Sender::is_closed).unwrap_or(true)
    }

    fn text(&mut self, text: &str) {
        if let Some(Following { text: whole, .. }) = &mut self.finish_hook {
            let room = MAX_HOOK_BYTES.saturating_sub(whole.len());
            whole.push_str(&text[..text.floor_char_boundary(room)]);
        }
        self.line.send(text);
    }

    fn generated(&mut self, tokens: u32) {
        self.line.tell(|watch| watch.generated(tokens));
    }

    fn finish(&mut self, outcome: Outcome) {
        self.lines.ended(&self.line);
        let report = match &outcome {
            Outcome::Done(report) => report.as_ref().clone(),
            _ => return self.line.finish(outcome),
        };
        if self.line.is_over() {
            // Its engine was given up; what it says now, nobody has heard.
            self.handed_over = true;
            return;
        }
        let Some(following) = self.finish_hook.take() else {
            return self.line.finish(outcome);
        };
        self.handed_over = true;
        // The finish hook takes its time, which is not the generation's.
        self.line.tell(|watch| watch.done(&report));
        let ending = Ending {
            line: Arc::clone(&self.line),
            outcome: Some(outcome),
        };
        following.tasks.spawn(async move {
            let ending = ending;
            (following.finish_hook)(following.text, report).await;
            drop(ending);
        });
    }
}

impl Drop for StreamSink {
    fn drop(&mut self) {
        // Dropped without an ending: the engine died under it.
        if !self.handed_over && !self.is_closed() {
            self.finish(Outcome::Failed(EngineError::EngineRestarted));
        }
        self.lines.ended(&self.line);
    }
}

/// A running generation.
///
/// It yields texts and tool calls and then one [`GenerationEvent::Finished`],
/// or an error as its last item. Dropping it cancels the generation within one token.
#[derive(Debug)]
#[must_use = "a dropped stream cancels its generation"]
pub struct GenerationStream {
    id: RequestId,
    receiver: mpsc::Receiver<CompactString>,
    line: Arc<StreamState>,
    /// Makes events of the texts; without one, each is an event.
    reader: Option<ReplyReader>,
    /// What was read and not yielded yet.
    ready: VecDeque<GenerationEvent>,
    over: bool,
    /// Messages that did not fit into the prompt.
    dropped: usize,
}

impl GenerationStream {
    /// Notes how many messages did not fit into the prompt.
    pub(crate) fn without_messages(mut self, dropped: usize) -> Self {
        self.dropped = dropped;
        self
    }

    /// Messages that were left out of the prompt, the oldest, because they did
    /// not fit into the context (`model.context_overflow = "drop-oldest"`).
    pub fn dropped_messages(&self) -> usize {
        self.dropped
    }

    /// Reads the reply.
    pub(crate) fn with_reader(mut self, reader: ReplyReader) -> Self {
        self.reader = Some(reader);
        self
    }

    /// Names the generation in events and reports.
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

impl GenerationStream {
    /// Makes events of the next text, or of the end.
    fn take(&mut self, text: Option<CompactString>) -> Result<(), EngineError> {
        let Self { reader, ready, .. } = self;
        if let Some(text) = text {
            match reader {
                None => ready.push_back(GenerationEvent::Text(text.into())),
                Some(reader) => {
                    ready.extend(reader.push(&text).map_err(ConstraintError::from)?);
                }
            }
            return Ok(());
        }
        self.over = true;
        let ending = self.line.ending().cloned();
        let report = ending.unwrap_or(Err(EngineError::EngineRestarted))?;
        if let Some(reader) = reader {
            ready.extend(reader.finish().map_err(ConstraintError::from)?);
        }
        ready.push_back(GenerationEvent::Finished(report));
        Ok(())
    }
}

impl Stream for GenerationStream {
    type Item = Result<GenerationEvent, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let text = match self.receiver.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(text) => text,
            };
            if let Err(error) = self.take(text) {
                self.over = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
