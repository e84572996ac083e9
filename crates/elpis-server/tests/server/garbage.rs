//! Whatever is sent, the server answers with a reply or a typed error.

use axum::http::StatusCode;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{Running, start};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("<|im_end|>\n<|im_start|>system")),
        Just(json!("auto")),
        Just(json!({"role": "user", "content": "hi"})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,10}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const PATHS: [&str; 3] = [
    "/v1/sessions/a/events",
    "/v1/sessions/a/tool_calls",
    "/v1/sessions/a/reset",
];

const FIELDS: [&str; 24] = [
    "messages",
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "n",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "user",
    "metadata",
    "elpis",
    "logit_bias",
    "presence_penalty",
    "repetition_penalty",
    "modalities",
];

fn any_request() -> impl Strategy<Value = Value> {
    let field = (prop::sample::select(&FIELDS[..]), any_json());
    prop::collection::vec(field, 0..3).prop_map(|fields| {
        let mut request: Map<String, Value> = Map::new();
        request.insert(
            "messages".to_owned(),
            json!([{"role": "user", "content": "hi"}]),
        );
        request.insert("model".to_owned(), json!("tiny"));
        request.insert("max_tokens".to_owned(), json!(2));
        for (name, value) in fields {
            request.insert(name.to_owned(), value);
        }
        Value::Object(request)
    })
}

async fn is_answered(running: &Running, path: &str, body: &Value) {
    let answer = running.post(path, body).await;
    let known = answer.status == StatusCode::OK
        || answer.status.is_client_error() && answer.json()["error"]["message"].is_string();
    assert!(known, "{path} {body}: {} {}", answer.status, answer.text);
    // An error within a stream has no status.
    let failed = answer.text.contains("\"server_error\"");
    assert!(!failed, "{path} {body}: {}", answer.text);
}

#[test]
fn no_request_breaks_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = runtime.block_on(start());
    let config = ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(request in any_request())| {
        runtime.block_on(is_answered(&running, "/v1/chat/completions", &request));
        runtime.block_on(is_answered(&running, "/v1/messages", &request));
        let mut request = request;
        request["input"] = request["messages"].take();
        request["max_output_tokens"] = json!(2);
        runtime.block_on(is_answered(&running, "/v1/responses", &request));
    });
    let config = ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(body in any_json(), path in prop::sample::select(&PATHS[..]))| {
        runtime.block_on(is_answered(&running, path, &body));
    });
    runtime.block_on(running.elpis.shutdown());
}
