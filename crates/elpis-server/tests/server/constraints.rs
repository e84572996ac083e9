//! Tools and response formats of chat completions.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{says_with, start};

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "The weather.", "strict": true,
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"], "additionalProperties": false}}}])
}

#[tokio::test]
async fn a_demanded_tool_is_called_whole_and_in_pieces() {
    let running = start().await;
    let options = json!({"tools": weather(), "tool_choice": "required", "parallel_tool_calls": false, "max_tokens": 128});
    let reply = running
        .chat(&says_with("Weather in Rome?", options.clone()))
        .await;
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert!(choice["message"]["content"].is_null());
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "weather");
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["city"].is_string());

    let mut options = options;
    options["stream"] = true.into();
    options["elpis"] = json!({"session": "other"});
    let answer = running
        .post(
            "/v1/chat/completions",
            &says_with("Weather in Rome?", options),
        )
        .await;
    let chunks = answer.chunks();
    let deltas: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"].get("tool_calls"))
        .map(|calls| &calls[0])
        .collect();
    assert_eq!(
        deltas[0]["function"],
        json!({"name": "weather", "arguments": ""})
    );
    assert!(deltas[0]["id"].is_string() && deltas[0]["type"] == "function");
    assert!(deltas[1..].iter().all(|delta| delta.get("id").is_none()));
    let json: String = deltas
        .iter()
        .map(|delta| delta["function"]["arguments"].as_str().unwrap())
        .collect();
    assert!(serde_json::from_str::<Value>(&json).unwrap()["city"].is_string());
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );

    // The call and its result go on.
    let call_id = call["id"].clone();
    let next = json!({"model": "tiny", "messages": [
        {"role": "user", "content": "Weather in Rome?"},
        {"role": "assistant", "content": null, "tool_calls": choice["message"]["tool_calls"]},
        {"role": "tool", "tool_call_id": call_id, "content": "sunny"}],
        "tools": weather(), "max_tokens": 8});
    running.chat(&next).await;
}

#[tokio::test]
async fn an_answer_follows_its_schema() {
    let running = start().await;
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": true, "schema": schema}});
    let reply = running
        .chat(&says_with(
            "Is it?",
            json!({"response_format": format, "max_tokens": 64}),
        ))
        .await;
    let text = reply["choices"][0]["message"]["content"].as_str().unwrap();
    let answer: Value = serde_json::from_str(text).unwrap();
    assert!(answer["ok"].is_boolean(), "{text}");
}

#[tokio::test]
async fn a_constrained_reply_that_is_cut_off_says_so() {
    let running = start().await;
    let format = json!({"type": "regex", "regex": "[a-z]{100}"});
    let reply = running
        .chat(&says_with("Go on.", json!({"response_format": format})))
        .await;
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    let text = reply["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase()),
        "{text}"
    );
    for stream in [false, true] {
        let options = json!({"tools": weather(), "tool_choice": "required", "max_tokens": 8, "stream": stream});
        let answer = running
            .post("/v1/chat/completions", &says_with("Weather?", options))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(
            answer.text.contains("\"finish_reason\":\"length\""),
            "{}",
            answer.text
        );
    }
}
