//! The store in an SQLite file: what it keeps, what it refuses, and what a
//! killed process leaves.

mod conversations;
mod damage;
#[cfg(unix)]
mod files;

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::{
    EmotionConfig, EmotionEvent, EmotionTracker, JournalEntry, JournalRecord, replay_entry,
};
use elpis::settings::{Durability, ModelSettings, StoreSettings};
use elpis::store::{SessionChange, SqliteStore, StateStore, StoreError};
use elpis::{Delivery, Elpis, Error, Event, SessionId, Settings};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_does_not_fit_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let full = settings(&path, Durability::Sync).max_mib(1_u32);
    let elpis = start(full).await.unwrap();
    let mut written = 0;
    let error = loop {
        let session = elpis.session(format!("session {written}")).unwrap();
        let felt = async {
            for _ in 0..4 {
                session.feel("failure").await?;
            }
            Ok::<_, Error>(())
        };
        match felt.await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "there is no bound");
    };
    assert!(
        matches!(error, Error::Store(StoreError::Full { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("store.max_mib"), "{error}");
    let first = elpis.session("session 0").unwrap();
    assert_eq!(first.state().await.unwrap().events_applied, 4);
    elpis.shutdown().await;

    // With more room it goes on.
    let elpis = start(settings(&path, Durability::Sync)).await.unwrap();
    elpis
        .session(format!("session {written}"))
        .unwrap()
        .feel("success")
        .await
        .unwrap();
    elpis.shutdown().await;
    let store = SqliteStore::open_to_read(&path).unwrap();
    store.check_file().unwrap();
    for session in 0..written {
        assert_eq!(
            replayed(&store, &format!("session {session}")).events_applied(),
            4
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_what_does_not_fit_stays_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let full = settings(&path, Durability::Relaxed).max_mib(1_u32);
    let elpis = start(full).await.unwrap();
    let mut events = elpis.events();
    let failing = tokio::spawn(async move {
        while let Some(delivery) = events.next().await {
            if let Delivery::Event(event) = delivery
                && let Event::StoreFailing { reason } = event.as_ref()
            {
                return reason.clone();
            }
        }
        panic!("nothing was told");
    });
    // Several times what the bound leaves room for.
    let sessions = 2_000;
    for number in 0..sessions {
        let session = elpis.session(format!("session {number}")).unwrap();
        for _ in 0..4 {
            session.feel("failure").await.unwrap();
        }
    }
    let reason = failing.await.unwrap();
    assert!(reason.contains("store.max_mib"), "{reason}");
    // Everything is in force all the same.
    for number in [0, sessions - 1] {
        let session = elpis.session(format!("session {number}")).unwrap();
        assert_eq!(session.state().await.unwrap().events_applied, 4);
    }
    let report = elpis.shutdown_and_report().await;
    let Err(StoreError::Lost { changes, reason }) = report.store else {
        panic!("{report:?}");
    };
    assert!(changes > 0 && reason.contains("store.max_mib"), "{reason}");
    // What was written is whole: of each session its first events, or nothing.
    let store = SqliteStore::open_to_read(&path).unwrap();
    store.check_file().unwrap();
    let mut whole = 0;
    store
        .check_each(&mut |found| {
            whole += 1;
            let events = found.state.unwrap().events_applied();
            assert!(events <= 4, "{}: {events}", found.name);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(whole > 0 && whole < sessions, "{whole} of {sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let elpis = start(settings(&path, Durability::Sync)).await.unwrap();
    let ada = elpis.session("ada").unwrap();
    ada.feel("success").await.unwrap();
    let mut other = Connection::open(&path).unwrap();
    let lock = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let felt = tokio::spawn(async move { ada.feel("success").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!felt.is_finished());
    drop(lock);
    felt.await.unwrap().unwrap();
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_stays_locked_is_an_error_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let elpis = start(settings(&path, Durability::Sync)).await.unwrap();
    let ada = elpis.session("ada").unwrap();
    ada.feel("success").await.unwrap();
    let mut other = Connection::open(&path).unwrap();
    let lock = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let error = ada.feel("success").await.unwrap_err();
    let in_use = matches!(error, Error::Store(StoreError::InUse { .. }));
    assert!(in_use, "{error}");
    assert_eq!(ada.state().await.unwrap().events_applied, 1);
    drop(lock);
    ada.feel("success").await.unwrap();
    elpis.shutdown().await;
    let store = SqliteStore::open_to_read(&path).unwrap();
    assert_eq!(replayed(&store, "ada").events_applied(), 2);
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

const CHILD: &str = "ELPIS_TEST_STORE";
/// How often the process is killed; each number of events that it may tell before comes up once.
const KILLS: u32 = 40;
const LONG_KILLS: u32 = 200;
const SESSIONS: usize = 4;

/// The process that is killed: tells each event once it is acknowledged.
fn feel_for_ever(path: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let elpis = start(settings(path, Durability::Sync)).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..SESSIONS {
            let session = elpis.session(format!("s{number}")).unwrap();
            tasks.spawn(async move {
                loop {
                    let before = session.state().await.unwrap().events_applied;
                    session.feel("success").await.unwrap();
                    let mut out = std::io::stdout().lock();
                    // The parent may be gone; then so is this soon.
                    let _ = writeln!(out, "ack {number} {}", before + 1);
                    let _ = out.flush();
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Kills a writing process again and again, at any moment; whatever it has
/// acknowledged must be in the file.
#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Some(path) = std::env::var_os(CHILD) {
        return feel_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let mut acknowledged = [0_u64; SESSIONS];
    let kills = elpis_testkit::repeats(KILLS, LONG_KILLS);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "store::a_killed_process_loses_nothing_that_it_acknowledged",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 1 + kill * 7 % 40;
        for line in lines.map_while(Result::ok) {
            let mut words = line.split(' ').skip_while(|word| !word.ends_with("ack"));
            let Some((session, count)) = words.nth(1).zip(words.next()) else {
                continue;
            };
            let session: usize = session.parse().unwrap();
            // A line may be cut where the process was killed.
            let Ok(count) = count.parse::<u64>() else {
                continue;
            };
            acknowledged[session] = acknowledged[session].max(count);
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let store = SqliteStore::open_to_read(&path).unwrap();
        for (session, &acknowledged) in acknowledged.iter().enumerate() {
            let kept = store.load(&SessionId::new(format!("s{session}")).unwrap());
            let kept = kept
                .unwrap()
                .map_or(0, |kept| kept.tracker.events_applied());
            assert!(kept >= acknowledged, "s{session}: {kept} of {acknowledged}");
        }
    }
    let store = Arc::new(SqliteStore::open_to_read(&path).unwrap());
    store.check_file().unwrap();
    for session in 0..SESSIONS {
        replayed(&store, &format!("s{session}"));
    }
    let all: u64 = acknowledged.iter().sum();
    assert!(all > u64::from(kills), "{all} events were acknowledged");
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
