//! A runtime that Prometheus can watch.
//!
//! `cargo run --example prometheus --features prometheus`, then open
//! `http://localhost:9464/metrics`, or start the setup in `deploy/`. `-- 60` keeps it busy for 60
//! seconds instead of 2.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use elpis::settings::MetricsSettings;
use elpis::{Elpis, Settings};

/// The events that the bots go through.
const EVENTS: [&str; 5] = ["success", "failure", "blocked", "insight", "test_passed"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = match std::env::args().nth(1) {
        Some(seconds) => seconds.parse()?,
        None => 2,
    };
    let loaded = Settings::load()?;
    // A port alone: from this machine only. ELPIS_METRICS_LISTEN chooses another.
    let listen = loaded.metrics.listen.unwrap_or(9464_u16.into());
    let metrics = MetricsSettings::default()
        .listen(listen.0)
        .sessions(vec!["bot 1".to_owned()])
        .interval(Duration::from_millis(500));
    let elpis = Elpis::start(loaded.metrics(metrics)).await?;
    println!("metrics: http://{}/metrics", listen.0);

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        let bot = elpis.session(format!("bot {}", number % 8))?;
        bot.feel(EVENTS[number % EVENTS.len()]).await?;
        let reply = bot
            .chat("What do you think about unit tests?")
            .max_tokens(24);
        reply.complete().await?;
    }

    let text = scrape(listen.0)?;
    for name in [
        "elpis_requests_total",
        "elpis_sessions_by_quadrant",
        "elpis_session_valence",
    ] {
        for line in text.lines().filter(|line| line.starts_with(name)) {
            println!("{line}");
        }
    }
    let series = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    println!("series: {}, {} bytes", series.count(), text.len());
    elpis.shutdown().await;
    Ok(())
}

/// Reads the metrics as Prometheus does.
fn scrape(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default())
}
