//! The runtime on the bundled model, as an agent uses it.

mod refusals;

use std::time::Duration;

use elpis::inference::FinishReason;
use elpis::settings::{ContextOverflow, ModelSettings, RuntimeSettings};
use elpis::{
    ChatMessage, Coefficients, Delivery, Elpis, EngineError, Error, Event, GenerationEvent,
    InferenceEngine, ModulationTiming, Settings,
};

use super::BACKEND;
use crate::support::hardware::hardware;

const QUESTION: &str = "Tell me about trains.";

pub fn settings() -> Settings {
    let model = ModelSettings::default()
        .backend(BACKEND)
        .hardware_backend(hardware());
    let mut settings = Settings::default().model(model);
    // So that only what a test says moves its sessions.
    settings.emotion.response_analysis_enabled = false;
    settings
}

pub async fn start(settings: Settings) -> Elpis {
    Elpis::start(settings).await.unwrap()
}

pub async fn say(elpis: &Elpis, session: &str, seed: u64) -> String {
    let session = elpis.session(session).unwrap();
    let reply = session.chat(QUESTION).max_tokens(32).seed(seed);
    reply.complete().await.unwrap().text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_text_also_after_a_restart() {
    let first = start(settings()).await;
    let text = say(&first, "a", 7).await;
    assert!(text.len() > 20, "{text:?}");
    assert_eq!(say(&first, "a", 7).await, text);
    assert_eq!(say(&first, "another session", 7).await, text);
    let others: Vec<String> = [say(&first, "a", 8).await, say(&first, "a", 9).await].into();
    assert!(others.iter().any(|other| *other != text));
    first.shutdown().await;
    let second = start(settings()).await;
    assert_eq!(say(&second, "a", 7).await, text);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_changes_the_next_generation() {
    let elpis = start(settings()).await;
    let session = elpis.session("a").unwrap();
    let ask = async || {
        let reply = session.chat(QUESTION).max_tokens(24).seed(1);
        reply.complete().await.unwrap()
    };
    let calm = ask().await;
    for _ in 0..4 {
        session.feel("blocked").await.unwrap();
    }
    let state = session.state().await.unwrap();
    assert!(state.valence < -0.5 && state.arousal > 0.5, "{state:?}");
    let upset = ask().await;
    let (before, after) = (
        calm.report.modulation().unwrap(),
        upset.report.modulation().unwrap(),
    );
    assert!(after.sampling.temperature < before.sampling.temperature - 0.05);
    assert!(after.sampling.top_p < before.sampling.top_p);
    assert!(after.coefficients.get("frustrated") > before.coefficients.get("frustrated"));
    assert!(after.steering[0].norm > before.steering.first().map_or(0.0, |s| s.norm) + 1.0);
    assert_eq!(after.library_version, elpis.steering_library().version());
    assert_eq!(after.sampling.seed, 1);
    assert_ne!(calm.text, upset.text);
    // Another session feels nothing of it.
    let other = elpis.session("b").unwrap().state().await.unwrap();
    assert_eq!((other.valence, other.arousal), (0.0, 0.0));
    let plain = session
        .chat(QUESTION)
        .max_tokens(24)
        .seed(1)
        .emotional_modulation(false);
    let plain = plain.complete().await.unwrap();
    assert!(plain.report.modulation().unwrap().steering.is_empty());
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steering_alone_changes_greedy_text() {
    let elpis = start(settings()).await;
    let session = elpis.session("a").unwrap();
    let mut texts = Vec::new();
    for emotion in [
        None,
        Some("excited"),
        Some("calm"),
        Some("frustrated"),
        Some("depleted"),
    ] {
        let mut coefficients = Coefficients::new();
        if let Some(emotion) = emotion {
            coefficients.insert(emotion, 1.0).unwrap();
        }
        let chat = session.chat(QUESTION).max_tokens(24).temperature(0.0);
        texts.push(
            chat.coefficients(coefficients)
                .complete()
                .await
                .unwrap()
                .text,
        );
    }
    let plain = texts.remove(0);
    assert!(
        texts.iter().filter(|text| **text != plain).count() >= 3,
        "{plain:?} {texts:?}"
    );
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_arrive_in_pieces_and_end_with_a_report() {
    let elpis = start(settings()).await;
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let mut stream = session
        .chat(QUESTION)
        .max_tokens(16)
        .seed(3)
        .stream()
        .await
        .unwrap();
    let (mut text, mut pieces, mut report) = (String::new(), 0, None);
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            GenerationEvent::Text(piece) => {
                pieces += 1;
                text.push_str(&piece);
            }
            GenerationEvent::Finished(finished) => report = Some(finished),
            other => panic!("{other:?}"),
        }
    }
    let report = report.unwrap();
    assert!(pieces > 3, "{pieces}");
    assert_eq!(report.session.as_str(), "a");
    assert!(report.prompt_tokens > 5);
    assert!((1..=16).contains(&report.completion_tokens));
    assert!(matches!(
        report.finish_reason,
        FinishReason::Length | FinishReason::Stop
    ));
    assert!(report.time_to_first_token <= report.total_time);
    assert!(stream.next().await.is_none());
    let mut seen = Vec::new();
    while let Some(Delivery::Event(event)) = events.try_next() {
        seen.push(event);
    }
    assert!(
        matches!(*seen[0], Event::GenerationStarted { .. }),
        "{seen:?}"
    );
    assert!(matches!(*seen[1], Event::GenerationFinished(_)), "{seen:?}");
    // A stop string ends the text before it.
    let word = text.split_whitespace().nth(2).unwrap().to_owned();
    let stopped = session.chat(QUESTION).max_tokens(16).seed(3).stop(&word);
    let stopped = stopped.complete().await.unwrap();
    assert_eq!(stopped.report.finish_reason, FinishReason::StopString);
    assert_eq!(stopped.text, text[..text.find(&word).unwrap()]);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_is_cancelled() {
    let runtime = RuntimeSettings::default()
        .n_parallel(1_usize)
        .queue_limit(0_usize);
    let elpis = start(settings().runtime(runtime)).await;
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let mut stream = session
        .chat(QUESTION)
        .max_tokens(400)
        .stream()
        .await
        .unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let cancelled = async {
        loop {
            match events.next().await {
                Some(Delivery::Event(event)) => match *event {
                    Event::GenerationCancelled { .. } => return,
                    Event::GenerationFinished(report) => panic!("it went on: {report:?}"),
                    _ => {}
                },
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), cancelled)
        .await
        .unwrap();
    // The slot is free again, once the thread has dropped its side.
    for _ in 0..100 {
        match session.chat(QUESTION).max_tokens(2).complete().await {
            Ok(_) => return elpis.shutdown().await,
            Err(Error::Engine(EngineError::Overloaded { .. })) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the slot is never free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_conversation_loses_its_oldest_turns_if_allowed() {
    let mut settings = settings();
    settings.model.context_overflow = ContextOverflow::DropOldest;
    let elpis = start(settings).await;
    let mut messages = vec![ChatMessage::system("Keep your answers short.")];
    for _ in 0..60 {
        messages.push(ChatMessage::user("Tell me about bread and the garden."));
        messages.push(ChatMessage::assistant("Warm water wakes the yeast."));
    }
    messages.push(ChatMessage::user(QUESTION));
    let session = elpis.session("a").unwrap();
    let reply = session
        .chat(&messages)
        .max_tokens(20)
        .complete()
        .await
        .unwrap();
    let context = elpis.model().unwrap().context_length;
    assert!(reply.report.prompt_tokens + 20 <= context);
    assert!(reply.report.prompt_tokens > context / 2);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runtimes_live_in_one_process() {
    let (first, second) = (start(settings()).await, start(settings()).await);
    first.session("a").unwrap().feel("success").await.unwrap();
    let other = second.session("a").unwrap().state().await.unwrap();
    assert_eq!(other.events_applied, 0);
    let (one, two) = tokio::join!(say(&first, "a", 5), say(&second, "b", 5));
    assert!(!one.is_empty() && !two.is_empty());
    first.shutdown().await;
    assert!(!say(&second, "b", 6).await.is_empty());
    let stopped = first.session("a").unwrap().chat(QUESTION).complete().await;
    assert!(
        matches!(
            stopped,
            Err(Error::Engine(EngineError::Stopped { .. }) | Error::Stopped { .. })
        ),
        "{stopped:?}"
    );
    assert!(matches!(
        first.session("a").unwrap().feel("success").await,
        Err(Error::Stopped { .. })
    ));
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interface_answers_like_the_session() {
    let elpis = start(settings()).await;
    let engine: &dyn InferenceEngine = &elpis;
    let capabilities = engine.capabilities().await.unwrap();
    assert!(capabilities.supports_steering);
    assert_eq!(capabilities.model_name, elpis.model().unwrap().name);
    let request: elpis::ChatRequest = serde_json::from_value(serde_json::json!({
        "session": "a",
        "messages": [{ "role": "user", "content": QUESTION }],
        "options": { "max_tokens": 32, "seed": 7 },
    }))
    .unwrap();
    let reply = engine.chat_completion(request.clone()).await.unwrap();
    assert_eq!(reply.text, say(&elpis, "b", 7).await);
    let tools = engine.function_call(request, serde_json::json!([])).await;
    let refused = match tools {
        Err(Error::Engine(EngineError::Unsupported { .. })) => !cfg!(feature = "tools"),
        Err(Error::Engine(EngineError::Request(_))) => cfg!(feature = "tools"),
        _ => false,
    };
    assert!(refused && capabilities.supports_tools == cfg!(feature = "tools"));
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_event_reaches_a_running_generation() {
    let runtime = RuntimeSettings::default().stream_buffer(1_usize);
    let elpis = start(settings().runtime(runtime)).await;
    let session = elpis.session("a").unwrap();
    let chat = session
        .chat(QUESTION)
        .max_tokens(200)
        .seed(2)
        .stop("no such text");
    let mut stream = chat.timing(ModulationTiming::Live).stream().await.unwrap();
    stream.next().await.unwrap().unwrap();
    session.feel("blocked").await.unwrap();
    let report = stream.completion().await.unwrap().report;
    if report.completion_tokens > 6 {
        assert_eq!(report.modulations.len(), 2, "{report:?}");
        assert!(report.modulations[1].valence < report.modulations[0].valence);
        assert!(report.modulations[1].from_token >= 1);
    }
    elpis.shutdown().await;
}
