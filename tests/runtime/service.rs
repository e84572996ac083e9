//! An engine as a service: being ready means that a place is taken, and what is stacked upon it
//! works.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::inference::GenerationOptions;
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::testing::{ScriptedEngine, ScriptedReply};
use elpis::{
    ChatMessage, ChatRequest, Delivery, Elpis, EngineError, EngineService, Error, Event,
    GenerationEvent, InferenceEngine, Settings,
};
use elpis_testkit::scripted::Scripted;
use tower::timeout::error::Elapsed;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::fragile::{self, Site};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, work).await.expect("no answer")
}

/// One generation at a time, and none that waits; it pauses when its reader lags.
async fn start(factory: BackendFactory) -> Elpis {
    let runtime = RuntimeSettings::default()
        .n_parallel(1_usize)
        .queue_limit(0_usize)
        .stream_buffer(1_usize)
        .shutdown_timeout(Duration::from_mins(10));
    let model = ModelSettings::default().chat_format("chatml");
    let settings = Settings::default().runtime(runtime).model(model);
    let builder = Elpis::builder(settings).backend(factory);
    soon(builder.start()).await.unwrap()
}

fn scripted() -> BackendFactory {
    BackendFactory::new(|_| Ok(Box::new(Scripted::new(1, 64, 1000, usize::MAX))))
}

fn request(max_tokens: u32) -> ChatRequest {
    ChatRequest {
        session: "ada".to_owned(),
        messages: vec![ChatMessage::user("Tell me about trains.")],
        options: GenerationOptions::default().max_tokens(max_tokens),
    }
}

fn is_overloaded<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Engine(EngineError::Overloaded { .. })))
}

/// Whether a service is ready now.
async fn is_ready(service: &mut EngineService<Elpis>) -> bool {
    poll_fn(|context| Poll::Ready(service.poll_ready(context).is_ready())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_ready_when_it_has_a_place_which_nobody_else_gets() {
    let elpis = start(scripted()).await;
    let mut service = EngineService::from(elpis.clone());
    let running = elpis.chat_completion_stream(request(100)).await.unwrap();
    assert!(!is_ready(&mut service).await, "the only place is in use");
    let refused = service.call(request(5)).await;
    assert!(is_overloaded(&refused), "it was not ready");
    drop(running);
    soon(service.ready()).await.unwrap();
    let other = elpis.chat_completion_stream(request(5)).await;
    assert!(is_overloaded(&other), "the place is the service's");
    let mut clone = service.clone();
    assert!(!is_ready(&mut clone).await, "a clone has no place");
    let reply = soon(service.call(request(5))).await.unwrap();
    assert_eq!(reply.report.completion_tokens, 5);
    // A place is given back when nobody uses it.
    soon(clone.ready()).await.unwrap();
    assert!(!is_ready(&mut service).await);
    drop(clone);
    soon(service.ready()).await.unwrap();
    drop(service);
    soon(elpis.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_no_place_that_is_only_reserved() {
    let elpis = start(scripted()).await;
    let mut ready = EngineService::from(elpis.clone());
    soon(ready.ready()).await.unwrap();
    let mut waits = ready.clone();
    assert!(!is_ready(&mut waits).await);
    soon(elpis.shutdown()).await;
    let error = soon(ready.call(request(5))).await.unwrap_err();
    assert!(
        matches!(error, Error::Stopped { .. } | Error::Engine(_)),
        "{error}"
    );
    for service in [&mut ready, &mut waits] {
        let error = soon(service.ready()).await.unwrap_err();
        let stopped = matches!(error, Error::Engine(EngineError::Stopped { .. }));
        assert!(stopped, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_of_another_engine_opens_no_door() {
    let (one, other) = (start(scripted()).await, start(scripted()).await);
    let running = one.chat_completion_stream(request(100)).await.unwrap();
    let place = soon(other.reserve()).await.unwrap();
    let refused = one.chat_completion_stream_in(place, request(5)).await;
    assert!(is_overloaded(&refused));
    drop(running);
    soon(one.shutdown()).await;
    soon(other.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_cancelled_and_its_place_is_free() {
    // The test holds the first step until the time is over.
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let factory = fragile::factory(move |site, number| {
        if site == Site::Decode && number == 0 {
            let _ = held.recv();
        }
        Ok(())
    });
    let elpis = start(factory).await;
    let mut events = elpis.events();
    let mut service = ServiceBuilder::new()
        .concurrency_limit(1)
        .timeout(Duration::from_millis(50))
        .service(EngineService::from(elpis.clone()));
    let call = soon(service.ready()).await.unwrap().call(request(50));
    let error = soon(call).await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    drop(release);
    let cancelled = async {
        while let Some(delivery) = events.next().await {
            if let Delivery::Event(event) = delivery
                && matches!(*event, Event::GenerationCancelled { .. })
            {
                return;
            }
        }
        panic!("the bus is gone");
    };
    soon(cancelled).await;
    soon(service.ready()).await.unwrap();
    drop(service);
    soon(elpis.shutdown()).await;
}

#[tokio::test]
async fn an_engine_of_another_kind_is_a_service_too_also_behind_a_pointer() {
    let replies = ["All aboard.", "Mind the gap."].map(ScriptedReply::text);
    let engine: Arc<dyn InferenceEngine> = Arc::new(ScriptedEngine::new(replies));
    let service = EngineService::new(engine);
    let reply = service.clone().oneshot(request(5)).await.unwrap();
    assert_eq!(reply.text, "All aboard.");
    let mut stream = service.streaming().oneshot(request(5)).await.unwrap();
    let mut texts = Vec::new();
    while let Some(event) = stream.next().await {
        if let GenerationEvent::Text(text) = event.unwrap() {
            texts.push(text);
        }
    }
    assert_eq!(texts, ["Mind ", "the ", "gap."]);
}
