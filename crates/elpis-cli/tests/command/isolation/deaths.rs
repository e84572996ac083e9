//! A worker process dies at different moments.

use std::time::Duration;

use elpis::backend::BackendError;
use elpis::{Delivery, Elpis, EngineError, Error, Event, FailureKind};
use rustix::process::{Signal, kill_process};

use super::{QUESTION, begun, greedy};
use crate::worker::{Program, exists, gone, hello, within};

/// What is left of a runtime whose model was killed in the middle of a stream.
async fn survives(signal: Signal, patient: bool) {
    let program = Program::new();
    let mut settings = program.settings();
    settings.runtime = settings.runtime.n_parallel(1_usize);
    if patient {
        // The generation waits for its reader: nothing is evaluated.
        settings.runtime = settings.runtime.stream_buffer(1_usize);
    }
    let elpis = Elpis::start(settings).await.unwrap();
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let expected = greedy(&session, None).await;
    session.feel("failure").await.unwrap();
    let running = begun(&session).await;
    let other = elpis.session("b").unwrap();
    let waiting = other.chat(QUESTION).max_tokens(5).seed(2).stream().await;
    // Read at once: it must not hold the only place later.
    let waiting = tokio::spawn(waiting.unwrap().completion());
    let process = program.process().await;
    // Rust's own handler takes the first SIGSEGV for a fault that will recur.
    within("the end of a process", || {
        let _ = kill_process(process, signal);
        (!exists(process)).then_some(())
    })
    .await;
    let error = running.completion().await.unwrap_err();
    assert_eq!(error, EngineError::EngineRestarted);
    let kind = loop {
        match events.next().await {
            Some(Delivery::Event(event)) => {
                if let Event::ActorRestarting { kind, .. } = *event {
                    break kind;
                }
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind, FailureKind::WorkerDied);
    // Asked for at once, before anything is loaded anew.
    assert_eq!(greedy(&session, None).await, expected);
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!(reply.report.completion_tokens, 5, "what waited was kept");
    assert_eq!(session.state().await.unwrap().events_applied, 1);
    assert!(!exists(process), "nobody is left unburied");
    let next = program.process().await;
    assert_ne!(process, next);
    elpis.shutdown().await;
    assert!(!exists(next));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_model_costs_the_running_stream_alone() {
    survives(Signal::KILL, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_model_costs_the_running_stream_alone() {
    survives(Signal::SEGV, true).await;
}

/// In the middle of a batch, which no reader holds up.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_dies_while_it_evaluates_is_started_again() {
    let program = Program::new();
    let elpis = Elpis::start(program.settings()).await.unwrap();
    let streams: Vec<_> = (0..4)
        .map(|n| {
            let session = elpis.session(format!("{n}")).unwrap();
            tokio::spawn(async move {
                let mut ends = Vec::new();
                for seed in 0..400 {
                    let chat = session.chat(QUESTION).seed(seed).complete().await;
                    match chat {
                        Ok(_) if ends.is_empty() => {}
                        Ok(_) => break,
                        Err(error) => ends.push(error),
                    }
                }
                ends
            })
        })
        .collect();
    let process = program.process().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    kill_process(process, Signal::ABORT).unwrap();
    for stream in streams {
        let ends = stream.await.unwrap();
        assert!(ends.len() <= 1, "{ends:?}");
        for end in ends {
            assert!(
                matches!(end, Error::Engine(EngineError::EngineRestarted)),
                "{end:?}"
            );
        }
    }
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_model_that_dies_is_loaded_before_anyone_asks() {
    let program = Program::new();
    let elpis = Elpis::start(program.settings()).await.unwrap();
    let session = elpis.session("a").unwrap();
    let expected = greedy(&session, None).await;
    let first = program.process().await;
    kill_process(first, Signal::KILL).unwrap();
    assert_eq!(greedy(&session, None).await, expected, "nobody notices");
    let second = program.process().await;
    kill_process(second, Signal::KILL).unwrap();
    gone(second).await;
    within("a model", || elpis.model()).await;
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_dies_while_it_is_loaded_fails_the_start_or_is_tried_again() {
    let program = Program::new();
    let settings = program.settings();
    // A worker that greets and never gets as far as to have loaded the model.
    let blocked = || program.replace_by(&format!("{}\nexec -a \"$0\" sleep 1000", hello()));
    let whole = || program.restore();
    blocked();
    let starting = tokio::spawn(Elpis::start(settings.clone()));
    let process = program.process().await;
    kill_process(process, Signal::KILL).unwrap();
    let error = starting.await.unwrap().unwrap_err();
    let died = |error: &Error| matches!(error, Error::Backend(BackendError::WorkerDied { reason }) if reason.contains("SIGKILL"));
    assert!(died(&error), "{error:?}");
    assert!(!exists(process));

    whole();
    let elpis = Elpis::start(settings).await.unwrap();
    let session = elpis.session("a").unwrap();
    let expected = greedy(&session, None).await;
    blocked();
    let first = program.process().await;
    kill_process(first, Signal::KILL).unwrap();
    gone(first).await;
    let second = program.process().await;
    whole();
    kill_process(second, Signal::KILL).unwrap();
    assert_eq!(greedy(&session, None).await, expected);
    elpis.shutdown().await;
}
