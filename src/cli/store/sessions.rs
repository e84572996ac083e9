//! `elpis store list` and `elpis store forget`

use std::io::{Write, stdout};
use std::path::Path;

use crate::cli::Failure;
use crate::cli::fault::Fault;
use crate::clock::{Clock, SystemClock};
use crate::inference::SessionId;
use crate::printable::printable;
use crate::settings::StoreSettings;
use crate::store::{SessionChange, SqliteStore, StateStore};

/// Tells of each session how it feels by now.
pub(super) fn list(file: &Path) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let now = SystemClock::default().now();
    let mut out = stdout().lock();
    for session in store.sessions()? {
        let Some(kept) = store.load(&session)? else {
            continue; // It was forgotten meanwhile.
        };
        let mood = kept.tracker.snapshot_at(now);
        writeln!(
            out,
            "{}\t{}\tvalence {:+.2}\tarousal {:+.2}\t{} journal entries",
            printable(session.as_str()),
            mood.quadrant,
            mood.valence,
            mood.arousal,
            kept.entries
        )?;
    }
    Ok(())
}

/// Removes sessions, all of them or none.
pub(super) fn forget(file: &Path, sessions: &[String]) -> Result<(), Failure> {
    // A store that is not there must not be made.
    drop(SqliteStore::open_to_read(file)?);
    let store = SqliteStore::open(file, &StoreSettings::default())?;
    let mut changes = Vec::new();
    for name in sessions {
        let session = SessionId::new(name)?;
        if store.load(&session)?.is_none() {
            return Err(Fault::NoSession {
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
    store.commit(&changes)?;
    writeln!(
        stdout(),
        "{}: {} forgotten",
        file.display(),
        sessions.join(", ")
    )?;
    Ok(())
}
