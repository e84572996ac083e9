//! Failures of the engine, as clients see them.

use std::time::Duration;

use axum::http::StatusCode;
use elpis::settings::{RuntimeSettings, ServerSettings};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{request, says_with, settings, start_serving, start_with};

/// A reply that goes on until it is stopped.
fn endless() -> Value {
    let format = json!({"type": "regex", "regex": "[a-z ]{4000}"});
    json!({"max_tokens": 400, "stream": true, "response_format": format})
}

#[tokio::test]
async fn a_failure_within_a_stream_is_its_last_event() {
    let runtime = RuntimeSettings::default().request_timeout(Duration::from_millis(60));
    let running = start_with(settings().runtime(runtime)).await;
    let answer = running
        .post("/v1/chat/completions", &says_with("Go on.", endless()))
        .await;
    // The time may run out before the first token; then the status tells.
    if answer.status == StatusCode::OK {
        let last = answer.events().pop().unwrap();
        let last: Value = serde_json::from_str(&last).unwrap();
        assert_eq!(last["error"]["type"], "timeout_error", "{}", answer.text);
    } else {
        assert_eq!(
            answer.status,
            StatusCode::REQUEST_TIMEOUT,
            "{}",
            answer.text
        );
    }
    let mut body =
        json!({"model": "m", "input": "Go on.", "stream": true, "max_output_tokens": 400});
    body["text"] = json!({"format": endless()["response_format"]});
    let answer = running.post("/v1/responses", &body).await;
    if answer.status == StatusCode::OK {
        let last = answer.chunks().pop().unwrap();
        assert_eq!(last["type"], "response.failed");
        assert_eq!(last["response"]["error"]["code"], "timeout_error");
    }
}

#[tokio::test]
async fn an_overloaded_server_says_when_to_ask_again() {
    let runtime = RuntimeSettings::default()
        .n_parallel(1_usize)
        .queue_limit(0_usize);
    let running = start_with(settings().runtime(runtime)).await;
    let path = "/v1/chat/completions";
    let busy = running
        .open(request(
            "POST",
            path,
            &[],
            Some(&says_with("Go on.", endless())),
        ))
        .await;
    assert_eq!(busy.status(), StatusCode::OK);
    let refused = running.post(path, &says_with("And I?", json!({}))).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        refused.text
    );
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    assert_eq!(refused.headers["retry-after"], "1");
    drop(busy);
    // What was refused was not felt, so its repetition is heard.
    let heard = async {
        loop {
            let answer = running.post(path, &says_with("And I?", json!({}))).await;
            if answer.status == StatusCode::OK {
                return answer.json()["elpis"]["heard"].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(30), heard)
        .await
        .unwrap();
    assert_eq!(heard, true);
}

#[tokio::test]
async fn a_stream_without_events_is_kept_open() {
    let settings = ServerSettings::default().keep_alive(Duration::from_millis(100));
    let running = start_serving(settings).await;
    let mut body = running
        .open(request("GET", "/v1/events", &[], None))
        .await
        .into_body();
    let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await;
    let data = frame.unwrap().unwrap().unwrap().into_data().unwrap();
    assert!(data.starts_with(b":"), "{data:?}");
}

#[tokio::test]
async fn a_stopped_runtime_refuses_and_is_not_ready() {
    let running = start_with(settings()).await;
    running.elpis.shutdown().await;
    let refused = running
        .post("/v1/chat/completions", &says_with("x", json!({})))
        .await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        refused.text
    );
    assert_eq!(
        running.get("/ready").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(running.get("/health").await.status, StatusCode::OK);
}
