//! What happens to the files of a store while it is in use.

mod bound;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use elpis::settings::Durability;
use elpis::store::{SessionChange, SqliteStore, StateStore, StoreError};
use elpis::{Delivery, Elpis, Error, Event, Events, SessionId};
use rusqlite::Connection;

use super::{replayed, settings, start};

/// A store that is in use by a runtime, with one event in it.
struct InUse {
    folder: tempfile::TempDir,
    elpis: Elpis,
    events: Events,
}

impl InUse {
    async fn start(durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let elpis = start(settings(&folder.path().join("moods.db"), durability))
            .await
            .unwrap();
        let events = elpis.events();
        elpis.session("ada").unwrap().feel("success").await.unwrap();
        elpis.flush().await.unwrap();
        Self {
            folder,
            elpis,
            events,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is told of the store within some seconds, though nothing is written.
    async fn told(&mut self) -> Option<String> {
        let told = async {
            while let Some(delivery) = self.events.next().await {
                match delivery {
                    Delivery::Event(event) => match *event {
                        Event::StoreFailing { reason } => return Some(reason),
                        Event::StoreRecovered => return Some("recovered".to_owned()),
                        _ => {}
                    },
                    Delivery::Lagged(_) => {}
                }
            }
            None
        };
        tokio::time::timeout(Duration::from_secs(5), told)
            .await
            .ok()
            .flatten()
    }

    /// Sees that a synchronous event is refused and changes nothing.
    async fn refuses(&self, kind: &str, case: &str) {
        let ada = self.elpis.session("ada").unwrap();
        let error = ada.feel("success").await.unwrap_err();
        let Error::Store(error) = error else {
            panic!("{case}: {error}");
        };
        assert_eq!(error.kind(), kind, "{case}: {error}");
    }
}

/// What a restart finds.
fn events_of(path: &Path, session: &str) -> u64 {
    let store = SqliteStore::open_to_read(path).unwrap();
    replayed(&store, session).events_applied()
}

type Deed = (&'static str, fn(&Path), &'static str);

/// What can become of the files, and what it is called.
const DEEDS: [Deed; 9] = [
    (
        "removed",
        |folder| std::fs::remove_file(folder.join("moods.db")).unwrap(),
        "gone",
    ),
    (
        "moved",
        |folder| rename(folder, "moods.db", "elsewhere.db"),
        "gone",
    ),
    (
        "log removed",
        |folder| std::fs::remove_file(folder.join("moods.db-wal")).unwrap(),
        "gone",
    ),
    (
        "index removed",
        |folder| std::fs::remove_file(folder.join("moods.db-shm")).unwrap(),
        "gone",
    ),
    (
        "replaced",
        |folder| {
            std::fs::copy(folder.join("moods.db"), folder.join("copy")).unwrap();
            rename(folder, "copy", "moods.db");
        },
        "gone",
    ),
    (
        "log replaced",
        |folder| {
            std::fs::copy(folder.join("moods.db-wal"), folder.join("copy")).unwrap();
            rename(folder, "copy", "moods.db-wal");
        },
        "gone",
    ),
    (
        "replaced by a link to itself",
        |folder| {
            rename(folder, "moods.db", "elsewhere.db");
            std::os::unix::fs::symlink("elsewhere.db", folder.join("moods.db")).unwrap();
        },
        "gone",
    ),
    (
        "replaced by a folder",
        |folder| {
            std::fs::remove_file(folder.join("moods.db")).unwrap();
            std::fs::create_dir(folder.join("moods.db")).unwrap();
        },
        "gone",
    ),
    (
        "written by another program",
        |folder| {
            let other = Connection::open(folder.join("moods.db")).unwrap();
            other
                .execute_batch("UPDATE config SET id = id + 100")
                .unwrap_err();
            other
                .execute_batch("INSERT INTO config (json) VALUES ('{}')")
                .unwrap();
            // Left open: closing it in this process is SQLite's own affair.
            std::mem::forget(other);
        },
        "in_use",
    ),
];

fn rename(folder: &Path, from: &str, to: &str) {
    std::fs::rename(folder.join(from), folder.join(to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_that_a_restart_would_not_find() {
    for (case, deed, kind) in DEEDS {
        let store = InUse::start(Durability::Sync).await;
        deed(store.folder.path());
        store.refuses(kind, case).await;
        if kind == "gone" {
            // It stays so, and sessions that are not in memory are not guessed at.
            store.refuses(kind, case).await;
            let stranger = store.elpis.session("stranger").unwrap();
            assert!(stranger.state().await.is_err(), "{case}");
        }
        store.elpis.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_noticed_within_seconds_though_nothing_is_written() {
    for (case, deed, kind) in DEEDS {
        let mut store = InUse::start(Durability::Relaxed).await;
        let start = Instant::now();
        deed(store.folder.path());
        let told = store.told().await;
        let told = told.unwrap_or_else(|| panic!("{case}: nothing was told"));
        let words = if kind == "gone" {
            "removed or replaced"
        } else {
            "in use"
        };
        assert!(told.contains(words), "{case}: {told}");
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{case}: {:?}",
            start.elapsed()
        );
        store.elpis.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_back_is_gone_on_with() {
    let mut store = InUse::start(Durability::Relaxed).await;
    let (own, aside) = (store.file("moods.db"), store.file("aside"));
    std::fs::rename(&own, &aside).unwrap();
    assert!(store.told().await.unwrap().contains("removed or replaced"));
    let ada = store.elpis.session("ada").unwrap();
    ada.feel("success").await.unwrap();
    std::fs::rename(&aside, &own).unwrap();
    assert_eq!(store.told().await.unwrap(), "recovered");
    let report = store.elpis.shutdown_and_report().await;
    assert_eq!(report.store, Ok(()));
    assert_eq!(events_of(&own, "ada"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_cannot_be_written_at_the_end_are_told() {
    let store = InUse::start(Durability::Relaxed).await;
    std::fs::remove_file(store.file("moods.db")).unwrap();
    store
        .elpis
        .session("ada")
        .unwrap()
        .feel("success")
        .await
        .unwrap();
    let report = store.elpis.shutdown_and_report().await;
    let Err(StoreError::Lost { changes: 1, reason }) = report.store else {
        panic!("{report:?}");
    };
    assert!(reason.contains("removed or replaced"), "{reason}");
    // A store that has everything has nothing to tell.
    let store = InUse::start(Durability::Relaxed).await;
    assert_eq!(store.elpis.shutdown_and_report().await.store, Ok(()));
}

/// Every other name of the file is the same store; what lies beside it is no lock.
#[tokio::test(flavor = "multi_thread")]
async fn no_second_owner_by_another_name_or_without_what_lies_beside_it() {
    let store = InUse::start(Durability::Relaxed).await;
    let own = store.file("moods.db");
    let (soft, hard) = (store.file("soft.db"), store.file("hard.db"));
    std::os::unix::fs::symlink(&own, &soft).unwrap();
    std::fs::hard_link(&own, &hard).unwrap();
    let nested = store.file("nested");
    std::os::unix::fs::symlink(store.folder.path(), &nested).unwrap();
    let _ = std::fs::remove_file(store.file("moods.db.lock"));
    for name in [own.clone(), soft, hard, nested.join("moods.db")] {
        for durability in [Durability::Relaxed, Durability::Sync] {
            let error = SqliteStore::open(&name, &settings(&name, durability)).unwrap_err();
            assert_eq!(error.kind(), "in_use", "{}: {error}", name.display());
        }
        // The owner is as well as before.
        store
            .elpis
            .session("ada")
            .unwrap()
            .feel("success")
            .await
            .unwrap();
        store.elpis.flush().await.unwrap();
    }
    store.elpis.shutdown().await;
    drop(SqliteStore::open(&own, &settings(&own, Durability::Relaxed)).unwrap());
    assert_eq!(events_of(&own, "ada"), 5);
}

/// Another process is kept out as well; see `tests/cli` for two runtimes.
#[test]
fn a_lock_of_another_process_is_respected() {
    const CHILD: &str = "ELPIS_TEST_SECOND_OWNER";
    if let Some(path) = std::env::var_os(CHILD) {
        let path = PathBuf::from(path);
        let opened = SqliteStore::open(&path, &settings(&path, Durability::Sync));
        println!(
            "told {}",
            opened.map_or_else(|error| error.kind(), |_| "opened")
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let told = |path: &Path| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "store::files::a_lock_of_another_process_is_respected",
            ])
            .env(CHILD, path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("told "));
        line.map(|(_, told)| told.to_owned()).unwrap_or(text)
    };
    let owner = SqliteStore::open(&path, &settings(&path, Durability::Sync)).unwrap();
    // A reader of this process that comes and goes takes nothing away from the owner.
    drop(SqliteStore::open_to_read(&path).unwrap());
    drop(SqliteStore::open(&path, &settings(&path, Durability::Sync)).unwrap_err());
    assert_eq!(told(&path), "in_use");
    assert_eq!(told(&link), "in_use");
    drop(owner);
    assert_eq!(told(&link), "opened");
}

/// Two owners that do not see each other's locks, as on some network file systems.
#[test]
fn what_another_owner_has_written_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let store = SqliteStore::open(&path, &settings(&path, Durability::Sync)).unwrap();
    let session = SessionId::new("ada").unwrap();
    let change = |first: u64, count: usize| super::change(&session, first, count);
    store.commit(&[change(0, 3)]).unwrap();
    // The other has gone on with this session.
    let other = Connection::open(&path).unwrap();
    other
        .execute("UPDATE session SET entries = entries + 1", [])
        .unwrap();
    drop(other);
    for _ in 0..3 {
        let error = store.commit(&[change(3, 1)]).unwrap_err();
        assert_eq!(error.kind(), "in_use", "{error}");
    }
}

/// A transaction whose end nobody heard of is not written twice.
#[test]
fn what_is_there_already_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let store = SqliteStore::open(&path, &settings(&path, Durability::Sync)).unwrap();
    let session = SessionId::new("ada").unwrap();
    let (first, second) = (super::change(&session, 0, 2), super::change(&session, 2, 2));
    for _ in 0..2 {
        store.commit(std::slice::from_ref(&first)).unwrap();
    }
    for _ in 0..2 {
        store.commit(std::slice::from_ref(&second)).unwrap();
    }
    assert_eq!(store.load(&session).unwrap().unwrap().entries, 4);
    let other = SessionChange {
        entries: super::change(&session, 2, 3).entries,
        ..second
    };
    assert_eq!(store.commit(&[other]).unwrap_err().kind(), "in_use");
}
