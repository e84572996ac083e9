//! Steering vectors that are replaced while a reply is being generated.
//!
//! `cargo run --example hot_reload`. The vectors of the bundled model are copied to a folder; in
//! the middle of a reply one file is damaged, which the runtime refuses, and then one is removed,
//! which it accepts. The running reply never stops.

use std::error::Error;
use std::time::Duration;

use elpis::backend::BundledModel;
use elpis::{Delivery, Elpis, Event, Events, GenerationEvent, ModulationTiming, Settings};

/// Longer than any reload takes.
const LIMIT: Duration = Duration::from_mins(1);

/// Waits for the outcome of the next reload.
async fn reloaded(events: &mut Events) -> Result<String, Box<dyn Error>> {
    let outcome = async {
        while let Some(delivery) = events.next().await {
            let Delivery::Event(event) = delivery else {
                continue;
            };
            match &*event {
                Event::SteeringReloaded { emotions, .. } => {
                    return Some(format!("in force: {}", emotions.join(", ")));
                }
                Event::SteeringRefused { reason, .. } => return Some(format!("refused: {reason}")),
                _ => {}
            }
        }
        None
    };
    let outcome = tokio::time::timeout(LIMIT, outcome).await?;
    outcome.ok_or_else(|| "the runtime is gone".into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    for file in BundledModel::library_files() {
        std::fs::write(folder.path().join(&file.name), &file.bytes)?;
    }
    let mut settings = Settings::default();
    settings.model.emotion_vectors_dir = Some(folder.path().to_owned());
    let elpis = Elpis::start(settings).await?;
    let mut events = elpis.events();
    let agent = elpis.session("agent")?;
    for _ in 0..3 {
        agent.feel("insight").await?;
    }
    let before = elpis.steering_library();
    println!("in force: {}", before.version());

    let chat = agent.chat("Tell me about trains.").max_tokens(64).seed(1);
    let mut stream = chat.timing(ModulationTiming::Live).stream().await?;
    let damaged = folder.path().join("calm.safetensors");
    let sound = std::fs::read(&damaged)?;
    let mut pieces = 0;
    let report = loop {
        match stream.next().await.ok_or("the stream broke off")?? {
            GenerationEvent::Text(text) => {
                print!("{text}");
                pieces += 1;
            }
            GenerationEvent::Finished(report) => break report,
            _ => {}
        }
        if pieces == 4 {
            std::fs::write(&damaged, b"not a vector")?;
            println!("\n[{}]", reloaded(&mut events).await?);
        }
        if pieces == 8 {
            // The lowest bits of the last number.
            let mut changed = sound.clone();
            let last = changed.len().saturating_sub(size_of::<f32>());
            changed[last] ^= 1;
            std::fs::write(&damaged, changed)?;
            println!("\n[{}]", reloaded(&mut events).await?);
        }
    };
    let after = elpis.steering_library();
    println!("\nin force: {}", after.version());
    println!("the reply ended with {}", report.finish_reason.as_str());
    println!("library replaced: {}", before.version() != after.version());
    elpis.shutdown().await;
    Ok(())
}
