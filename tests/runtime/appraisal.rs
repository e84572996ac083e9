//! Feelings read from text: who reads what, how far it moves a session, and
//! that nothing of it breaks a conversation.
#![allow(clippy::float_cmp, reason = "states are kept bit for bit")]
#![allow(clippy::unnecessary_wraps, reason = "verdicts share a type")]

mod appraisers;
mod causes;
mod precision;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::{EmotionConfig, EmotionEvent, SafetyLimit, known};
use elpis::settings::ModelSettings;
use elpis::{
    AppraisalError, AppraisedText, Appraiser, BoxFuture, ChatMessage, Delivery, Elpis, Event,
    EventSource, Events, ManualClock, Settings,
};
use elpis_testkit::scripted::Scripted;
use elpis_testkit::shelf::Shelf;

/// What an appraiser of the tests does with a text.
type Verdict = fn(&AppraisedText) -> Result<Option<EmotionEvent>, AppraisalError>;

/// Notes what it is shown.
#[derive(Clone)]
struct Notes {
    verdict: Verdict,
    seen: Arc<Mutex<Vec<(EventSource, String)>>>,
}

impl Notes {
    fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            seen: Arc::default(),
        }
    }

    fn seen(&self) -> Vec<(EventSource, String)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Appraiser for Notes {
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>> {
        let seen = (text.source, text.text.clone());
        self.seen.lock().unwrap().push(seen);
        Box::pin(async move { (self.verdict)(&text) })
    }
}

fn insight(_: &AppraisedText) -> Result<Option<EmotionEvent>, AppraisalError> {
    Ok(Some(known::INSIGHT.into()))
}

fn both(config: &EmotionConfig) -> EmotionConfig {
    config.clone().message_analysis_enabled(true)
}

async fn start(emotion: EmotionConfig, appraiser: Option<Notes>, shelf: &Shelf) -> Elpis {
    let factory = BackendFactory::new(|options| {
        let sequences = options.n_sequences;
        Ok(Box::new(Scripted::new(sequences, 64, 1000, usize::MAX)))
    });
    let model = ModelSettings::default().chat_format("chatml");
    let builder = Elpis::builder(Settings::default().model(model).emotion(emotion))
        .clock(Arc::new(ManualClock::new(1e9)))
        .backend(factory)
        .store(Arc::new(shelf.clone()));
    match appraiser {
        Some(appraiser) => builder.appraiser(appraiser),
        None => builder,
    }
    .start()
    .await
    .unwrap()
}

async fn say(elpis: &Elpis, text: &str) -> String {
    let chat = elpis.session("ada").unwrap().chat(text);
    chat.max_tokens(8).seed(1).complete().await.unwrap().text
}

async fn find<T>(events: &mut Events, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(Delivery::Event(event)) = events.next().await
                && let Some(found) = wanted(&event)
            {
                return found;
            }
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, found).await.unwrap()
}

#[tokio::test]
async fn a_reply_is_felt_before_its_end_is_told_and_replays_exactly() {
    let (shelf, notes) = (Shelf::default(), Notes::new(insight));
    let elpis = start(EmotionConfig::default(), Some(notes.clone()), &shelf).await;
    let mut events = elpis.events();
    let reply = say(&elpis, "It failed again").await;
    assert_eq!(notes.seen(), [(EventSource::Reply, reply)]);
    let ada = elpis.session("ada").unwrap();
    let state = ada.state().await.unwrap();
    assert_eq!((state.valence, state.arousal), (0.25, 0.2));
    let source = |event: &Event| match event {
        Event::Felt { source, .. } => Some(*source),
        _ => None,
    };
    assert_eq!(find(&mut events, source).await, EventSource::Reply);
    ada.feel("success").await.unwrap();
    assert_eq!(find(&mut events, source).await, EventSource::Caller);
    let state = ada.state().await.unwrap();
    elpis.shutdown().await;
    let replayed = shelf.replayed("ada").unwrap().state_at(1e9);
    assert_eq!(
        (replayed.valence(), replayed.arousal()),
        (state.valence, state.arousal)
    );
}

#[tokio::test]
async fn the_users_message_is_read_by_its_words_before_it_is_answered() {
    let elpis = start(both(&EmotionConfig::default()), None, &Shelf::default()).await;
    let chat = elpis.session("ada").unwrap().chat("It failed again");
    let reply = chat.max_tokens(4).complete().await.unwrap();
    let felt = reply.report.modulation().unwrap();
    let intensity = 0.4 + 0.6 * 0.7;
    assert!((felt.valence + 0.15 * intensity).abs() < 1e-9, "{felt:?}");
    assert!((felt.arousal - 0.25 * intensity).abs() < 1e-9, "{felt:?}");
    elpis.shutdown().await;
}

#[tokio::test]
async fn settings_and_requests_say_what_is_read() {
    use EventSource::{Message, Reply};
    let off = EmotionConfig::default().response_analysis_enabled(false);
    let notes = Notes::new(insight);
    let elpis = start(off, Some(notes.clone()), &Shelf::default()).await;
    say(&elpis, "hello").await;
    assert_eq!(notes.seen(), []);
    elpis.shutdown().await;

    let elpis = start(
        both(&EmotionConfig::default()),
        Some(notes.clone()),
        &Shelf::default(),
    )
    .await;
    let ada = elpis.session("ada").unwrap();
    let plain = ada.chat("hello").max_tokens(4).emotional_modulation(false);
    plain.complete().await.unwrap();
    assert_eq!(notes.seen(), [], "emotion is left out");
    let messages = [ChatMessage::user("hello"), ChatMessage::tool("error")];
    ada.chat(messages).max_tokens(4).complete().await.unwrap();
    let seen: Vec<_> = notes.seen().into_iter().map(|(source, _)| source).collect();
    assert_eq!(seen, [EventSource::Reply], "a tool's result is no message");
    let mut stream = ada.chat("hello").stream().await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    say(&elpis, "bye").await;
    let seen: Vec<_> = notes.seen().into_iter().map(|(source, _)| source).collect();
    assert_eq!(
        seen,
        [Reply, Message, Message, Reply],
        "what was cancelled is not read"
    );
    elpis.shutdown().await;
}

