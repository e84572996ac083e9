//! `elpis store check`

use std::io::{Write, stdout};
use std::ops::ControlFlow;
use std::path::Path;

use crate::cli::fault::Fault;
use crate::cli::{Failure, complain};
use crate::emotion::relive;
use crate::inference::SessionId;
use crate::printable::printable_path;
use crate::store::{SqliteStore, StateStore, StoreError};

pub(super) fn check(file: &Path) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    store.check_file()?;
    let sessions = store.sessions()?;
    let (mut entries, mut wrong) = (0, 0_usize);
    for session in &sessions {
        match check_session(&store, session) {
            Ok(count) => entries += count,
            Err(error) => {
                complain(&format!("elpis: {error}"));
                wrong += 1;
            }
        }
    }
    if wrong > 0 {
        let all = sessions.len();
        return Err(Fault::DamagedSessions {
            file: file.display().to_string(),
            wrong,
            all,
        }
        .into());
    }
    writeln!(
        stdout(),
        "{}: {} sessions, {entries} journal entries, whole",
        printable_path(file),
        sessions.len()
    )?;
    Ok(())
}

fn check_session(store: &SqliteStore, session: &SessionId) -> Result<u64, Failure> {
    let Some(kept) = store.load(session)? else {
        return Ok(0); // It was forgotten meanwhile.
    };
    let mut again = None;
    let (mut count, mut fault) = (0, None);
    let visit = &mut |entry| {
        // The owner may have gone on meanwhile.
        if count == kept.entries {
            return ControlFlow::Break(());
        }
        count += 1;
        match relive(&mut again, &entry) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    store.journal(session, visit)?;
    let reason = match fault {
        Some(error) => format!("entry {} of its journal: {error}", count - 1),
        None if count < kept.entries => {
            format!("its journal ends after {count} of {} entries", kept.entries)
        }
        None if again.as_ref() != Some(&kept.tracker) => {
            "its journal leads to another state than the one that is kept".to_owned()
        }
        None => return Ok(count),
    };
    let file = store.file().to_owned();
    Err(StoreError::DamagedSession {
        file,
        session: session.to_string(),
        reason,
    }
    .into())
}
