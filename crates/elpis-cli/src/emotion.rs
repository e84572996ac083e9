//! `elpis emotion …`

mod appraise;
mod log;
mod path;
mod plot;
mod replay;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Failure;
use elpis::inference::SessionId;
use elpis::store::{SqliteStore, StateStore};

/// The beginning of an SQLite file.
const SQLITE: &[u8] = b"SQLite format 3\0";

const NO_SESSIONS: &str = "a log has no sessions; --session needs a store";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Computes the states of logged events.
    ///
    /// FILE is a log or a store. A line of a log is a JSON object: an event with `at` (seconds),
    /// `event` and optionally `session` and `intensity`; or a whole session, with `settings` (any
    /// subset of the `[emotion]` settings) and `steps`, which are such events; or a line printed by
    /// this command. Each is printed with the computed fields. For a store, a line is printed for
    /// each entry of the sessions' journals: `session`, `at` (seconds since the Unix epoch), `what`
    /// happened and the state right after it.
    Replay {
        /// The log or the store; `-` is a log on standard input.
        file: PathBuf,
        /// The sessions of a store; all by default.
        #[arg(long = "session", value_name = "ID")]
        sessions: Vec<String>,
    },
    Plot(plot::Options),
    Appraise(appraise::Options),
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Replay { file, sessions } if is_store(&file) => replay::store(&file, &sessions),
        Command::Replay { sessions, .. } if !sessions.is_empty() => Err(NO_SESSIONS.into()),
        Command::Replay { file, .. } => replay::log(&file),
        Command::Plot(options) => plot::run(&options),
        Command::Appraise(options) => appraise::run(&options),
    }
}

fn is_store(file: &Path) -> bool {
    let mut start = [0; SQLITE.len()];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == SQLITE
}

/// The requested sessions; all by default.
fn wanted(store: &SqliteStore, names: &[String]) -> Result<Vec<SessionId>, Failure> {
    if names.is_empty() {
        return Ok(store.sessions()?);
    }
    Ok(names.iter().map(SessionId::new).collect::<Result<_, _>>()?)
}
