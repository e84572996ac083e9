//! What is told of one generation: its metrics and its spans.
//!
//! The spans are `generation`, from submission to the end, and below it
//! `queue`, `prefill` and `decode`. Their target is [`TRACE_TARGET`], their
//! level INFO. Fields are named after OpenTelemetry's conventions for
//! generative AI where these have a name.

use metrics::{counter, histogram};
use tracing::{Span, field};

use super::table::{
    GENERATION_TOKENS, LATENCY, OTEL_DURATION, OTEL_PER_TOKEN, OTEL_TIME_TO_FIRST_TOKEN,
    OTEL_TOKENS, PREFIX_HITS, PREFIX_HITS_OTHER, PROMPT_TOKENS, QUEUE_TIME, REQUESTS, RESUMES,
    STEERING_COEFFICIENT, STEERING_FRACTION, TIME_TO_FIRST_TOKEN,
};
use crate::error::EngineError;
use crate::inference::{AppliedModulation, GenerationReport, RequestId, SessionId};
use crate::settings::MetricsSettings;

/// The target of the spans of generations.
pub const TRACE_TARGET: &str = "elpis::generation";

/// Name and version of the conventions' attributes are theirs; this is what
/// they call the provider.
const PROVIDER: &str = "elpis";

/// Watches one generation.
#[derive(Debug)]
pub(crate) struct RequestWatch {
    model: String,
    opentelemetry: bool,
    request: Span,
    phase: Span,
    modulated: bool,
    /// The reply so far, if it is to be told.
    reply: Option<String>,
}

/// Makes the span of a phase. Spans are named by literals.
macro_rules! phase {
    ($parent:expr, $name:literal) => {
        tracing::info_span!(target: TRACE_TARGET, parent: $parent, $name)
    };
}

impl RequestWatch {
    /// Begins with the submission; the caller's span is the parent. `prompt`
    /// is called only if the prompt is to be told.
    pub fn submitted(
        id: RequestId,
        session: &SessionId,
        model: &str,
        settings: &MetricsSettings,
        prompt: impl FnOnce() -> String,
    ) -> Self {
        let request = tracing::info_span!(
            target: TRACE_TARGET,
            "generation",
            otel.name = %format_args!("chat {model}"),
            otel.status_code = field::Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = PROVIDER,
            gen_ai.request.model = model,
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
            coefficients = field::Empty,
            library_version = field::Empty,
            cached_tokens = field::Empty,
            prompt = field::Empty,
            reply = field::Empty,
        );
        let traced = settings.trace_text && !request.is_disabled();
        if traced {
            request.record("prompt", prompt());
        }
        Self {
            phase: phase!(&request, "queue"),
            model: model.to_owned(),
            opentelemetry: settings.opentelemetry,
            request,
            modulated: false,
            reply: traced.then(String::new),
        }
    }

    /// The generation got a slot.
    pub fn started(&mut self) {
        self.phase = phase!(&self.request, "prefill");
    }

