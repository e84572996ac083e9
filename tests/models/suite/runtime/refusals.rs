//! Requests and settings that a runtime refuses.

use std::time::Duration;

use elpis::backend::BackendError;
use elpis::inference::RequestError;
use elpis::settings::{HardwareBackend, RuntimeSettings};
use elpis::{ChatMessage, Elpis, EngineError, Error};

use super::super::BACKEND;
use super::{QUESTION, say, settings, start};

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_run_at_once_and_what_is_too_much_is_refused() {
    let runtime = RuntimeSettings::default()
        .n_parallel(2_usize)
        .queue_limit(3_usize);
    let elpis = start(settings().runtime(runtime)).await;
    let mut streams = Vec::new();
    for index in 0..5 {
        let session = elpis.session(format!("s{index}")).unwrap();
        streams.push(
            session
                .chat(QUESTION)
                .max_tokens(20)
                .seed(index)
                .stream()
                .await
                .unwrap(),
        );
    }
    let session = elpis.session("late").unwrap();
    let refused = session.chat(QUESTION).max_tokens(20).stream().await;
    assert!(
        matches!(
            refused,
            Err(Error::Engine(EngineError::Overloaded { limit: 5 }))
        ),
        "{refused:?}"
    );
    for stream in streams {
        assert!(!stream.completion().await.unwrap().text.is_empty());
    }
    assert!(
        !session
            .chat(QUESTION)
            .max_tokens(20)
            .complete()
            .await
            .unwrap()
            .text
            .is_empty()
    );
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_and_the_runtime_serves_on() {
    let elpis = start(settings()).await;
    let session = elpis.session("a").unwrap();
    let refuse = async |chat: elpis::Chat, expected: &str| {
        let error = chat.complete().await.unwrap_err();
        assert!(
            matches!(error, Error::Engine(EngineError::Request(_))),
            "{error:?}"
        );
        assert!(
            error.to_string().contains(expected),
            "{error} lacks {expected}"
        );
    };
    refuse(session.chat(Vec::new()), "message").await;
    refuse(session.chat(""), "no content").await;
    refuse(session.chat("x").temperature(f32::NAN), "temperature").await;
    refuse(session.chat("x").temperature(9.0), "9").await;
    refuse(session.chat("x").top_p(0.0), "top_p").await;
    refuse(session.chat("x").min_p(1.0), "min_p").await;
    refuse(
        session.chat("x").repetition_penalty(0.0),
        "repetition_penalty",
    )
    .await;
    refuse(session.chat("x").presence_penalty(3.0), "presence_penalty").await;
    refuse(
        session.chat("x").frequency_penalty(f32::NAN),
        "frequency_penalty",
    )
    .await;
    refuse(
        session.chat("x").repetition_window(5000),
        "repetition_window",
    )
    .await;
    refuse(session.chat("x").max_tokens(0), "max_tokens").await;
    refuse(session.chat("x").stop(""), "stop").await;
    refuse(session.chat("x").timeout(Duration::ZERO), "timeout_seconds").await;
    let long = "many words ".repeat(2000);
    let error = session.chat(long.as_str()).complete().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Engine(EngineError::Request(RequestError::PromptTooLong { prompt, context }))
                if prompt > 2000 && context <= 1024
        ),
        "{error:?}"
    );
    let before = session.state().await.unwrap();
    assert!(
        elpis::EmotionEvent::named("success")
            .unwrap()
            .with_intensity(f64::NAN)
            .is_err()
    );
    assert!(matches!(session.feel("").await, Err(Error::Emotion(_))));
    assert!(matches!(
        session.set_strength(99.0).await,
        Err(Error::Emotion(_))
    ));
    let custom = elpis::EmotionEvent::custom("x", f64::INFINITY, 0.0);
    assert!(matches!(session.feel(custom).await, Err(Error::Emotion(_))));
    assert_eq!(
        session.state().await.unwrap().events_applied,
        before.events_applied
    );
    assert!(elpis.session("").is_err());
    assert!("manager".parse::<elpis::Role>().is_err());
    assert!(!say(&elpis, "a", 1).await.is_empty());
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_beyond_the_model_or_the_machine_are_refused() {
    let mut long = settings();
    long.model.context_length = Some(100_000);
    let error = Elpis::start(long).await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Backend(BackendError::Limit {
                field: "context_length",
                ..
            })
        ),
        "{error:?}"
    );
    let mut metal = settings();
    metal.model.hardware_backend = HardwareBackend::Metal;
    if !elpis::backend::devices_of(BACKEND)
        .iter()
        .any(|d| d.kind == elpis::backend::DeviceKind::Metal)
    {
        let error = Elpis::start(metal).await.unwrap_err();
        assert!(error.to_string().contains("cpu"), "{error}");
    }
    let mut format = settings();
    format.model.chat_format = Some("chatmll".into());
    let error = Elpis::start(format).await.unwrap_err();
    assert!(error.to_string().contains("chatml"), "{error}");
    let mut range = settings();
    range.model.temperature = f64::NAN;
    assert!(matches!(Elpis::start(range).await, Err(Error::Settings(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_is_the_callers_error() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template.jinja");
    let source = "{% if messages|length > 1 %}{{ raise_exception('one message only') }}{% endif %}\
        {{ messages[0]['content'] }}";
    std::fs::write(&template, source).unwrap();
    let mut with_template = settings();
    with_template.model.chat_format = Some(template.display().to_string());
    let elpis = start(with_template).await;
    let session = elpis.session("a").unwrap();
    let two = vec![ChatMessage::user("a"), ChatMessage::assistant("b")];
    let error = session.chat(two).complete().await.unwrap_err();
    assert!(
        matches!(error, Error::Engine(EngineError::Template(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("one message only"));
    assert!(
        session
            .chat(QUESTION)
            .max_tokens(4)
            .complete()
            .await
            .is_ok()
    );
    elpis.shutdown().await;
}
