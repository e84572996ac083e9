//! The spans of a generation. One test alone: the subscriber belongs to the
//! process, since generations are traced on the engine's thread.

#[path = "support/backend.rs"]
mod backend;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use backend::Scripted;
use elpis::backend::BackendFactory;
use elpis::settings::{MetricsSettings, ModelSettings};
use elpis::telemetry::TRACE_TARGET;
use elpis::{Elpis, ModulationTiming, Settings};
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
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

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
        if event.metadata().target() != TRACE_TARGET {
            return;
        }
        let mut seen = Seen {
            name: "event".to_owned(),
            parent: context.event_span(event).map(|span| span.id().into_u64()),
            closed: true,
            ..Seen::default()
        };
        event.record(&mut seen);
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
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let elpis = start(false).await;
    let ada = elpis.session("ada").unwrap();
    ada.feel("failure").await.unwrap();
    let turn = tracing::info_span!("turn");
    let reply = tracing::Instrument::instrument(
        ada.chat("a secret").max_tokens(5).complete(),
        turn.clone(),
    );
    let report = reply.with_current_subscriber().await.unwrap().report;
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
        ("gen_ai.usage.output_tokens", "5".to_owned()),
        ("gen_ai.response.finish_reasons", "length".to_owned()),
        ("valence", modulation.valence.to_string()),
        ("quadrant", modulation.quadrant.to_string()),
        ("coefficients", modulation.coefficients.to_string()),
        ("library_version", modulation.library_version.clone()),
    ] {
        assert_eq!(seen.fields.get(field), Some(&value), "{field}");
    }
    for phase in ["queue", "prefill", "decode"] {
        let found = spans.named(phase);
        let [(_, seen)] = found.as_slice() else {
            panic!("one {phase}: {found:?}");
        };
        assert!(seen.closed, "{phase}");
        assert_eq!(seen.parent, Some(*id), "{phase}");
    }
    let told = format!("{:?}", spans.0.lock().unwrap());
    assert!(!told.contains("secret"), "prompts are private: {told}");

    // An error is told as one, and a change of mood as an event.
    let refused = ada.chat("x").timeout_seconds(1e-9).complete().await;
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
    let events = spans.named("event");
    assert_eq!(events.len(), report.modulations.len() - 1);
    assert!(!events.is_empty());
    elpis.shutdown().await;

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
