//! Feelings outlive the process, whatever the store does.
#![allow(clippy::float_cmp, reason = "states are kept bit for bit")]

mod failing_store;
mod loading;
mod random;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::{EmotionConfig, JournalRecord};
use elpis::internal::Probe;
use elpis::settings::{Durability, MetricsSettings, ModelSettings, RuntimeSettings, StoreSettings};
use elpis::store::StoreError;
use elpis::{
    Clock, Delivery, Elpis, ElpisBuilder, Error, Event, Events, FailureKind, ManualClock, Settings,
};
use elpis_testkit::scripted::Scripted;
use elpis_testkit::shelf::Shelf;

const NIGHT: f64 = 8.0 * 3600.0;

fn settings(durability: Durability) -> Settings {
    let runtime = RuntimeSettings::default()
        .restart_backoff_initial(Duration::from_millis(5))
        .shutdown_timeout(Duration::from_secs(2));
    Settings::default()
        .model(ModelSettings::default().chat_format("chatml"))
        .runtime(runtime)
        // The observer asks for the time as well, and must not meet a fault that is not its own.
        .metrics(MetricsSettings::default().interval(Duration::from_hours(1)))
        .store(
            StoreSettings::default()
                .durability(durability)
                .flush_interval(Duration::from_millis(5)),
        )
}

fn builder(shelf: &Shelf, clock: Arc<dyn Clock>, settings: Settings) -> ElpisBuilder {
    let factory = BackendFactory::new(|options| {
        let sequences = options.n_sequences;
        Ok(Box::new(Scripted::new(sequences, 64, 1000, usize::MAX)))
    });
    Elpis::builder(settings)
        .clock(clock)
        .backend(factory)
        .store(Arc::new(shelf.clone()))
}

async fn start(shelf: &Shelf, clock: Arc<dyn Clock>, settings: Settings) -> Elpis {
    builder(shelf, clock, settings).start().await.unwrap()
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came about");
}

async fn wait_for(events: &mut Events, wanted: fn(&Event) -> bool) {
    let found = async {
        while let Some(delivery) = events.next().await {
            if matches!(&delivery, Delivery::Event(event) if wanted(event)) {
                return;
            }
        }
        panic!("the bus is gone");
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, found).await.unwrap();
}

#[tokio::test]
async fn a_session_that_slept_for_a_night_wakes_decayed_by_that_night() {
    for durability in [Durability::Relaxed, Durability::Sync] {
        let shelf = Shelf::default();
        let clock = Arc::new(ManualClock::new(1e9));
        let elpis = start(&shelf, Arc::clone(&clock) as _, settings(durability)).await;
        let ada = elpis.session("ada").unwrap();
        for event in ["success", "insight", "user_positive"] {
            ada.feel(event).await.unwrap();
            clock.advance(Duration::from_millis(1500));
        }
        ada.set_strength(0.5).await.unwrap();
        let evening = ada.state().await.unwrap();
        elpis.shutdown().await;
        let kept = shelf.replayed("ada").unwrap();

        clock.advance(Duration::from_secs_f64(NIGHT));
        let elpis = start(&shelf, Arc::clone(&clock) as _, settings(durability)).await;
        let names = elpis.sessions().await.unwrap();
        assert_eq!(names.len(), 1, "it is known though it sleeps");
        let morning = elpis.session("ada").unwrap().state().await.unwrap();
        let expected = kept.state_at(1e9 + 4.5 + NIGHT);
        assert_eq!(
            (morning.valence, morning.arousal),
            (expected.valence(), expected.arousal())
        );
        assert!(morning.valence.abs() < evening.valence.abs());
        assert_eq!(morning.events_applied, 3);
        assert_eq!(kept.steering_strength(), 0.5);
        elpis.shutdown().await;
    }
}

#[tokio::test]
async fn other_settings_and_a_clock_that_was_set_back_are_part_of_the_story() {
    let shelf = Shelf::default();
    let late = Arc::new(ManualClock::new(2e9));
    let elpis = start(&shelf, late, settings(Durability::Relaxed)).await;
    let felt = elpis.session("ada").unwrap().feel("success").await.unwrap();
    elpis.shutdown().await;

    let early = Arc::new(ManualClock::new(1e9));
    let mut changed = settings(Durability::Relaxed);
    changed.emotion = EmotionConfig::default().decay_rate(0.001);
    let elpis = start(&shelf, Arc::clone(&early) as _, changed.clone()).await;
    let ada = elpis.session("ada").unwrap();
    let woken = ada.state().await.unwrap();
    assert_eq!(woken.valence, felt.after.valence(), "time did not run back");
    early.advance(Duration::from_mins(10));
    let later = ada.state().await.unwrap();
    assert!(
        later.valence < woken.valence,
        "nor does it wait for years to catch up"
    );
    elpis.shutdown().await;
    let kept = shelf.replayed("ada").unwrap();
    assert_eq!(kept.config().decay_rate, 0.001);
    let what: Vec<_> = shelf.entries("ada").into_iter().map(|e| e.what).collect();
    assert!(
        matches!(
            what[..],
            [
                JournalRecord::Started(_),
                JournalRecord::Felt(_),
                JournalRecord::Shifted(_),
                JournalRecord::Configured(_)
            ]
        ),
        "{what:?}"
    );
}

