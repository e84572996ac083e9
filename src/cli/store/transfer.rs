//! `elpis store export` and `elpis store import`

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cli::fault::Fault;
use crate::cli::lines::{Lines, Named};
use crate::cli::{Failure, counted};
use crate::emotion::{EmotionTracker, Happening, JournalEntry, relive};
use crate::inference::SessionId;
use crate::settings::StoreSettings;
use crate::store::{SessionChange, SqliteStore, StateStore};

/// A line: an entry of a session's journal, or the state after all of them.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Entry {
        session: SessionId,
        at: f64,
        what: Happening,
    },
    State {
        session: SessionId,
        state: Box<EmotionTracker>,
    },
}

pub(super) fn export(file: &Path, wanted: &[String], output: Option<&Path>) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let sessions = if wanted.is_empty() {
        store.sessions()?
    } else {
        wanted
            .iter()
            .map(SessionId::new)
            .collect::<Result<_, _>>()?
    };
    let out: Box<dyn Write> = match output {
        None => Box::new(stdout().lock()),
        Some(output) => Box::new(File::create(output).map_err(Fault::unwritable(output))?),
    };
    let mut out = BufWriter::new(out);
    for session in sessions {
        let mut fault = None;
        let visit = &mut |JournalEntry { at, what }| {
            let session = session.clone();
            match write(&mut out, &Line::Entry { session, at, what }) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let kept = store.whole(&session, visit)?;
        if let Some(error) = fault {
            return Err(error.into());
        }
        let Some(kept) = kept else {
            // One that is not named was forgotten meanwhile.
            if wanted.is_empty() {
                continue;
            }
            return Err(Fault::NoSession {
                file: file.display().to_string(),
                session: session.to_string(),
            }
            .into());
        };
        let state = Box::new(kept.tracker);
        write(&mut out, &Line::State { session, state })?;
    }
    out.flush()?;
    Ok(())
}

fn write(out: &mut impl Write, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}

pub(super) fn import(from: &Path, file: &Path) -> Result<(), Failure> {
    let mut lines = Lines::open(from)?;
    let store = SqliteStore::open(file, &StoreSettings::default())?;
    let mut open: Option<(SessionId, Vec<JournalEntry>, Option<EmotionTracker>)> = None;
    let mut taken = 0_u64;
    while let Some(Named { place, text }) = lines.next()? {
        let wrong = |reason: &str| Fault::ExportedLine {
            place: place.clone(),
            reason: reason.to_owned(),
        };
        let line = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
        let session = match &line {
            Line::Entry { session, .. } | Line::State { session, .. } => session.clone(),
        };
        if open.as_ref().is_some_and(|(name, ..)| *name != session) {
            return Err(wrong("another session begins before the state of the last").into());
        }
        let (_, entries, tracker) = open.get_or_insert_with(|| (session.clone(), Vec::new(), None));
        match line {
            Line::Entry { at, what, .. } => {
                let entry = JournalEntry { at, what };
                relive(tracker, &entry).map_err(|error| wrong(&error.to_string()))?;
                entries.push(entry);
            }
            Line::State { state, .. } => {
                if tracker.as_ref() != Some(state.as_ref()) {
                    return Err(wrong("the journal leads to another state").into());
                }
                if store.load(&session)?.is_some() {
                    return Err(Fault::SessionTaken {
                        place,
                        file: file.display().to_string(),
                        session: session.to_string(),
                    }
                    .into());
                }
                store.commit(&[SessionChange {
                    forgotten: false,
                    first: 0,
                    entries: std::mem::take(entries),
                    after: tracker.take(),
                    session,
                }])?;
                open = None;
                taken += 1;
            }
        }
    }
    if let Some((session, ..)) = open {
        return Err(Fault::ExportedLine {
            place: from.display().to_string(),
            reason: format!("the state of session {session} is missing"),
        }
        .into());
    }
    writeln!(
        stdout(),
        "{}: {} taken over",
        file.display(),
        counted(taken, "session", "sessions")
    )?;
    Ok(())
}
