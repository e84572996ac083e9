//! `elpis store …`

mod check;
mod sessions;
mod transfer;

use std::path::PathBuf;

use clap::Subcommand;

use super::{Failure, load_settings};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Checks a store: the file page by page, and for every session that its data is unchanged
    /// since it was written and that its journal leads to the stored state, bit for bit.
    Check {
        /// The store; the configured one by default.
        file: Option<PathBuf>,
    },
    /// Exports sessions as JSON lines: a line for each entry of a session's journal, then one with
    /// its state.
    Export {
        /// The store; the configured one by default.
        file: Option<PathBuf>,
        /// The sessions; all by default.
        #[arg(long = "session", value_name = "ID")]
        sessions: Vec<String>,
        /// The output file; standard output by default.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Lists the sessions with their current moods.
    List {
        /// The store; the configured one by default.
        file: Option<PathBuf>,
    },
    /// Deletes sessions with all their data, which cannot be undone. On a terminal it asks first.
    /// The store must not be in use.
    Forget {
        /// The store; the configured one by default.
        file: Option<PathBuf>,
        /// Does not ask for confirmation.
        #[arg(long, short)]
        yes: bool,
        /// The sessions.
        #[arg(long = "session", value_name = "ID", required = true)]
        sessions: Vec<String>,
    },
    /// Imports exported sessions into a store, which is created if necessary. Existing sessions and
    /// inconsistent data are refused; each session is imported whole or not at all.
    Import {
        /// The exported lines; `-` is standard input.
        from: PathBuf,
        /// The store; the configured one by default.
        file: Option<PathBuf>,
    },
}

pub(super) fn run(config: Option<PathBuf>, command: Command, quiet: bool) -> Result<(), Failure> {
    let named = |file: Option<PathBuf>| match file {
        Some(file) => Ok(file),
        None => load_settings(config)?
            .settings
            .store
            .path
            .ok_or_else(|| Failure::from("name a store, or set store.path")),
    };
    match command {
        Command::Check { file } => check::check(&named(file)?, quiet),
        Command::Export {
            file,
            sessions,
            output,
        } => transfer::export(&named(file)?, &sessions, output.as_deref()),
        Command::List { file } => sessions::list(&named(file)?),
        Command::Forget {
            file,
            yes,
            sessions,
        } => sessions::forget(&named(file)?, &sessions, yes),
        Command::Import { from, file } => transfer::import(&from, &named(file)?),
    }
}
