//! `elpis store list` and `elpis store forget`

use std::io::{BufRead, BufWriter, IsTerminal, Write, stdin, stdout};
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::CliError;
use crate::{Failure, complain, counted, terminal};
use elpis::inference::SessionId;
use elpis::settings::StoreSettings;
use elpis::store::{SessionChange, SqliteStore, StateStore};
use elpis::{Clock, SystemClock};

/// Lists each session with its current mood, sorted by name.
pub(super) fn list(file: &Path) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let now = SystemClock::default().now();
    let mut lines = Vec::new();
    let (mut all, mut wrong) = (0_usize, 0_usize);
    store.moods(now, &mut |found| {
        all += 1;
        match found.state {
            Ok(mood) => lines.push((found.name, mood, found.entries)),
            Err(error) => {
                complain(&format!("elpis: {error}"));
                wrong += 1;
            }
        }
        ControlFlow::Continue(())
    })?;
    lines.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    let mut out = BufWriter::new(terminal::out());
    for (session, mood, entries) in lines {
        writeln!(
            out,
            "{session}\t{}\tvalence {:+.2}\tarousal {:+.2}\t{}",
            mood.quadrant(),
            mood.valence(),
            mood.arousal(),
            counted(entries, "journal entry", "journal entries"),
        )?;
    }
    out.flush()?;
    if wrong > 0 {
        let file = file.display().to_string();
        return Err(CliError::DamagedSessions { file, wrong, all }.into());
    }
    Ok(())
}

/// Deletes sessions, all of them or none.
pub(super) fn forget(file: &Path, sessions: &[String], yes: bool) -> Result<(), Failure> {
    // A missing store must not be created.
    drop(SqliteStore::open_to_read(file)?);
    let store = SqliteStore::open(file, &StoreSettings::default())?;
    let mut changes = Vec::new();
    for name in sessions {
        let session = SessionId::new(name)?;
        // A damaged conversation also counts.
        let talks = !matches!(store.conversation(&session), Ok(None));
        if !talks && store.load(&session)?.is_none() {
            return Err(CliError::NoSession {
                file: file.display().to_string(),
                session: name.clone(),
            }
            .into());
        }
        changes.push(SessionChange {
            session,
            forgotten: true,
            first: 0,
            entries: Vec::new(),
            after: None,
        });
    }
    if !yes && !is_sure(file, sessions)? {
        return Err(CliError::NotForgotten.into());
    }
    store.commit(&changes)?;
    for change in &changes {
        store.keep_conversation(&change.session, None)?;
    }
    writeln!(
        terminal::out(),
        "{}: {} forgotten",
        file.display(),
        sessions.join(", ")
    )?;
    Ok(())
}

/// Asks for confirmation on a terminal; a script is not asked.
fn is_sure(file: &Path, sessions: &[String]) -> Result<bool, Failure> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return Ok(true);
    }
    let what = counted(sessions.len() as u64, "session", "sessions");
    let names = sessions.join(", ");
    write!(
        terminal::out(),
        "Forget {what} of {} for good: {names}? [y/N] ",
        file.display()
    )?;
    stdout().flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(matches!(answer.as_str(), "y" | "yes"))
}
