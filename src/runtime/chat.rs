//! A generation in preparation.

use std::future::IntoFuture;
use std::time::Duration;

use super::interface::BoxFuture;
use super::request::Request;
use super::session::Session;
use crate::emotion::Coefficients;
use crate::engine::{GenerationStream, Permit};
use crate::error::Error;
use crate::inference::{
    ChatMessage, Completion, GenerationOptions, ModulationTiming, ResponseFormat, ToolChoice,
};

/// The input of a generation: messages, or the text of a single user message.
pub trait IntoMessages {
    /// Converts it to a list of messages.
    fn into_messages(self) -> Vec<ChatMessage>;
}

impl IntoMessages for &str {
    fn into_messages(self) -> Vec<ChatMessage> {
        vec![ChatMessage::user(self)]
    }
}

impl IntoMessages for String {
    fn into_messages(self) -> Vec<ChatMessage> {
        vec![ChatMessage::user(self)]
    }
}

impl IntoMessages for ChatMessage {
    fn into_messages(self) -> Vec<ChatMessage> {
        vec![self]
    }
}

impl IntoMessages for Vec<ChatMessage> {
    fn into_messages(self) -> Vec<ChatMessage> {
        self
    }
}

impl IntoMessages for &[ChatMessage] {
    fn into_messages(self) -> Vec<ChatMessage> {
        self.to_vec()
    }
}

impl IntoMessages for &Vec<ChatMessage> {
    fn into_messages(self) -> Vec<ChatMessage> {
        self.clone()
    }
}

impl<const N: usize> IntoMessages for [ChatMessage; N] {
    fn into_messages(self) -> Vec<ChatMessage> {
        self.into()
    }
}

/// A generation in preparation. [`stream`](Self::stream) starts it; awaiting it returns the whole
/// reply.
#[derive(Debug, Clone)]
#[must_use = "nothing is generated until it is streamed or awaited"]
pub struct Chat {
    session: Session,
    messages: Vec<ChatMessage>,
    /// Options that were set one by one.
    options: GenerationOptions,
    /// Options that were set all at once.
    base: GenerationOptions,
}

impl Chat {
    pub(super) fn new(session: Session, messages: Vec<ChatMessage>) -> Self {
        Self {
            session,
            messages,
            options: GenerationOptions::default(),
            base: GenerationOptions::default(),
        }
    }

    /// Sets many options at once. Options set one by one take precedence, whether before or after
    /// this call. Options of an earlier call stay unless these override them; stop texts are added.
    pub fn options(mut self, options: GenerationOptions) -> Self {
        self.base = options.or(self.base);
        self
    }

    /// Bounds the reply, in tokens.
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.options.max_tokens = Some(tokens);
        self
    }

    /// Sets the temperature, in [0, 2]; 0 is greedy.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.options.temperature = Some(temperature);
        self
    }

    /// Sets the probability mass of nucleus sampling, in (0, 1].
    pub fn top_p(mut self, top_p: f32) -> Self {
        self.options.top_p = Some(top_p);
        self
    }

    /// Sets the number of candidates; 0 keeps all.
    pub fn top_k(mut self, top_k: u32) -> Self {
        self.options.top_k = Some(top_k);
        self
    }

    /// Excludes tokens whose probability is below this fraction of the most likely token's, in [0,
    /// 1); 0 keeps all.
    pub fn min_p(mut self, min_p: f32) -> Self {
        self.options.min_p = Some(min_p);
        self
    }

    /// Divides the positive and multiplies the negative logits of tokens that have occurred by
    /// this; above 0; 1 changes nothing.
    pub fn repetition_penalty(mut self, penalty: f32) -> Self {
        self.options.repetition_penalty = Some(penalty);
        self
    }

    /// Subtracts this from the logits of tokens that have occurred, in [-2, 2].
    pub fn presence_penalty(mut self, penalty: f32) -> Self {
        self.options.presence_penalty = Some(penalty);
        self
    }

    /// Subtracts this from a token's logit for each time that the token has occurred, in [-2, 2].
    pub fn frequency_penalty(mut self, penalty: f32) -> Self {
        self.options.frequency_penalty = Some(penalty);
        self
    }

    /// Sets how many of the last tokens, including the prompt, the three penalties consider, up to
    /// 4096; 0 disables them.
    pub fn repetition_window(mut self, tokens: u32) -> Self {
        self.options.repetition_window = Some(tokens);
        self
    }

    /// Sets the random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = Some(seed);
        self
    }

    /// Adds a text that ends the reply.
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.options.stop.push(text.into());
        self
    }

    /// Steers with these coefficients instead of the session's own.
    pub fn coefficients(mut self, coefficients: Coefficients) -> Self {
        self.options.coefficients = Some(coefficients);
        self
    }

    /// Switches emotional modulation on or off. If it is off, the emotion affects neither sampling
    /// nor steering, and the texts do not affect the emotion.
    pub fn emotional_modulation(mut self, on: bool) -> Self {
        self.options.emotional_modulation = Some(on);
        self
    }

    /// Chooses when events reach the generation.
    pub fn timing(mut self, timing: ModulationTiming) -> Self {
        self.options.timing = Some(timing);
        self
    }

    /// Ends the generation with an error after this time, queueing included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Offers tools, a list in `OpenAI`'s JSON form: `{"type": "function", "function": {"name",
    /// "description", "parameters"}}`. Calls are valid under the schemas of their parameters.
    pub fn tools(mut self, tools: impl Into<serde_json::Value>) -> Self {
        self.options.tools = Some(tools.into());
        self
    }

    /// Chooses whether the model may, must or must not call tools.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.options.tool_choice = Some(choice);
        self
    }

    /// Sets whether one reply may contain several calls; the default is `true`.
    pub fn parallel_tool_calls(mut self, allowed: bool) -> Self {
        self.options.parallel_tool_calls = Some(allowed);
        self
    }

    /// Constrains the reply to a format.
    pub fn response_format(mut self, format: ResponseFormat) -> Self {
        self.options.response_format = Some(format);
        self
    }

    /// Starts the generation and waits for the whole reply.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), or the error that ended the generation.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the generation within one token. The session may have felt the
    /// message by then, never the reply.
    pub async fn complete(self) -> Result<Completion, Error> {
        Ok(self.stream().await?.completion().await?)
    }

    /// Starts the generation.
    ///
    /// # Errors
    /// [`Error::Engine`] if the request is not valid, its template fails, its
    /// prompt is too long or the runtime is overloaded; [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing is generated. The session may have felt the message by
    /// then.
    pub async fn stream(self) -> Result<GenerationStream, Error> {
        self.stream_in(None).await
    }

    /// Starts the generation, in a place that was taken before if there is one.
    pub(super) async fn stream_in(
        self,
        reserved: Option<Permit>,
    ) -> Result<GenerationStream, Error> {
        let request = Request {
            session: self.session,
            messages: self.messages,
            options: self.options.or(self.base),
            reserved,
        };
        request.submit().await
    }
}

/// Awaiting a chat returns the whole reply, as [`Chat::complete`] does.
impl IntoFuture for Chat {
    type Output = Result<Completion, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.complete())
    }
}
