//! `elpis emotion appraise`

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::lines::{Lines, Named};
use crate::{Failure, terminal};
use elpis::emotion::{EmotionEvent, EventSource, Quadrant};
use elpis::{LexicalAppraiser, ReferenceAppraiser};

/// The result for a text without a feeling.
const NOTHING: &str = "nothing";

/// Number of texts listed below a table.
const SHOWN: usize = 20;

/// Maximum number of displayed characters of a text.
const SHOWN_CHARS: usize = 100;

/// Appraises texts, as the runtime appraises messages and replies.
///
/// Each line of a FILE is a text, or a JSON object with `text` and optionally `source` (`message`
/// or `reply`). For each, an object is printed with the event that the text expresses, the words
/// that it was derived from, and the quadrant that the event leads to from the middle of the plane.
///
/// With --table, lines with `expected` (a list of quadrants, or `nothing`) are compared with the
/// results, in a row for each `kind`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The texts; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The source of texts without one.
    #[arg(long, value_name = "SOURCE", default_value = "message")]
    source: Source,
    /// The appraiser.
    #[arg(long, value_name = "NAME", default_value = "lexicon")]
    appraiser: Kind,
    /// Compares with the expected results, and prints how often they match.
    #[arg(long)]
    table: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// The user's message.
    Message,
    /// The model's reply.
    Reply,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A sentiment lexicon, with phrases.
    Lexicon,
    /// The word lists of the reference implementation.
    Reference,
}

/// A line with a text and labels.
#[derive(Debug, Deserialize)]
struct Labelled {
    text: String,
    source: Option<Source>,
    kind: Option<String>,
    expected: Option<Vec<String>>,
}

/// The printed result for a text.
#[derive(Serialize)]
struct Read<'a> {
    text: &'a str,
    source: EventSource,
    event: Option<&'a str>,
    intensity: Option<f64>,
    words: Option<&'a str>,
    quadrant: Option<Quadrant>,
}

