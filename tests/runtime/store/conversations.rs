//! Conversations in the store: kept, replaced, forgotten, found damaged.

use elpis::inference::{ChatMessage, Conversation};
use elpis::settings::Durability;
use elpis::store::{SqliteStore, StateStore, StoreError};
use elpis::{Error, SessionId};
use rusqlite::Connection;

use super::{settings, start};

fn talk(last: &str) -> Conversation {
    let mut talk = Conversation::with_system("Be kind. \u{1f}\u{2028}");
    talk.push_user("Grüße 🌱");
    talk.push(ChatMessage::assistant(last));
    talk
}

#[tokio::test]
async fn a_conversation_goes_on_after_a_restart_and_is_forgotten_with_the_mood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    for durability in [Durability::Relaxed, Durability::Sync] {
        let elpis = start(settings(&path, durability)).await.unwrap();
        let ada = elpis.session("ada").unwrap();
        assert!(ada.conversation().await.unwrap().is_empty());
        for last in ["one", "two"] {
            assert!(ada.keep_conversation(&talk(last)).await.unwrap());
        }
        // One that feels nothing has a conversation as well.
        let bob = elpis.session("bob").unwrap();
        bob.keep_conversation(&talk("bob's")).await.unwrap();
        ada.feel("success").await.unwrap();
        elpis.shutdown().await;

        let elpis = start(settings(&path, durability)).await.unwrap();
        let ada = elpis.session("ada").unwrap();
        assert_eq!(ada.conversation().await.unwrap(), talk("two"));
        // The mood alone is set back.
        ada.reset().await.unwrap();
        assert_eq!(ada.conversation().await.unwrap(), talk("two"));
        ada.forget().await.unwrap();
        assert!(ada.conversation().await.unwrap().is_empty());
        let bob = elpis.session("bob").unwrap();
        assert_eq!(bob.conversation().await.unwrap(), talk("bob's"));
        bob.forget().await.unwrap();
        elpis.shutdown().await;
        let store = SqliteStore::open_to_read(&path).unwrap();
        assert_eq!(store.conversations().unwrap(), []);
    }
}

#[tokio::test]
async fn without_a_store_nothing_is_kept_and_that_is_told() {
    let elpis = start(elpis::settings::StoreSettings::default()).await;
    let elpis = elpis.unwrap();
    let ada = elpis.session("ada").unwrap();
    assert!(!ada.keep_conversation(&talk("one")).await.unwrap());
    assert!(ada.conversation().await.unwrap().is_empty());
    elpis.shutdown().await;
}

#[tokio::test]
async fn a_damaged_conversation_is_an_error_of_its_session_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let elpis = start(settings(&path, Durability::Sync)).await.unwrap();
    for name in ["ada", "bob"] {
        let session = elpis.session(name).unwrap();
        session.keep_conversation(&talk("one")).await.unwrap();
    }
    elpis.shutdown().await;
    let file = Connection::open(&path).unwrap();
    let damage =
        "UPDATE conversation SET messages = replace(messages, 'kind', 'rude') WHERE name = 'ada'";
    assert_eq!(file.execute(damage, []).unwrap(), 1);
    drop(file);
    let elpis = start(settings(&path, Durability::Sync)).await.unwrap();
    let ada = elpis.session("ada").unwrap();
    let error = ada.conversation().await.unwrap_err();
    let Error::Store(StoreError::DamagedSession { session, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(session, "ada");
    let bob = elpis.session("bob").unwrap();
    assert_eq!(bob.conversation().await.unwrap(), talk("one"));
    // A new one takes its place.
    ada.keep_conversation(&talk("two")).await.unwrap();
    assert_eq!(ada.conversation().await.unwrap(), talk("two"));
    elpis.shutdown().await;
}

#[test]
fn a_conversation_that_does_not_fit_is_refused_and_the_one_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let store = SqliteStore::open(&path, &settings(&path, Durability::Sync).max_mib(1_u32));
    let store = store.unwrap();
    let ada = SessionId::new("ada").unwrap();
    store.keep_conversation(&ada, Some(&talk("one"))).unwrap();
    let long = talk(&"x".repeat(1 << 20));
    let error = store.keep_conversation(&ada, Some(&long)).unwrap_err();
    assert_eq!(error.kind(), "full", "{error}");
    assert_eq!(store.conversation(&ada).unwrap(), Some(talk("one")));
    drop(store);
    let reader = SqliteStore::open_to_read(&path).unwrap();
    assert_eq!(reader.conversation(&ada).unwrap(), Some(talk("one")));
    let error = reader.keep_conversation(&ada, None).unwrap_err();
    assert_eq!(error.kind(), "read_only", "{error}");
}
