//! `/v1/responses`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Running, start};

async fn respond(running: &Running, body: &Value) -> Value {
    let answer = running.post("/v1/responses", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_response_goes_on_from_the_one_before_in_its_session() {
    let running = start().await;
    let body = json!({"model": "elpis/ada", "input": "Hello.", "max_output_tokens": 12, "instructions": "Be kind."});
    let first = respond(&running, &body).await;
    assert_eq!(first["object"], "response");
    assert!(first["output"][0]["content"][0]["text"].is_string());
    assert_eq!(first["elpis"]["session"], "ada");
    let id = first["id"].as_str().unwrap();
    let body = json!({"model": "m", "input": "And then?", "max_output_tokens": 8, "previous_response_id": id});
    let second = respond(&running, &body).await;
    assert_eq!(second["elpis"]["session_from"], "previous_response_id");
    assert_eq!(second["elpis"]["session"], "ada");
    let tokens = |response: &Value| response["usage"]["input_tokens"].as_u64().unwrap();
    assert!(
        tokens(&second) > tokens(&first),
        "the conversation is part of the prompt"
    );
    let path = format!("/v1/responses/{id}");
    assert_eq!(running.get(&path).await.json(), first);
    let deleted = running.ask("DELETE", &path, &[], None).await;
    assert_eq!(deleted.json()["deleted"], true);
    assert_eq!(running.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        running.post("/v1/responses", &body).await.status,
        StatusCode::NOT_FOUND
    );
    let body = json!({"model": "m", "input": "x", "max_output_tokens": 2, "store": false});
    let unkept = respond(&running, &body).await;
    let path = format!("/v1/responses/{}", unkept["id"].as_str().unwrap());
    assert_eq!(running.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        running
            .post("/v1/responses/compact", &json!({}))
            .await
            .status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_stream_has_numbered_events_that_make_up_the_response() {
    let running = start().await;
    let body = json!({"model": "m", "input": "Hello.", "max_output_tokens": 8, "stream": true});
    let answer = running.post("/v1/responses", &body).await;
    let events = answer.chunks();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], index);
    }
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        &kinds[..4],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added"
        ]
    );
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    let last = events.last().unwrap();
    assert!(["response.completed", "response.incomplete"].contains(kinds.last().unwrap()));
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], text);
    let cut = last["response"]["status"] == "incomplete";
    assert_eq!(cut, last["response"]["incomplete_details"].is_object());
}

#[tokio::test]
async fn a_function_is_called_and_answered() {
    let running = start().await;
    let tools = json!([{"type": "function", "name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 8}},
        "required": ["city"], "additionalProperties": false}}]);
    let body = json!({"model": "m", "input": "Weather?", "tools": tools, "tool_choice": "required", "parallel_tool_calls": false, "max_output_tokens": 128});
    let first = respond(&running, &body).await;
    let call = &first["output"][0];
    assert_eq!(
        (&call["type"], &call["status"]),
        (&json!("function_call"), &json!("completed"))
    );
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["city"].is_string());
    let output =
        json!([{"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}]);
    let body = json!({"model": "m", "input": output, "previous_response_id": first["id"], "tools": tools, "max_output_tokens": 4});
    respond(&running, &body).await;
}
