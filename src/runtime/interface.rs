//! The engine as an interface, for code that does not care which one it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Elpis;
use crate::engine::{GenerationStream, LoadedModel, Permit};
use crate::error::{EngineError, Error};
use crate::inference::{ChatMessage, Completion, FunctionCall, GenerationOptions};

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the emotion of an engine's sessions acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModulationKind {
    /// Nothing.
    None,
    /// Only the sampling parameters.
    Sampling,
    /// Only the residual stream.
    Steering,
    /// The sampling parameters and the residual stream.
    Both,
}

/// Capabilities of an engine with the currently loaded model and vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether there are steering vectors that act on generations. A strength of 0 turns them off
    /// for a single session.
    pub supports_steering: bool,
    /// Whether [`InferenceEngine::function_call`] works.
    pub supports_tools: bool,
    /// What the emotion acts on.
    pub modulation: ModulationKind,
    /// Context length of one session, in tokens.
    pub context_length: u32,
    /// The model's name.
    pub model_name: String,
}

/// A request to an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The session whose emotion the reply follows.
    pub session: String,
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// Options of the generation.
    #[serde(default)]
    pub options: GenerationOptions,
}

/// A place in an engine for one request, taken before the request is made. The place is given back
/// when it is dropped; a shutdown does not wait for it.
///
/// That of an engine which bounds nothing is empty, as the default is.
#[derive(Debug, Default)]
#[must_use = "a dropped place is free for others"]
pub struct Reservation(Option<Permit>);

/// An engine that answers chats.
///
/// [`Elpis`] implements it. Another engine must provide [`capabilities`](Self::capabilities) and
/// [`chat_completion_stream`](Self::chat_completion_stream), which creates its stream with
/// [`GenerationStream::from_events`]; the other methods have default implementations.
pub trait InferenceEngine: Send + Sync {
    /// Returns the engine's capabilities.
    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, Error>>;

    /// Generates a whole reply.
    fn chat_completion(&self, request: ChatRequest) -> BoxFuture<'_, Result<Completion, Error>> {
        Box::pin(async move {
            let stream = self.chat_completion_stream(request).await?;
            Ok(stream.completion().await?)
        })
    }

    /// Generates a reply piece by piece.
    fn chat_completion_stream(
        &self,
        request: ChatRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, Error>>;

    /// Waits until the engine has room for one more request and reserves it. The default is for an
    /// engine without a limit and returns at once.
    ///
    /// Errors: [`Error::Stopped`] once the engine has stopped. Cancel safe: a dropped future reserves
    /// nothing.
    fn reserve(&self) -> BoxFuture<'_, Result<Reservation, Error>> {
        Box::pin(std::future::ready(Ok(Reservation::default())))
    }

    /// Generates a reply piece by piece with a reservation of this engine, so that the request is
    /// never refused as overloaded.
    fn chat_completion_stream_in(
        &self,
        place: Reservation,
        request: ChatRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, Error>> {
        drop(place);
        self.chat_completion_stream(request)
    }

    /// Lets the model choose among tools, given in `OpenAI`'s JSON format. The options of the
    /// request tell whether it must call one. The list of calls is empty if the model answers
    /// without tools.
    ///
    /// Engines whose [`Capabilities::supports_tools`] is `false` return
    /// [`EngineError::Unsupported`].
    fn function_call(
        &self,
        mut request: ChatRequest,
        tools: serde_json::Value,
    ) -> BoxFuture<'_, Result<Vec<FunctionCall>, Error>> {
        request.options.tools = Some(tools);
        Box::pin(async move {
            if !self.capabilities().await?.supports_tools {
                let what = "function calling by this engine";
                return Err(EngineError::Unsupported { what }.into());
            }
            Ok(self.chat_completion(request).await?.tool_calls)
        })
    }
}

impl Elpis {
    /// Whether the library in force has a vector that the settings allow to act.
    fn steers(&self) -> bool {
        let library = self.steering_library();
        let acts = self.settings().model.max_residual_fraction > 0.0;
        acts && library.emotions().any(|emotion| emotion.cap > 0.0)
    }
}

/// Whether a model's vocabulary supports constrained replies, which tool calls need.
async fn speaks_in_forms(model: &Arc<LoadedModel>) -> bool {
    let model = Arc::clone(model);
    let asked = tokio::task::spawn_blocking(move || model.vocabulary().is_ok());
    asked.await.unwrap_or(false)
}

impl InferenceEngine for Elpis {
    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, Error>> {
        Box::pin(async {
            let model = self.loaded().await?;
            let supports_steering = self.steers();
            Ok(Capabilities {
                supports_steering,
                supports_tools: speaks_in_forms(&model).await,
                modulation: if supports_steering {
                    ModulationKind::Both
                } else {
                    ModulationKind::Sampling
                },
                context_length: model.facts.context_length,
                model_name: model.facts.name.clone(),
            })
        })
    }

    fn chat_completion_stream(
        &self,
        request: ChatRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, Error>> {
        self.chat_completion_stream_in(Reservation::default(), request)
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Reservation, Error>> {
        Box::pin(async {
            let permit = self.inner.parts.request_queue.reserve().await?;
            Ok(Reservation(Some(permit)))
        })
    }

    fn chat_completion_stream_in(
        &self,
        place: Reservation,
        request: ChatRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, Error>> {
        Box::pin(async move {
            let session = self.session(&request.session)?;
            let chat = session.chat(request.messages).options(request.options);
            chat.stream_in(place.0).await
        })
    }

    fn function_call(
        &self,
        mut request: ChatRequest,
        tools: serde_json::Value,
    ) -> BoxFuture<'_, Result<Vec<FunctionCall>, Error>> {
        if !cfg!(feature = "tools") {
            let what = "function calling without the cargo feature `tools`";
            return Box::pin(async move { Err(EngineError::Unsupported { what }.into()) });
        }
        request.options.tools = Some(tools);
        Box::pin(async move { Ok(self.chat_completion(request).await?.tool_calls) })
    }
}
