//! The `elpis` command line.
//!
//! Exit codes: 0 for success, 1 for a failure reported on standard error, 2 for wrong usage, 129
//! for a closed terminal, 130 after Ctrl-C, 143 after SIGTERM.

#![deny(unsafe_code)]

mod ask;
mod bench;
mod chat;
mod doctor;
mod emotion;
mod environment;
mod error;
mod events;
mod hint;
mod key;
mod library;
mod lines;
mod pages;
mod people;
mod progress;
mod serve;
mod signal;
pub mod soak;
mod store;
mod terminal;
mod vectors;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use elpis::settings::{LoadedSettings, SettingsError, SettingsLoader};
use elpis::worker;

/// Language models with a lasting emotional state.
#[derive(Debug, Parser)]
#[command(name = "elpis", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    /// Settings file; without it, `elpis.toml` in the working directory.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only prints results and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 a failure that is told on standard error, 2 wrong usage, 129 the terminal \
was closed, 130 interrupted by Ctrl-C, 143 ended by SIGTERM. A signal ends the program in good order, \
a second one at once. ELPIS_LOG chooses what is logged, such as `info`.";

#[derive(Debug, Subcommand)]
enum Command {
    Ask(ask::Options),
    Bench(bench::Options),
    Chat(chat::Options),
    Completions(pages::Completions),
    Doctor(doctor::Options),
    /// Works with emotion logs.
    #[command(subcommand)]
    Emotion(emotion::Command),
    Key(key::Options),
    Man(pages::Man),
    Serve(serve::Options),
    Soak(soak::command::Options),
    /// Works with stores of emotional states.
    #[command(subcommand)]
    Store(store::Command),
    /// Works with steering vectors.
    #[command(subcommand)]
    Vectors(vectors::Command),
    /// Serves a model to the runtime that starts it (`runtime.isolation = "process"`).
    #[command(name = worker::ARGUMENT, hide = true)]
    EngineWorker,
}

/// Any failure, which is reported as its chain of causes with hints.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the command given by this process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse();
    let command = cli.as_ref().ok().map(|cli| &cli.command);
    let (filter, ignored) = log_filter(match command {
        // Faults injected on purpose are not errors.
        Some(Command::Soak(_)) => "off",
        _ => "error",
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Escape codes are only for terminals.
        .with_ansi(console::colors_enabled_stderr())
        .with_writer(|| terminal::logs(console::colors_enabled_stderr()))
        .init();
    worker::serve_if_asked();
    environment::complete();
    if let Some(reason) = ignored {
        complain(&format!("elpis: ELPIS_LOG: {reason}; it is ignored"));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let result = match cli.command {
        Command::Ask(options) => ask::run(cli.config, &options, cli.quiet),
        Command::Bench(options) => bench::run(cli.config, &options, cli.quiet),
        Command::Chat(options) => chat::run(cli.config, &options, cli.quiet),
        Command::Completions(options) => pages::completions(Cli::command(), &options),
        Command::Doctor(options) => doctor::run(cli.config, &options, cli.quiet),
        Command::Emotion(command) => emotion::run(command),
        Command::Key(options) => key::run(&options),
        Command::Man(options) => pages::man(Cli::command(), &options),
        Command::Serve(options) => serve::run(cli.config, &options, cli.quiet),
        Command::Soak(options) => soak::command::run(cli.config, &options, cli.quiet),
        Command::Store(command) => store::run(cli.config, command, cli.quiet),
        Command::Vectors(command) => vectors::run(cli.config, command, cli.quiet),
        Command::EngineWorker => Err(NoWorker.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(signal) = error.downcast_ref::<signal::Signal>() {
                return ExitCode::from(signal.exit_code());
            }
            complain(&format!("elpis: {}", told(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Prints usage errors, or requested output such as help.
fn misused(error: &clap::Error) -> ExitCode {
    // A failure to print cannot be reported.
    let _ = if error.use_stderr() {
        let (text, colours) = (error.render(), console::colors_enabled_stderr());
        let text = if colours {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        terminal::logs(colours).write_all(text.as_bytes())
    } else {
        error.print()
    };
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
        let commands: Vec<String> = Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| command.get_name().to_owned())
            .collect();
        complain(&format!("hint: {}", meant(word, &commands)));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The command that was probably meant by an unknown word.
fn meant(word: &str, commands: &[String]) -> String {
    let nearest = commands
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .min()
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1));
    match nearest {
        Some((_, known)) => format!("did you mean `elpis {known}`?"),
        None => format!("`elpis ask \"{word}\"` asks a model, `elpis help` lists the commands"),
    }
}

/// The log filter, and the reason if `ELPIS_LOG` was ignored.
fn log_filter(default: &str) -> (EnvFilter, Option<String>) {
    let asked = std::env::var_os("ELPIS_LOG").unwrap_or_default();
    let default = || EnvFilter::new(default);
    match asked.to_str().map(EnvFilter::try_new) {
        _ if asked.is_empty() => (default(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (default(), Some(error.to_string())),
        None => (default(), Some("it is not UTF-8".to_owned())),
    }
}

/// The worker command was started without a runtime.
#[derive(Debug, thiserror::Error)]
#[error(
    "this command is only for the runtime, which starts it if `runtime.isolation` is `process`"
)]
struct NoWorker;

/// A failure as text: the error, and a line for each hint.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    for hint in hint::hints(error) {
        told.push_str("\nhint: ");
        told.push_str(&hint);
    }
    told
}

/// Prints to standard error, ignoring failures. Text from files and names cannot affect the
/// terminal.
fn complain(text: &str) {
    complain_styled(&terminal::plain(text));
}

/// Prints text with terminal codes. It must not contain raw text from outside.
fn complain_styled(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A number with the word for that many.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Whether a reader such as `head` has closed the pipe.
fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn load_settings(config: Option<PathBuf>) -> Result<LoadedSettings, SettingsError> {
    let loader = SettingsLoader::new();
    match config {
        Some(file) => loader.file(file),
        None => loader,
    }
    .load()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_command_leads_to_one() {
        let commands = ["ask", "chat", "doctor", "store"].map(str::to_owned);
        for (word, hint) in [
            ("aks", "did you mean `elpis ask`?"),
            ("ask2", "did you mean `elpis ask`?"),
            ("docter", "did you mean `elpis doctor`?"),
            ("Stor", "`elpis ask \"Stor\"` asks"),
            ("hi", "`elpis ask \"hi\"` asks a model"),
        ] {
            let told = meant(word, &commands);
            assert!(told.starts_with(hint), "{word}: {told}");
        }
        assert_eq!(counted(1, "session", "sessions"), "1 session");
        assert_eq!(counted(0, "session", "sessions"), "0 sessions");
    }
}
