//! `elpis ask`

use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::events::{self, Felt};
use super::fault::Fault;
use super::progress;
use super::signal::{Signal, Stop};
use super::{Failure, load_settings};
use crate::emotion::EmotionSnapshot;
use crate::inference::{ChatMessage, Completion, ResponseFormat};
use crate::{Elpis, GenerationEvent, GenerationReport, Session};

/// Longest text that is read from standard input, in bytes.
const INPUT_LIMIT: u64 = 8 << 20;

/// Answers one message, and ends.
///
/// The text comes from the arguments, from standard input (`-`, or no text),
/// or from both: `git diff | elpis ask "What changed?"`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What to answer; `-` reads standard input.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// What is felt before the answer: an event, with its intensity if it is
    /// not 1. May be given several times.
    #[arg(long = "feel", value_name = "EVENT[=INTENSITY]", value_parser = events::parse)]
    feel: Vec<Felt>,
    /// The session that answers; with a store it remembers how it felt.
    #[arg(long, value_name = "ID", default_value = "ask")]
    session: String,
    /// Keeps the session's feelings in this file.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// A system message in front.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of the reply.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Makes the reply the same every time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Keeps the reply to the JSON schema in this file.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Prints one JSON object: the text, the state after it, and the report
    /// with everything that made the reply what it is.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    text: &'a str,
    state: EmotionSnapshot,
    report: &'a GenerationReport,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let mut settings = load_settings(config)?.settings;
    if let Some(store) = &options.store {
        settings.store.path = Some(store.clone());
    }
    let format = options.format()?;
    let text = options.text()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let stop = Stop::default();
    runtime.block_on(async {
        let elpis = tokio::select! {
            started = progress::start(Elpis::builder(settings), quiet) => started?,
            () = stop.asked() => return Err(ended(&stop)),
        };
        let answering = options.answer(&elpis, text, format, quiet);
        let result = tokio::select! {
            result = answering => result,
            () = stop.asked() => Err(ended(&stop)),
        };
        elpis.shutdown().await;
        result
    })
}

fn ended(stop: &Stop) -> Failure {
    stop.signal().unwrap_or(Signal::Interrupt).into()
}

impl Options {
    /// The words of the arguments and of standard input.
    fn text(&self) -> Result<String, Failure> {
        let mut parts: Vec<String> = Vec::new();
        let words = self.text.join(" ");
        let asked = words == "-";
        if !words.is_empty() && !asked {
            parts.push(words);
        }
        if asked || parts.is_empty() || !stdin().is_terminal() {
            let mut read = String::new();
            stdin()
                .lock()
                .take(INPUT_LIMIT + 1)
                .read_to_string(&mut read)
                .map_err(Fault::unreadable(Path::new("standard input")))?;
            if read.len() as u64 > INPUT_LIMIT {
                return Err(format!("standard input is longer than {INPUT_LIMIT} bytes").into());
            }
            if !read.trim().is_empty() {
                parts.push(read.trim_end().to_owned());
            }
        }
        if parts.is_empty() {
            return Err(
                "there is nothing to answer: give a text, or write it to standard \
                        input"
                    .into(),
            );
        }
        Ok(parts.join("\n\n"))
    }

    fn format(&self) -> Result<Option<ResponseFormat>, Failure> {
        let Some(file) = &self.schema else {
            return Ok(None);
        };
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(Fault::unreadable(file))?;
        let schema =
            serde_json::from_str(&text).map_err(|error| format!("{name} is no JSON: {error}"))?;
        Ok(Some(ResponseFormat::json_schema(schema)))
    }

    async fn answer(
        &self,
        elpis: &Elpis,
        text: String,
        format: Option<ResponseFormat>,
        quiet: bool,
    ) -> Result<(), Failure> {
        let session = elpis.session(&self.session)?;
        for event in &self.feel {
            session.feel(event.0.clone()).await?;
        }
        let system = self.system.iter().map(ChatMessage::system);
        let messages: Vec<_> = system.chain([ChatMessage::user(text)]).collect();
        let mut chat = session.chat(messages);
        if let Some(most) = self.max_tokens {
            chat = chat.max_tokens(most);
        }
        if let Some(seed) = self.seed {
            chat = chat.seed(seed);
        }
        if let Some(format) = format {
            chat = chat.response_format(format);
        }
        if self.json {
            return print(&session, &chat.complete().await?).await;
        }
        let mut stream = chat.stream().await?;
        while let Some(event) = stream.next().await {
            if let GenerationEvent::Text(text) = event? {
                let mut out = stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
        }
        writeln!(stdout())?;
        if !quiet && stderr().is_terminal() {
            let mood = session.state().await?;
            eprintln!(
                "{} (valence {:+.2}, arousal {:+.2})",
                mood.quadrant, mood.valence, mood.arousal
            );
        }
        Ok(())
    }
}

async fn print(session: &Session, completion: &Completion) -> Result<(), Failure> {
    let answer = Answer {
        text: &completion.text,
        state: session.state().await?,
        report: &completion.report,
    };
    let mut out = stdout().lock();
    serde_json::to_writer_pretty(&mut out, &answer).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}
