//! How a runtime ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::{Elpis, EngineError, Error, Event};
use elpis_testkit::scripted::Scripted;

use super::{breakable, settings, soon, start, start_with, wait_for};

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
