//! Which session a request moves, and how often.

use serde_json::{Value, json};

use crate::support::{says, says_with, settings, start, start_with};

/// A settings with users' messages appraised.
async fn appraising() -> crate::support::Running {
    let mut settings = settings();
    settings.emotion.message_analysis_enabled = true;
    settings.emotion.response_analysis_enabled = false;
    start_with(settings).await
}

fn valence(place: &Value) -> f64 {
    place["valence"].as_f64().unwrap()
}

const PRAISE: &str = "I love you, you are wonderful, thank you so much!";

#[tokio::test]
async fn each_session_has_its_own_mood() {
    let running = start().await;
    let events =
        json!({"elpis": {"session": "ada", "events": [{"event": "failure", "intensity": 2.0}]}});
    let ada = running.chat(&says_with("Hello.", events)).await;
    assert!(valence(&ada["elpis"]["after"]) < valence(&ada["elpis"]["before"]));
    let bob = running
        .chat(&says_with("Hello.", json!({"user": "bob"})))
        .await;
    assert_eq!(bob["elpis"]["session_from"], "user");
    assert!(valence(&bob["elpis"]["before"]) > valence(&ada["elpis"]["after"]));
    let acted = |reply: &Value| {
        reply["elpis"]["replies"][0]["modulations"][0]["valence"]
            .as_f64()
            .unwrap()
    };
    assert!(acted(&ada) < acted(&bob));
}

#[tokio::test]
async fn a_message_is_felt_once_however_often_it_is_asked() {
    let running = appraising().await;
    let first = running.chat(&says(PRAISE)).await;
    assert_eq!(first["elpis"]["heard"], true);
    assert!(valence(&first["elpis"]["after"]) > valence(&first["elpis"]["before"]));
    // A swipe asks for the same again.
    let again = running.chat(&says_with(PRAISE, json!({"seed": 8}))).await;
    assert_eq!(again["elpis"]["heard"], false);
    assert!(valence(&again["elpis"]["after"]) <= valence(&first["elpis"]["after"]));
    // The client may insist.
    let insisted = running
        .chat(&says_with(PRAISE, json!({"elpis": {"heard": true}})))
        .await;
    assert!(valence(&insisted["elpis"]["after"]) > valence(&again["elpis"]["after"]));
    // Another session has not heard it yet.
    let other = running
        .chat(&says_with(PRAISE, json!({"user": "bob"})))
        .await;
    assert_eq!(other["elpis"]["heard"], true);
}

#[tokio::test]
async fn an_idempotency_key_marks_a_retry() {
    let running = appraising().await;
    let ask = async |key: &str, text: &str| {
        let headers = [("idempotency-key", key)];
        let answer = running
            .ask("POST", "/v1/chat/completions", &headers, Some(&says(text)))
            .await;
        answer.json()["elpis"]["heard"].as_bool().unwrap()
    };
    assert!(ask("1", PRAISE).await);
    assert!(!ask("1", PRAISE).await);
    assert!(ask("2", PRAISE).await);
    let events = json!({"elpis": {"session": "e", "events": ["success"]}});
    let body = says_with("Hello.", events);
    for _ in 0..2 {
        let headers = [("idempotency-key", "3")];
        let answer = running.ask("POST", "/v1/chat/completions", &headers, Some(&body));
        assert!(answer.await.status.is_success());
    }
    let state = running.get("/v1/sessions/e/state").await.json();
    assert_eq!(
        state["events_applied"], 1,
        "the events of a retry are felt once"
    );
}

#[tokio::test]
async fn what_the_front_end_asks_for_itself_moves_no_mood() {
    let running = appraising().await;
    let headers = [
        ("x-elpis-task", "title_generation"),
        ("x-openwebui-chat-id", "c1"),
    ];
    let answer = running
        .ask(
            "POST",
            "/v1/chat/completions",
            &headers,
            Some(&says(PRAISE)),
        )
        .await;
    let told = &answer.json()["elpis"];
    assert_eq!(
        (&told["session"], &told["heard"]),
        (&json!("c1"), &json!(false))
    );
    assert_eq!(answer.headers["x-elpis-session"], "c1");
    assert!(
        (valence(&told["after"]) - valence(&told["before"])).abs() < 1e-3,
        "{told}"
    );
    // The chat itself says the same later, and is heard.
    let headers = [("x-openwebui-chat-id", "c1"), ("x-elpis-task", "")];
    let answer = running
        .ask(
            "POST",
            "/v1/chat/completions",
            &headers,
            Some(&says(PRAISE)),
        )
        .await;
    assert_eq!(answer.json()["elpis"]["heard"], true);
}

#[tokio::test]
async fn the_mood_moves_a_clients_temperature() {
    let running = start().await;
    let ask = async |fields: Value| {
        let reply = running.chat(&says_with("Hello.", fields)).await;
        let acted = &reply["elpis"]["replies"][0]["modulations"][0];
        (
            acted["sampling"]["temperature"].as_f64().unwrap(),
            acted["arousal"].as_f64().unwrap(),
        )
    };
    let events = json!([{"event": "stirred", "delta_arousal": 0.5}]);
    let (temperature, arousal) =
        ask(json!({"temperature": 1.0, "elpis": {"session": "a", "events": events}})).await;
    assert!(arousal > 0.2);
    assert!(
        (temperature - (1.0 - 0.2 * arousal)).abs() < 1e-4,
        "{temperature} at {arousal}"
    );
    let (temperature, _) =
        ask(json!({"temperature": 1.0, "elpis": {"session": "a", "client_sampling": "override"}}))
            .await;
    assert!((temperature - 1.0).abs() < 1e-6);
    let (temperature, _) = ask(json!({"temperature": 0, "elpis": {"session": "a"}})).await;
    assert!(temperature.abs() < 1e-6, "greedy stays greedy");
}
