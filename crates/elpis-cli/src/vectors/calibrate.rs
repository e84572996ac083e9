//! `elpis vectors calibrate`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, Table, value};

use super::model::{ModelOptions, SIDE_BY_SIDE};
use super::{CliError, Failure, replace};
use crate::terminal;
use elpis::internal::vectors::{library_context, read_folder};
use elpis::steering::{BlendOptions, MANIFEST_FILE};
use elpis::training::{CalibrateOptions, Calibration, EmotionCalibration, Measured, calibrate};
use elpis_files::printable::printable_path;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The folder of the vectors.
    #[arg(long, value_name = "DIR")]
    vectors: PathBuf,
    /// Number of replies to each question of the pairs.
    #[arg(long, value_name = "N", default_value_t = CalibrateOptions::default().repeats)]
    replies: usize,
    /// Maximum number of tokens of a reply.
    #[arg(long, value_name = "N", default_value_t = CalibrateOptions::default().max_tokens)]
    tokens: usize,
    /// Maximum perplexity, as a multiple of the unsteered replies'.
    #[arg(long, value_name = "X", default_value_t = CalibrateOptions::default().max_perplexity_ratio)]
    max_perplexity: f64,
    /// Maximum repetition beyond that of the unsteered replies.
    #[arg(long, value_name = "X", default_value_t = CalibrateOptions::default().max_added_repetition)]
    max_repetition: f64,
    /// Minimum share of the known answers that is kept; 0 asks no questions.
    #[arg(long, value_name = "X", default_value_t = CalibrateOptions::default().min_answers_kept)]
    min_answers: f64,
    /// Largest strength that is tried.
    #[arg(long, value_name = "X", default_value_t = CalibrateOptions::default().max_strength)]
    max_strength: f64,
    /// Prints the figures and writes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let files = read_folder(&options.vectors)?;
    let manifest = files.iter().find(|file| file.name == MANIFEST_FILE);
    let manifest = match manifest {
        Some(file) => String::from_utf8(file.bytes.clone())?,
        None => String::new(),
    };
    let pairs = options.model.pairs()?;
    let mut loaded = options.model.load(config, SIDE_BY_SIDE, quiet)?;
    let context = library_context(&loaded.settings.model, loaded.backend.facts());
    let settings = CalibrateOptions {
        repeats: options.replies,
        max_tokens: options.tokens,
        max_perplexity_ratio: options.max_perplexity,
        max_added_repetition: options.max_repetition,
        min_answers_kept: options.min_answers,
        max_strength: options.max_strength,
        steer_prompts: loaded.steers_prompts(),
        blend: BlendOptions {
            max_residual_fraction: loaded.settings.model.max_residual_fraction as f32,
            keep_caps: false,
        },
        ..CalibrateOptions::default()
    };
    let found = loaded.work(|backend, template, on_progress| {
        calibrate(
            backend,
            template,
            files,
            &context,
            &pairs,
            &settings,
            on_progress,
        )
    })?;
    let file = options.vectors.join(MANIFEST_FILE);
    if !options.dry_run {
        let text = with_caps(&manifest, &found).map_err(|error| CliError::at(&file)(error))?;
        replace(&file, text.as_bytes()).map_err(CliError::unwritable(&file))?;
    }
    let mut out = terminal::out();
    if options.json {
        writeln!(out, "{}", as_json(&found))?;
        return Ok(());
    }
    print(&mut out, &found)?;
    if !options.dry_run {
        writeln!(out, "\ncaps written to {}", printable_path(&file))?;
    }
    Ok(())
}