#[tokio::test]
async fn idle_sessions_leave_memory_and_come_back() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let mut small = settings(Durability::Relaxed);
    small.runtime = small.runtime.max_sessions(3_usize);
    let elpis = start(&shelf, Arc::clone(&clock) as _, small).await;
    for name in 0..40 {
        let session = elpis.session(format!("s{name}")).unwrap();
        for _ in 0..=name % 3 {
            session.feel("failure").await.unwrap();
        }
    }
    assert_eq!(elpis.sessions().await.unwrap().len(), 40);
    for name in 0..40 {
        let session = elpis.session(format!("s{name}")).unwrap();
        let state = session.state().await.unwrap();
        assert_eq!(state.events_applied, 1 + name % 3);
    }
    assert!(
        shelf.loads.load(Ordering::SeqCst) >= 40 + 37,
        "they were read"
    );
    // One that generates stays, with all that it follows.
    let busy = elpis.session("s0").unwrap();
    let mut stream = busy.chat("go on").max_tokens(500).stream().await.unwrap();
    stream.next().await.unwrap().unwrap();
    for name in 1..10 {
        let other = elpis.session(format!("s{name}")).unwrap();
        other.state().await.unwrap();
    }
    let loads = shelf.loads.load(Ordering::SeqCst);
    busy.state().await.unwrap();
    assert_eq!(shelf.loads.load(Ordering::SeqCst), loads);
    drop(stream);
    elpis.shutdown().await;
}

