//! A flipped bit anywhere in what is kept is found.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use elpis::SessionId;
use elpis::inference::Conversation;
use elpis::settings::Durability;
use elpis::store::{SqliteStore, StateStore};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rusqlite::Connection;

use super::settings;

/// Flips that must matter.
const FLIPS: usize = 200;

/// All that a file says, as text; `None` if it cannot be read.
fn content(path: &Path) -> Option<BTreeSet<String>> {
    let file = Connection::open(path).ok()?;
    let mut lines = BTreeSet::new();
    for query in [
        "SELECT quote(type) || quote(name) || quote(sql) FROM sqlite_schema",
        "SELECT quote(id) || quote(json) FROM config",
        "SELECT quote(id) || quote(name) || quote(entries) || quote(state) || quote(config)
         || quote(chain) || quote(seal) FROM session",
        "SELECT quote(session) || quote(number) || quote(at) || quote(what) FROM journal",
        "SELECT quote(name) || quote(messages) || quote(seal) FROM conversation",
        "SELECT 'user_version' || user_version FROM pragma_user_version",
        "SELECT 'application_id' || application_id FROM pragma_application_id",
    ] {
        let mut select = file.prepare(query).ok()?;
        let rows = select.query_map([], |row| row.get::<_, String>(0)).ok()?;
        lines.extend(rows.collect::<Result<Vec<_>, _>>().ok()?);
    }
    Some(lines)
}

/// Whether `elpis store check` would find something.
fn is_found(path: &Path) -> bool {
    let Ok(store) = SqliteStore::open_to_read(path) else {
        return true;
    };
    let mut wrong = store.check_file().is_err();
    let checked = store.check_each(&mut |found| {
        wrong |= found.state.is_err();
        ControlFlow::Continue(())
    });
    let talks = store.conversations().and_then(|named| {
        let read = |session: &SessionId| store.conversation(session);
        named.iter().try_for_each(|session| read(session).map(drop))
    });
    wrong || checked.is_err() || talks.is_err()
}

/// A store of sessions whose states are saturated, so that most of what happened leaves no other trace.
fn saturated(path: &Path) {
    let store = SqliteStore::open(path, &settings(path, Durability::Sync)).unwrap();
    for number in 0..8 {
        let session = SessionId::new(format!("session {number}")).unwrap();
        store.commit(&[super::change(&session, 0, 60)]).unwrap();
        let mut talk = Conversation::with_system("Be kind.");
        talk.push_user(format!("I am number {number}. ").repeat(20));
        store.keep_conversation(&session, Some(&talk)).unwrap();
    }
}

#[test]
fn every_flipped_bit_that_matters_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    saturated(&path);
    assert!(!is_found(&path));
    let (whole, said) = (std::fs::read(&path).unwrap(), content(&path).unwrap());
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut mattered, mut in_rows) = (0, 0);
    while mattered < FLIPS {
        let place = random.next_u64() as usize % whole.len();
        let bit = 1 << (random.next_u64() % 8);
        let mut flipped = whole.clone();
        flipped[place] ^= bit;
        std::fs::write(&path, &flipped).unwrap();
        let now = content(&path);
        if now.as_ref() == Some(&said) {
            continue; // Of a page's unused room, or nothing that anybody reads.
        }
        mattered += 1;
        in_rows += usize::from(now.is_some());
        assert!(is_found(&path), "bit {bit} of byte {place}");
    }
    assert!(
        in_rows > FLIPS / 2,
        "most can be read all the same: {in_rows}"
    );
}

#[test]
fn what_does_not_touch_the_state_is_found_when_the_session_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let session = SessionId::new("session 3").unwrap();
    for damage in [
        "UPDATE journal SET what = replace(what, 'success', 'succesS')",
        "UPDATE journal SET what = replace(what, '1.0', '1.5') WHERE number > 0",
        "UPDATE journal SET at = at + 0.001 WHERE number = 7",
        "UPDATE journal SET number = number + 1 WHERE number = 59",
        "DELETE FROM journal WHERE number = 59",
        "UPDATE journal SET what = CAST(x'ff' AS TEXT) WHERE number = 5",
        "UPDATE session SET entries = entries - 1",
        "UPDATE session SET state = replace(state, '\"events_applied\":59', '\"events_applied\":61')",
        "UPDATE session SET chain = zeroblob(32)",
        "UPDATE session SET chain = x''",
        "UPDATE session SET seal = zeroblob(32)",
        "UPDATE config SET json = replace(json, '0.', '0.0')",
        "PRAGMA foreign_keys = OFF; DELETE FROM config",
        "UPDATE session SET name = name || '!'; UPDATE session SET name = 'session 3' WHERE id = 1",
    ] {
        let _ = std::fs::remove_file(&path);
        saturated(&path);
        let other = Connection::open(&path).unwrap();
        let before = content(&path);
        other.execute_batch(damage).unwrap();
        drop(other);
        assert!(content(&path) != before, "{damage} changes nothing");
        let store = SqliteStore::open_to_read(&path).unwrap();
        let error = store.load(&session).unwrap_err();
        assert_eq!(error.kind(), "damaged_session", "{damage}: {error}");
        assert!(is_found(&path), "{damage}");
    }
}
