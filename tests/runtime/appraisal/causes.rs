//! What moved a session is kept with the change, and the same thing is felt once.

use std::sync::Arc;

use elpis::ManualClock;
use elpis::backend::BackendFactory;
use elpis::emotion::{
    AppraiserChoice, DeclaredEvent, EmotionConfig, EmotionError, EmotionEvent, JournalRecord, known,
};
use elpis::settings::ModelSettings;
use elpis::{ChatMessage, Elpis, Error, Event, EventSource, Settings};

use super::{Notes, find};
use elpis_testkit::scripted::Scripted;
use elpis_testkit::shelf::Shelf;

/// A runtime whose model always says the same.
async fn saying(said: &'static str, emotion: EmotionConfig, shelf: &Shelf) -> Elpis {
    let factory = BackendFactory::new(move |options| {
        let backend = Scripted::new(options.n_sequences, 64, 4000, 0);
        Ok(Box::new(
            backend.saying(Arc::new(move |_: &str| said.to_owned())),
        ))
    });
    let model = ModelSettings::default().chat_format("chatml");
    Elpis::builder(Settings::default().model(model).emotion(emotion))
        .clock(Arc::new(ManualClock::new(1e9)))
        .backend(factory)
        .store(Arc::new(shelf.clone()))
        .start()
        .await
        .unwrap()
}

fn still() -> EmotionConfig {
    EmotionConfig::default()
        .decay_rate(0.0)
        .message_analysis_enabled(true)
}

/// The events of a session's journal: name, source and words.
fn felt(shelf: &Shelf) -> Vec<(String, EventSource, String)> {
    let events = shelf.entries("ada").into_iter().filter_map(|entry| {
        let JournalRecord::Felt(event) = entry.what else {
            return None;
        };
        let words = event.words().unwrap_or_default().to_owned();
        Some((event.name().to_owned(), event.source()?, words))
    });
    events.collect()
}

#[tokio::test]
async fn every_change_says_where_it_comes_from_and_by_which_words() {
    let shelf = Shelf::default();
    let elpis = saying("I looked again. I'm stuck.", still(), &shelf).await;
    let mut events = elpis.events();
    let ada = elpis.session("ada").unwrap();
    ada.feel(known::NOVELTY).await.unwrap();
    for _ in 0..3 {
        ada.record_tool_call("grep", true).await.unwrap();
    }
    ada.chat("I hate this.").complete().await.unwrap();
    ada.chat("And now?").complete().await.unwrap();
    let told = |event: &Event| match event {
        Event::Felt { event, source, .. } if *source == EventSource::Message => {
            assert_eq!(event.source(), Some(*source));
            event.words().map(str::to_owned)
        }
        _ => None,
    };
    assert_eq!(find(&mut events, told).await, "hate");
    elpis.shutdown().await;
    let event = |name: &str, source, words: &str| (name.to_owned(), source, words.to_owned());
    assert_eq!(
        felt(&shelf),
        [
            event("novelty", EventSource::Caller, ""),
            event(
                "frustration",
                EventSource::Behavior,
                "grep called 3 times in 0 s"
            ),
            event("user_negative", EventSource::Message, "hate"),
            // The first reply is to a tool that the program told of.
            event("frustration", EventSource::Reply, "i'm stuck"),
        ]
    );
    // The causes are part of the journal, and change nothing in what it leads to.
    assert!(shelf.replayed("ada").is_some());
    let line = serde_json::to_string(&shelf.entries("ada").last()).unwrap();
    assert!(
        line.contains(r#""source":"reply","words":"i'm stuck""#),
        "{line}"
    );
}

#[tokio::test]
async fn what_a_program_tells_is_not_felt_again_from_the_reply() {
    let outcome = "All tests pass now.";
    for (told, expected) in [("nothing", 1), ("tool", 0), ("event", 0), ("mood", 1)] {
        let shelf = Shelf::default();
        let elpis = saying(outcome, still(), &shelf).await;
        let ada = elpis.session("ada").unwrap();
        match told {
            "tool" => drop(ada.record_tool_call("make", true).await.unwrap()),
            "event" => drop(ada.feel(known::TEST_PASSED).await.unwrap()),
            "mood" => drop(ada.feel(known::NOVELTY).await.unwrap()),
            _ => {}
        }
        ada.chat("Go on.").complete().await.unwrap();
        // What was told counts for the next reply alone.
        ada.chat("Go on.").complete().await.unwrap();
        elpis.shutdown().await;
        let from_reply = |felt: &&(_, EventSource, _)| felt.1 == EventSource::Reply;
        let count = felt(&shelf).iter().filter(from_reply).count();
        assert_eq!(count, expected + 1, "{told}");
    }
}

#[tokio::test]
async fn a_reply_to_a_tools_result_does_not_feel_the_result_again() {
    let shelf = Shelf::default();
    let elpis = saying("The build failed. I feel sad.", still(), &shelf).await;
    let ada = elpis.session("ada").unwrap();
    let messages = [ChatMessage::user("Go on."), ChatMessage::tool("exit 1")];
    ada.chat(messages).complete().await.unwrap();
    elpis.shutdown().await;
    let names: Vec<_> = felt(&shelf).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["sadness"]);
}

#[tokio::test]
async fn an_outcome_that_the_user_tells_is_not_felt_again_from_the_reply() {
    let shelf = Shelf::default();
    let elpis = saying("Great, it works now!", still(), &shelf).await;
    let ada = elpis.session("ada").unwrap();
    ada.chat("It works now!").complete().await.unwrap();
    elpis.shutdown().await;
    let sources: Vec<_> = felt(&shelf)
        .into_iter()
        .map(|(_, source, _)| source)
        .collect();
    assert_eq!(sources, [EventSource::Message]);
}

