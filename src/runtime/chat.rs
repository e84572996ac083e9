//! A generation in preparation.

use std::sync::Arc;
use std::time::Duration;

use super::appraisal::{self, ReplyForm, Turn};
use super::form::Form;
use super::prompt;
use super::session::Session;
use crate::actors::Wiring;
use crate::actors::emotion::FollowedMood;
use crate::actors::engine::{
    FinishHook, GenerationStream, Permit, ReplyReader, StreamParts, stream,
};
use crate::backend::Token;
use crate::emotion::Coefficients;
use crate::error::{EngineError, Error};
use crate::inference::{
    ChatMessage, Completion, ControlToken, GenerationOptions, Guide, ModulationTiming, RequestId,
    ResponseFormat, SamplingParams, SessionId, ToolChoice,
};
use crate::scheduler::{MoodSource, Task};
use crate::telemetry::RequestWatch;

/// What a generation answers to: messages, or the text of a single user
/// message.
pub trait IntoMessages {
    /// Makes the list of messages.
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

/// A generation in preparation; [`stream`](Self::stream) or
/// [`complete`](Self::complete) starts it.
#[derive(Debug, Clone)]
#[must_use = "nothing is generated until it is streamed or completed"]
pub struct Chat {
    session: Session,
    messages: Vec<ChatMessage>,
    options: GenerationOptions,
}

impl Chat {
    pub(super) fn new(session: Session, messages: Vec<ChatMessage>) -> Self {
        Self {
            session,
            messages,
            options: GenerationOptions::default(),
        }
    }

    /// Replaces all options at once.
    pub fn options(mut self, options: GenerationOptions) -> Self {
        self.options = options;
        self
    }

    /// Bounds the reply, in tokens.
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.options.max_tokens = Some(tokens);
        self
    }

    /// Fixes the temperature, in [0, 2]; 0 is greedy.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.options.temperature = Some(temperature);
        self
    }

    /// Fixes nucleus sampling's probability mass, in (0, 1].
    pub fn top_p(mut self, top_p: f32) -> Self {
        self.options.top_p = Some(top_p);
        self
    }

    /// Fixes the number of candidates; 0 keeps all.
    pub fn top_k(mut self, top_k: u32) -> Self {
        self.options.top_k = Some(top_k);
        self
    }

    /// Leaves out tokens less probable than this share of the most likely token's probability,
    /// in [0, 1); 0 keeps all.
    pub fn min_p(mut self, min_p: f32) -> Self {
        self.options.min_p = Some(min_p);
        self
    }

    /// Divides positive and multiplies negative logits of tokens that have occurred, above 0; 1
    /// changes nothing.
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

    /// Fixes how many of the last tokens the three penalties look at, prompt included, up to
    /// 4096; 0 switches them off.
    pub fn repetition_window(mut self, tokens: u32) -> Self {
        self.options.repetition_window = Some(tokens);
        self
    }

    /// Fixes the seed of the random stream.
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

    /// Leaves the emotion out of the generation, or not: left out, it neither
    /// acts on sampling and steering nor is moved by the texts.
    pub fn emotional_modulation(mut self, on: bool) -> Self {
        self.options.emotional_modulation = Some(on);
        self
    }

    /// Chooses when events reach the generation.
    pub fn timing(mut self, timing: ModulationTiming) -> Self {
        self.options.timing = Some(timing);
        self
    }

    /// Ends the generation with an error after this time, in seconds.
    pub fn timeout_seconds(mut self, seconds: f64) -> Self {
        self.options.timeout_seconds = Some(seconds);
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

    /// Allows several calls in one reply, as is the default, or not.
    pub fn parallel_tool_calls(mut self, allowed: bool) -> Self {
        self.options.parallel_tool_calls = Some(allowed);
        self
    }

    /// Keeps the reply to a form.
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
        let elpis = self.session.elpis().clone();
        let wiring = &elpis.inner.wiring;
        let id = elpis.next_request();
        let clock = Arc::clone(&wiring.clock);
        let watched = &wiring.settings.metrics;
        let mut watch = RequestWatch::submitted(id, self.session.id(), watched, clock);
        if let Some(model) = elpis.model() {
            watch.model(watched.model_label(&model.name));
        }
        let seconds = self.options.timeout_seconds;
        let seconds = seconds.or(wiring.settings.runtime.request_timeout_seconds);
        let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let preparing = self.prepare(id, &mut watch);
        // A model that is being loaded counts as well.
        let prepared = match (limit, seconds) {
            (Some(limit), Some(seconds)) => tokio::time::timeout(limit, preparing)
                .await
                .unwrap_or_else(|_| Err(EngineError::Timeout { seconds }.into())),
            _ => preparing.await,
        };
        let prepared = prepared.inspect_err(|error| watch.refused(error))?;
        let (task, stream) = prepared.into_task(id, watch, wiring);
        wiring.request_queue.submit(task)?;
        Ok(stream)
    }

    /// Does everything that can be refused.
    async fn prepare(self, id: RequestId, watch: &mut RequestWatch) -> Result<Prepared, Error> {
        let Self {
            session,
            messages,
            mut options,
        } = self;
        let elpis = session.elpis();
        let wiring = &elpis.inner.wiring;
        let model_settings = &wiring.settings.model;
        options.validate().map_err(EngineError::from)?;
        let permit = wiring.request_queue.admit()?;
        let max_tokens = options.max_tokens.unwrap_or(model_settings.max_tokens);
        let form = Form::of(&options)?;
        let emotional = options.emotional_modulation != Some(false);
        let turn = (emotional && session.is_heard()).then(|| Turn::new(elpis, &messages));
        if let Some(turn) = &turn {
            appraisal::message(&session, &messages, turn).await;
        }
        let now = watch.submitted_at();
        let (model, prompt) =
            prompt::prepare(elpis, messages, form.tools(), max_tokens, now).await?;
        watch.model(elpis.settings().metrics.model_label(&model.facts.name));
        let thinking = prompt.thinking;
        let reader = form.reader(&model, thinking);
        // What has to be of a form is data and tells no feelings.
        let finish_hook = turn.and_then(|turn| {
            let reader = form.reader(&model, thinking);
            let form = ReplyForm {
                reader: reader.map(|reader| reader(0)),
                thinking,
                read: !form.is_answer(),
            };
            appraisal::finish_hook(&session, form, turn)
        });
        let parallel = options.parallel_tool_calls != Some(false);
        let visible = form.visible(&model);
        let guide = form.guide(&model, parallel, thinking).await?;
        let mut mood: Option<Box<dyn MoodSource>> = None;
        if emotional {
            let tracker = elpis.inner.emotion.follow(session.id()).await?;
            mood = Some(Box::new(FollowedMood::new(tracker, wiring)));
        }
        let runtime = &wiring.settings.runtime;
        options.timeout_seconds = options.timeout_seconds.or(runtime.request_timeout_seconds);
        let seed = options
            .seed
            .or(model_settings.seed)
            .unwrap_or_else(rand::random);
        // A seed that is fixed for a conversation must not repeat its ids.
        let reader = reader.map(|reader| reader(seed ^ id.0.rotate_left(32)));
        watch.queued(|| prompt.text.clone());
        Ok(Prepared {
            session: session.id().clone(),
            options,
            prompt: prompt.tokens,
            dropped: prompt.dropped,
            max_tokens,
            seed,
            guide,
            visible,
            mood,
            permit,
            finish_hook,
            reader,
        })
    }
}

