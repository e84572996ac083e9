//! Appraisers: the model itself, one that fails, one that asks the model.

use std::sync::Arc;
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::{EmotionConfig, EmotionEvent};
use elpis::settings::ModelSettings;
use elpis::{
    AppraisalError, AppraisedText, Appraiser, BoxFuture, Elpis, Event, EventSource, Settings,
};
use elpis_testkit::scripted::Scripted;
use elpis_testkit::shelf::Shelf;

use super::{Notes, Verdict, find, insight, say, start};

/// What a scripted model names when it is asked for a feeling is what is felt.
#[cfg(feature = "tools")]
#[tokio::test]
async fn the_models_own_reading_is_felt_as_strongly_as_it_says() {
    use elpis::ModelAppraiser;
    for (answer, expected) in [
        ("failure strong", Some(("failure", 1.0))),
        ("success weak", Some(("success", 0.4))),
        ("none", None),
    ] {
        let factory = BackendFactory::new(move |options| {
            let script = move |prompt: &str| {
                let asked = prompt.contains("You name the feeling");
                let said = if asked && prompt.contains("tests went") {
                    answer
                } else {
                    "The tests went on."
                };
                said.to_owned()
            };
            let backend = Scripted::new(options.n_sequences, 64, 4000, 0);
            Ok(Box::new(backend.saying(Arc::new(script))))
        });
        let model = ModelSettings::default().chat_format("chatml");
        let builder = Elpis::builder(Settings::default().model(model)).backend(factory);
        let elpis = builder.appraiser(ModelAppraiser).start().await.unwrap();
        let mut events = elpis.events();
        let chat = elpis.session("ada").unwrap().chat("How are the tests?");
        let reply = chat.max_tokens(40).complete().await.unwrap();
        assert_eq!(reply.text, "The tests went on.");
        let state = elpis.session("ada").unwrap().state().await.unwrap();
        assert_eq!(
            state.events_applied,
            u64::from(expected.is_some()),
            "{answer}"
        );
        if let Some((name, intensity)) = expected {
            let felt = |event: &Event| match event {
                Event::Felt { event, source, .. } => Some((event.clone(), *source)),
                Event::AppraisalFailed { reason, .. } => panic!("{reason}"),
                _ => None,
            };
            let (event, source) = find(&mut events, felt).await;
            assert_eq!((event.name(), event.intensity()), (name, intensity));
            assert_eq!(source, EventSource::Reply);
            assert!((state.valence > 0.0) == (name == "success"), "{state:?}");
        }
        elpis.shutdown().await;
    }
}

#[tokio::test]
async fn an_appraiser_that_fails_or_panics_breaks_no_conversation() {
    fn fail(_: &AppraisedText) -> Result<Option<EmotionEvent>, AppraisalError> {
        Err(AppraisalError::Other("no opinion".into()))
    }
    fn panic(_: &AppraisedText) -> Result<Option<EmotionEvent>, AppraisalError> {
        panic!("it panics, as it should in this test")
    }
    for (verdict, kind) in [(fail as Verdict, "other"), (panic as Verdict, "panicked")] {
        let elpis = start(
            EmotionConfig::default(),
            Some(Notes::new(verdict)),
            &Shelf::default(),
        )
        .await;
        let mut events = elpis.events();
        assert_eq!(say(&elpis, "hello").await.len(), 8);
        let failed = |event: &Event| match event {
            Event::AppraisalFailed { source, kind, .. } => Some((*source, *kind)),
            _ => None,
        };
        assert_eq!(find(&mut events, failed).await, (EventSource::Reply, kind));
        let state = elpis.session("ada").unwrap().state().await.unwrap();
        assert_eq!(state.events_applied, 0);
        elpis.shutdown().await;
    }
}

/// Generates with the session that it is given.
struct Asking;

impl Appraiser for Asking {
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>> {
        Box::pin(async move {
            let chat = text.session.chat("What was that?").max_tokens(4);
            chat.complete().await?;
            insight(&text)
        })
    }
}

#[tokio::test]
async fn what_an_appraiser_generates_is_not_appraised() {
    let factory = BackendFactory::new(|options| {
        let sequences = options.n_sequences;
        Ok(Box::new(Scripted::new(sequences, 64, 1000, usize::MAX)))
    });
    let model = ModelSettings::default().chat_format("chatml");
    let builder = Elpis::builder(Settings::default().model(model)).backend(factory);
    let elpis = builder.appraiser(Asking).start().await.unwrap();
    let limit = Duration::from_secs(20);
    let said = tokio::time::timeout(limit, say(&elpis, "hello")).await;
    assert_eq!(said.unwrap().len(), 8);
    let state = elpis.session("ada").unwrap().state().await.unwrap();
    assert_eq!(state.events_applied, 1);
    elpis.shutdown().await;
}
