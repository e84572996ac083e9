//! Metrics and spans of one generation.
//!
//! The spans are `generation`, from submission to the end, and below it `prepare` (the message is
//! appraised and the prompt built), `queue`, `prefill` and `decode`. Their target is
//! [`TRACE_TARGET`], their level INFO. Field names follow OpenTelemetry's conventions for
//! generative AI where these define one.
//!
//! Each phase is recorded when it happens, so a generation that fails later has the metrics of the
//! phases that it reached.

mod measures;

use std::sync::Arc;

use tracing::{Span, field};

use self::measures::Measures;
use crate::clock::Clock;
use crate::error::{EngineError, Error};
use crate::inference::{AppliedModulation, GenerationReport, RequestId, SessionId};
use crate::scheduler::PromptAccount;
use crate::settings::MetricsSettings;
use crate::steering::SteeringLibrary;

/// The target of the spans of generations.
pub const TRACE_TARGET: &str = "elpis::generation";

/// The provider's name in OpenTelemetry's conventions.
const PROVIDER: &str = "elpis";

/// The outcome of a generation whose caller is gone.
const CANCELLED: &str = "cancelled";

/// The phase of a generation, with the times, in seconds, at which it was reached.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Preparing,
    Queued,
    Prefill { started: f64 },
    Decode { started: f64, first_token: f64 },
    Ended,
}

/// Watches one generation. Dropping this before the end counts as a cancellation.
#[derive(Debug)]
pub(crate) struct RequestWatch {
    clock: Arc<dyn Clock>,
    submitted: f64,
    stage: Stage,
    measures: Measures,
    trace_text: bool,
    request: Span,
    phase: Span,
    modulated: bool,
    /// The factor of the latest modulation.
    steering_factor: f64,
    /// Number of tokens of the reply, once known.
    generated: Option<u32>,
    /// The reply so far, if it is traced.
    reply: Option<String>,
}

/// Creates the span of a phase. Span names must be literals.
macro_rules! phase {
    ($parent:expr, $name:literal) => {
        tracing::info_span!(target: TRACE_TARGET, parent: $parent, $name)
    };
}

impl RequestWatch {
    /// Starts watching at the submission. The caller's span is the parent.
    pub fn submitted(
        id: RequestId,
        session: &SessionId,
        settings: &MetricsSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let request = tracing::info_span!(
            target: TRACE_TARGET,
            "generation",
            otel.name = "chat",
            otel.status_code = field::Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = PROVIDER,
            gen_ai.request.model = field::Empty,
            gen_ai.conversation.id = session.as_str(),
            gen_ai.request.temperature = field::Empty,
            gen_ai.request.top_p = field::Empty,
            gen_ai.request.seed = field::Empty,
            gen_ai.usage.input_tokens = field::Empty,
            gen_ai.usage.output_tokens = field::Empty,
            gen_ai.response.finish_reasons = field::Empty,
            error.type = field::Empty,
            error.message = field::Empty,
            request = id.0 as i64,
            valence = field::Empty,
            arousal = field::Empty,
            quadrant = field::Empty,
            mood = field::Empty,
            coefficients = field::Empty,
            library_version = field::Empty,
            cached_tokens = field::Empty,
            prompt = field::Empty,
            reply = field::Empty,
        );
        Self {
            phase: phase!(&request, "prepare"),
            submitted: clock.now(),
            clock,
            stage: Stage::Preparing,
            measures: Measures::new(settings.opentelemetry),
            trace_text: settings.trace_text && !request.is_disabled(),
            request,
            modulated: false,
            steering_factor: 1.0,
            generated: None,
            reply: None,
        }
    }

    /// Time of submission, in seconds of the clock.
    pub fn submitted_at(&self) -> f64 {
        self.submitted
    }

    /// Records the model that serves it.
    pub fn model(&mut self, model: &str) {
        model.clone_into(&mut self.measures.model);
        if !self.request.is_disabled() {
            self.request
                .record("otel.name", format!("chat {model}"))
                .record("gen_ai.request.model", model);
        }
    }

    /// Records that the prompt is built and the generation waits for a slot. `prompt` is called
    /// only if the prompt is traced.
    pub fn queued(&mut self, prompt: impl FnOnce() -> String) {
        self.stage = Stage::Queued;
        self.phase = phase!(&self.request, "queue");
        if self.trace_text {
            self.request.record("prompt", prompt());
            self.reply = Some(String::new());
        }
    }

    /// Records that the generation got a slot.
    pub fn started(&mut self) {
        let now = self.clock.now();
        self.measures.queue(now - self.submitted);
        self.stage = Stage::Prefill { started: now };
        self.phase = phase!(&self.request, "prefill");
    }