#[cfg(feature = "tools")]
#[tokio::test]
async fn a_reply_of_a_given_form_is_not_read() {
    let notes = Notes::new(insight);
    let elpis = start(
        EmotionConfig::default(),
        Some(notes.clone()),
        &Shelf::default(),
    )
    .await;
    let chat = elpis.session("ada").unwrap().chat("hello");
    let chat = chat.response_format(elpis::ResponseFormat::regex("[a-z]+"));
    chat.max_tokens(8).complete().await.unwrap();
    assert_eq!(notes.seen(), []);
    elpis.shutdown().await;
}

#[tokio::test]
async fn the_texts_of_a_turn_move_a_session_no_further_than_the_bound() {
    fn strong(text: &AppraisedText) -> Result<Option<EmotionEvent>, AppraisalError> {
        let sign = if text.source == EventSource::Reply {
            -1.0
        } else {
            1.0
        };
        let event = EmotionEvent::custom("swing", sign, sign).unwrap();
        Ok(Some(event.with_intensity(2.0).unwrap()))
    }
    for bound in [0.0, 0.1, 0.5] {
        let config = both(&EmotionConfig::default()).appraisal_max_delta(bound);
        let shelf = Shelf::default();
        let elpis = start(config, Some(Notes::new(strong)), &shelf).await;
        let mut events = elpis.events();
        let chat = elpis.session("ada").unwrap().chat("All is well!");
        let reply = chat.max_tokens(4).complete().await.unwrap();
        let at_start = reply.report.modulation().unwrap().valence;
        assert!(at_start <= bound && at_start > bound - 1e-4, "{at_start}");
        let state = elpis.session("ada").unwrap().state().await.unwrap();
        let way = at_start + (at_start - state.valence).abs();
        assert!(
            way <= bound + 1e-9 && way > bound - 1e-3,
            "{way} of {bound}"
        );
        let limit = |event: &Event| match event {
            Event::LimitActed { limit, asked, .. } => Some((*limit, asked.clone())),
            _ => None,
        };
        let (limit, asked) = find(&mut events, limit).await;
        assert_eq!((limit, &*asked), (SafetyLimit::Appraisal, "swing"));
        // Another turn has a bound of its own.
        if bound > 0.0 {
            let before = state.valence;
            say(&elpis, "All is well!").await;
            let after = elpis.session("ada").unwrap().state().await.unwrap();
            assert_ne!(after.events_applied, state.events_applied, "{before}");
        }
        let state = elpis.session("ada").unwrap().state().await.unwrap();
        elpis.shutdown().await;
        if let Some(replayed) = shelf.replayed("ada") {
            assert_eq!(replayed.state_at(1e9).valence(), state.valence);
        } else {
            assert_eq!(bound, 0.0, "nothing was felt");
        }
    }
}

#[tokio::test]
async fn no_text_moves_further_than_an_event_in_either_direction() {
    fn swing(_: &AppraisedText) -> Result<Option<EmotionEvent>, AppraisalError> {
        let event = EmotionEvent::custom("swing", -0.4, 1.0).unwrap();
        Ok(Some(event.with_intensity(2.0).unwrap()))
    }
    for (texts, event) in [(0.5, 0.1), (0.1, 0.5), (2.0, 0.2), (0.3, 0.0)] {
        let config = both(&EmotionConfig::default())
            .appraisal_max_delta(texts)
            .max_delta(event)
            .decay_rate(0.0);
        let elpis = start(config, Some(Notes::new(swing)), &Shelf::default()).await;
        say(&elpis, "All is well!").await;
        let state = elpis.session("ada").unwrap().state().await.unwrap();
        elpis.shutdown().await;
        // Message and reply together.
        let bound = f64::min(texts, event);
        let (valence, arousal) = (state.valence.abs(), state.arousal.abs());
        assert!(
            arousal <= bound + 1e-9 && arousal > bound - 1e-3,
            "{state:?}"
        );
        assert!(
            valence <= bound + 1e-9 && (bound == 0.0) == (valence == 0.0),
            "{state:?}"
        );
    }
}

/// What the appraiser shows of a reply whose thinking the template has opened.
#[tokio::test]
async fn thinking_that_was_cut_off_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.jinja");
    let source = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
                  {{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n<think>\n";
    std::fs::write(&file, source).unwrap();
    let notes = Notes::new(insight);
    let factory = BackendFactory::new(|options| {
        let said = "It failed again, it is wrong.</think>It is done.";
        // Behind the reply's beginning stands what the template has opened.
        let script = move |_: &str| format!("<think>{said}");
        let backend = Scripted::new(options.n_sequences, 64, 1000, 0);
        Ok(Box::new(backend.saying(Arc::new(script))))
    });
    let model = ModelSettings::default().chat_format(file.display().to_string());
    let builder = Elpis::builder(Settings::default().model(model)).backend(factory);
    let elpis = builder.appraiser(notes.clone()).start().await.unwrap();
    assert_eq!(say(&elpis, "hello").await, "It faile");
    assert_eq!(notes.seen(), []);
    let chat = elpis.session("ada").unwrap().chat("hello");
    chat.max_tokens(100).complete().await.unwrap();
    assert_eq!(
        notes.seen(),
        [(EventSource::Reply, "It is done.".to_owned())]
    );
    elpis.shutdown().await;
}