/// A generation that nothing keeps from being submitted.
struct Prepared {
    session: SessionId,
    options: GenerationOptions,
    prompt: Vec<Token>,
    dropped: usize,
    max_tokens: u32,
    seed: u64,
    guide: Option<Guide>,
    visible: Vec<ControlToken>,
    mood: Option<Box<dyn MoodSource>>,
    permit: Permit,
    finish_hook: Option<FinishHook>,
    reader: Option<ReplyReader>,
}

impl Prepared {
    fn into_task(
        self,
        id: RequestId,
        watch: RequestWatch,
        wiring: &Wiring,
    ) -> (Task, GenerationStream) {
        let settings = &wiring.settings;
        let submitted = watch.submitted_at();
        let parts = StreamParts {
            id,
            session: self.session.clone(),
            watch,
            buffer: settings.runtime.stream_buffer,
            bus: wiring.bus.clone(),
            permit: self.permit,
        };
        let (sink, stream) = stream(parts, &wiring.request_queue, self.finish_hook);
        let mut stream = stream.without_messages(self.dropped);
        if let Some(reader) = self.reader {
            stream = stream.with_reader(reader);
        }
        let task = Task {
            id,
            session: self.session,
            prompt: self.prompt,
            max_tokens: self.max_tokens,
            guide: self.guide,
            visible: self.visible,
            sampling: SamplingParams {
                temperature: settings.model.temperature as f32,
                top_p: settings.model.top_p as f32,
                top_k: settings.model.top_k,
                min_p: settings.model.min_p as f32,
                repetition_penalty: settings.model.repetition_penalty as f32,
                presence_penalty: settings.model.presence_penalty as f32,
                frequency_penalty: settings.model.frequency_penalty as f32,
                repetition_window: settings.model.repetition_window,
                seed: self.seed,
            },
            timing: self
                .options
                .timing
                .unwrap_or(settings.runtime.modulation_timing),
            options: self.options,
            mood: self.mood,
            submitted,
            sink: Box::new(sink),
        };
        (task, stream)
    }
}
