//! What breaks is started again, and nothing is lost.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::fragile::{self, Site};
use elpis::backend::{BackendError, BackendFactory};
use elpis::internal::EngineFailure;
use elpis::internal::Probe;
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{
    ActorName, Delivery, Elpis, EngineError, Error, Event, Events, FailureKind, InferenceEngine,
    ModulationKind, Settings,
};
use elpis_testkit::scripted::Scripted;

fn settings(restarts: u32) -> Settings {
    let runtime = RuntimeSettings::default()
        .n_parallel(1_usize)
        .restart_max(restarts)
        .restart_backoff_initial(Duration::from_millis(10));
    let model = ModelSettings::default().chat_format("chatml");
    Settings::default().runtime(runtime).model(model)
}

async fn start(restarts: u32, panics_at: fn(u32) -> bool) -> Elpis {
    start_with(settings(restarts), move |number| {
        assert!(!panics_at(number), "injected panic at decode {number}");
    })
    .await
}

/// A fault in some of the decodes.
async fn start_with(settings: Settings, fault: impl Fn(u32) + Send + Sync + 'static) -> Elpis {
    let factory = fragile::factory(move |site, number| {
        if site == Site::Decode {
            fault(number);
        }
        Ok(())
    });
    Elpis::builder(settings)
        .backend(factory)
        .start()
        .await
        .unwrap()
}

