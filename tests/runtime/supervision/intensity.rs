//! Restarts, their backoff, and the restart intensity.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use elpis::backend::BackendError;
use elpis::internal::{EngineFailure, Probe};
use elpis::{ActorName, Elpis, EngineError, Error, Event, Events, FailureKind};

use super::{settings, start_with, wait_for};
use crate::fragile;
use crate::fragile::Site;

#[tokio::test(flavor = "multi_thread")]
async fn past_the_intensity_the_runtime_stops_with_the_cause() {
    // The engine waits with its first panic until everything is submitted.
    let submitted = Arc::new(AtomicBool::new(false));
    let may_panic = Arc::clone(&submitted);
    let elpis = start_with(settings(2), move |number| {
        while !may_panic.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("injected panic at decode {number}");
    })
    .await;
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(session.chat("x").max_tokens(5).stream().await.unwrap());
    }
    submitted.store(true, Ordering::Release);
    let stopped = wait_for(&mut events, |e| matches!(e, Event::Stopped { .. })).await;
    let Event::Stopped { reason } = stopped else {
        unreachable!()
    };
    assert!(
        reason.contains("engine") && reason.contains("injected panic"),
        "{reason}"
    );
    for stream in streams {
        let error = stream.completion().await.unwrap_err();
        assert!(
            matches!(
                error,
                EngineError::EngineRestarted | EngineError::Stopped { .. }
            ),
            "{error:?}"
        );
    }
    let refused = session.chat("x").stream().await.unwrap_err();
    assert!(refused.to_string().contains("injected panic"), "{refused}");
    // What led to it is there by its type.
    let error = session.feel("success").await.unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    assert!(matches!(cause, Some(EngineFailure::Panic(_))), "{error:?}");
    elpis.shutdown().await;
}

fn native() -> BackendError {
    BackendError::Native {
        call: "decode",
        reason: "injected error".into(),
    }
}

