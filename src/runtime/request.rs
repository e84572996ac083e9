//! Turns a chat request into a task of the scheduler.

use std::sync::Arc;

use super::appraisal::{self, AppraisalBudget};
use super::form::Form;
use super::prompt;
use super::session::Session;
use crate::emotion::SamplingBase;
use crate::engine::{GenerationStream, Permit, StreamSink, StreamState};
use crate::error::{EngineError, Error};
use crate::inference::{
    ChatMessage, ClientSampling, GenerationOptions, RequestId, SamplingParams, ThinkingTracker,
};
use crate::scheduler::{MoodSource, Task};
use crate::settings::Settings;
use crate::telemetry::RequestWatch;

/// A chat request.
#[derive(Debug)]
pub(super) struct Request {
    pub session: Session,
    pub messages: Vec<ChatMessage>,
    pub options: GenerationOptions,
    /// A place that was taken before.
    pub reserved: Option<Permit>,
}

impl Request {
    /// Admits and prepares the request and puts it into the request queue.
    ///
    /// Cancel safe: if the future is dropped before it returns, nothing is generated.
    pub async fn submit(mut self) -> Result<GenerationStream, Error> {
        let elpis = self.session.elpis().clone();
        let parts = &elpis.inner.parts;
        let settings = &parts.settings;
        let id = elpis.next_request();
        let clock = Arc::clone(&parts.clock);
        let mut watch = RequestWatch::submitted(id, self.session.id(), &settings.metrics, clock);
        if let Some(model) = elpis.model() {
            watch.model(settings.metrics.model_label(&model.name));
        }
        let submitted = watch.submitted_at();
        let permit = self.admit().inspect_err(|error| watch.refused(error))?;
        let timeout = self.options.timeout.or(settings.runtime.request_timeout);
        self.options.timeout = timeout;
        let stream = Arc::new(StreamState::new(
            id,
            self.session.id().clone(),
            settings.runtime.stream_buffer,
            parts.bus.clone(),
            watch,
            permit,
            Arc::clone(parts.request_queue.signals()),
        ));
        // Boxed, because the future is large and callers embed it in theirs.
        let preparing = Box::pin(self.into_task(id, submitted, &stream));
        // The time to load a model counts as well.
        let task = match timeout {
            Some(timeout) => tokio::time::timeout(timeout, preparing)
                .await
                .unwrap_or_else(|_| Err(EngineError::Timeout { timeout }.into())),
            None => preparing.await,
        };
        let task = task.inspect_err(|error| stream.refuse(error))?;
        let reader = GenerationStream::new(stream);
        parts.request_queue.submit(task)?;
        Ok(reader)
    }

    /// Checks what does not depend on the model and asks for the right to run.
    fn admit(&mut self) -> Result<Permit, Error> {
        self.options.validate().map_err(EngineError::from)?;
        let request_queue = &self.session.elpis().inner.parts.request_queue;
        Ok(match self.reserved.take() {
            Some(reserved) => request_queue.redeem(reserved)?,
            None => request_queue.admit()?,
        })
    }

    /// Does everything that takes time or can fail, outside of the engine thread.
    async fn into_task(
        self,
        id: RequestId,
        submitted: f64,
        stream: &Arc<StreamState>,
    ) -> Result<Task, Error> {
        let Self {
            session,
            messages,
            mut options,
            ..
        } = self;
        let elpis = session.elpis();
        let parts = &elpis.inner.parts;
        let settings = &parts.settings;
        let max_tokens = options.max_tokens.unwrap_or(settings.model.max_tokens);
        let form = Form::of(&options)?;
        let emotional = options.emotional_modulation != Some(false);
        let heard = options.appraise != Some(false);
        let mut budget = None;
        if emotional && heard && session.is_appraised() {
            let budget = budget.insert(AppraisalBudget::new(elpis, &messages));
            appraisal::message(&session, &messages, budget).await;
        }
        let (model, prompt) =
            prompt::prepare(elpis, messages, form.tools(), max_tokens, submitted).await?;
        let thinking = prompt.thinking;
        stream.tell(|watch| watch.model(settings.metrics.model_label(&model.facts.name)));
        // A constrained reply is data and expresses no feelings.
        let prose = !form.is_answer();
        let finish_hook =
            budget.and_then(|budget| appraisal::finish_hook(&session, prose, thinking, budget));
        let seed = options.seed.or(settings.model.seed);
        let seed = seed.unwrap_or_else(rand::random);
        // A fixed seed must not repeat the ids of calls within a conversation.
        let unfinished = options.allow_unfinished == Some(true);
        let ids = seed ^ id.0.rotate_left(32);
        let parser = form.parser(&model, thinking, ids, unfinished);
        let visible = form.visible(&model);
        let parallel = options.parallel_tool_calls != Some(false);
        let format = model.template.tool_format();
        let tracker = ThinkingTracker::new(format, &model.tool_markers, thinking);
        let guide = form.guide(&model, parallel, thinking).await?;
        let mut mood: Option<Box<dyn MoodSource>> = None;
        if emotional {
            let base = mood_base(&mut options, settings);
            mood = Some(Box::new(
                parts.sessions.follow(session.id(), base, heard).await?,
            ));
        }
        stream.tell(|watch| watch.queued(|| prompt.text.clone()));
        let running = parts.request_queue.streams();
        let sink = StreamSink::new(stream, running, parser, finish_hook, prompt.dropped);
        Ok(Task {
            id,
            session: session.id().clone(),
            prompt: prompt.tokens,
            max_tokens,
            sampling: sampling(settings, seed),
            timing: options.timing.unwrap_or(settings.runtime.modulation_timing),
            options,
            guide,
            visible,
            thinking: Some(tracker),
            mood,
            submitted,
            sink: Box::new(sink),
        })
    }
}

/// The sampling parameters that the emotion moves. Those of the request are among them, and no
/// longer override, if the options say so.
fn mood_base(options: &mut GenerationOptions, settings: &Settings) -> SamplingBase {
    let mut base = SamplingBase {
        temperature: settings.model.temperature,
        top_p: settings.model.top_p,
    };
    if options.client_sampling == Some(ClientSampling::Base) {
        // The shortest decimal: 0.7 as a single is 0.699999988.
        let double = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
        base.temperature = options.temperature.take().map_or(base.temperature, double);
        base.top_p = options.top_p.take().map_or(base.top_p, double);
    }
    base
}

/// The sampling parameters that options and emotion build on.
fn sampling(settings: &Settings, seed: u64) -> SamplingParams {
    let model = &settings.model;
    SamplingParams {
        temperature: model.temperature as f32,
        top_p: model.top_p as f32,
        top_k: model.top_k,
        min_p: model.min_p as f32,
        repetition_penalty: model.repetition_penalty as f32,
        presence_penalty: model.presence_penalty as f32,
        frequency_penalty: model.frequency_penalty as f32,
        repetition_window: model.repetition_window,
        seed,
    }
}
