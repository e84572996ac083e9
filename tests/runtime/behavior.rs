//! What sessions do becomes feelings: tool calls, generations and silence.
#![allow(clippy::float_cmp, reason = "states are kept bit for bit")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::EmotionConfig;
use elpis::settings::{Durability, ModelSettings, StoreSettings};
use elpis::{Clock, Delivery, Elpis, Error, Event, EventSource, Events, Settings};
use elpis_testkit::scripted::Scripted;
use elpis_testkit::shelf::Shelf;
use tokio::time::Instant;

/// Follows Tokio's clock, which a test can pause.
#[derive(Debug)]
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> f64 {
        1e9 + self.0.elapsed().as_secs_f64()
    }
}

/// Each look goes on by so many seconds, the second number.
#[derive(Debug)]
struct Racing(Mutex<(f64, f64)>);

impl Clock for Racing {
    fn now(&self) -> f64 {
        let mut state = self.0.lock().unwrap();
        state.0 += state.1;
        state.0
    }
}

async fn start(
    emotion: EmotionConfig,
    clock: Arc<dyn Clock>,
    store: Option<(&Shelf, Durability)>,
) -> Elpis {
    let factory = BackendFactory::new(|options| {
        let sequences = options.n_sequences;
        Ok(Box::new(Scripted::new(sequences, 64, 1000, usize::MAX)))
    });
    let model = ModelSettings::default().chat_format("chatml");
    let mut settings = Settings::default().model(model).emotion(emotion);
    if let Some((_, durability)) = store {
        let store = StoreSettings::default().durability(durability);
        settings = settings.store(
            store
                .flush_interval(Duration::from_millis(5))
                .idle_timeout(Duration::from_secs(200)),
        );
    }
    let builder = Elpis::builder(settings).clock(clock).backend(factory);
    match store {
        Some((shelf, _)) => builder.store(Arc::new(shelf.clone())),
        None => builder,
    }
    .start()
    .await
    .unwrap()
}

/// The events that were felt so far, with their sources.
async fn felt(events: &mut Events) -> Vec<(String, String, f64, EventSource)> {
    let mut felt = Vec::new();
    let soon = Duration::from_millis(20);
    while let Ok(Some(delivery)) = tokio::time::timeout(soon, events.next()).await {
        if let Delivery::Event(event) = delivery
            && let Event::Felt {
                session,
                event,
                source,
                ..
            } = &*event
        {
            let (session, name) = (session.to_string(), event.name().to_owned());
            felt.push((session, name, event.intensity(), *source));
        }
    }
    felt
}

#[tokio::test]
async fn a_retry_loop_and_a_failure_streak_are_felt_and_relived() {
    for durability in [None, Some(Durability::Relaxed), Some(Durability::Sync)] {
        let shelf = Shelf::default();
        let clock = Arc::new(Paused(Instant::now()));
        let store = durability.map(|durability| (&shelf, durability));
        let elpis = start(EmotionConfig::default(), clock, store).await;
        let mut events = elpis.events();
        let ada = elpis.session("ada").unwrap();
        let mut counts = Vec::new();
        for succeeded in [true, false, false, false] {
            counts.push(ada.record_tool_call("grep", succeeded).await.unwrap().len());
        }
        assert_eq!(counts, [0, 0, 2, 1], "{durability:?}");
        let behavior = EventSource::Behavior;
        let expected = [("frustration", 0.6), ("error", 0.5), ("error", 0.6)];
        let expected = expected.map(|(name, i)| ("ada".to_owned(), name.to_owned(), i, behavior));
        assert_eq!(felt(&mut events).await, expected);
        let bob = elpis.session("bob").unwrap();
        assert!(
            bob.record_tool_call("grep", false)
                .await
                .unwrap()
                .is_empty()
        );
        ada.reset().await.unwrap();
        assert!(
            ada.record_tool_call("grep", false)
                .await
                .unwrap()
                .is_empty()
        );
        let refused = ada.record_tool_call("", true).await.unwrap_err();
        assert!(matches!(refused, Error::Emotion(_)), "{refused}");
        ada.record_tool_call("grep", false).await.unwrap();
        let state = ada.state().await.unwrap();
        assert_eq!(state.events_applied, 1);
        elpis.shutdown().await;
        if durability.is_some() {
            assert_eq!(shelf.replayed("ada").unwrap().events_applied(), 1);
        }
    }
}