    /// Records that a modulation made with this library takes effect.
    pub fn modulated(&mut self, applied: &AppliedModulation, library: &SteeringLibrary) {
        self.measures.modulation(applied, library);
        if applied.steering_factor
            < std::mem::replace(&mut self.steering_factor, applied.steering_factor)
        {
            self.measures.steering_lowered();
        }
        let AppliedModulation {
            valence,
            arousal,
            quadrant,
            mood,
            sampling,
            coefficients,
            steering_factor,
            library_version,
            ..
        } = applied;
        if std::mem::replace(&mut self.modulated, true) {
            tracing::info!(
                target: TRACE_TARGET,
                parent: &self.phase,
                from_token = applied.from_token,
                valence,
                arousal,
                %quadrant,
                %mood,
                temperature = sampling.temperature,
                top_p = sampling.top_p,
                %coefficients,
                steering_factor,
                %library_version,
                "modulated"
            );
            return;
        }
        if self.request.is_disabled() {
            return;
        }
        self.request
            .record("valence", valence)
            .record("arousal", arousal)
            .record("quadrant", quadrant.as_str())
            .record("mood", mood.as_str())
            .record("coefficients", field::display(coefficients))
            .record("library_version", library_version.as_str())
            .record("gen_ai.request.temperature", sampling.temperature)
            .record("gen_ai.request.top_p", sampling.top_p)
            .record("gen_ai.request.seed", sampling.seed);
    }

    /// Records that the first token was sampled.
    pub fn first_token(&mut self, prompt: PromptAccount) {
        let now = self.clock.now();
        if let Stage::Prefill { started } = self.stage {
            self.measures
                .first_token(now - self.submitted, now - started, prompt);
            self.stage = Stage::Decode {
                started,
                first_token: now,
            };
        }
        self.request
            .record("gen_ai.usage.input_tokens", i64::from(prompt.tokens))
            .record("cached_tokens", i64::from(prompt.cached));
        self.phase = phase!(&self.request, "decode");
    }

    /// Records text for the reader.
    pub fn text(&mut self, text: &str) {
        if let Some(reply) = &mut self.reply {
            reply.push_str(text);
        }
    }

    /// Records the number of generated tokens. The end follows.
    pub fn generated(&mut self, tokens: u32) {
        self.generated = Some(tokens);
    }

    /// Records a normal end. The finish hook that follows does not count as part of the generation.
    pub fn done(&mut self, report: &GenerationReport) {
        let outcome = report.finish_reason.as_str();
        self.generated.get_or_insert(report.completion_tokens);
        self.request
            .record("gen_ai.response.finish_reasons", outcome);
        if self.stage != Stage::Ended {
            self.measures.resumes(report.resumes);
            if let Some(expressed) = &report.expressed {
                self.measures.expressed(expressed);
            }
        }
        self.end(outcome, false);
    }

    /// Records an end with an error.
    pub fn failed(&mut self, error: &EngineError) {
        self.fail(error.kind(), error);
    }

    /// Records that the request was refused.
    pub fn refused(&mut self, error: &Error) {
        self.fail(error.kind(), error);
    }

    /// Records that the caller is gone.
    pub fn cancelled(&mut self) {
        self.request
            .record("gen_ai.response.finish_reasons", CANCELLED);
        self.end(CANCELLED, true);
    }

    fn fail(&mut self, kind: &'static str, error: &dyn std::fmt::Display) {
        self.request
            .record("otel.status_code", "ERROR")
            .record("error.type", kind)
            .record("error.message", field::display(error));
        self.end(kind, true);
    }

    /// Records the end once and closes the spans. Counts are recorded as `i64`, which exporters
    /// treat as numbers.
    fn end(&mut self, outcome: &'static str, without_reply: bool) {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if stage == Stage::Ended {
            return;
        }
        let now = self.clock.now();
        let generated = self.generated;
        match stage {
            Stage::Preparing | Stage::Ended => {}
            Stage::Queued => self.measures.queue(now - self.submitted),
            Stage::Prefill { started } => self.measures.served(now - started, None, generated),
            Stage::Decode {
                started,
                first_token,
            } => {
                let decoding = Some(now - first_token);
                self.measures.served(now - started, decoding, generated);
            }
        }
        // A request that timed out has waited, if only for a model.
        let waited = stage != Stage::Preparing || outcome == "timeout";
        let error = without_reply.then_some(outcome);
        self.measures.whole(now - self.submitted, waited, error);
        self.measures.ended(outcome);
        if let Some(tokens) = generated {
            self.request
                .record("gen_ai.usage.output_tokens", i64::from(tokens));
        }
        if let Some(reply) = self.reply.take() {
            self.request.record("reply", reply);
        }
        self.phase = Span::none();
        self.request = Span::none();
    }
}

impl Drop for RequestWatch {
    fn drop(&mut self) {
        // A custom clock may have panicked.
        if !std::thread::panicking() {
            self.cancelled();
        }
    }
}
