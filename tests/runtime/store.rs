//! The store in an SQLite file: what it keeps, what it refuses, and what a
//! killed process leaves.

mod conversations;
mod crash;
mod damage;
mod disk;
#[cfg(unix)]
mod files;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::{
    EmotionConfig, EmotionEvent, EmotionTracker, JournalEntry, JournalRecord, replay_entry,
};
use elpis::settings::{Durability, ModelSettings, StoreSettings};
use elpis::store::{SessionChange, SqliteStore, StateStore, StoreError};
use elpis::{Elpis, Error, SessionId, Settings};
use elpis_testkit::scripted::Scripted;
use rusqlite::Connection;

fn settings(path: &Path, durability: Durability) -> StoreSettings {
    let settings = StoreSettings::default().durability(durability);
    settings
        .path(path.to_owned())
        .flush_interval(Duration::from_millis(5))
}

async fn start(store: StoreSettings) -> Result<Elpis, Error> {
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(1, 64, 1000, usize::MAX))));
    let model = ModelSettings::default().chat_format("chatml");
    Elpis::builder(Settings::default().model(model).store(store))
        .backend(factory)
        .start()
        .await
}

/// A change of a session whose journal is: its start, then one success each second.
fn change(session: &SessionId, first: u64, count: usize) -> SessionChange {
    let entry = |number: u64| JournalEntry {
        at: 1e9 + number as f64,
        what: if number == 0 {
            JournalRecord::Started(Arc::new(EmotionConfig::default()))
        } else {
            JournalRecord::Felt(EmotionEvent::named("success").unwrap())
        },
    };
    let last = first + count as u64;
    let mut after = None;
    for number in 0..last {
        replay_entry(&mut after, &entry(number)).unwrap();
    }
    SessionChange {
        session: session.clone(),
        forgotten: false,
        first,
        entries: (first..last).map(entry).collect(),
        after,
    }
}

/// The state that a session's journal leads to, which must be the one kept.
fn replayed(store: &SqliteStore, session: &str) -> EmotionTracker {
    let session = SessionId::new(session).unwrap();
    let mut again = None;
    let mut count = 0;
    let visit = &mut |entry| {
        count += 1;
        replay_entry(&mut again, &entry).unwrap();
        ControlFlow::Continue(())
    };
    store.journal(&session, visit).unwrap();
    let kept = store.load(&session).unwrap().unwrap();
    assert_eq!(kept.entries, count);
    assert_eq!(again, Some(kept.tracker.clone()));
    kept.tracker
}

#[tokio::test]
async fn what_was_felt_is_in_the_file_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    for durability in [Durability::Relaxed, Durability::Sync] {
        let elpis = start(settings(&path, durability)).await.unwrap();
        let ada = elpis.session("ada „the first“").unwrap();
        ada.feel("success").await.unwrap();
        ada.set_strength(0.5).await.unwrap();
        let gone = elpis.session("gone").unwrap();
        gone.feel("failure").await.unwrap();
        gone.forget().await.unwrap();
        // Others may look meanwhile, but nobody else may own it.
        SqliteStore::open_to_read(&path).unwrap();
        let error = start(settings(&path, durability)).await.unwrap_err();
        assert!(
            matches!(error, Error::Store(StoreError::InUse { .. })),
            "{error}"
        );
        elpis.shutdown().await;
    }
    let store = SqliteStore::open_to_read(&path).unwrap();
    store.check_file().unwrap();
    assert_eq!(store.sessions().unwrap().len(), 1);
    assert_eq!(replayed(&store, "ada „the first“").events_applied(), 2);
    let nobody = SessionId::new("nobody").unwrap();
    assert_eq!(store.load(&nobody).unwrap(), None);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let refused = async |expected: &str| {
        let before = std::fs::read(&path).unwrap();
        let error = start(settings(&path, Durability::Relaxed))
            .await
            .unwrap_err();
        let Error::Store(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.to_string().contains("file"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{expected}");
    };

    std::fs::write(
        &path,
        "not a database, but long enough to be looked at".repeat(50),
    )
    .unwrap();
    refused("not_a_store").await;

    std::fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1")
        .unwrap();
    drop(other);
    refused("not_a_store").await;

    std::fs::remove_file(&path).unwrap();
    let elpis = start(settings(&path, Durability::Relaxed)).await.unwrap();
    for session in 0..50 {
        let session = elpis.session(format!("s{session}")).unwrap();
        session.feel("success").await.unwrap();
    }
    elpis.shutdown().await;
    let whole = std::fs::read(&path).unwrap();

    let later = Connection::open(&path).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    drop(later);
    refused("future_version").await;

    // A few pages of noise in the middle.
    let mut damaged = whole.clone();
    let middle = 4096..damaged.len() - 4096;
    damaged[middle].fill(0xa5);
    std::fs::write(&path, damaged).unwrap();
    refused("damaged").await;

    std::fs::write(&path, &whole[..whole.len() / 2 + 100]).unwrap();
    refused("damaged").await;

    std::fs::write(&path, &whole).unwrap();
    let elpis = start(settings(&path, Durability::Relaxed)).await.unwrap();
    assert_eq!(elpis.sessions().await.unwrap().len(), 50);
    elpis.shutdown().await;
}

#[tokio::test]
async fn a_path_that_cannot_be_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [
        folder.path().to_owned(),
        file.join("below"),
        folder.path().join("no such folder/store"),
    ] {
        let error = start(settings(&path, Durability::Relaxed))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Store(_)), "{error}");
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
    assert!(SqliteStore::open_to_read(&folder.path().join("missing")).is_err());
}