#[tokio::test]
async fn a_synchronous_event_is_neither_in_force_nor_acknowledged_before_it_is_kept() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let elpis = start(&shelf, clock, settings(Durability::Sync)).await;
    let ada = elpis.session("ada").unwrap();
    let before = ada.feel("success").await.unwrap().after;
    assert_eq!(shelf.entries("ada").len(), 2);

    shelf.close_gate();
    let other = ada.clone();
    let first = tokio::spawn(async move { other.feel("success").await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    let other = ada.clone();
    let second = tokio::spawn(async move { other.feel("blocked").await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!first.is_finished() && !second.is_finished());
    let meanwhile = ada.state().await.unwrap();
    assert_eq!(meanwhile.valence, before.valence());
    shelf.open_gate();
    let first = first.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(first.after, second.before, "events build on each other");
    let after = ada.state().await.unwrap();
    assert_eq!(after.valence, second.after.valence());

    // A refused event changes nothing, and neither do those behind it.
    shelf.close_gate();
    shelf.broken.store(true, Ordering::SeqCst);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let ada = ada.clone();
            tokio::spawn(async move { ada.feel("failure").await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    shelf.open_gate();
    for refused in waiting {
        let error = refused.await.unwrap().unwrap_err();
        assert!(
            matches!(error, Error::Store(StoreError::Full { .. })),
            "{error}"
        );
    }
    shelf.broken.store(false, Ordering::SeqCst);
    let still = ada.state().await.unwrap();
    assert_eq!(
        (still.valence, still.events_applied),
        (after.valence, after.events_applied)
    );
    ada.feel("success").await.unwrap();
    elpis.shutdown().await;
    assert_eq!(shelf.replayed("ada").unwrap().events_applied(), 4);
}

#[tokio::test]
async fn a_forgotten_session_begins_anew() {
    for durability in [Durability::Relaxed, Durability::Sync] {
        let shelf = Shelf::default();
        let clock = Arc::new(ManualClock::new(1000.0));
        let elpis = start(&shelf, clock, settings(durability)).await;
        let ada = elpis.session("ada").unwrap();
        assert!(!ada.forget().await.unwrap());
        ada.feel("success").await.unwrap();
        until(|| shelf.entries("ada").len() == 2).await;
        // Its removal is still on the way when it begins anew.
        assert!(ada.forget().await.unwrap());
        assert_eq!(ada.state().await.unwrap().events_applied, 0);
        ada.feel("failure").await.unwrap();
        ada.feel("failure").await.unwrap();
        assert!(ada.forget().await.unwrap());
        ada.feel("insight").await.unwrap();
        elpis.shutdown().await;
        assert_eq!(shelf.replayed("ada").unwrap().events_applied(), 1);
        assert_eq!(shelf.entries("ada").len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emotion_actor_that_panics_loses_no_state_and_no_event() {
    let shelf = Shelf::default();
    let armed = Arc::<AtomicBool>::default();
    let trap = Arc::clone(&armed);
    let probe = Probe::new(move |actor, kind| {
        let hit = (actor, kind) == ("emotion", "feel") && trap.swap(false, Ordering::SeqCst);
        assert!(!hit, "injected panic");
    });
    let mut often = settings(Durability::Relaxed);
    // Nothing that is waited for is missed.
    let runtime = often.runtime.restart_max(100_u32);
    often.runtime = runtime.bus_capacity(65_536_usize);
    let builder = builder(&shelf, Arc::new(ManualClock::new(1000.0)), often);
    let elpis = builder.probe(probe).start().await.unwrap();
    let mut events = elpis.events();
    // Ten thousand events across restarts: each is answered, none is applied twice.
    let bob = elpis.session("bob").unwrap();
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let bob = bob.clone();
        tasks.push(tokio::spawn(async move {
            let mut done = 0_u64;
            for _ in 0..1250 {
                done += u64::from(bob.feel("idle").await.is_ok());
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        armed.store(true, Ordering::SeqCst);
        done += task.await.unwrap();
    }
    armed.store(false, Ordering::SeqCst);
    assert_eq!(done, 10_000);
    wait_for(&mut events, |event| {
        let how = FailureKind::Panic;
        matches!(event, Event::ActorRestarting { kind, .. } if *kind == how)
    })
    .await;
    assert_eq!(bob.state().await.unwrap().events_applied, 10_000);
    elpis.shutdown().await;
    assert_eq!(shelf.replayed("bob").unwrap().events_applied(), 10_000);
}

#[tokio::test]
async fn a_full_table_of_sessions_that_generate_refuses_others_and_no_more() {
    let shelf = Shelf::default();
    let clock = Arc::new(ManualClock::new(1000.0));
    let mut small = settings(Durability::Relaxed);
    let runtime = small.runtime.max_sessions(2_usize);
    small.runtime = runtime.n_parallel(2_usize);
    let elpis = start(&shelf, clock, small).await;
    let mut streams = Vec::new();
    for name in ["ada", "bob"] {
        let session = elpis.session(name).unwrap();
        session.feel("success").await.unwrap();
        // Nobody reads: it never ends by itself.
        let chat = session.chat("go on").max_tokens(900);
        streams.push(chat.stream().await.unwrap());
    }
    let eve = elpis.session("eve").unwrap();
    let limit = Duration::from_secs(20);
    let refused = tokio::time::timeout(limit, eve.feel("success")).await;
    let error = refused.expect("an answer").unwrap_err();
    assert!(
        matches!(error, Error::TooManySessions { limit: 2, .. }),
        "{error}"
    );
    // The others are served, and so is this one once there is room.
    elpis.session("ada").unwrap().feel("failure").await.unwrap();
    drop(streams);
    let mut felt = eve.feel("success").await;
    for _ in 0..2000 {
        if felt.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        felt = eve.feel("success").await;
    }
    felt.unwrap();
    elpis.shutdown().await;
    assert_eq!(shelf.replayed("ada").unwrap().events_applied(), 2);
    assert_eq!(shelf.replayed("eve").unwrap().events_applied(), 1);
}

#[tokio::test]
async fn without_a_store_further_sessions_are_refused_and_none_is_lost() {
    let clock = Arc::new(ManualClock::new(1000.0));
    let mut small = settings(Durability::Relaxed);
    small.runtime = small.runtime.max_sessions(2_usize);
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(1, 64, 1000, usize::MAX))));
    let builder = Elpis::builder(small).clock(clock).backend(factory);
    let elpis = builder.start().await.unwrap();
    for name in ["a", "b"] {
        elpis.session(name).unwrap().feel("success").await.unwrap();
    }
    let error = elpis.session("c").unwrap().feel("success").await;
    assert!(matches!(
        error.unwrap_err(),
        Error::TooManySessions { limit: 2, .. }
    ));
    let kept = elpis.session("a").unwrap().state().await.unwrap();
    assert_eq!(kept.events_applied, 1);
    elpis.shutdown().await;
}
