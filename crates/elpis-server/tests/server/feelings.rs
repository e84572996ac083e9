//! The feelings of sessions over HTTP, and the event bus.

use std::time::Duration;

use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{request, says_with, start};

#[tokio::test]
async fn events_move_a_session_and_its_state_is_read() {
    let running = start().await;
    let before = running.get("/v1/sessions/ada/state").await.json();
    let felt = running
        .post(
            "/v1/sessions/ada/events",
            &json!({"event": "test_passed", "intensity": 1.5, "reason": "CI"}),
        )
        .await
        .json();
    assert_eq!(felt["session"], "ada");
    assert_eq!(felt["applied"].as_array().unwrap().len(), 1);
    assert!(felt["valence"].as_f64() > before["valence"].as_f64());
    let many = json!({"events": ["test_failed", {"event": "rained", "delta_valence": -0.2}]});
    let felt = running.post("/v1/sessions/ada/events", &many).await.json();
    assert_eq!(felt["applied"].as_array().unwrap().len(), 2);
    let state = running.get("/v1/sessions/ada/state").await.json();
    assert_eq!(state["events_applied"], 3);
    assert!(state["modulation"]["coefficients"].is_object());
    let reset = running
        .post("/v1/sessions/ada/reset", &json!({}))
        .await
        .json();
    assert_eq!(reset["events_applied"], 0);
    for _ in 0..3 {
        let call = json!({"tool": "search", "succeeded": false});
        let answer = running.post("/v1/sessions/ada/tool_calls", &call).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_wrong_event_changes_nothing() {
    let running = start().await;
    let state =
        async || running.get("/v1/sessions/ada/state").await.json()["events_applied"].clone();
    for (body, param) in [
        (json!({"events": ["success", "no_such"]}), "events[1]"),
        (json!({"event": "success", "intensity": -5}), "event"),
        (json!({"events": vec!["success"; 257]}), "events"),
        (json!({"evnt": "success"}), ""),
    ] {
        let answer = running.post("/v1/sessions/ada/events", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert_eq!(answer.json()["error"]["param"], param, "{}", answer.text);
        assert_eq!(state().await, 0);
    }
}

#[tokio::test]
async fn sessions_are_changed_listed_and_forgotten() {
    let running = start().await;
    for name in ["c", "a", "b/x y"] {
        let name = name.replace('/', "%2F").replace(' ', "%20");
        running
            .post(&format!("/v1/sessions/{name}/events"), &json!("success"))
            .await;
    }
    let page = running.get("/v1/sessions?limit=2").await.json();
    assert_eq!(
        page["data"],
        json!([{"session": "a"}, {"session": "b/x y"}])
    );
    assert_eq!(
        (&page["has_more"], &page["last"]),
        (&json!(true), &json!("b/x y"))
    );
    let page = running.get("/v1/sessions?after=b/x%20y").await.json();
    assert_eq!(
        (&page["data"], &page["has_more"]),
        (&json!([{"session": "c"}]), &json!(false))
    );
    assert_eq!(
        running.get("/v1/sessions?limit=0").await.status,
        StatusCode::BAD_REQUEST
    );
    let change = json!({"strength": 0.5, "limits": {"valence": 0.3}});
    let changed = running
        .ask("PATCH", "/v1/sessions/a", &[], Some(&change))
        .await;
    assert_eq!(
        changed.json()["modulation"]["strength"],
        0.5,
        "{}",
        changed.text
    );
    let refused = running
        .ask(
            "PATCH",
            "/v1/sessions/a",
            &[],
            Some(&json!({"strength": 9})),
        )
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let forgotten = running.ask("DELETE", "/v1/sessions/a", &[], None).await;
    assert_eq!(forgotten.json(), json!({"session": "a", "deleted": true}));
    let again = running.ask("DELETE", "/v1/sessions/a", &[], None).await;
    assert_eq!(again.json()["deleted"], false);
}

#[tokio::test]
async fn the_bus_is_followed_with_filters() {
    let running = start().await;
    let open = async |query: &str| {
        running
            .open(request("GET", &format!("/v1/events{query}"), &[], None))
            .await
            .into_body()
    };
    let mut all = open("").await;
    let mut adas = open("?session=ada&kinds=felt,generation_finished").await;
    running
        .post("/v1/sessions/bob/events", &json!("success"))
        .await;
    running
        .post("/v1/sessions/ada/events", &json!("failure"))
        .await;
    let next = async |body: &mut axum::body::Body| {
        let frame = tokio::time::timeout(Duration::from_secs(20), body.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    let first = next(&mut all).await;
    assert!(
        first.starts_with("event: felt\n") && first.contains("\"bob\""),
        "{first}"
    );
    let first = next(&mut adas).await;
    let data: Value = serde_json::from_str(
        first
            .lines()
            .find_map(|line| line.strip_prefix("data: "))
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        (&data["event"], &data["session"], &data["source"]),
        (&json!("failure"), &json!("ada"), &json!("caller"))
    );
    assert!(data["after"]["valence"].as_f64() < data["before"]["valence"].as_f64());
    running
        .chat(&says_with(
            "Hi.",
            json!({"user": "ada", "elpis": {"heard": false}}),
        ))
        .await;
    let next = next(&mut adas).await;
    assert!(next.starts_with("event: generation_finished\n"), "{next}");
    let wrong = running.get("/v1/events?kinds=felt,nonsense").await;
    assert_eq!(wrong.json()["error"]["param"], "kinds");
}

#[tokio::test]
async fn health_readiness_and_vectors_are_served() {
    let running = start().await;
    assert_eq!(running.get("/health").await.status, StatusCode::OK);
    assert_eq!(running.get("/ready").await.json()["status"], "ready");
    let reloaded = running.post("/v1/vectors/reload", &json!({})).await.json();
    assert!(
        reloaded["emotions"].as_array().unwrap().len() >= 4,
        "{reloaded}"
    );
}
