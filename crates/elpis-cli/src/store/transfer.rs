//! `elpis store export` and `elpis store import`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::CliError;
use crate::lines::{Lines, Named};
use crate::{Failure, counted, terminal};
use elpis::emotion::JournalEntry;
use elpis::inference::SessionId;
use elpis::settings::StoreSettings;
use elpis::store::{ExportedLine, Import, Imported, SessionChange, SqliteStore, StateStore};

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
        None => Box::new(terminal::out()),
        Some(output) => Box::new(File::create(output).map_err(CliError::unwritable(output))?),
    };
    let mut out = BufWriter::new(out);
    for session in &sessions {
        let mut fault = None;
        let visit = &mut |JournalEntry { at, what }| {
            let session = session.clone();
            match write(&mut out, &ExportedLine::Entry { session, at, what }) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let kept = store.whole(session, visit)?;
        if let Some(error) = fault {
            return Err(error.into());
        }
        let Some(kept) = kept else {
            // An unrequested session may have been deleted meanwhile.
            if wanted.is_empty() {
                continue;
            }
            return Err(CliError::NoSession {
                file: file.display().to_string(),
                session: session.to_string(),
            }
            .into());
        };
        let state = Box::new(kept.tracker);
        let session = session.clone();
        write(&mut out, &ExportedLine::State { session, state })?;
    }
    for session in store.conversations()? {
        if !wanted.is_empty() && !sessions.contains(&session) {
            continue;
        }
        if let Some(conversation) = store.conversation(&session)? {
            let line = ExportedLine::Conversation {
                session,
                conversation,
            };
            write(&mut out, &line)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn write(out: &mut impl Write, line: &ExportedLine) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}

pub(super) fn import(from: &Path, file: &Path) -> Result<(), Failure> {
    let mut lines = Lines::open(from)?;
    let store = SqliteStore::open(file, &StoreSettings::default())?;
    let (mut import, mut taken) = (Import::default(), 0_u64);
    while let Some(Named { place, text }) = lines.next()? {
        let complete = import.take(text).map_err(|error| CliError::ExportedLine {
            place: place.clone(),
            reason: error.to_string(),
        })?;
        let is_taken = match &complete {
            None => continue,
            Some(Imported::Session(change)) => store.load(&change.session)?.is_some(),
            Some(Imported::Conversation(session, _)) => store.conversation(session)?.is_some(),
        };
        match complete {
            None => {}
            Some(Imported::Session(change)) if !is_taken => {
                store.commit(&[change])?;
                taken += 1;
            }
            Some(Imported::Conversation(session, conversation)) if !is_taken => {
                store.keep_conversation(&session, Some(&conversation))?;
            }
            Some(
                Imported::Session(SessionChange { session, .. })
                | Imported::Conversation(session, _),
            ) => {
                return Err(CliError::SessionTaken {
                    place,
                    file: file.display().to_string(),
                    session: session.to_string(),
                }
                .into());
            }
        }
    }
    if let Some(session) = import.unfinished() {
        return Err(CliError::ExportedLine {
            place: from.display().to_string(),
            reason: format!("the state of session {session} is missing"),
        }
        .into());
    }
    writeln!(
        terminal::out(),
        "{}: {} taken over",
        file.display(),
        counted(taken, "session", "sessions")
    )?;
    Ok(())
}
