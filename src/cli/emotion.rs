//! `elpis emotion …`

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Failure;
use crate::emotion::replay_line;

/// Longest line of a log, in bytes.
const LINE_LIMIT: u64 = 64 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Computes the states of logged events.
    ///
    /// Each line of FILE is a JSON object with `settings` (any subset of the
    /// `[emotion]` settings) and `steps`, each with `at` (seconds), `event`
    /// and `intensity`. The same objects are printed with the computed fields.
    Replay {
        /// The log; `-` is standard input.
        file: PathBuf,
    },
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Replay { file } => replay(&file),
    }
}

fn replay(file: &Path) -> Result<(), Failure> {
    let name = file.display();
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| format!("cannot read {name}: {error}"))?)
    };
    let mut reader = BufReader::new(reader);
    let mut out = stdout().lock();
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let read = (&mut reader)
            .take(LINE_LIMIT)
            .read_line(&mut line)
            .map_err(|error| format!("cannot read {name}: {error}"))?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_LIMIT && !line.ends_with('\n') {
            return Err(format!("{name}:{number}: longer than {LINE_LIMIT} bytes").into());
        }
        if line.trim().is_empty() {
            continue;
        }
        let replayed = replay_line(&line).map_err(|error| format!("{name}:{number}: {error}"))?;
        serde_json::to_writer(&mut out, &replayed).map_err(std::io::Error::from)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}
