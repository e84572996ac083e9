//! An engine without a model, for tests of code that takes an [`InferenceEngine`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), elpis::Error> {
//! use elpis::testing::{ScriptedEngine, ScriptedReply};
//! use elpis::{ChatMessage, ChatRequest, GenerationOptions, InferenceEngine};
//!
//! let engine = ScriptedEngine::new([ScriptedReply::text("It leaves at ten.")]);
//! let request = ChatRequest {
//!     session: "ada".to_owned(),
//!     messages: vec![ChatMessage::user("When does it leave?")],
//!     options: GenerationOptions::default(),
//! };
//! let completion = engine.chat_completion(request).await?;
//! assert_eq!(completion.text, "It leaves at ten.");
//! assert_eq!(engine.requests().len(), 1);
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::engine::{GenerationEvent, GenerationStream};
use crate::error::{EngineError, Error};
use crate::inference::{FinishReason, FunctionCall, GenerationReport, RequestId, SessionId};
use crate::runtime::{BoxFuture, Capabilities, ChatRequest, InferenceEngine, ModulationKind};

/// The answer of a [`ScriptedEngine`] to one request.
#[derive(Debug, Clone)]
pub enum ScriptedReply {
    /// A text, in these pieces.
    Text(Vec<String>),
    /// Calls of tools.
    Calls(Vec<FunctionCall>),
    /// A text that ends with an error.
    Failed(String, EngineError),
}

impl ScriptedReply {
    /// Creates a text with one piece for each word.
    pub fn text(text: &str) -> Self {
        Self::Text(text.split_inclusive(' ').map(str::to_owned).collect())
    }

    /// Creates one tool call.
    pub fn call(id: &str, name: &str, arguments: serde_json::Value) -> Self {
        Self::Calls(vec![FunctionCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments,
        }])
    }
}

/// An engine that returns its replies in order, whatever the requests are, and records the requests.
#[derive(Debug, Default)]
pub struct ScriptedEngine {
    replies: Mutex<VecDeque<ScriptedReply>>,
    requests: Mutex<Vec<ChatRequest>>,
    refuses_tools: bool,
}

impl ScriptedEngine {
    /// Creates an engine with these replies. Further requests fail with
    /// [`EngineError::Overloaded`].
    pub fn new(replies: impl IntoIterator<Item = ScriptedReply>) -> Self {
        Self {
            replies: Mutex::new(replies.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Makes the engine report that it does not support tools.
    #[must_use]
    pub fn without_tools(mut self) -> Self {
        self.refuses_tools = true;
        self
    }

    /// Returns the requests so far, in order.
    pub fn requests(&self) -> Vec<ChatRequest> {
        lock(&self.requests).clone()
    }

    fn answer(&self, request: ChatRequest) -> Result<GenerationStream, Error> {
        let session = SessionId::new(&request.session)?;
        let mut requests = lock(&self.requests);
        requests.push(request);
        let id = RequestId(requests.len() as u64);
        let reply = lock(&self.replies).pop_front();
        let reply = reply.ok_or(EngineError::Overloaded { limit: 0 })?;
        Ok(GenerationStream::from_events(
            id,
            events(id, session, reply),
        ))
    }
}

impl InferenceEngine for ScriptedEngine {
    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, Error>> {
        let capabilities = Capabilities {
            supports_steering: false,
            supports_tools: !self.refuses_tools,
            modulation: ModulationKind::None,
            context_length: 4096,
            model_name: "scripted".to_owned(),
        };
        Box::pin(std::future::ready(Ok(capabilities)))
    }

    fn chat_completion_stream(
        &self,
        request: ChatRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, Error>> {
        Box::pin(std::future::ready(self.answer(request)))
    }
}

/// Returns the events of a reply in the order in which a model's would arrive.
fn events(id: RequestId, session: SessionId, reply: ScriptedReply) -> Events {
    let mut events = VecDeque::new();
    let mut finish = FinishReason::Stop;
    let mut tokens = 0;
    match reply {
        ScriptedReply::Text(pieces) => {
            tokens = pieces.len() as u32;
            events.extend(
                pieces
                    .into_iter()
                    .map(|piece| Ok(GenerationEvent::Text(piece))),
            );
        }
        ScriptedReply::Calls(calls) => {
            finish = FinishReason::ToolCalls;
            for (index, call) in calls.into_iter().enumerate() {
                tokens += 1;
                let (id, name) = (call.id.clone(), call.name.clone());
                events.push_back(Ok(GenerationEvent::ToolCallStarted { index, id, name }));
                let json = call.arguments.to_string();
                events.push_back(Ok(GenerationEvent::ToolCallArguments { index, json }));
                events.push_back(Ok(GenerationEvent::ToolCall(call)));
            }
        }
        ScriptedReply::Failed(text, error) => {
            events.push_back(Ok(GenerationEvent::Text(text)));
            events.push_back(Err(error));
        }
    }
    let mut report = GenerationReport::new(id, session, "scripted", finish);
    report.completion_tokens = tokens;
    events.push_back(Ok(GenerationEvent::Finished(Arc::new(report))));
    Events(events)
}

struct Events(VecDeque<Result<GenerationEvent, EngineError>>);

impl Stream for Events {
    type Item = Result<GenerationEvent, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
