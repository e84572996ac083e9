//! `POST /v1/messages`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::start;

fn says(text: &str) -> Value {
    json!({"model": "tiny", "max_tokens": 12, "messages": [{"role": "user", "content": text}]})
}

fn weather() -> Value {
    json!([{"name": "weather", "description": "The weather.", "input_schema": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 8}},
        "required": ["city"], "additionalProperties": false}}])
}

#[tokio::test]
async fn a_message_is_answered_whole_and_in_blocks() {
    let running = start().await;
    let mut body = says("Hello.");
    body["metadata"] = json!({"user_id": "ada"});
    let answer = running.post("/v1/messages", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.headers["x-elpis-session"], "ada");
    let reply = answer.json();
    assert_eq!(
        (&reply["type"], &reply["role"]),
        (&json!("message"), &json!("assistant"))
    );
    assert!(!reply["content"][0]["text"].as_str().unwrap().is_empty());
    assert!(["end_turn", "max_tokens"].contains(&reply["stop_reason"].as_str().unwrap()));
    assert!(reply["usage"]["output_tokens"].as_u64().unwrap() <= 12);
    assert!(reply["elpis"]["after"]["valence"].is_number());

    body["stream"] = true.into();
    let answer = running.post("/v1/messages", &body).await;
    let events: Vec<Value> = answer
        .events()
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        &kinds[..3],
        [
            "message_start",
            "content_block_start",
            "content_block_delta"
        ]
    );
    assert_eq!(
        &kinds[kinds.len() - 3..],
        ["content_block_stop", "message_delta", "message_stop"]
    );
    assert!(
        events[0]["message"]["id"]
            .as_str()
            .unwrap()
            .starts_with("msg_")
    );
    let end = &events[events.len() - 2];
    assert!(end["delta"]["stop_reason"].is_string() && end["usage"]["output_tokens"].is_number());
    assert_eq!(end["elpis"]["heard"], false, "the same message again");
}

#[tokio::test]
async fn a_tool_is_used_and_its_result_goes_on() {
    let running = start().await;
    let mut body = says("Weather?");
    body["tools"] = weather();
    body["tool_choice"] = json!({"type": "tool", "name": "weather"});
    body["max_tokens"] = 128.into();
    let reply = running.post("/v1/messages", &body).await.json();
    assert_eq!(reply["stop_reason"], "tool_use", "{reply}");
    let used = &reply["content"][0];
    assert!(used["input"]["city"].is_string());
    body["stream"] = true.into();
    let answer = running.post("/v1/messages", &body).await;
    let events: Vec<Value> = answer
        .events()
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let json: String = events
        .iter()
        .filter_map(|event| event["delta"]["partial_json"].as_str())
        .collect();
    assert!(
        serde_json::from_str::<Value>(&json).unwrap()["city"].is_string(),
        "{json}"
    );
    let result = json!({"type": "tool_result", "tool_use_id": used["id"], "content": "sunny"});
    let next = json!({"model": "tiny", "max_tokens": 4, "tools": weather(), "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": reply["content"]},
        {"role": "user", "content": [result]}]});
    let answer = running.post("/v1/messages", &next).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn tokens_are_counted_and_errors_have_anthropics_shape() {
    let running = start().await;
    let count = async |text: &str| {
        let answer = running.post("/v1/messages/count_tokens", &says(text)).await;
        answer.json()["input_tokens"].as_u64().unwrap()
    };
    let (short, long) = (
        count("Hello.").await,
        count("Hello. Tell me about trains.").await,
    );
    assert!(0 < short && short < long);
    assert_eq!(
        running.get("/v1/sessions").await.json()["data"],
        json!([]),
        "no session is made"
    );
    let mut body = says("x");
    body["messages"][0]["role"] = "robot".into();
    let answer = running.post("/v1/messages", &body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let error = answer.json();
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("invalid_request_error"))
    );
}
