//! `elpis ask`

use std::io::{IsTerminal, Read, Write, stderr, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::doctor::Notices;
use super::error::CliError;
use super::events::{Felt, FeltParser};
use super::{Failure, complain, load_settings, people, progress, terminal};
use elpis::emotion::EmotionSnapshot;
use elpis::inference::{ChatMessage, Completion, ResponseFormat};
use elpis::{Delivery, Event, GenerationEvent, GenerationReport, Session};

/// Maximum length of text read from standard input, in bytes.
const INPUT_LIMIT: u64 = 8 << 20;

/// Answers one message and exits.
///
/// The text comes from the arguments, from standard input if there are none, or from both: `git
/// diff | elpis ask "What changed?"`. Input is appended to the arguments, or replaces a `-`. In a
/// script whose own input must not be read, such as a loop over lines, use --no-stdin.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The message to answer; `-` is replaced by standard input.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Does not read standard input.
    #[arg(long)]
    no_stdin: bool,
    /// An event to apply before the answer, with its intensity if it is not 1. Can be given several
    /// times.
    #[arg(long = "feel", value_name = "EVENT[=INTENSITY]", value_parser = FeltParser,
          hide_possible_values = true)]
    feel: Vec<Felt>,
    /// The session that answers. With a store it keeps its mood.
    #[arg(long, value_name = "ID", default_value = "ask")]
    session: String,
    /// Stores the session's mood in this file.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// A system message.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum number of tokens of the reply.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Random seed, which makes the reply reproducible.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Constrains the reply to the JSON schema in this file.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Prints one JSON object: the text, the state after it, and the report with everything that
    /// determined the reply.
    #[arg(long)]
    json: bool,
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    text: &'a str,
    state: EmotionSnapshot,
    report: &'a GenerationReport,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let mut loaded = load_settings(config)?;
    people::settle(&mut loaded);
    let notices = Notices::of_settings(&loaded, quiet);
    let mut settings = loaded.settings;
    if let Some(store) = &options.store {
        settings.store.path = Some(store.clone());
    }
    for event in &options.feel {
        // Check this before a model is loaded in vain.
        settings.emotion.declared(event.0.clone())?;
    }
    let format = options.format()?;
    let text = options.text()?;
    progress::with_elpis(settings, quiet, async |elpis| {
        notices.of_model(elpis);
        let session = elpis.session(&options.session)?;
        options.answer(&session, text, format, quiet).await
    })
}

/// An unfinished line of a reply; the next writer begins a new line.
#[derive(Debug, Default)]
struct Line {
    begun: bool,
}

impl Line {
    fn write(&mut self, text: &str) -> std::io::Result<()> {
        terminal::write_reply(text)?;
        self.begun |= !text.is_empty();
        Ok(())
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.begun = false;
        writeln!(terminal::out())
    }
}

impl Drop for Line {
    /// Ends the line of a reply that failed or was stopped.
    fn drop(&mut self) {
        if self.begun {
            let _ = self.end();
        }
    }
}

impl Options {
    /// The text of the arguments, with standard input inserted or appended.
    fn text(&self) -> Result<String, Failure> {
        let named = self.text.iter().any(|word| word == "-");
        let reads = named || (!self.no_stdin && (self.text.is_empty() || !stdin().is_terminal()));
        let input = if reads { read_input()? } else { String::new() };
        let parts = compose(&self.text, &input);
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
        let text = std::fs::read_to_string(file).map_err(CliError::unreadable(file))?;
        let schema =
            serde_json::from_str(&text).map_err(|error| format!("{name} is not JSON: {error}"))?;
        Ok(Some(ResponseFormat::json_schema(schema)))
    }

    async fn answer(
        &self,
        session: &Session,
        text: String,
        format: Option<ResponseFormat>,
        quiet: bool,
    ) -> Result<(), Failure> {
        for event in &self.feel {
            session.feel(event.0.clone()).await?;
        }
        // Events so far were given by the user.
        let mut news = session.elpis().events();
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
            return print(session, &chat.complete().await?).await;
        }
        let mut stream = chat.stream().await?;
        let mut line = Line::default();
        while let Some(event) = stream.next().await {
            if let GenerationEvent::Text(text) = event? {
                line.write(&text)?;
            }
        }
        line.end()?;
        if !quiet && stderr().is_terminal() {
            while let Some(delivery) = news.try_next() {
                if let Delivery::Event(event) = delivery
                    && let Event::Felt { event, source, .. } = *event
                {
                    complain(&people::felt(&event, source));
                }
            }
            let mood = session.state().await?;
            complain(&format!(
                "{} (valence {:+.2}, arousal {:+.2})",
                mood.mood, mood.valence, mood.arousal
            ));
        }
        Ok(())
    }
}

/// The parts of a question: each run of words, and the input at every `-` or at the end.
fn compose(words: &[String], input: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for run in words.split_inclusive(|word| word == "-") {
        match run {
            [before @ .., last] if last == "-" => {
                parts.push(before.join(" "));
                parts.push(input.to_owned());
            }
            run => parts.push(run.join(" ")),
        }
    }
    if words.iter().all(|word| word != "-") {
        parts.push(input.to_owned());
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn read_input() -> Result<String, Failure> {
    if stdin().is_terminal() && stderr().is_terminal() {
        complain("type the message; Ctrl-D on an empty line ends it");
    }
    let mut read = String::new();
    stdin()
        .lock()
        .take(INPUT_LIMIT + 1)
        .read_to_string(&mut read)
        .map_err(CliError::unreadable(Path::new("standard input")))?;
    if read.len() as u64 > INPUT_LIMIT {
        return Err(format!("standard input is longer than {INPUT_LIMIT} bytes").into());
    }
    read.truncate(read.trim_end().len());
    Ok(read)
}

async fn print(session: &Session, completion: &Completion) -> Result<(), Failure> {
    let answer = Answer {
        text: &completion.text,
        state: session.state().await?,
        report: &completion.report,
    };
    let mut out = terminal::out();
    serde_json::to_writer_pretty(&mut out, &answer).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_stands_at_the_dash_or_at_the_end() {
        for (words, input, expected) in [
            ("What changed?", "a diff", &["What changed?", "a diff"][..]),
            ("What changed? -", "a diff", &["What changed?", "a diff"]),
            ("Between - and here", "it", &["Between", "it", "and here"]),
            ("-", "it", &["it"]),
            ("", "it", &["it"]),
            ("What changed? -", "", &["What changed?"]),
            ("well-known - -v", "it", &["well-known", "it", "-v"]),
            ("", " \n", &[]),
        ] {
            let given: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            assert_eq!(compose(&given, input), expected, "{words}");
        }
    }
}
