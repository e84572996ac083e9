//! `elpis soak`

use std::cell::RefCell;
use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::CliError;
use crate::progress::Waiting;
use crate::signal::{Signals, Stop};
use crate::soak::{SoakOptions, SoakReport, soak};
use crate::{Failure, load_settings, terminal};

/// Runs the configured model under load and faults.
///
/// Many sessions chat and receive events at once, steering vectors are reloaded, and faults are
/// injected into the engine. At the end it reports whether memory grew, whether an acknowledged
/// event was lost, and whether a token of one session reached another; in any of these cases the
/// exit code is 1. Ctrl-C and SIGTERM end it early and gracefully.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Duration in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: u64,
    /// Number of concurrent sessions.
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    sessions: u16,
    /// Seconds between two faults; 0 injects none.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    fault_every: u64,
    /// Random seed of messages, events and faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let settings = load_settings(config)?.settings;
    let trial = SoakOptions {
        duration: Duration::from_secs(options.seconds),
        sessions: options.sessions.into(),
        fault_every: (options.fault_every > 0).then(|| Duration::from_secs(options.fault_every)),
        seed: options.seed,
        ..SoakOptions::default()
    };
    // Its panics would fill the screen.
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
    let bar = bar(options.seconds, quiet);
    let runtime = tokio::runtime::Runtime::new()?;
    let stop = Stop::default();
    let report = runtime.block_on(async {
        // Until the first progress report, nothing has begun that needs a graceful end.
        let loading = RefCell::new(Some(Waiting::begin(quiet)));
        let tell = |report: &SoakReport| {
            loading.take();
            bar.set_position(report.seconds as u64);
            bar.set_message(format!(
                "{} replies, {} events, {} reloads, {} faults",
                report.replies, report.events, report.reloads, report.faults
            ));
        };
        let mut signals = Signals::listen();
        let early = async {
            let signal = signals.next().await;
            if loading.borrow().is_none() {
                return std::future::pending().await;
            }
            Failure::from(signal)
        };
        tokio::select! {
            report = soak(settings, &trial, tell, stop.asked()) => Ok(report?),
            failure = early => Err(failure),
        }
    });
    runtime.shutdown_background();
    bar.finish_and_clear();
    let report = report?;
    let mut out = terminal::out();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    let findings = report.findings();
    if let Some(signal) = stop.signal() {
        return Err(signal.into());
    }
    if findings.is_empty() {
        Ok(())
    } else {
        let others = SoakReport {
            memory_after_warm_up: None,
            ..report
        };
        Err(CliError::Soak {
            growth_alone: others.findings().is_empty(),
            findings,
        }
        .into())
    }
}

fn bar(seconds: u64, quiet: bool) -> ProgressBar {
    if quiet || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}");
    ProgressBar::new(seconds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(out: &mut impl Write, report: &SoakReport) -> std::io::Result<()> {
    let mut row = |name: &str, value: String| writeln!(out, "{name:<24} {value}");
    row("seconds", format!("{:.1}", report.seconds))?;
    row(
        "replies",
        format!(
            "{} ({:.1} tokens/s)",
            report.replies,
            report.tokens as f64 / report.seconds
        ),
    )?;
    row("cancelled", report.cancelled.to_string())?;
    row("ended by faults", report.ended_by_faults.to_string())?;
    row("failed otherwise", report.failed.to_string())?;
    row("events acknowledged", report.events.to_string())?;
    row("events lost", report.lost_events.to_string())?;
    row(
        "replies witnessed",
        format!(
            "{}, foreign {}",
            report.witnessed_replies, report.foreign_replies
        ),
    )?;
    row("faults", report.faults.to_string())?;
    row(
        "reloads",
        format!("{}, refused {}", report.reloads, report.refused_reloads),
    )?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let memory = [
        (
            "resident memory",
            report.memory_after_warm_up,
            report.memory_at_end,
        ),
        ("heap in use", report.heap_after_warm_up, report.heap_at_end),
    ];
    for (name, first, last) in memory {
        if let (Some(first), Some(last)) = (first, last) {
            row(
                name,
                format!("{:.1} MiB, then {:.1} MiB", mib(first), mib(last)),
            )?;
        }
    }
    if let Some(growth) = report.growth() {
        row("growth of memory", format!("{:+.2} %", growth * 100.0))?;
    }
    Ok(())
}
