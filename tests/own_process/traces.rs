//! The spans of a generation. One test alone: the subscriber belongs to the
//! process, since generations are traced on the engine's thread.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::in_own_process;
use elpis::backend::BackendFactory;
use elpis::settings::{MetricsSettings, ModelSettings};
use elpis::{
    AppraisalError, AppraisedText, Appraiser, BoxFuture, ChatMessage, Elpis, EmotionEvent,
    EventSource, ModulationTiming, Settings, TRACE_TARGET,
};
use elpis_testkit::scripted::Scripted;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber, instrument::WithSubscriber as _};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// A span, or an event within one.
#[derive(Debug, Clone, Default)]
struct Seen {
    name: String,
    parent: Option<u64>,
    fields: BTreeMap<String, String>,
    closed: bool,
}

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>, Arc<Mutex<Vec<Seen>>>);

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields
            .insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields
            .insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut seen = Seen {
            name: attributes.metadata().name().to_owned(),
            parent: context
                .span(id)
                .and_then(|span| Some(span.parent()?.id().into_u64())),
            ..Seen::default()
        };
        attributes.record(&mut seen);
        self.0.lock().unwrap().insert(id.into_u64(), seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(seen) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(seen);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut seen = Seen {
            name: event.metadata().target().to_owned(),
            parent: context.event_span(event).map(|span| span.id().into_u64()),
            closed: true,
            ..Seen::default()
        };
        event.record(&mut seen);
        if seen.name != TRACE_TARGET {
            // What others say must not give anything away either.
            self.1.lock().unwrap().push(seen);
            return;
        }
        let mut all = self.0.lock().unwrap();
        let id = u64::MAX - all.len() as u64;
        all.insert(id, seen);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        // The registry gives an id to the next span once this one is gone.
        let mut all = self.0.lock().unwrap();
        if let Some(mut seen) = all.remove(&id.into_u64()) {
            seen.closed = true;
            let key = (1 << 62) + id.into_u64() + all.len() as u64 * (1 << 40);
            for other in all.values_mut() {
                if other.parent == Some(id.into_u64()) {
                    other.parent = Some(key);
                }
            }
            all.insert(key, seen);
        }
    }
}

impl Spans {
    fn named(&self, name: &str) -> Vec<(u64, Seen)> {
        let all = self.0.lock().unwrap();
        let of_name = all.iter().filter(|(_, seen)| seen.name == name);
        of_name.map(|(id, seen)| (*id, seen.clone())).collect()
    }

    /// Everything that was told, by whomever.
    fn told(&self) -> String {
        let (spans, others) = (self.0.lock().unwrap(), self.1.lock().unwrap());
        format!("{spans:?} {others:?}")
    }
}

/// Tells that it reads a text, and waits until it may go on.
#[derive(Debug)]
struct Held {
    reads: tokio::sync::mpsc::UnboundedSender<EventSource>,
    may: Arc<tokio::sync::Semaphore>,
}

impl Appraiser for Held {
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>> {
        Box::pin(async move {
            self.reads.send(text.source).unwrap();
            self.may.acquire().await.unwrap().forget();
            Ok(None)
        })
    }
}

/// The span begins with the submission and ends with the last token, whatever
/// is done with the texts before and after.
async fn spans_are_the_generations(spans: &Spans) {
    let (reads, mut read) = tokio::sync::mpsc::unbounded_channel();
    let may = Arc::new(tokio::sync::Semaphore::new(0));
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(2, 64, 1000, usize::MAX))));
    let mut settings = Settings::default().model(ModelSettings::default().chat_format("chatml"));
    settings.emotion.message_analysis_enabled = true;
    settings.emotion.response_analysis_enabled = true;
    let held = Held {
        reads,
        may: Arc::clone(&may),
    };
    let elpis = Elpis::builder(settings).backend(factory).appraiser(held);
    let elpis = elpis.start().await.unwrap();
    let bob = elpis.session("bob").unwrap();
    let of_bob = |name: &str| -> Vec<Seen> {
        let generations = spans.named("generation");
        let own = generations.into_iter().filter(|(_, seen)| {
            seen.fields
                .get("gen_ai.conversation.id")
                .map(String::as_str)
                == Some("bob")
        });
        let own: Vec<_> = own.collect();
        if name == "generation" {
            return own.into_iter().map(|(_, seen)| seen).collect();
        }
        let phases = spans.named(name).into_iter();
        let phases = phases.filter(|(_, seen)| own.iter().any(|(id, _)| seen.parent == Some(*id)));
        phases.map(|(_, seen)| seen).collect()
    };
    let chat = tokio::spawn(bob.chat("hello").max_tokens(5).complete());
    assert_eq!(read.recv().await, Some(EventSource::Message));
    assert!(!of_bob("generation")[0].closed);
    assert!(!of_bob("prepare")[0].closed);
    assert!(of_bob("queue").is_empty());
    may.add_permits(1);
    assert_eq!(read.recv().await, Some(EventSource::Reply));
    assert!(!chat.is_finished());
    for name in ["generation", "prepare", "queue", "prefill", "decode"] {
        let found = of_bob(name);
        assert!(found.len() == 1 && found[0].closed, "{name}: {found:?}");
    }
    let reasons = &of_bob("generation")[0].fields["gen_ai.response.finish_reasons"];
    assert_eq!(reasons, "length");
    may.add_permits(1);
    chat.await.unwrap().unwrap();

    // What is refused is told as well, and so is what its caller gives up.
    let none: Vec<ChatMessage> = Vec::new();
    let refused = bob.chat(none).emotional_modulation(false).complete().await;
    refused.unwrap_err();
    let kinds = |field: &str, value: &str| {
        let found = of_bob("generation").into_iter();
        let found = found.filter(|seen| seen.fields.get(field).is_some_and(|it| it == value));
        found.filter(|seen| seen.closed).count()
    };
    assert_eq!(kinds("error.type", "request"), 1);
    let given_up = tokio::spawn(bob.chat("bye").complete());
    assert_eq!(read.recv().await, Some(EventSource::Message));
    given_up.abort();
    given_up.await.unwrap_err();
    assert_eq!(kinds("gen_ai.response.finish_reasons", "cancelled"), 1);
    elpis.shutdown().await;
}