#[tokio::test]
async fn a_damaged_session_is_an_error_of_that_session_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let elpis = start(settings(&path, Durability::Relaxed)).await.unwrap();
    for name in ["ada", "bob"] {
        elpis.session(name).unwrap().feel("success").await.unwrap();
    }
    elpis.shutdown().await;
    let other = Connection::open(&path).unwrap();
    let damage =
        "UPDATE session SET state = replace(state, 'history', 'hisstory') WHERE name = 'ada'";
    assert_eq!(other.execute(damage, []).unwrap(), 1);
    drop(other);

    let elpis = start(settings(&path, Durability::Relaxed)).await.unwrap();
    let (ada, bob) = (elpis.session("ada").unwrap(), elpis.session("bob").unwrap());
    let error = ada.feel("success").await.unwrap_err();
    assert!(
        matches!(&error, Error::Store(StoreError::DamagedSession { session, .. }) if session == "ada"),
        "{error}"
    );
    assert_eq!(bob.state().await.unwrap().events_applied, 1);
    assert!(ada.forget().await.unwrap(), "it can be given up");
    assert_eq!(
        ada.feel("success").await.unwrap().rules,
        bob.feel("idle").await.unwrap().rules
    );
    elpis.shutdown().await;
}

/// Names the file to a process that may not write it.
#[cfg(unix)]
const READER: &str = "ELPIS_TEST_READER";

/// What a process without rights is told: the error's short name.
#[cfg(unix)]
fn tell_of_opening(path: &Path) {
    let opened = SqliteStore::open(path, &settings(path, Durability::Sync));
    let told = opened.map_or_else(|error| error.kind().to_owned(), |_| "opened".to_owned());
    let read = SqliteStore::open_to_read(path).map(|store| store.sessions().unwrap().len());
    println!("told {told} {read:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_may_not_be_written_is_refused_and_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    if let Some(path) = std::env::var_os(READER) {
        return tell_of_opening(Path::new(&path));
    }
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let elpis = start(settings(&path, Durability::Sync)).await.unwrap();
    elpis.session("ada").unwrap().feel("success").await.unwrap();
    elpis.shutdown().await;
    let lock = folder.path().join("moods.db.lock");
    let before = std::fs::read(&path).unwrap();
    // Root may write everything: then someone else looks, by a copy of this program.
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    let told = || {
        let mut child = Command::new(&program);
        child.args([
            "--exact",
            "--nocapture",
            "store::a_file_that_may_not_be_written_is_refused_and_can_be_read",
        ]);
        child.env(READER, &path).current_dir(folder.path());
        if rustix::process::geteuid().is_root() {
            child.uid(65_534).gid(65_534);
        }
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("told "));
        line.map_or(text.clone(), |(_, told)| told.to_owned())
    };
    // The file, the file beside it, and the folder with all that is in it.
    for (of_folder, of_file, of_lock) in [
        (0o777, 0o444, 0o666),
        (0o777, 0o666, 0o444),
        (0o555, 0o444, 0o444),
    ] {
        mode(folder.path(), of_folder);
        mode(&path, of_file);
        mode(&lock, of_lock);
        let case = format!("{of_folder:o} {of_file:o} {of_lock:o}");
        let said = told();
        assert!(said.starts_with("read_only "), "{case}: {said}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{case}");
    }
    mode(folder.path(), 0o777);
    mode(&lock, 0o666);
    assert_eq!(told(), "read_only Ok(1)", "what is there can be read");
    mode(&path, 0o666);
    assert_eq!(told(), "opened Ok(1)");
    mode(folder.path(), 0o700);
}

/// Takes minutes and gigabytes: `cargo test --release --features sqlite --test runtime million -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn a_million_sessions_are_listed_and_checked_in_time() {
    const SESSIONS: u64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let store = SqliteStore::open(&path, &settings(&path, Durability::Relaxed)).unwrap();
    let start = std::time::Instant::now();
    let like = change(&SessionId::new("like").unwrap(), 0, 4);
    let mut number = 0_u64;
    while number < SESSIONS {
        let next = || {
            number += 1;
            // Names come in no order.
            let name = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let session = SessionId::new(name).unwrap();
            Some(SessionChange {
                session,
                ..like.clone()
            })
        };
        let changes: Vec<_> = std::iter::from_fn(next).take(1000).collect();
        store.commit(&changes).unwrap();
    }
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!("written in {:?}, {bytes} bytes", start.elapsed());

    let start = std::time::Instant::now();
    let store = SqliteStore::open_to_read(&path).unwrap();
    let mut seen = 0_u64;
    let mut moods = 0.0;
    store
        .moods(2e9, &mut |found| {
            moods += found.state.unwrap().valence();
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    let listed = start.elapsed();
    assert_eq!(seen, SESSIONS);

    let start = std::time::Instant::now();
    store.check_file().unwrap();
    let pages = start.elapsed();
    seen = 0;
    store
        .check_each(&mut |found| {
            found.state.unwrap();
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    let checked = start.elapsed();
    println!("listed in {listed:?}; checked in {checked:?}, {pages:?} of it for the pages");
    assert_eq!(seen, SESSIONS);
    assert!(listed < Duration::from_secs(5), "{listed:?}");
    assert!(checked < Duration::from_mins(2), "{checked:?}");
}