#[tokio::test]
async fn the_references_reading_is_a_setting() {
    for (appraiser, expected) in [
        (AppraiserChoice::Lexicon, None),
        (AppraiserChoice::Reference, Some("frustration")),
    ] {
        let shelf = Shelf::default();
        let config = EmotionConfig::default().appraiser(appraiser);
        let elpis = saying("I am always here for you.", config, &shelf).await;
        elpis
            .session("ada")
            .unwrap()
            .chat("hello")
            .complete()
            .await
            .unwrap();
        elpis.shutdown().await;
        let name = felt(&shelf).pop().map(|(name, ..)| name);
        assert_eq!(name.as_deref(), expected);
    }
}

#[tokio::test]
async fn unknown_names_are_refused_unless_they_are_declared_or_allowed() {
    let declared = DeclaredEvent::new("deploy_rejected", -0.3, 0.2).unwrap();
    let config = still().events(vec![declared]);
    let shelf = Shelf::default();
    let elpis = saying("ok", config.clone(), &shelf).await;
    let ada = elpis.session("ada").unwrap();
    let error = ada.feel("tset_failed").await.unwrap_err();
    let Error::Emotion(EmotionError::UnknownEvent { name, nearest }) = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (&**name, nearest.as_deref()),
        ("tset_failed", Some("test_failed"))
    );
    assert!(
        error.to_string().contains("did you mean \"test_failed\"?"),
        "{error}"
    );
    let error = ada.feel("weather").await.unwrap_err();
    assert!(error.to_string().contains("`emotion.events`"), "{error}");
    assert_eq!(ada.state().await.unwrap().events_applied, 0);

    let applied = ada.feel("deploy_rejected").await.unwrap();
    assert_eq!((applied.delta_valence, applied.delta_arousal), (-0.3, 0.2));
    ada.feel("test_failed").await.unwrap();
    ada.feel("sadness").await.unwrap();
    ada.feel(EmotionEvent::custom("weather", 0.1, 0.0))
        .await
        .unwrap();
    elpis.shutdown().await;
    // The shift is kept with the event: the journal needs no settings to be read.
    let shifts = shelf
        .entries("ada")
        .into_iter()
        .filter_map(|entry| match entry.what {
            JournalRecord::Felt(event) => Some((event.is_custom(), event.shift())),
            _ => None,
        });
    assert_eq!(shifts.collect::<Vec<_>>()[0], (true, (-0.3, 0.2)));

    let allowed = config.allow_unknown_events(true);
    let elpis = saying("ok", allowed, &Shelf::default()).await;
    let applied = elpis.session("ada").unwrap().feel("weather").await.unwrap();
    assert_eq!((applied.delta_valence, applied.delta_arousal), (0.0, 0.05));
    elpis.shutdown().await;
}

#[tokio::test]
async fn an_appraiser_names_events_under_the_same_rule() {
    let unknown = |_: &elpis::AppraisedText| Ok(Some(EmotionEvent::named("shouting").unwrap()));
    let elpis = super::start(
        EmotionConfig::default(),
        Some(Notes::new(unknown)),
        &Shelf::default(),
    )
    .await;
    let mut events = elpis.events();
    super::say(&elpis, "hello").await;
    let failed = |event: &Event| match event {
        Event::AppraisalFailed { kind, reason, .. } => Some((*kind, reason.clone())),
        _ => None,
    };
    let (kind, reason) = find(&mut events, failed).await;
    assert_eq!(kind, "refused");
    assert!(
        reason.contains("no event is named \"shouting\""),
        "{reason}"
    );
    elpis.shutdown().await;
}

#[tokio::test]
async fn the_middle_is_neutral_and_the_quadrants_stay() {
    let shelf = Shelf::default();
    let elpis = saying("ok", still(), &shelf).await;
    let ada = elpis.session("ada").unwrap();
    let named = async |x: f64, y: f64| {
        ada.reset().await.unwrap();
        ada.feel(EmotionEvent::custom("step", x, y)).await.unwrap();
        let state = ada.state().await.unwrap();
        assert_eq!(state.mood, state.modulation.mood);
        let report = ada.chat("hi").complete().await.unwrap().report;
        assert_eq!(report.modulation().unwrap().mood, state.mood);
        let json = serde_json::to_value(&state).unwrap();
        (json["mood"].clone(), json["quadrant"].clone())
    };
    for (x, y, mood, quadrant) in [
        (0.0, 0.0, "neutral", "excited"),
        (-0.05, -0.05, "neutral", "depleted"),
        (0.1, 0.0, "neutral", "excited"),
        (0.11, 0.0, "excited", "excited"),
        (-0.2, 0.1, "frustrated", "frustrated"),
        (0.2, -0.1, "calm", "calm"),
        (-0.2, -0.1, "depleted", "depleted"),
    ] {
        assert_eq!(named(x, y).await, (mood.into(), quadrant.into()), "{x} {y}");
    }
    elpis.shutdown().await;
    // It lies around the baseline, and can be as small as the baseline.
    let melancholy = EmotionConfig::default()
        .baseline_valence(-0.4)
        .baseline_arousal(-0.3);
    let mood = |config: &EmotionConfig, x, y| {
        config
            .mood(elpis::emotion::EmotionalState::new(x, y).unwrap())
            .as_str()
    };
    assert_eq!(mood(&melancholy, -0.35, -0.3), "neutral");
    assert_eq!(mood(&melancholy, 0.0, 0.0), "excited");
    let sharp = EmotionConfig::default().neutral_radius(0.0);
    assert_eq!(mood(&sharp, 0.0, 0.0), "neutral");
    assert_eq!(mood(&sharp, 1e-9, 0.0), "excited");
}
