//! What breaks is started again, and nothing is lost.

mod intensity;
mod shutdown;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::fragile::{self, Site};
use elpis::InferenceEngine;
use elpis::backend::{BackendError, BackendFactory};
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{
    ActorName, Delivery, Elpis, EngineError, Error, Event, Events, FailureKind, ModulationKind,
    Settings,
};

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
