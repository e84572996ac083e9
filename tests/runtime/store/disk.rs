//! Full disks and locked files.

use std::ops::ControlFlow;
use std::time::Duration;

use elpis::settings::Durability;
use elpis::store::{SqliteStore, StoreError};
use elpis::{Delivery, Error, Event};
use rusqlite::Connection;

use super::{replayed, settings, start};

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
