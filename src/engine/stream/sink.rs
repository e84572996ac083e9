//! The engine thread's end of a generation's stream.

use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::parser::ReplyParser;
use super::shared::{RunningStreams, StreamState};
use crate::error::EngineError;
use crate::inference::{AppliedModulation, GenerationReport};
use crate::scheduler::{Outcome, PromptAccount, TokenSink};
use crate::steering::SteeringLibrary;

/// Runs after a finished reply, before its end is reported. It gets the reply's text without tool
/// calls, at most 256 KiB, and the report.
pub type FinishHook = Box<dyn FnOnce(String, GenerationReport) -> FinishFuture + Send>;

/// The work of a [`FinishHook`].
pub type FinishFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The engine thread's end of a stream.
pub(crate) struct StreamSink {
    state: Arc<StreamState>,
    running: Arc<RunningStreams>,
    finish_hook: Option<(FinishHook, Handle)>,
    /// Whether the finish hook ends the stream.
    handed_over: bool,
}

impl StreamSink {
    /// Creates the engine thread's end of a stream whose reply `parser` parses. `dropped` is the
    /// number of messages that did not fit into the prompt.
    ///
    /// The reader is notified of a finished reply after its finish hook, which runs on the Tokio
    /// runtime that called this; the slot is free before. Must be called within a Tokio runtime if
    /// there is a finish hook.
    pub fn new(
        state: &Arc<StreamState>,
        running: &Arc<RunningStreams>,
        parser: Option<ReplyParser>,
        finish_hook: Option<FinishHook>,
        dropped: usize,
    ) -> Self {
        state.read_with(parser, finish_hook.is_some(), dropped);
        Self {
            state: Arc::clone(state),
            running: Arc::clone(running),
            finish_hook: finish_hook.map(|hook| (hook, Handle::current())),
            handed_over: false,
        }
    }
}

/// Ends a stream even if its finish hook panics.
struct FinishGuard {
    state: Arc<StreamState>,
    outcome: Option<Outcome>,
}

impl Drop for FinishGuard {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.state.finish(outcome);
        }
    }
}

impl TokenSink for StreamSink {
    fn started(&mut self) {
        self.running.started(&self.state);
        self.state.started();
    }

    fn modulated(&mut self, applied: &AppliedModulation, library: &SteeringLibrary) {
        self.state.tell(|watch| watch.modulated(applied, library));
    }

    fn first_token(&mut self, prompt: PromptAccount) {
        self.state.tell(|watch| watch.first_token(prompt));
    }

    fn has_room(&self) -> bool {
        self.state.has_room()
    }

    fn is_closed(&self) -> bool {
        self.state.is_closed()
    }

    fn text(&mut self, text: &str) {
        self.state.send(text);
    }

    fn generated(&mut self, tokens: u32) {
        self.state.tell(|watch| watch.generated(tokens));
    }

    fn finish(&mut self, outcome: Outcome) {
        self.running.ended(&self.state);
        let report = match &outcome {
            Outcome::Done(report) => report.as_ref().clone(),
            _ => return self.state.finish(outcome),
        };
        if self.state.is_over() {
            // Its engine was abandoned, so its later texts are discarded.
            self.handed_over = true;
            return;
        }
        let Some((hook, tasks)) = self.finish_hook.take() else {
            return self.state.finish(outcome);
        };
        self.handed_over = true;
        // The time of the finish hook does not belong to the generation.
        self.state.tell(|watch| watch.done(&report));
        let guard = FinishGuard {
            state: Arc::clone(&self.state),
            outcome: Some(outcome),
        };
        tasks.spawn(async move {
            let guard = guard;
            let text = guard.state.read_to_end();
            hook(text, report).await;
            drop(guard);
        });
    }
}

impl Drop for StreamSink {
    fn drop(&mut self) {
        // It was dropped without an end, so the engine died.
        if !self.handed_over && !self.is_closed() {
            self.finish(Outcome::Failed(EngineError::EngineRestarted));
        }
        self.running.ended(&self.state);
    }
}
