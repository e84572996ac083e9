//! Stores that fail, lag or hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use elpis::settings::Durability;
use elpis::store::StoreError;
use elpis::{Error, Event, ManualClock};
use elpis_testkit::shelf::Shelf;

use super::{settings, start, until, wait_for};

#[tokio::test]
async fn what_a_failing_store_refuses_is_written_when_it_works_again() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let elpis = start(&shelf, clock, settings(Durability::Relaxed)).await;
    let mut events = elpis.events();
    let ada = elpis.session("ada").unwrap();
    for fault in [&shelf.broken, &shelf.panics] {
        fault.store(true, Ordering::SeqCst);
        ada.feel("success").await.unwrap();
        wait_for(&mut events, |event| {
            matches!(event, Event::StoreFailing { .. })
        })
        .await;
        ada.feel("failure").await.unwrap();
        fault.store(false, Ordering::SeqCst);
        wait_for(&mut events, |event| matches!(event, Event::StoreRecovered)).await;
    }
    elpis.flush().await.unwrap();
    assert_eq!(shelf.entries("ada").len(), 5);
    shelf.replayed("ada").unwrap();
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_behind_is_an_error_and_not_more_memory() {
    let shelf = Shelf::default();
    shelf.broken.store(true, Ordering::SeqCst);
    let clock = Arc::new(ManualClock::new(1000.0));
    let elpis = start(&shelf, clock, settings(Durability::Relaxed)).await;
    let ada = elpis.session("ada").unwrap();
    let mut accepted = 0_u64;
    let error = loop {
        match ada.feel("idle").await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 200_000, "there is no bound");
    };
    assert!(
        matches!(error, Error::Store(StoreError::Behind { .. })),
        "{error}"
    );
    assert_eq!(ada.state().await.unwrap().events_applied, accepted);
    let error = elpis.flush().await.unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::Behind { .. })));
    shelf.broken.store(false, Ordering::SeqCst);
    until(|| shelf.entries("ada").len() as u64 == accepted + 1).await;
    ada.feel("success").await.unwrap();
    elpis.shutdown().await;
    assert_eq!(
        shelf.replayed("ada").unwrap().events_applied(),
        accepted + 1
    );
}

#[tokio::test]
async fn a_session_that_cannot_be_kept_holds_no_other_up() {
    for durability in [Durability::Relaxed, Durability::Sync] {
        let shelf = Shelf::default();
        let clock = Arc::new(ManualClock::new(1000.0));
        let elpis = start(&shelf, clock, settings(durability)).await;
        *shelf.poisoned.lock().unwrap() = Some("ada".to_owned());
        // All in one transaction.
        shelf.close_gate();
        let mut felt = Vec::new();
        for name in ["eve", "ada", "bob", "dan"] {
            let session = elpis.session(name).unwrap();
            felt.push(tokio::spawn(async move { session.feel("success").await }));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        shelf.open_gate();
        for (index, felt) in felt.into_iter().enumerate() {
            let felt = felt.await.unwrap();
            let refused = durability == Durability::Sync && index == 1;
            assert_eq!(felt.is_err(), refused, "{felt:?}");
        }
        for name in ["eve", "bob", "dan"] {
            until(|| shelf.entries(name).len() == 2).await;
        }
        assert_eq!(shelf.entries("ada").len(), 0);
        let ada = elpis.session("ada").unwrap();
        let applied = ada.state().await.unwrap().events_applied;
        assert_eq!(applied, u64::from(durability == Durability::Relaxed));
        *shelf.poisoned.lock().unwrap() = None;
        ada.feel("success").await.unwrap();
        elpis.shutdown().await;
        assert_eq!(shelf.replayed("ada").unwrap().events_applied(), applied + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_ends_though_events_keep_coming() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let elpis = start(&shelf, clock, settings(Durability::Relaxed)).await;
    let over = Arc::<AtomicBool>::default();
    let mut tasks = Vec::new();
    for number in 0..4 {
        let (over, session) = (
            Arc::clone(&over),
            elpis.session(format!("s{number}")).unwrap(),
        );
        tasks.push(tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                session.feel("idle").await.unwrap();
            }
        }));
    }
    for number in 0..20 {
        let session = elpis.session(format!("own {number}")).unwrap();
        session.feel("success").await.unwrap();
        let limit = Duration::from_secs(20);
        let flushed = tokio::time::timeout(limit, elpis.flush()).await;
        flushed.expect("it ends").unwrap();
        assert_eq!(shelf.entries(session.id().as_str()).len(), 2);
    }
    over.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    elpis.shutdown().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_an_error_in_the_end() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let elpis = start(&shelf, clock, settings(Durability::Sync)).await;
    let ada = elpis.session("ada").unwrap();
    ada.feel("success").await.unwrap();
    shelf.close_gate();
    tokio::time::pause();
    let error = ada.feel("success").await.unwrap_err();
    assert!(
        matches!(error, Error::Store(StoreError::Slow { seconds: 30 })),
        "{error}"
    );
    let error = elpis.flush().await.unwrap_err();
    assert!(
        matches!(error, Error::Store(StoreError::Slow { .. })),
        "{error}"
    );
    // States are read all the same.
    assert_eq!(ada.state().await.unwrap().events_applied, 1);
    tokio::time::resume();
    shelf.open_gate();
    // It was on its way, and is kept after all.
    until(|| shelf.entries("ada").len() == 3).await;
    ada.feel("success").await.unwrap();
    elpis.shutdown().await;
    assert_eq!(shelf.replayed("ada").unwrap().events_applied(), 3);
}

