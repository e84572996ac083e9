//! A small agent works through tasks. Their outcomes move its mood, and the mood changes the
//! agent's next words.
//!
//! `cargo run --example agent_loop`, with `ELPIS_MODEL_PATH=model.gguf` and
//! `ELPIS_MODEL_EMOTION_VECTORS_DIR=folder` for a model of your own.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use elpis::backend::BundledModel;
use elpis::steering::{VectorFormat, parse, write};
use elpis::{Delivery, Elpis, EmotionEvent, Event, Events, GenerationEvent, Session, Settings};

/// The outcome of a task.
enum Outcome {
    Passed,
    Failed,
    Blocked,
    Praised,
}

impl Outcome {
    /// An event by its name, or one of your own with its own shift of valence
    /// and arousal.
    fn event(&self) -> Result<EmotionEvent, Box<dyn Error>> {
        Ok(match self {
            Self::Passed => EmotionEvent::named("test_passed")?.with_intensity(1.5)?,
            Self::Failed => EmotionEvent::named("failure")?.with_intensity(2.0)?,
            Self::Blocked => EmotionEvent::named("blocked")?.with_intensity(2.0)?,
            Self::Praised => EmotionEvent::custom("praised", 0.5, 0.3)?.with_intensity(2.0)?,
        })
    }
}

/// A question to the model, and the work that comes before it.
type Task = (&'static str, fn() -> Outcome);

/// The agent's tasks: small pieces of real work that pass, fail or block.
fn tasks() -> Vec<Task> {
    let tests = || match "42".parse() {
        Ok(42) => Outcome::Passed,
        _ => Outcome::Failed,
    };
    let database = || match std::fs::read("a-database-that-is-not-there.db") {
        Ok(_) => Outcome::Passed,
        Err(_) => Outcome::Failed,
    };
    let network = || {
        let line = Mutex::new(());
        let _taken = line.lock();
        line.try_lock()
            .map_or(Outcome::Blocked, |_| Outcome::Passed)
    };
    vec![
        ("What do you think about unit tests?", tests),
        ("Tell me about databases.", database),
        ("How do I start with the network?", network),
        ("Tell me about databases.", database),
        ("What do you think about the garden?", || Outcome::Praised),
        ("Tell me about trains.", || Outcome::Praised),
        ("What do you think about chess?", || Outcome::Praised),
    ]
}

/// Streams a reply and prints the mood and sampling parameters it was generated with.
async fn say(session: &Session, question: &str, seed: u64) -> Result<(), Box<dyn Error>> {
    print!("  > {question}\n  < ");
    let chat = session.chat(question).max_tokens(48).seed(seed);
    let mut reply = chat.stream().await?;
    while let Some(event) = reply.next().await {
        match event? {
            GenerationEvent::Text(text) => print!("{text}"),
            GenerationEvent::Finished(report) => {
                let Some(felt) = report.modulation() else {
                    continue;
                };
                let (v, a, sampling) = (felt.valence, felt.arousal, &felt.sampling);
                print!("\n    {} (v {v:+.2}, a {a:+.2}), ", felt.quadrant);
                print!("temperature {:.2}, ", sampling.temperature);
                print!("top_p {:.2}, ", sampling.top_p);
                for (emotion, coefficient) in felt.coefficients.iter() {
                    print!("{emotion} {coefficient:.2}, ");
                }
                println!("vectors {}", felt.library_version);
            }
            _ => {}
        }
        stdout().flush()?;
    }
    Ok(())
}

/// Writes another strength of a vector over its file, as a user would who trains it again, and
/// waits until the runtime has loaded it.
async fn replace_vector(folder: &Path, events: &mut Events) -> Result<(), Box<dyn Error>> {
    let file = folder.join("frustrated.safetensors");
    let vector = parse(VectorFormat::Safetensors, &std::fs::read(&file)?)?;
    let softer = write(VectorFormat::Safetensors, &vector.scaled(0.9)?)?;
    std::fs::write(&file, softer)?;
    let reloaded = async {
        while let Some(delivery) = events.next().await {
            if let Delivery::Event(event) = delivery
                && let Event::SteeringReloaded { version, .. } = *event
            {
                return println!("\n-- frustrated.safetensors replaced: vectors {version}\n");
            }
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(10), reloaded).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // With `ELPIS_RUNTIME_ISOLATION=process` the model runs in a second process of this program.
    elpis::worker::serve_if_asked();
    let mut settings = Settings::load()?;
    let folder = tempfile::tempdir()?;
    let bundled = settings.model.path.is_none() && settings.model.emotion_vectors_dir.is_none();
    if bundled {
        for (name, bytes) in BundledModel::vectors() {
            std::fs::write(folder.path().join(name), bytes)?;
        }
        settings.model.emotion_vectors_dir = Some(folder.path().to_owned());
    }
    let elpis = Elpis::start(settings).await?;
    let mut events = elpis.events();
    let agent = elpis.session("agent")?;
    let mut moods = Vec::new();
    for (number, (question, task)) in (1_u64..).zip(tasks()) {
        let event = task().event()?;
        let felt = agent.feel(&event).await?;
        println!("{number}. {} x {:.2}", event.name(), felt.intensity);
        say(&agent, question, 10 + number).await?;
        moods.push((number, event.name().to_owned(), agent.state().await?));
        if bundled && number == 3 {
            replace_vector(folder.path(), &mut events).await?;
        }
    }
    println!("\nmood over the run\n  #  event        valence arousal quadrant    trend");
    for (number, event, mood) in moods {
        let (v, a, trend) = (mood.valence, mood.arousal, mood.trajectory.trend.as_str());
        let quadrant = mood.quadrant.as_str();
        println!("  {number:<2} {event:12} {v:+7.2} {a:+7.2} {quadrant:11} {trend}");
    }
    elpis.shutdown().await;
    Ok(())
}
