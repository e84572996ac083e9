//! `elpis store check`

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::CliError;
use crate::progress::Counting;
use crate::{Failure, complain, counted, terminal};
use elpis::store::{SqliteStore, StateStore};

/// Maximum number of damaged sessions that are listed.
const MAX_NAMED: usize = 100;

pub(super) fn check(file: &Path, quiet: bool) -> Result<(), Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let counting = Counting::begin("checking the file", quiet);
    store.check_file()?;
    counting.go_on("checking the sessions", store.count()?);
    let (mut sessions, mut entries, mut conversations) = (0_usize, 0_u64, 0_u64);
    let mut named = BTreeSet::new();
    store.check_each(&mut |found| {
        sessions += 1;
        match found.state {
            Ok(_) => entries += found.entries,
            Err(error) => {
                if named.len() < MAX_NAMED {
                    counting.aside(|| complain(&format!("elpis: {error}")));
                }
                named.insert(found.name);
            }
        }
        counting.step();
        ControlFlow::Continue(())
    })?;
    for session in store.conversations()? {
        conversations += 1;
        let Err(error) = store.conversation(&session) else {
            continue;
        };
        if named.len() < MAX_NAMED {
            counting.aside(|| complain(&format!("elpis: {error}")));
        }
        if named.insert(session.to_string()) {
            // It may only have a conversation.
            sessions += usize::from(matches!(store.load(&session), Ok(None)));
        }
    }
    drop(counting);
    let wrong = named.len();
    if wrong > MAX_NAMED {
        complain(&format!("elpis: and {} more", wrong - MAX_NAMED));
    }
    if wrong > 0 {
        return Err(CliError::DamagedSessions {
            file: file.display().to_string(),
            wrong,
            all: sessions,
        }
        .into());
    }
    let talks = match conversations {
        0 => String::new(),
        some => format!(", {}", counted(some, "conversation", "conversations")),
    };
    writeln!(
        terminal::out(),
        "{}: {}, {}{talks}, whole",
        file.display(),
        counted(sessions as u64, "session", "sessions"),
        counted(entries, "journal entry", "journal entries"),
    )?;
    Ok(())
}