impl Options {
    fn read(&self, text: &str, source: EventSource) -> Option<EmotionEvent> {
        match self.appraiser {
            Kind::Lexicon => LexicalAppraiser::default().appraise(text, source),
            Kind::Reference => ReferenceAppraiser::default().appraise(text),
        }
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let mut table = Table::default();
    let mut out = BufWriter::new(terminal::out());
    for file in &options.files {
        let mut lines = Lines::open(file)?;
        while let Some(Named { place, text }) = lines.next()? {
            let line = labelled(text).map_err(|reason| CliError::LogLine { place, reason })?;
            let source = match line.source.unwrap_or(options.source) {
                Source::Message => EventSource::Message,
                Source::Reply => EventSource::Reply,
            };
            let event = options.read(&line.text, source);
            if options.table {
                table.add(&line, source, event.as_ref());
                continue;
            }
            let read = Read {
                text: &line.text,
                source,
                event: event.as_ref().map(EmotionEvent::name),
                intensity: event.as_ref().map(EmotionEvent::intensity),
                words: event.as_ref().and_then(EmotionEvent::words),
                quadrant: event.as_ref().map(quadrant),
            };
            serde_json::to_writer(&mut out, &read).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
    }
    if options.table {
        table.print(&mut out)?;
    }
    out.flush()?;
    Ok(())
}

fn labelled(line: &str) -> Result<Labelled, String> {
    if line.trim_start().starts_with('{') {
        let line: Labelled = serde_json::from_str(line).map_err(|error| error.to_string())?;
        for name in line.expected.iter().flatten() {
            if name != NOTHING && Quadrant::ALL.iter().all(|q| q.as_str() != name) {
                return Err(format!("`{name}` is neither a quadrant nor `{NOTHING}`"));
            }
        }
        return Ok(line);
    }
    Ok(Labelled {
        text: line.trim().to_owned(),
        source: None,
        kind: None,
        expected: None,
    })
}

/// The quadrant that an event leads to from the middle.
fn quadrant(event: &EmotionEvent) -> Quadrant {
    let (valence, arousal) = event.shift();
    match (valence >= 0.0, arousal >= 0.0) {
        (true, true) => Quadrant::Excited,
        (false, true) => Quadrant::Frustrated,
        (true, false) => Quadrant::Calm,
        (false, false) => Quadrant::Depleted,
    }
}

#[derive(Debug, Default)]
struct Row {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Row {
    fn texts(&self) -> usize {
        self.right + self.wrong + self.missed
    }
}

/// How often results match expectations.
#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<(&'static str, String), Row>,
    /// Wrong results, and missed ones.
    wrong: Vec<String>,
    missed: Vec<String>,
}

impl Table {
    fn add(&mut self, line: &Labelled, source: EventSource, event: Option<&EmotionEvent>) {
        let Some(expected) = &line.expected else {
            return;
        };
        let kind = line.kind.clone().unwrap_or_default();
        let row = self.rows.entry((source.as_str(), kind)).or_default();
        let read = event.map_or(NOTHING, |event| quadrant(event).as_str());
        let shown = || {
            let text: String = line.text.chars().take(SHOWN_CHARS).collect();
            let words = event.and_then(EmotionEvent::words).unwrap_or_default();
            let name = event.map_or(NOTHING, EmotionEvent::name);
            format!("  {name} [{words}]  {}", text.replace('\n', " / "))
        };
        if expected.iter().any(|name| name == read) {
            row.right += 1;
        } else if event.is_some() {
            row.wrong += 1;
            self.wrong.push(shown());
        } else {
            row.missed += 1;
            self.missed.push(shown());
        }
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "{:<10}{:<12}{:>7}{:>8}{:>8}{:>8}{:>9}{:>9}",
            "source", "kind", "texts", "right", "wrong", "missed", "right %", "wrong %"
        )?;
        for ((source, kind), row) in &self.rows {
            let share = |count: usize| 100.0 * count as f64 / row.texts() as f64;
            writeln!(
                out,
                "{source:<10}{kind:<12}{:>7}{:>8}{:>8}{:>8}{:>9.1}{:>9.1}",
                row.texts(),
                row.right,
                row.wrong,
                row.missed,
                share(row.right),
                share(row.wrong),
            )?;
        }
        for (title, texts) in [("read wrongly", &self.wrong), ("not read", &self.missed)] {
            if texts.is_empty() {
                continue;
            }
            writeln!(out, "\n{title}: {}", texts.len())?;
            for text in texts.iter().take(SHOWN) {
                writeln!(out, "{text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_texts_or_objects() {
        assert_eq!(labelled(" I hate you \n").unwrap().text, "I hate you");
        let line = labelled(r#"{"text": "a", "source": "reply", "expected": ["calm"]}"#).unwrap();
        assert_eq!((&*line.text, line.source), ("a", Some(Source::Reply)));
        for (line, words) in [
            (r#"{"text": 1}"#, "invalid type"),
            (r#"{"source": "reply"}"#, "missing field `text`"),
            (
                r#"{"text": "a", "expected": ["happy"]}"#,
                "`happy` is neither",
            ),
            (r#"{"text": "a", "source": "mail"}"#, "unknown variant"),
        ] {
            let told = labelled(line).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_table_counts_what_is_right_wrong_and_missed() {
        let mut table = Table::default();
        let options = |text: &str, expected: &str| {
            let line = format!(r#"{{"text": "{text}", "kind": "k", "expected": ["{expected}"]}}"#);
            labelled(&line).unwrap()
        };
        for (text, expected) in [
            ("I hate you", "frustrated"),
            ("I hate you", "calm"),
            ("The sky is blue.", "excited"),
            ("The sky is blue.", "nothing"),
        ] {
            let event = LexicalAppraiser::default().appraise(text, EventSource::Message);
            table.add(
                &options(text, expected),
                EventSource::Message,
                event.as_ref(),
            );
        }
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let row: Vec<_> = out.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["message", "k", "4", "2", "1", "1", "50.0", "25.0"]);
        assert!(
            out.contains("user_negative [i hate you]  I hate you"),
            "{out}"
        );
    }
}
