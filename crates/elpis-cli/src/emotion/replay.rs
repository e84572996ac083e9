//! `elpis emotion replay`

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::log::{Entry, Line, Sessions};
use super::wanted;
use crate::error::CliError;
use crate::lines::{Lines, Named};
use crate::{Failure, terminal};
use elpis::emotion::{EmotionError, EmotionSnapshot, JournalRecord, replay_entry, replay_line};
use elpis::inference::SessionId;
use elpis::store::{SqliteStore, StateStore, StoreError};

pub(super) fn log(file: &Path) -> Result<(), Failure> {
    let mut lines = Lines::open(file)?;
    let mut out = BufWriter::new(terminal::out());
    let mut sessions = Sessions::default();
    while let Some(Named { place, text }) = lines.next()? {
        let replayed = replayed(text, &mut sessions).map_err(|error| CliError::LogLine {
            place,
            reason: error.to_string(),
        })?;
        serde_json::to_writer(&mut out, &replayed).map_err(std::io::Error::from)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

/// A line with the computed fields added.
fn replayed(text: &str, sessions: &mut Sessions) -> Result<Value, EmotionError> {
    let entry = match Line::parse(text)? {
        Line::Recording(_) => return replay_line(text),
        Line::Entry(entry) => entry,
    };
    let state = sessions.go_on(&entry)?.snapshot_at(entry.happened.at);
    let Entry { mut object, .. } = entry;
    let computed = serde_json::to_value(state).map_err(|error| EmotionError::Malformed {
        field: "line",
        reason: error.to_string(),
    })?;
    if let Value::Object(computed) = computed {
        object.extend(computed);
    }
    Ok(Value::Object(object))
}

/// An entry of a journal and the state right after it.
#[derive(Serialize)]
struct Replayed<'a> {
    session: &'a SessionId,
    at: f64,
    what: &'a JournalRecord,
    #[serde(flatten)]
    state: EmotionSnapshot,
}

pub(super) fn store(file: &Path, names: &[String]) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let sessions = wanted(&store, names)?;
    let mut out = BufWriter::new(terminal::out());
    for session in &sessions {
        let mut tracker = None;
        let mut number = 0_u64;
        let mut fault = None;
        let visit = &mut |entry| {
            let mut told = || {
                replay_entry(&mut tracker, &entry).map_err(|error| StoreError::DamagedSession {
                    file: store.file().to_owned(),
                    session: session.to_string(),
                    reason: format!("entry {number} of its journal: {error}"),
                })?;
                if let Some(tracker) = &tracker {
                    let replayed = Replayed {
                        session,
                        at: entry.at,
                        what: &entry.what,
                        state: tracker.snapshot_at(entry.at),
                    };
                    serde_json::to_writer(&mut out, &replayed).map_err(std::io::Error::from)?;
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
            return Err(CliError::NoSession {
                file: file.display().to_string(),
                session: session.to_string(),
            }
            .into());
        }
    }
    out.flush()?;
    Ok(())
}
