//! `elpis emotion …`

use std::fs::File;
use std::io::{BufWriter, Read, Write, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::Failure;
use super::lines::{Lines, Named};
use crate::emotion::{EmotionSnapshot, Happening, relive, replay_line};
use crate::inference::SessionId;
use crate::store::{SqliteStore, StateStore, StoreError};

/// What a file of SQLite begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Computes the states of logged events.
    ///
    /// FILE is a log or a store. Each line of a log is a JSON object with
    /// `settings` (any subset of the `[emotion]` settings) and `steps`, each
    /// with `at` (seconds), `event` and `intensity`; the same objects are
    /// printed with the computed fields. Of a store, a line is printed for
    /// each entry of the sessions' journals: `session`, `at` (seconds since
    /// the Unix epoch), `what` happened and the state just after it.
    Replay {
        /// The log or the store; `-` is a log on standard input.
        file: PathBuf,
        /// The sessions of a store; without any, all.
        #[arg(long = "session", value_name = "ID")]
        sessions: Vec<String>,
    },
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Replay { file, sessions } if is_store(&file) => replay_store(&file, &sessions),
        Command::Replay { sessions, .. } if !sessions.is_empty() => {
            Err("a log has no sessions; --session needs a store".into())
        }
        Command::Replay { file, .. } => replay_log(&file),
    }
}

fn is_store(file: &Path) -> bool {
    let mut start = [0; SQLITE.len()];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == SQLITE
}

fn replay_log(file: &Path) -> Result<(), Failure> {
    let mut lines = Lines::open(file)?;
    let mut out = BufWriter::new(stdout().lock());
    while let Some(Named { place, text }) = lines.next()? {
        let replayed = replay_line(text).map_err(|error| format!("{place}: {error}"))?;
        serde_json::to_writer(&mut out, &replayed).map_err(std::io::Error::from)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

/// An entry of a journal and the state just after it.
#[derive(Serialize)]
struct Relived<'a> {
    session: &'a SessionId,
    at: f64,
    what: &'a Happening,
    #[serde(flatten)]
    state: EmotionSnapshot,
}

fn replay_store(file: &Path, wanted: &[String]) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let sessions = if wanted.is_empty() {
        store.sessions()?
    } else {
        wanted
            .iter()
            .map(SessionId::new)
            .collect::<Result<_, _>>()?
    };
    let mut out = BufWriter::new(stdout().lock());
    for session in &sessions {
        let mut tracker = None;
        let mut number = 0_u64;
        let mut fault = None;
        let visit = &mut |entry| {
            let mut told = || {
                relive(&mut tracker, &entry).map_err(|error| StoreError::DamagedSession {
                    file: store.file().to_owned(),
                    session: session.to_string(),
                    reason: format!("entry {number} of its journal: {error}"),
                })?;
                if let Some(tracker) = &tracker {
                    let relived = Relived {
                        session,
                        at: entry.at,
                        what: &entry.what,
                        state: tracker.snapshot_at(entry.at),
                    };
                    serde_json::to_writer(&mut out, &relived).map_err(std::io::Error::from)?;
                    writeln!(out)?;
                }
                Ok::<_, Failure>(())
            };
            match told() {
                Ok(()) => {
                    number += 1;
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        store.journal(session, visit)?;
        if let Some(error) = fault {
            return Err(error);
        }
        if number == 0 {
            return Err(format!("{} has no session {session}", file.display()).into());
        }
    }
    out.flush()?;
    Ok(())
}