async fn wait_for(events: &mut Events, wanted: fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            match events.next().await {
                Some(Delivery::Event(event)) if wanted(&event) => return *event,
                Some(_) => {}
                None => panic!("the bus is gone"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_thread_costs_the_running_stream_alone() {
    let elpis = start(5, |number| number == 5).await;
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let felt = session.feel("failure").await.unwrap().after;
    let running = session.chat("one").max_tokens(50).stream().await.unwrap();
    let waiting = session.chat("two").max_tokens(20).stream().await.unwrap();
    let error = running.completion().await.unwrap_err();
    assert_eq!(error, EngineError::EngineRestarted);
    let completion = waiting.completion().await.unwrap();
    assert_eq!(completion.text.len(), 20, "what waited was kept");
    let restarting = wait_for(&mut events, |e| matches!(e, Event::ActorRestarting { .. })).await;
    let Event::ActorRestarting {
        actor,
        kind,
        cause,
        attempt,
    } = restarting
    else {
        unreachable!()
    };
    assert_eq!((actor, attempt), (ActorName::Engine, 1));
    assert_eq!(kind, FailureKind::ThreadPanic);
    assert!(cause.contains("injected panic at decode 5"), "{cause}");
    let state = session.state().await.unwrap();
    assert_eq!(state.events_applied, 1, "the feeling was kept");
    assert!((state.valence - felt.valence()).abs() < 0.2);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_replaced_and_its_readers_are_told() {
    // The test holds the step until it is over: no sleep decides.
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let mut settings = settings(5);
    settings.runtime = settings
        .runtime
        // Longer than a step may take on a machine that is busy.
        .watchdog(Duration::from_secs(2))
        .queue_limit(1_usize)
        .shutdown_timeout(Duration::from_millis(500));
    let elpis = start_with(settings, move |number| {
        if number == 5 {
            let _ = held.recv();
        }
    })
    .await;
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    session.feel("failure").await.unwrap();
    let mut running = session.chat("one").max_tokens(50).stream().await.unwrap();
    let waiting = session.chat("two").max_tokens(20).stream().await.unwrap();
    let mut texts = 0;
    let error = loop {
        match running.next().await.unwrap() {
            Ok(_) => texts += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, EngineError::EngineRestarted);
    assert!(texts > 0, "what was written before is kept");
    let failed = wait_for(&mut events, |e| matches!(e, Event::GenerationFailed { .. })).await;
    assert!(
        matches!(failed, Event::GenerationFailed { id, kind, .. } if id == running.id() && kind == "engine_restarted")
    );
    assert_eq!(waiting.completion().await.unwrap().text.len(), 20);
    let restarting = wait_for(&mut events, |e| matches!(e, Event::ActorRestarting { .. })).await;
    assert!(
        matches!(
            &restarting,
            Event::ActorRestarting { cause, kind: FailureKind::Hung, .. } if cause.contains("hangs")
        ),
        "{restarting:?}"
    );
    // Its place is free again, while the old thread still hangs.
    // Long enough that neither ends before the third is asked for.
    let one = session
        .chat("three")
        .max_tokens(300)
        .stream()
        .await
        .unwrap();
    let two = session.chat("four").max_tokens(300).stream().await.unwrap();
    assert!(
        session.chat("five").max_tokens(5).stream().await.is_err(),
        "two may run or wait"
    );
    assert_eq!(one.completion().await.unwrap().text.len(), 300);
    assert_eq!(two.completion().await.unwrap().text.len(), 300);
    assert_eq!(session.state().await.unwrap().events_applied, 1);
    // The old thread wakes up, finds that nobody waits for it, and goes.
    drop(release);
    assert_eq!(
        session
            .chat("six")
            .max_tokens(5)
            .complete()
            .await
            .unwrap()
            .text
            .len(),
        5
    );
    elpis.shutdown().await;
    while let Some(event) = events.try_next() {
        let Delivery::Event(event) = event else {
            continue;
        };
        let again =
            matches!(*event, Event::GenerationFinished(ref report) if report.id == running.id());
        assert!(!again, "a generation ends once");
    }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_fails_to_load_fails_the_start() {
    let factory = BackendFactory::new(|_| Err(BackendError::NoBundledModel));
    let error = Elpis::builder(settings(5))
        .backend(factory)
        .start()
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Backend(BackendError::NoBundledModel)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_panics_while_loading_fails_the_start() {
    let factory = BackendFactory::new(|_| panic!("injected while loading"));
    let error = Elpis::builder(settings(5))
        .backend(factory)
        .start()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("injected while loading"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_running_generations_end() {
    let elpis = start(0, |_| false).await;
    let session = elpis.session("a").unwrap();
    let stream = session.chat("one").max_tokens(40).stream().await.unwrap();
    let ended = tokio::spawn(stream.completion());
    elpis.shutdown().await;
    assert_eq!(ended.await.unwrap().unwrap().text.len(), 40);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_does_not_end_is_cut_off_at_the_shutdowns_deadline() {
    let mut settings = settings(0);
    settings.runtime.shutdown_timeout = Duration::from_millis(200);
    let factory = BackendFactory::new(|options| {
        Ok(Box::new(Scripted::new(
            options.n_sequences,
            64,
            100_000,
            usize::MAX,
        )))
    });
    let elpis = Elpis::builder(settings)
        .backend(factory)
        .start()
        .await
        .unwrap();
    let session = elpis.session("a").unwrap();
    // Nobody reads, so it never ends by itself.
    let stream = session
        .chat("one")
        .max_tokens(90_000)
        .stream()
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(5), elpis.shutdown())
        .await
        .unwrap();
    let error = stream.completion().await.unwrap_err();
    assert!(matches!(error, EngineError::Stopped { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_what_hangs_although_no_watchdog_does() {
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let mut settings = settings(0);
    settings.runtime = settings
        .runtime
        .shutdown_timeout(Duration::from_millis(300));
    settings.runtime.watchdog = None;
    let elpis = start_with(settings, move |number| {
        if number == 5 {
            let _ = held.recv();
        }
    })
    .await;
    let session = elpis.session("a").unwrap();
    let running = session.chat("one").max_tokens(50).stream().await.unwrap();
    let waiting = session.chat("two").max_tokens(50).stream().await.unwrap();
    soon(elpis.shutdown()).await;
    for stream in [running, waiting] {
        let error = soon(stream.completion()).await.unwrap_err();
        assert!(matches!(error, EngineError::Stopped { .. }), "{error:?}");
    }
    drop(release);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_ends_what_runs_and_what_waits() {
    let elpis = start(0, |_| false).await;
    let session = elpis.session("a").unwrap();
    let running = session.chat("one").max_tokens(900).stream().await.unwrap();
    let waiting = session.chat("two").max_tokens(900).stream().await.unwrap();
    let mut events = elpis.events();
    drop(elpis);
    drop(session);
    let stopped = wait_for(&mut events, |e| matches!(e, Event::Stopped { .. })).await;
    assert!(
        matches!(&stopped, Event::Stopped { reason } if reason == "the last handle was dropped"),
        "{stopped:?}"
    );
    for stream in [running, waiting] {
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.completion());
        let error = ended.await.expect("the stream ends").unwrap_err();
        assert!(
            matches!(
                error,
                EngineError::Stopped { .. } | EngineError::EngineRestarted
            ),
            "{error:?}"
        );
    }
}

fn native() -> BackendError {
    BackendError::Native {
        call: "decode",
        reason: "injected error".into(),
    }
}

async fn restarting(events: &mut Events) -> (ActorName, FailureKind, String) {
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
    for told in [reason, refused] {
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

/// A runtime whose engine a test breaks; the next one is loaded when `release`
/// is dropped, and not before.
struct Breakable {
    elpis: Elpis,
    breaks: Arc<AtomicBool>,
    release: crossbeam_channel::Sender<()>,
    loads: Arc<AtomicU32>,
}

async fn breakable(settings: Settings) -> Breakable {
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let loads = Arc::<AtomicU32>::default();
    let breaks = Arc::<AtomicBool>::default();
    let (counted, broken) = (Arc::clone(&loads), Arc::clone(&breaks));
    let factory = fragile::factory(move |site, number| {
        if site == Site::Load && number > 0 {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = held.recv();
        }
        let hit = site == Site::Decode && broken.swap(false, Ordering::SeqCst);
        assert!(!hit, "injected panic");
        Ok(())
    });
    let builder = Elpis::builder(settings).backend(factory);
    Breakable {
        elpis: builder.start().await.unwrap(),
        breaks,
        release,
        loads,
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, work).await.expect("no answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_out_for_what_waits_while_there_is_no_engine() {
    let world = breakable(settings(5)).await;
    let elpis = world.elpis;
    let session = elpis.session("a").unwrap();
    let running = session.chat("one").max_tokens(500).stream().await.unwrap();
    let waiting = session
        .chat("two")
        .max_tokens(5)
        .timeout(Duration::from_millis(500));
    let waiting = waiting.stream().await.unwrap();
    world.breaks.store(true, Ordering::SeqCst);
    soon(running.completion()).await.unwrap_err();
    // One waits in the queue, one for a model to be there at all.
    let late = session
        .chat("three")
        .max_tokens(5)
        .timeout(Duration::from_millis(500));
    let error = soon(late.stream()).await.unwrap_err();
    assert_eq!(error.kind(), "timeout", "{error}");
    let error = soon(waiting.completion()).await.unwrap_err();
    assert_eq!(
        error,
        EngineError::Timeout {
            timeout: Duration::from_millis(500)
        }
    );
    drop(world.release);
    let reply = soon(session.chat("four").max_tokens(5).complete()).await;
    assert_eq!(reply.unwrap().text.len(), 5);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_an_engine_that_is_being_started() {
    let world = breakable(settings(5)).await;
    let session = world.elpis.session("a").unwrap();
    world.breaks.store(true, Ordering::SeqCst);
    let reply = session.chat("one").max_tokens(50).complete().await;
    reply.unwrap_err();
    soon(async {
        while world.loads.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    soon(world.elpis.shutdown()).await;
    let error = session.feel("success").await.unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    drop(world.release);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_as_the_runtime_starts_leaves_nobody_waiting() {
    for _ in 0..20 {
        let factory = fragile::factory(|site, number| match (site, number) {
            (Site::Death, 0) => Err(BackendError::WorkerDied {
                reason: "injected death".into(),
            }),
            _ => Ok(()),
        });
        let builder = Elpis::builder(settings(5)).backend(factory);
        // It may have been noticed only after everything was started.
        match soon(builder.start()).await {
            Ok(elpis) => {
                let session = elpis.session("a").unwrap();
                let reply = soon(session.chat("x").max_tokens(5).complete()).await;
                assert!(reply.is_ok(), "{reply:?}");
                soon(elpis.shutdown()).await;
            }
            Err(error) => assert!(error.to_string().contains("engine"), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_are_those_of_the_vectors_that_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let model = ModelSettings::default()
        .chat_format("chatml")
        .emotion_vectors_dir(folder.path());
    let elpis = start_with(settings(5).model(model), |_| {}).await;
    let capabilities = elpis.capabilities().await.unwrap();
    assert!(!capabilities.supports_steering);
    assert_eq!(capabilities.modulation, ModulationKind::Sampling);
    assert_eq!(capabilities.supports_tools, cfg!(feature = "tools"));

    let vector = SteeringVector::bare(vec![0.1, 0.2, 0.0, 0.1]).unwrap();
    let bytes = write(VectorFormat::Safetensors, &vector).unwrap();
    std::fs::write(folder.path().join("calm.safetensors"), &bytes).unwrap();
    elpis.reload_vectors().await.unwrap();
    let capabilities = elpis.capabilities().await.unwrap();
    assert!(capabilities.supports_steering);
    assert_eq!(capabilities.modulation, ModulationKind::Both);

    // One that may not act is none.
    std::fs::write(
        folder.path().join("vectors.toml"),
        "[emotions.calm]\ncap = 0.0\n",
    )
    .unwrap();
    elpis.reload_vectors().await.unwrap();
    assert!(!elpis.capabilities().await.unwrap().supports_steering);
    elpis.shutdown().await;
}