async fn start(trace_text: bool) -> Elpis {
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(2, 64, 1000, usize::MAX))));
    let settings = Settings::default()
        .model(ModelSettings::default().chat_format("chatml"))
        .metrics(MetricsSettings::default().trace_text(trace_text));
    Elpis::builder(settings)
        .backend(factory)
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_a_span_with_its_phases_and_its_feeling() {
    in_own_process!(a_generation_is_a_span_with_its_phases_and_its_feeling);
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let elpis = start(false).await;
    let ada = elpis.session("ada").unwrap();
    ada.feel("failure").await.unwrap();
    let turn = tracing::info_span!("turn");
    let reply = tracing::Instrument::instrument(
        ada.chat("a secret").max_tokens(24).complete(),
        turn.clone(),
    );
    let completion = reply.with_current_subscriber().await.unwrap();
    let report = completion.report;
    let generations = spans.named("generation");
    let [(id, seen)] = generations.as_slice() else {
        panic!("one generation: {generations:?}");
    };
    assert!(seen.closed);
    assert_eq!(seen.parent, turn.id().map(|id| id.into_u64()));
    let modulation = report.modulation().unwrap();
    for (field, value) in [
        ("gen_ai.conversation.id", "ada".to_owned()),
        ("gen_ai.request.model", "scripted".to_owned()),
        (
            "gen_ai.usage.input_tokens",
            report.prompt_tokens.to_string(),
        ),
        ("gen_ai.usage.output_tokens", "24".to_owned()),
        ("gen_ai.response.finish_reasons", "length".to_owned()),
        ("valence", modulation.valence.to_string()),
        ("quadrant", modulation.quadrant.to_string()),
        ("coefficients", modulation.coefficients.to_string()),
        ("library_version", modulation.library_version.clone()),
    ] {
        assert_eq!(seen.fields.get(field), Some(&value), "{field}");
    }
    for phase in ["prepare", "queue", "prefill", "decode"] {
        let found = spans.named(phase);
        let [(_, seen)] = found.as_slice() else {
            panic!("one {phase}: {found:?}");
        };
        assert!(seen.closed, "{phase}");
        assert_eq!(seen.parent, Some(*id), "{phase}");
    }
    let told = spans.told();
    assert!(!told.contains("secret"), "prompts are private: {told}");
    let letters: Vec<_> = completion.text.chars().collect();
    for piece in letters.windows(8) {
        let piece: String = piece.iter().collect();
        assert!(!told.contains(&piece), "replies are private: {told}");
    }
    assert!(told.contains("model loaded"), "others are heard too");

    // An error is told as one, and a change of mood as an event.
    let refused = ada
        .chat("x")
        .timeout(Duration::from_nanos(1))
        .complete()
        .await;
    let kind = "timeout".to_owned();
    assert!(refused.unwrap_err().to_string().contains("time"));
    let failed = spans.named("generation");
    let failed = failed.iter().filter(|(_, seen)| {
        seen.fields.get("error.type") == Some(&kind) && seen.fields["otel.status_code"] == "ERROR"
    });
    assert_eq!(failed.count(), 1);
    let mut live = ada
        .chat("x")
        .timing(ModulationTiming::Live)
        .max_tokens(200)
        .stream()
        .await
        .unwrap();
    live.next().await.unwrap().unwrap();
    ada.feel("success").await.unwrap();
    let report = live.completion().await.unwrap().report;
    let events = spans.named(TRACE_TARGET);
    assert_eq!(events.len(), report.modulations.len() - 1);
    assert!(!events.is_empty());
    elpis.shutdown().await;
    spans_are_the_generations(&spans).await;

    let elpis = start(true).await;
    let ada = elpis.session("ada").unwrap();
    let completion = ada.chat("a secret").max_tokens(5).complete().await.unwrap();
    let told = spans.named("generation");
    let with_text = told.iter().filter(|(_, seen)| {
        let prompt = seen.fields.get("prompt");
        prompt.is_some_and(|prompt| prompt.contains("a secret"))
            && seen.fields.get("reply") == Some(&completion.text)
    });
    assert_eq!(with_text.count(), 1);
    elpis.shutdown().await;
}