/// The manifest with the new caps. Everything else is unchanged, including comments.
fn with_caps(manifest: &str, found: &Calibration) -> Result<String, Failure> {
    let mut document: DocumentMut = manifest.parse()?;
    let emotions = document.entry("emotions").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let emotions = emotions
        .as_table_like_mut()
        .ok_or("`emotions` is not a table")?;
    for emotion in &found.emotions {
        let entry = emotions
            .entry(&emotion.emotion)
            .or_insert_with(|| Item::Table(Table::new()));
        let entry = entry
            .as_table_like_mut()
            .ok_or_else(|| format!("`emotions.{}` is not a table", emotion.emotion))?;
        // Rounded down, to stay within the bounds.
        entry.insert("cap", value((emotion.cap * 1000.0).floor() / 1000.0));
    }
    Ok(document.to_string())
}

fn print(out: &mut impl Write, found: &Calibration) -> std::io::Result<()> {
    writeln!(
        out,
        "unsteered: perplexity {:.2}, repetition {:.3}, {:.1} tokens a reply{}\n",
        found.perplexity,
        found.repetition,
        found.length,
        found.answered.map_or_else(String::new, |share| {
            format!(", {:.0} % of the questions answered", share * 100.0)
        })
    )?;
    writeln!(
        out,
        "{:12} {:>6} {:>10} {:>10} {:>7} {:>8} {:>8}",
        "emotion", "cap", "perplexity", "repetition", "tokens", "shift", "answers"
    )?;
    for emotion in &found.emotions {
        let EmotionCalibration {
            emotion: name,
            cap,
            vector,
            ..
        } = emotion;
        writeln!(
            out,
            "{name:12} {cap:>6.3} {:>9.2}x {:>10.3} {:>7.1} {:>+8.2} {:>8}",
            vector.perplexity_ratio,
            vector.repetition,
            vector.length,
            vector.shift,
            share(vector.answers_kept)
        )?;
        let note = if emotion.cap == 0.0 {
            "no strength stays within the bounds; the smallest that was tried is shown"
        } else if emotion
            .tried
            .iter()
            .all(|tried| tried.strength <= emotion.cap)
        {
            "the largest strength that was tried"
        } else {
            continue;
        };
        writeln!(out, "{:12} {note}", "")?;
    }
    Ok(())
}

fn share(of: Option<f64>) -> String {
    of.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

fn as_json(found: &Calibration) -> Value {
    let figures = |measured: &Measured| {
        json!({
            "strength": measured.strength,
            "perplexity_ratio": measured.perplexity_ratio,
            "repetition": measured.repetition,
            "length": measured.length,
            "empty": measured.empty,
            "shift": measured.shift,
            "answers_kept": measured.answers_kept,
        })
    };
    json!({
        "perplexity": found.perplexity,
        "repetition": found.repetition,
        "length": found.length,
        "answered": found.answered,
        "emotions": found.emotions.iter().map(|emotion| json!({
            "emotion": emotion.emotion,
            "cap": emotion.cap,
            "vector": figures(&emotion.vector),
            "tried": emotion.tried.iter().map(figures).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_written_and_everything_else_stays() {
        let none = Measured {
            strength: 1.0,
            perplexity_ratio: 1.0,
            repetition: 0.0,
            length: 9.0,
            empty: 0,
            shift: 0.0,
            answers_kept: None,
        };
        let found = Calibration {
            perplexity: 1.0,
            repetition: 0.0,
            length: 9.0,
            answered: None,
            emotions: vec![EmotionCalibration {
                emotion: "calm".into(),
                cap: 0.75,
                vector: none,
                tried: Vec::new(),
            }],
        };
        let before = "# mine\nlayer = 4 # here\n\n[emotions.excited]\ncap = 2.0\n";
        let after = with_caps(before, &found).unwrap();
        assert!(after.starts_with(before), "{after}");
        assert!(after.ends_with("[emotions.calm]\ncap = 0.75\n"), "{after}");
        let inline = with_caps("emotions = { calm = { cap = 1.0 } }\n", &found).unwrap();
        assert_eq!(inline, "emotions = { calm = { cap = 0.75 } }\n");
        assert_eq!(
            with_caps("", &found).unwrap(),
            "[emotions.calm]\ncap = 0.75\n"
        );
        assert!(with_caps("emotions = 3", &found).is_err());
    }
}