    /// A modulation is in force from now on.
    pub fn modulated(&mut self, applied: &AppliedModulation) {
        let AppliedModulation {
            valence,
            arousal,
            quadrant,
            sampling,
            coefficients,
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
                temperature = sampling.temperature,
                top_p = sampling.top_p,
                %coefficients,
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
            .record("coefficients", field::display(coefficients))
            .record("library_version", library_version.as_str())
            .record("gen_ai.request.temperature", sampling.temperature)
            .record("gen_ai.request.top_p", sampling.top_p)
            .record("gen_ai.request.seed", sampling.seed);
    }

    /// The first token was sampled.
    pub fn first_token(&mut self) {
        self.phase = phase!(&self.request, "decode");
    }

    /// Text goes to the reader.
    pub fn text(&mut self, text: &str) {
        if let Some(reply) = &mut self.reply {
            reply.push_str(text);
        }
    }

    /// The generation ran to its end. Counts are told as `i64`, which is what
    /// exporters take for a number.
    pub fn done(self, report: &GenerationReport) {
        self.request
            .record("gen_ai.usage.input_tokens", i64::from(report.prompt_tokens))
            .record(
                "gen_ai.usage.output_tokens",
                i64::from(report.completion_tokens),
            )
            .record(
                "gen_ai.response.finish_reasons",
                report.finish_reason.as_str(),
            )
            .record("cached_tokens", i64::from(report.cached_prompt_tokens));
        if let Some(reply) = &self.reply {
            self.request.record("reply", reply.as_str());
        }
        measure(report);
        if self.opentelemetry {
            measure_by_convention(report);
        }
    }

    /// The generation ended with an error.
    pub fn failed(self, error: &EngineError) {
        self.request
            .record("otel.status_code", "ERROR")
            .record("error.type", error.kind())
            .record("error.message", field::display(error));
        refused(&self.model, error.kind());
    }

    /// The caller has gone away.
    pub fn cancelled(self) {
        self.request
            .record("gen_ai.response.finish_reasons", "cancelled");
        refused(&self.model, "cancelled");
    }
}

/// Counts a generation without a reply.
pub(crate) fn refused(model: &str, outcome: &'static str) {
    counter!(REQUESTS, "model" => model.to_owned(), "outcome" => outcome).increment(1);
}

fn measure(report: &GenerationReport) {
    let model = || report.model.clone();
    counter!(REQUESTS, "model" => model(), "outcome" => report.finish_reason.as_str()).increment(1);
    counter!(PROMPT_TOKENS, "model" => model()).increment(report.prompt_tokens.into());
    counter!(GENERATION_TOKENS, "model" => model()).increment(report.completion_tokens.into());
    histogram!(TIME_TO_FIRST_TOKEN, "model" => model()).record(report.first_token_seconds);
    histogram!(QUEUE_TIME, "model" => model()).record(report.queue_seconds);
    histogram!(LATENCY, "model" => model()).record(report.total_seconds);
    counter!(PREFIX_HITS, "model" => model()).increment(report.cached_prompt_tokens.into());
    counter!(PREFIX_HITS_OTHER, "model" => model())
        .increment(report.cached_under_other_steering.into());
    counter!(RESUMES, "model" => model()).increment(report.resumes.into());
    for modulation in &report.modulations {
        for (emotion, coefficient) in modulation.coefficients.iter() {
            histogram!(STEERING_COEFFICIENT, "model" => model(), "emotion" => emotion.to_owned())
                .record(coefficient);
        }
        for fraction in modulation
            .steering
            .iter()
            .filter_map(|s| s.residual_fraction)
        {
            histogram!(STEERING_FRACTION, "model" => model()).record(fraction);
        }
    }
}

/// Measures under the names of OpenTelemetry.
fn measure_by_convention(report: &GenerationReport) {
    let labels = [
        ("gen_ai.operation.name", "chat".to_owned()),
        ("gen_ai.provider.name", PROVIDER.to_owned()),
        ("gen_ai.request.model", report.model.clone()),
    ];
    let of_type = |kind: &str| {
        let mut labels = labels.to_vec();
        labels.push(("gen_ai.token.type", kind.to_owned()));
        labels
    };
    histogram!(OTEL_TOKENS, &of_type("input")).record(report.prompt_tokens);
    histogram!(OTEL_TOKENS, &of_type("output")).record(report.completion_tokens);
    histogram!(OTEL_DURATION, &labels).record(report.total_seconds);
    histogram!(OTEL_TIME_TO_FIRST_TOKEN, &labels).record(report.first_token_seconds);
    if report.completion_tokens > 1 {
        let decoding = report.total_seconds - report.first_token_seconds;
        let per_token = decoding / f64::from(report.completion_tokens - 1);
        histogram!(OTEL_PER_TOKEN, &labels).record(per_token);
    }
}
