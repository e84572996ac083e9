//! What a session's next turn takes over of the last.

use std::path::Path;

use elpis::inference::KvSnapshotError;
use elpis::{ChatMessage, EngineError, Error};

use super::runtime::{say, settings, start};

const QUESTION: &str = "Tell me about trains.";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_turn_goes_on_from_the_last_also_after_a_restart() {
    let elpis = start(settings()).await;
    let session = elpis.session("a").unwrap();
    assert_eq!(session.save_kv().await.unwrap(), None);
    let mut messages = vec![ChatMessage::user(QUESTION)];
    let mut bytes = None;
    for turn in 0..4 {
        session.feel("success").await.unwrap();
        let reply = session.chat(&messages).max_tokens(24).seed(turn);
        let reply = reply.complete().await.unwrap();
        let report = &reply.report;
        if turn > 0 {
            assert!(report.cached_prompt_tokens > 0, "turn {turn}: {report:?}");
            let new = report.prompt_tokens - report.cached_prompt_tokens;
            assert!(new < 24, "turn {turn}: {new} of {}", report.prompt_tokens);
            assert!(report.cached_under_other_steering > 0, "it felt otherwise");
        }
        messages.push(ChatMessage::assistant(reply.text));
        messages.push(ChatMessage::user("And the sea?"));
        bytes = session.save_kv().await.unwrap();
    }
    elpis.shutdown().await;

    let elpis = start(settings()).await;
    let session = elpis.session("a").unwrap();
    let bytes = bytes.unwrap();
    let held = session.restore_kv(bytes.clone()).await.unwrap();
    let reply = session.chat(&messages).max_tokens(4).complete().await;
    let report = reply.unwrap().report;
    let cached = report.cached_prompt_tokens as usize;
    assert!(cached > held / 2 && cached <= held, "{cached} of {held}");
    let mut bad = bytes;
    bad.truncate(1000);
    let error = session.restore_kv(bad).await.unwrap_err();
    assert!(matches!(error, Error::Engine(EngineError::KvSnapshot(_))));
    session.forget().await.unwrap();
    assert_eq!(session.save_kv().await.unwrap(), None);
    elpis.shutdown().await;
}

/// A saved sequence continues with the model at `path`, and not any more when `change` has
/// put other weights in its place.
pub async fn pasts_belong_to_weights(path: &Path, change: impl FnOnce()) {
    let mut settings = settings();
    settings.model.path = Some(path.display().to_string());
    let elpis = start(settings.clone()).await;
    say(&elpis, "a", 1).await;
    let bytes = elpis.session("a").unwrap().save_kv().await.unwrap();
    elpis.shutdown().await;
    let restored = async || {
        let elpis = start(settings.clone()).await;
        let session = elpis.session("b").unwrap();
        let restored = session.restore_kv(bytes.clone().unwrap()).await;
        assert!(!say(&elpis, "b", 1).await.is_empty());
        elpis.shutdown().await;
        restored
    };
    assert!(restored().await.unwrap() > 10);
    change();
    let error = restored().await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Engine(EngineError::KvSnapshot(KvSnapshotError::OtherModel { .. }))
        ),
        "{error:?}"
    );
}
