//! `elpis vectors eval`

mod curve;
mod judge;
mod summary;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::model::{ModelOptions, SIDE_BY_SIDE};
use super::{CliError, Failure, replace};
use crate::terminal;
use elpis::internal::vectors::{library_context, read_folder};
use elpis::steering::BlendOptions;
use elpis::training::{EvaluateOptions, Evaluated, Influence, evaluate};
use elpis_files::printable::printable_path;
use judge::Judge;
use summary::Summary;

/// Measures what vectors do to a model's replies: each of the four corners at several strengths,
/// beside the same moods as a line in the prompt, random vectors and nothing.
///
/// Replies are judged by what they express in the residual stream, by VADER's lexicon and, if a
/// file is given, by human norms of words.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The folder of the vectors.
    #[arg(long, value_name = "DIR")]
    vectors: PathBuf,
    /// Human norms of words from 1 to 9, as CSV with the columns `Word`, `V.Mean.Sum` and
    /// `A.Mean.Sum` (Warriner et al., 2013) or `word`, `valence` and `arousal`.
    #[arg(long, value_name = "FILE")]
    norms: Option<PathBuf>,
    /// Number of prompts, at most 24.
    #[arg(long, value_name = "N", default_value_t = EvaluateOptions::MAX_PROMPTS)]
    prompts: usize,
    /// Number of replies to each prompt.
    #[arg(long, value_name = "N", default_value_t = 1)]
    replies: usize,
    /// Maximum number of tokens of a reply.
    #[arg(long, value_name = "N", default_value_t = 48)]
    tokens: usize,
    /// A picture of dose and response to write, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Prints JSON, with all replies.
    #[arg(long)]
    json: bool,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    influence: String,
    emotion: Option<String>,
    strength: Option<f64>,
    /// Mean valence and arousal by the norms, less the middle of the scale.
    valence: Option<f64>,
    arousal: Option<f64>,
    vader: f64,
    expressed_valence: Option<f64>,
    expressed_arousal: Option<f64>,
    perplexity: f64,
    repetition: f64,
    answered: Option<f64>,
    replies: Vec<String>,
}

impl Row {
    fn new(found: Evaluated, judge: &Judge) -> Self {
        let (influence, emotion, strength) = match &found.influence {
            Influence::Neutral => ("neutral", None, None),
            Influence::Vector { emotion, strength } => {
                ("vector", Some(emotion.clone()), Some(*strength))
            }
            Influence::MoodLine { emotion } => ("mood line", Some(emotion.clone()), None),
            _ => ("random vector", None, None),
        };
        let norms = judge.norms(&found.texts);
        Self {
            influence: influence.to_owned(),
            emotion,
            strength,
            valence: norms.map(|(valence, _)| valence),
            arousal: norms.map(|(_, arousal)| arousal),
            vader: judge.vader(&found.texts),
            expressed_valence: found.expressed.map(|(valence, _)| valence),
            expressed_arousal: found.expressed.map(|(_, arousal)| arousal),
            perplexity: found.perplexity,
            repetition: found.repetition,
            answered: found.answered,
            replies: found.texts,
        }
    }
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let judge = Judge::new(options.norms.as_deref())?;
    let files = read_folder(&options.vectors)?;
    let mut loaded = options.model.load(config, SIDE_BY_SIDE, quiet)?;
    let context = library_context(&loaded.settings.model, loaded.backend.facts());
    let mut settings = EvaluateOptions::default();
    settings.prompts = options.prompts;
    settings.repeats = options.replies;
    settings.max_tokens = options.tokens;
    settings.steer_prompts = loaded.steers_prompts();
    settings.blend = BlendOptions {
        max_residual_fraction: loaded.settings.model.max_residual_fraction as f32,
        ..BlendOptions::default()
    };
    let found = loaded.work(|backend, template, on_progress| {
        evaluate(backend, template, files, &context, &settings, on_progress)
    })?;
    let rows: Vec<Row> = found.into_iter().map(|row| Row::new(row, &judge)).collect();
    let summary = Summary::of(&rows);
    if let Some(file) = &options.plot {
        let picture = curve::draw(&rows)?;
        replace(file, picture.as_bytes()).map_err(CliError::unwritable(file))?;
    }
    let mut out = terminal::out();
    if options.json {
        let all = serde_json::json!({ "rows": rows, "summary": summary });
        serde_json::to_writer_pretty(&mut out, &all).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    print(&mut out, &rows)?;
    summary.print(&mut out)?;
    if let Some(file) = &options.plot {
        writeln!(out, "\nwritten to {}", printable_path(file))?;
    }
    Ok(())
}

fn print(out: &mut impl Write, rows: &[Row]) -> std::io::Result<()> {
    let plain = rows.first().map_or(f64::NAN, |row| row.perplexity);
    writeln!(
        out,
        "{:13} {:10} {:>8} {:>7} {:>7} {:>6} {:>9} {:>7} {:>10} {:>10} {:>8}",
        "influence",
        "emotion",
        "strength",
        "valence",
        "arousal",
        "VADER",
        "expressed",
        "",
        "perplexity",
        "repetition",
        "answered"
    )?;
    let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:+.2}"));
    for row in rows {
        let strength = row.strength.map_or_else(String::new, |s| format!("{s:.2}"));
        let answered = row
            .answered
            .map_or_else(String::new, |share| format!("{:.0} %", share * 100.0));
        writeln!(
            out,
            "{:13} {:10} {strength:>8} {:>7} {:>7} {:>+6.2} {:>9} {:>7} {:>9.2}x {:>10.3} {answered:>8}",
            row.influence,
            row.emotion.as_deref().unwrap_or_default(),
            number(row.valence),
            number(row.arousal),
            row.vader,
            number(row.expressed_valence),
            number(row.expressed_arousal),
            row.perplexity / plain,
            row.repetition,
        )?;
    }
    Ok(())
}