pub(super) async fn restarting(events: &mut Events) -> (ActorName, FailureKind, String) {
    let event = wait_for(events, |e| matches!(e, Event::ActorRestarting { .. })).await;
    let Event::ActorRestarting {
        actor, kind, cause, ..
    } = event
    else {
        unreachable!()
    };
    (actor, kind, cause)
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_intensity_all_causes_are_told_in_their_order() {
    // The thread panics, the model cannot be loaded, and panics as it is.
    let factory = fragile::factory(|site, number| match (site, number) {
        (Site::Decode, 3) => panic!("the first cause"),
        (Site::Load, 1) => Err(BackendError::NoBundledModel),
        (Site::Load, 2) => panic!("the third cause"),
        _ => Ok(()),
    });
    let builder = Elpis::builder(settings(2)).backend(factory);
    let elpis = builder.start().await.unwrap();
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let reply = session.chat("x").max_tokens(50).complete().await;
    assert!(reply.is_err());
    for (kind, cause) in [
        (FailureKind::ThreadPanic, "the first cause"),
        (FailureKind::Start, "no bundled model"),
    ] {
        let (actor, found, told) = restarting(&mut events).await;
        assert_eq!((actor, found), (ActorName::Engine, kind));
        assert!(told.contains(cause), "{told}");
    }
    let given_up = wait_for(&mut events, |e| matches!(e, Event::ActorGivenUp { .. })).await;
    assert!(
        matches!(
            &given_up,
            Event::ActorGivenUp { actor: ActorName::Engine, kind: FailureKind::Start, cause }
                if cause.contains("the third cause")
        ),
        "{given_up:?}"
    );
    let stopped = wait_for(&mut events, |e| matches!(e, Event::Stopped { .. })).await;
    let Event::Stopped { reason } = stopped else {
        unreachable!()
    };
    let refused = session.feel("success").await.unwrap_err().to_string();
    let waited = elpis.stopped().await.to_string();
    for told in [reason, refused, waited] {
        let causes = ["the first cause", "no bundled model", "the third cause"];
        let places = causes.map(|cause| told.find(cause));
        assert!(places.iter().all(Option::is_some), "{told}");
        assert!(places.is_sorted(), "{told}");
        assert!(told.contains("runtime.restart_max"), "{told}");
    }
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_is_told_apart() {
    // A hang has a test of its own.
    let armed = Arc::<AtomicBool>::default();
    let trap = Arc::clone(&armed);
    let probe = Probe::new(move |actor, kind| {
        let hit = (actor, kind) == ("emotion", "feel") && trap.swap(false, Ordering::SeqCst);
        assert!(!hit, "injected panic of the actor");
    });
    // Decodes: one panic, then a worker's death, then eight errors in a row.
    let factory = fragile::factory(|site, number| match (site, number) {
        (Site::Decode, 0) => panic!("injected panic of the thread"),
        (Site::Decode, 1) => Err(BackendError::WorkerDied {
            reason: "injected death".into(),
        }),
        (Site::Decode, 2..10) => Err(native()),
        (Site::Load, 1) => Err(BackendError::NoBundledModel),
        _ => Ok(()),
    });
    let builder = Elpis::builder(settings(20)).backend(factory).probe(probe);
    let elpis = builder.start().await.unwrap();
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let ask = async || session.chat("x").max_tokens(5).complete().await;
    let engine = ActorName::Engine;

    ask().await.unwrap_err();
    for (kind, cause) in [
        (FailureKind::ThreadPanic, "injected panic of the thread"),
        (FailureKind::Start, "no bundled model"),
    ] {
        let (actor, found, told) = restarting(&mut events).await;
        assert_eq!((actor, found), (engine, kind), "{told}");
        assert!(told.contains(cause), "{told}");
    }
    ask().await.unwrap_err();
    let (actor, kind, told) = restarting(&mut events).await;
    assert_eq!((actor, kind), (engine, FailureKind::WorkerDied), "{told}");
    for failed in 0..8 {
        let error = ask().await.unwrap_err();
        let expected = if failed < 7 {
            "backend"
        } else {
            "engine_restarted"
        };
        assert_eq!(error.kind(), expected, "{failed}: {error}");
    }
    let (actor, kind, told) = restarting(&mut events).await;
    assert_eq!((actor, kind), (engine, FailureKind::Error), "{told}");
    assert!(told.contains("injected error"), "{told}");
    assert_eq!(ask().await.unwrap().text.len(), 5);

    armed.store(true, Ordering::SeqCst);
    session.feel("success").await.unwrap();
    let (actor, kind, told) = restarting(&mut events).await;
    assert_eq!((actor, kind), (ActorName::Emotion, FailureKind::Panic));
    assert!(told.contains("injected panic of the actor"), "{told}");
    elpis.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_supervisor_waits_longer_before_each_restart_with_some_chance() {
    let probe = Probe::new(|actor, kind| {
        assert!((actor, kind) != ("emotion", "list"), "injected panic");
    });
    let mut settings = settings(4);
    settings.runtime = settings
        .runtime
        .restart_backoff_initial(Duration::from_secs(1))
        .restart_backoff_max(Duration::from_secs(3))
        .restart_window(Duration::from_hours(1));
    let factory = fragile::factory(|_, _| Ok(()));
    let builder = Elpis::builder(settings).backend(factory).probe(probe);
    let elpis = builder.start().await.unwrap();
    let mut events = elpis.events();
    // It is sent again after every restart, until the runtime gives up.
    let other = elpis.clone();
    let asked = tokio::spawn(async move { other.sessions().await });
    for most in [1.0, 2.0, 3.0, 3.0] {
        restarting(&mut events).await;
        let start = tokio::time::Instant::now();
        wait_for(&mut events, |e| matches!(e, Event::ActorRestarted { .. })).await;
        let waited = start.elapsed().as_secs_f64();
        // The clock's steps are a millisecond.
        assert!(
            (most / 2.0..=most + 0.01).contains(&waited),
            "{waited} of {most}"
        );
    }
    wait_for(&mut events, |e| matches!(e, Event::ActorGivenUp { .. })).await;
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    elpis.shutdown().await;
}
