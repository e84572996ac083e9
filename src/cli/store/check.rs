//! `elpis store check`

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use crate::cli::fault::Fault;
use crate::cli::progress::Counting;
use crate::cli::{Failure, complain, counted, terminal};
use crate::store::SqliteStore;

/// Damaged sessions that are named one by one.
const MAX_NAMED: usize = 100;

pub(super) fn check(file: &Path, quiet: bool) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let counting = Counting::begin("checking the file", quiet);
    store.check_file()?;
    counting.go_on("checking the sessions", store.count()?);
    let (mut sessions, mut entries, mut wrong) = (0_usize, 0_u64, 0_usize);
    store.check_each(&mut |found| {
        sessions += 1;
        match found.state {
            Ok(_) => entries += found.entries,
            Err(error) => {
                if wrong < MAX_NAMED {
                    counting.aside(|| complain(&format!("elpis: {error}")));
                }
                wrong += 1;
            }
        }
        counting.step();
        ControlFlow::Continue(())
    })?;
    drop(counting);
    if wrong > MAX_NAMED {
        complain(&format!("elpis: and {} more", wrong - MAX_NAMED));
    }
    if wrong > 0 {
        return Err(Fault::DamagedSessions {
            file: file.display().to_string(),
            wrong,
            all: sessions,
        }
        .into());
    }
    writeln!(
        terminal::out(),
        "{}: {}, {}, whole",
        file.display(),
        counted(sessions as u64, "session", "sessions"),
        counted(entries, "journal entry", "journal entries"),
    )?;
    Ok(())
}
