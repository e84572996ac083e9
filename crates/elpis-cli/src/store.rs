//! `elpis store …`

mod check;
mod sessions;
mod transfer;

use std::path::PathBuf;

use clap::Subcommand;

use super::{Failure, load_settings};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Checks a store: the file page by page, and of every session that nothing
    /// of it was changed since it was written, and that its journal leads to the
    /// state that is kept, bit for bit.
    Check {
        /// The store; without it, that of the settings.
        file: Option<PathBuf>,
    },
    /// Writes sessions as JSON lines: a line for each entry of a session's
    /// journal, then one with its state.
    Export {
        /// The store; without it, that of the settings.
        file: Option<PathBuf>,
        /// The sessions; without any, all.
        #[arg(long = "session", value_name = "ID")]
        sessions: Vec<String>,
        /// Where to write; without it, standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Lists the sessions, and how each feels by now.
    List {
        /// The store; without it, that of the settings.
        file: Option<PathBuf>,
    },
    /// Removes sessions with all that is kept of them, which cannot be undone:
    /// on a terminal it asks first. The store must not be in use.
    Forget {
        /// The store; without it, that of the settings.
        file: Option<PathBuf>,
        /// Does not ask.
        #[arg(long, short)]
        yes: bool,
        /// The sessions.
        #[arg(long = "session", value_name = "ID", required = true)]
        sessions: Vec<String>,
    },
    /// Takes exported sessions into a store, which is made if it is not
    /// there. Sessions that it has already are refused, as is what does not
    /// fit together; each session is taken whole or not at all.
    Import {
        /// The exported lines; `-` is standard input.
        from: PathBuf,
        /// The store; without it, that of the settings.
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