#[tokio::test]
async fn a_store_that_becomes_read_only_is_told_and_nothing_is_lost() {
    for durability in [Durability::Relaxed, Durability::Sync] {
        let shelf = Shelf::default();
        let clock = Arc::new(ManualClock::new(1000.0));
        let elpis = start(&shelf, clock, settings(durability)).await;
        let mut events = elpis.events();
        let ada = elpis.session("ada").unwrap();
        ada.feel("success").await.unwrap();
        elpis.flush().await.unwrap();
        shelf.read_only.store(true, Ordering::SeqCst);
        let felt = ada.feel("success").await;
        if durability == Durability::Sync {
            let error = felt.unwrap_err();
            let read_only = matches!(error, Error::Store(StoreError::ReadOnly { .. }));
            assert!(read_only, "{error}");
        } else {
            felt.unwrap();
        }
        let read_only = |event: &Event| matches!(event, Event::StoreFailing { reason } if reason.contains("read-only"));
        wait_for(&mut events, read_only).await;
        shelf.read_only.store(false, Ordering::SeqCst);
        ada.feel("failure").await.unwrap();
        wait_for(&mut events, |event| matches!(event, Event::StoreRecovered)).await;
        let applied = ada.state().await.unwrap().events_applied;
        assert_eq!(applied, 2 + u64::from(durability == Durability::Relaxed));
        elpis.shutdown().await;
        assert_eq!(shelf.replayed("ada").unwrap().events_applied(), applied);
    }
}

#[tokio::test]
async fn who_waits_for_a_store_that_hangs_is_told_at_the_shutdown() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let mut short = settings(Durability::Sync);
    short.runtime = short.runtime.shutdown_timeout(Duration::from_millis(200));
    let elpis = start(&shelf, clock, short).await;
    shelf.close_gate();
    let ada = elpis.session("ada").unwrap();
    let felt = tokio::spawn(async move { ada.feel("success").await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, elpis.shutdown()).await.unwrap();
    let felt = tokio::time::timeout(limit, felt).await.expect("told");
    assert!(felt.unwrap().is_err());
    shelf.open_gate();
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hold_the_shutdown_up_for_ever() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let mut short = settings(Durability::Relaxed);
    short.runtime = short.runtime.shutdown_timeout(Duration::from_millis(200));
    let elpis = start(&shelf, clock, short).await;
    shelf.close_gate();
    elpis.session("ada").unwrap().feel("success").await.unwrap();
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, elpis.shutdown()).await.unwrap();
    shelf.open_gate();
}