#[tokio::test]
async fn without_monitoring_nothing_is_felt() {
    let config = EmotionConfig::default().behavioral_monitoring_enabled(false);
    let elpis = start(config, Arc::new(Paused(Instant::now())), None).await;
    let ada = elpis.session("ada").unwrap();
    for _ in 0..5 {
        assert!(
            ada.record_tool_call("grep", false)
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert!(ada.record_tool_call("", false).await.is_err());
    elpis.shutdown().await;
}

#[tokio::test]
async fn a_generation_is_felt_as_slow_only_beside_those_before_it() {
    // Seconds of each look while four generations run.
    for (steps, expected) in [
        ([0.0; 4], 0),
        ([20.0; 4], 0),
        ([0.5, 0.5, 0.5, 20.0], 1),
        ([20.0, 20.0, 20.0, 0.5], 0),
    ] {
        let clock = Arc::new(Racing(Mutex::new((1e9, 0.0))));
        let elpis = start(EmotionConfig::default(), clock.clone(), None).await;
        let mut events = elpis.events();
        let ada = elpis.session("ada").unwrap();
        for step in steps {
            clock.0.lock().unwrap().1 = step;
            ada.chat("hello").max_tokens(4).complete().await.unwrap();
        }
        let felt = felt(&mut events).await;
        let blocked = felt.iter().filter(|(_, name, intensity, source)| {
            (&**name, *intensity, *source) == ("blocked", 0.3, EventSource::Behavior)
        });
        assert_eq!(blocked.count(), expected, "{steps:?}: {felt:?}");
        elpis.shutdown().await;
    }
}

#[tokio::test]
async fn silence_is_felt_again_and_again_but_not_for_ever() {
    let elpis = start(
        EmotionConfig::default(),
        Arc::new(Paused(Instant::now())),
        None,
    )
    .await;
    let mut events = elpis.events();
    let ada = elpis.session("ada").unwrap();
    elpis.session("bob").unwrap().feel("success").await.unwrap();
    ada.record_tool_call("grep", true).await.unwrap();
    felt(&mut events).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(115)).await;
    assert_eq!(felt(&mut events).await, []);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = (
        "ada".to_owned(),
        "idle".to_owned(),
        0.5,
        EventSource::Behavior,
    );
    assert_eq!(
        felt(&mut events).await,
        std::slice::from_ref(&idle),
        "bob is not watched"
    );
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(felt(&mut events).await, std::slice::from_ref(&idle));
    // Activity ends the silence.
    ada.record_tool_call("grep", true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(110)).await;
    assert_eq!(felt(&mut events).await, []);
    tokio::time::sleep(Duration::from_hours(24)).await;
    assert_eq!(felt(&mut events).await.len(), 10);
    ada.record_tool_call("grep", true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(125)).await;
    assert_eq!(felt(&mut events).await, [idle], "a new silence");
    tokio::time::resume();
    elpis.shutdown().await;
}

#[tokio::test]
async fn silence_keeps_no_session_awake_and_wakes_none() {
    let shelf = Shelf::default();
    let clock = Arc::new(Paused(Instant::now()));
    let store = Some((&shelf, Durability::Relaxed));
    let elpis = start(EmotionConfig::default(), clock, store).await;
    let mut events = elpis.events();
    let ada = elpis.session("ada").unwrap();
    ada.record_tool_call("grep", true).await.unwrap();
    ada.feel("success").await.unwrap();
    elpis.flush().await.unwrap();
    felt(&mut events).await;
    tokio::time::pause();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        // The thread that writes knows nothing of the paused clock.
        tokio::time::resume();
        elpis.flush().await.unwrap();
        tokio::time::pause();
    }
    let count = felt(&mut events).await.len();
    assert!((1..=3).contains(&count), "left memory after 200 s: {count}");
    tokio::time::resume();
    let expected = ada.state().await.unwrap();
    elpis.shutdown().await;
    let replayed = shelf.replayed("ada").unwrap();
    assert_eq!(replayed.events_applied(), expected.events_applied);
}

#[tokio::test]
async fn a_thousand_silences_come_due_at_once_and_all_are_told() {
    let elpis = start(
        EmotionConfig::default(),
        Arc::new(Paused(Instant::now())),
        None,
    )
    .await;
    for index in 0..1000 {
        let session = elpis.session(format!("s{index}")).unwrap();
        session.record_tool_call("grep", true).await.unwrap();
    }
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(121)).await;
    let idle = async || {
        let mut count = 0;
        for index in 0..1000 {
            let session = elpis.session(format!("s{index}")).unwrap();
            count += session.state().await.unwrap().events_applied;
        }
        count
    };
    let first = idle().await;
    assert!(first < 1000, "a tick looks at a bounded number: {first}");
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(idle().await, 1000);
    tokio::time::resume();
    elpis.shutdown().await;
}
