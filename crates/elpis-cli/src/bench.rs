//! `elpis bench`

mod measure;

use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Failure, load_settings, progress, terminal};
use elpis::Elpis;
use elpis::settings::Settings;
use elpis_files::printable::printable;
use measure::{Level, Load};

/// Measures how fast the configured model answers.
///
/// For each number of sessions, all of them send requests at once and repeat until each has its
/// tokens. Rounds without and with steering vectors alternate; every session has its own mix of
/// vectors. The emotional state has no effect, nothing is stored, and no prompt is repeated.
/// Measure on an otherwise idle machine.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Numbers of concurrent sessions, separated by commas.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,4,8",
          value_parser = clap::value_parser!(u16).range(1..=254))]
    sessions: Vec<u16>,
    /// Number of words of each prompt.
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    words: u32,
    /// Number of tokens that each session generates in a round.
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(2..=100_000))]
    tokens: u32,
    /// Number of rounds, of which medians are reported.
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// The results.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    model: String,
    description: String,
    backend: &'static str,
    threads: Option<usize>,
    words: u32,
    tokens: u32,
    rounds: u16,
    levels: Vec<Level>,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let settings = options.adapt(load_settings(config)?.settings);
    let threads = settings.model.n_threads;
    let report = progress::with_elpis(settings, quiet, async |elpis| {
        options.measure(elpis, threads, quiet).await
    })?;
    let mut out = terminal::out();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    Ok(())
}

impl Options {
    /// The settings with room for the sessions, and without anything persistent.
    fn adapt(&self, mut settings: Settings) -> Settings {
        let most = self.sessions.iter().copied().max().unwrap_or(1);
        settings.runtime.n_parallel = most.into();
        settings.store.path = None;
        settings.metrics.listen = None;
        settings
    }

    async fn measure(
        &self,
        elpis: &Elpis,
        threads: Option<usize>,
        quiet: bool,
    ) -> Result<Report, Failure> {
        let facts = elpis.model().ok_or("the model is gone")?;
        let mut load = Load::new(elpis, self.words, self.tokens);
        let turns = self.sessions.len() * usize::from(self.rounds) * load.ways();
        let bar = bar(turns as u64, quiet);
        let mut levels = Vec::new();
        for &sessions in &self.sessions {
            let level = load.level(sessions.into(), self.rounds, || bar.inc(1));
            levels.push(level.await?);
        }
        bar.finish_and_clear();
        Ok(Report {
            version: env!("CARGO_PKG_VERSION"),
            model: facts.name.clone(),
            description: facts.description.clone(),
            backend: facts.backend.as_str(),
            threads,
            words: self.words,
            tokens: self.tokens,
            rounds: self.rounds,
            levels,
        })
    }
}

fn bar(turns: u64, quiet: bool) -> ProgressBar {
    if quiet || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("measuring {wide_bar} {pos}/{len}");
    ProgressBar::new(turns).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    writeln!(
        out,
        "{}: {} on {}",
        printable(&report.model),
        printable(&report.description),
        report.backend
    )?;
    let prompt = report.levels.first().map_or(0, |level| level.prompt_tokens);
    writeln!(
        out,
        "prompts of {prompt} tokens, {} tokens for each session, medians of {} rounds\n",
        report.tokens, report.rounds
    )?;
    writeln!(
        out,
        "{:>8} {:>10} {:>16} {:>14} {:>14} {:>20}",
        "sessions",
        "tokens/s",
        "first token, ms",
        "p50 gap, ms",
        "p99 gap, ms",
        "steered ÷ unsteered"
    )?;
    for level in &report.levels {
        let ratio = level.steered_ratio;
        writeln!(
            out,
            "{:>8} {:>10.1} {:>16.1} {:>14.1} {:>14.1} {:>20}",
            level.sessions,
            level.tokens_per_second,
            level.first_token_seconds * 1e3,
            level.token_gap_p50_seconds * 1e3,
            level.token_gap_p99_seconds * 1e3,
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}")),
        )?;
    }
    if report
        .levels
        .iter()
        .any(|level| level.steered_ratio.is_none())
    {
        writeln!(
            out,
            "\nThe model has no steering vectors; train some with `elpis vectors train`."
        )?;
    }
    Ok(())
}
