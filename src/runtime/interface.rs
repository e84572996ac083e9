//! The engine as an interface, for code that does not care which one it is.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use super::Elpis;
use crate::actors::engine::GenerationStream;
use crate::error::{EngineError, Error};
use crate::inference::{ChatMessage, Completion, FunctionCall, GenerationOptions};

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an engine's emotion acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModulationKind {
    /// Nothing.
    None,
    /// Sampling parameters alone.
    Sampling,
    /// The residual stream alone.
    Steering,
    /// Sampling parameters and the residual stream.
    Both,
}

/// What an engine can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether steering vectors act on generations.
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

/// An engine that answers chats.
pub trait InferenceEngine: Send + Sync {
    /// What the engine can do.
    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, Error>>;

    /// Generates a reply as a whole.
    fn chat_completion(&self, request: ChatRequest) -> BoxFuture<'_, Result<Completion, Error>>;

    /// Generates a reply piece by piece.
    fn chat_completion_stream(
        &self,
        request: ChatRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, Error>>;

    /// Lets the model choose among tools, given in `OpenAI`'s JSON form; whether it must is
    /// in the options of the request. No calls: the model answers without tools.
    ///
    /// Engines whose [`Capabilities::supports_tools`] is `false` answer
    /// [`EngineError::Unsupported`].
    fn function_call(
        &self,
        request: ChatRequest,
        tools: serde_json::Value,
    ) -> BoxFuture<'_, Result<Vec<FunctionCall>, Error>>;
}

impl InferenceEngine for Elpis {
    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, Error>> {
        Box::pin(async {
            let model = self.loaded().await?;
            Ok(Capabilities {
                supports_steering: true,
                supports_tools: cfg!(feature = "tools"),
                modulation: ModulationKind::Both,
                context_length: model.facts.context_length,
                model_name: model.facts.name.clone(),
            })
        })
    }

    fn chat_completion(&self, request: ChatRequest) -> BoxFuture<'_, Result<Completion, Error>> {
        Box::pin(async move {
            let stream = self.chat_completion_stream(request).await?;
            Ok(stream.completion().await?)
        })
    }

    fn chat_completion_stream(
        &self,
        request: ChatRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, Error>> {
        Box::pin(async move {
            let session = self.session(&request.session)?;
            let chat = session.chat(request.messages).options(request.options);
            chat.stream().await
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
