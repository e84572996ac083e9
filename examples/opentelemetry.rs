//! Generations as OpenTelemetry spans, below the agent's own span.
//!
//! `cargo run --example opentelemetry`. The spans go to standard output; replace
//! `opentelemetry_stdout` with `opentelemetry_otlp` to send them to a collector.

use std::error::Error;

use elpis::{Elpis, Settings, TRACE_TARGET};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Instrument, Level, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(opentelemetry_stdout::SpanExporter::default())
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("agent"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(
            Targets::new()
                .with_target(TRACE_TARGET, Level::INFO)
                .with_target("opentelemetry", Level::INFO)
                .with_target(module_path!(), Level::INFO),
        );
    tracing_subscriber::registry().with(layer).init();

    let elpis = Elpis::start(Settings::load()?).await?;
    let ada = elpis.session("ada")?;
    for (event, question) in [
        ("test_passed", "What do you think about unit tests?"),
        ("failure", "Tell me about databases."),
    ] {
        let turn = info_span!("turn", event);
        async {
            ada.feel(event).await?;
            ada.chat(question).max_tokens(32).complete().await
        }
        .instrument(turn)
        .await?;
    }
    elpis.shutdown().await;
    provider.shutdown()?;
    Ok(())
}
