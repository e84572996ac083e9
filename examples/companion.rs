//! Companions that remember their mood and their conversation: several sessions on one model,
//! stored in an SQLite file, through a shutdown of three days.
//!
//! `cargo run --example companion --features sqlite`, with `ELPIS_MODEL_PATH=model.gguf` for a
//! model of your own. The days do not really pass: the example gives the runtime its own clock and
//! advances it, as tests do. A program uses the system's clock, which is the default. Moods fade at
//! `emotion.decay_rate` per second; here it is so small that a part of them remains after days.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use elpis::settings::StoreSettings;
use elpis::{Clock, ManualClock, SystemClock};
use elpis::{Elpis, Settings};

/// Time between two conversations.
const AWAY: Duration = Duration::from_hours(72);

/// Half of a mood has faded after about two days.
const DECAY_PER_SECOND: f64 = 4e-6;

/// Maximum number of tokens of a reply.
const REPLY_TOKENS: u32 = 32;

/// The friends, and what happened to each.
const FRIENDS: [(&str, &[&str]); 3] = [
    ("ada", &["insight", "success", "user_positive"]),
    ("bob", &["failure", "blocked"]),
    ("cleo", &["routine", "idle", "idle"]),
];

async fn start(file: &Path, clock: &Arc<ManualClock>) -> Result<Elpis, Box<dyn Error>> {
    let mut settings = Settings::load()?.store(StoreSettings::default().path(file));
    settings.emotion.decay_rate = DECAY_PER_SECOND;
    // Here only events change the moods.
    settings.emotion.response_analysis_enabled = false;
    let builder = Elpis::builder(settings).clock(Arc::clone(clock) as _);
    Ok(builder.start().await?)
}

/// Prints each companion's mood and reply; returns the valences.
async fn talk(elpis: &Elpis, day: &str) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut valences = Vec::new();
    for (name, _) in FRIENDS {
        let friend = elpis.session(name)?;
        let mood = friend.state().await?;
        // The store has the earlier conversation too.
        let mut talk = friend.conversation().await?;
        talk.push_user("How was your day?");
        friend.trim(&mut talk, REPLY_TOKENS).await?;
        let chat = friend.chat(&talk).max_tokens(REPLY_TOKENS).seed(3);
        let reply = chat.complete().await?;
        talk.push_reply(&reply);
        friend.keep_conversation(&talk).await?;
        println!(
            "{day}, {name} ({}, v {:+.3}, a {:+.3}, turn {}): {}",
            mood.quadrant,
            mood.valence,
            mood.arousal,
            talk.turns(),
            reply.text.trim()
        );
        valences.push(mood.valence);
    }
    Ok(valences)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("companions.db");
    let clock = Arc::new(ManualClock::new(SystemClock::default().now()));

    let elpis = start(&file, &clock).await?;
    for (name, events) in FRIENDS {
        let friend = elpis.session(name)?;
        for event in events {
            friend.feel(*event).await?;
        }
    }
    let before = talk(&elpis, "monday").await?;
    elpis.shutdown().await;

    clock.advance(AWAY);
    let elpis = start(&file, &clock).await?;
    let known = elpis.sessions().await?.len();
    let after = talk(&elpis, "thursday").await?;
    elpis.shutdown().await;

    let fainter = |(before, after): (&f64, &f64)| {
        after.abs() <= before.abs() && before.signum() == after.signum()
    };
    let remembered = before.iter().zip(&after).filter(|pair| fainter(*pair));
    println!("moods remembered: {} of {known}", remembered.count());
    Ok(())
}
