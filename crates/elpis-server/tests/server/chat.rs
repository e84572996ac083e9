//! `POST /v1/chat/completions` and `GET /v1/models`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{says, says_with, start};

#[tokio::test]
async fn a_reply_has_the_shape_that_clients_read() {
    let running = start().await;
    let answer = running
        .post(
            "/v1/chat/completions",
            &says_with("Hello.", json!({"model": "gpt-5"})),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.headers["x-elpis-session"], "default");
    assert!(answer.headers.contains_key("x-request-id"));
    let reply = answer.json();
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["model"], "gpt-5");
    let choice = &reply["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert!(!choice["message"]["content"].as_str().unwrap().is_empty());
    assert!(choice["message"]["refusal"].is_null() && choice["logprobs"].is_null());
    assert!(["stop", "length"].contains(&choice["finish_reason"].as_str().unwrap()));
    let usage = &reply["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(
        count("total_tokens"),
        count("prompt_tokens") + count("completion_tokens")
    );
    assert!(count("completion_tokens") <= 12);
    let told = &reply["elpis"];
    assert_eq!(told["session_from"], "default");
    assert_eq!(told["heard"], true);
    assert!(
        told["replies"][0]["modulations"][0]["sampling"]["seed"] == 7,
        "{told}"
    );
    assert!(told["before"]["mood"].is_string() && told["after"]["valence"].is_number());
}

#[tokio::test]
async fn a_stream_holds_the_same_reply_in_pieces() {
    let running = start().await;
    let options = json!({"elpis": {"session": "a", "heard": false}});
    let whole = running
        .chat(&says_with("Tell me about trains.", options))
        .await;
    let options = json!({"elpis": {"session": "b", "heard": false}, "stream": true, "stream_options": {"include_usage": true}});
    let answer = running
        .post(
            "/v1/chat/completions",
            &says_with("Tell me about trains.", options),
        )
        .await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.headers["cache-control"], "no-cache");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    let chunks = answer.chunks();
    let (usage, pieces) = chunks.split_last().unwrap();
    let (last, pieces) = pieces.split_last().unwrap();
    assert_eq!(
        pieces[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": ""})
    );
    let text: String = pieces
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap())
        .collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"]);
    assert!(
        pieces[1..]
            .iter()
            .all(|chunk| chunk["choices"][0]["delta"].get("role").is_none())
    );
    assert!(
        pieces
            .iter()
            .all(|chunk| chunk["choices"][0]["finish_reason"].is_null())
    );
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(
        last["choices"][0]["finish_reason"],
        whole["choices"][0]["finish_reason"]
    );
    assert_eq!(last["elpis"]["session"], "b");
    assert_eq!(usage["choices"], json!([]));
    let total = |reply: &Value| reply["usage"]["total_tokens"].as_u64();
    assert_eq!(total(usage), total(&whole));
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(
            (&chunk["id"], &chunk["created"]),
            (&chunks[0]["id"], &chunks[0]["created"])
        );
    }
}

#[tokio::test]
async fn several_choices_differ_and_are_felt_once() {
    let running = start().await;
    let options = json!({"n": 3, "max_tokens": 24, "temperature": 1.5});
    let reply = running
        .chat(&says_with("Tell me about your day.", options.clone()))
        .await;
    let texts: std::collections::HashSet<_> = reply["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| choice["message"]["content"].as_str().unwrap().to_owned())
        .collect();
    assert!(texts.len() > 1, "{texts:?}");
    assert_eq!(reply["elpis"]["replies"].as_array().unwrap().len(), 3);
    let mut options = options;
    options["stream"] = true.into();
    let answer = running
        .post("/v1/chat/completions", &says_with("And mine?", options))
        .await;
    let chunks = answer.chunks();
    let ended: Vec<_> = chunks
        .iter()
        .filter(|chunk| chunk["choices"][0]["finish_reason"].is_string())
        .map(|chunk| chunk["choices"][0]["index"].as_u64().unwrap())
        .collect();
    assert_eq!(ended.len(), 3);
    assert!(chunks.last().unwrap().get("elpis").is_some());
    let refused = running
        .post("/v1/chat/completions", &says_with("x", json!({"n": 9})))
        .await;
    assert_eq!(refused.json()["error"]["param"], "n");
}

#[tokio::test]
async fn refusals_name_the_field() {
    let running = start().await;
    let long = "word ".repeat(2000);
    for (body, status, param, code) in [
        (
            says_with("x", json!({"messages": "x"})),
            400,
            "messages",
            Value::Null,
        ),
        (
            says_with("x", json!({"messages": []})),
            400,
            "messages",
            "message".into(),
        ),
        (
            says_with(
                "x",
                json!({"messages": [{"role": "robot", "content": "x"}]}),
            ),
            400,
            "messages[0].role",
            Value::Null,
        ),
        (
            says_with("x", json!({"temperature": "hot"})),
            400,
            "temperature",
            Value::Null,
        ),
        (
            says_with("x", json!({"temperature": 3})),
            400,
            "temperature",
            Value::Null,
        ),
        (
            says_with("x", json!({"max_tokens": 0})),
            400,
            "max_tokens",
            Value::Null,
        ),
        (
            says_with(
                "x",
                json!({"response_format": {"type": "regex", "regex": "("}}),
            ),
            400,
            "response_format",
            Value::Null,
        ),
        (
            says_with("x", json!({"elpis": {"sesion": "a"}})),
            400,
            "elpis.sesion",
            Value::Null,
        ),
        (
            says_with("x", json!({"elpis": {"session": "a\u{7}"}})),
            400,
            "session",
            Value::Null,
        ),
        (
            says_with("x", json!({"elpis": {"events": ["no_such_event"]}})),
            400,
            "elpis.events[0]",
            Value::Null,
        ),
        (
            says(&long),
            400,
            "messages",
            "context_length_exceeded".into(),
        ),
    ] {
        let answer = running.post("/v1/chat/completions", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{error}");
        assert_eq!(error["param"], param, "{error}");
        assert_eq!(error["code"], code, "{error}");
    }
    let answer = running.get("/v1/embeddings").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("/v1/embeddings")
    );
    let answer = running.get("/v1/chat/completions").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.json()["error"]["message"].is_string());
}

#[tokio::test]
async fn a_bias_bans_and_forces_tokens() {
    let running = start().await;
    let ask = async |bias: Value| {
        let options = json!({"logit_bias": bias, "temperature": 0, "max_tokens": 3, "elpis": {"heard": false}});
        running
            .post("/v1/chat/completions", &says_with("Hello.", options))
            .await
    };
    let forced = ask(json!({"40": 100})).await.json();
    let tokenizer = running.elpis.tokenizer().await.unwrap();
    let mut piece = Vec::new();
    tokenizer.append_piece(40, &mut piece);
    let text = String::from_utf8_lossy(&piece).repeat(3);
    let content = forced["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(content.trim(), text.trim());
    for (bias, wrong) in [
        (json!({"40": 101}), "101"),
        (json!({"99999999": 1}), "99999999"),
    ] {
        let answer = ask(bias).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert!(answer.text.contains(wrong), "{}", answer.text);
    }
}

#[tokio::test]
async fn unused_fields_are_told() {
    let running = start().await;
    let options = json!({"verbosity": "low", "store": true, "made_up": {"a": 1}});
    let reply = running.chat(&says_with("Hello.", options)).await;
    let mut ignored: Vec<_> = reply["elpis"]["ignored"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    ignored.sort_unstable();
    assert_eq!(ignored, ["made_up", "verbosity"]);
}

#[tokio::test]
async fn the_model_is_listed_with_its_context() {
    let running = start().await;
    let list = running.get("/v1/models").await.json();
    let model = &list["data"][0];
    assert_eq!(
        (&list["object"], &model["object"]),
        (&json!("list"), &json!("model"))
    );
    assert_eq!(model["max_model_len"], 512);
    let id = model["id"].as_str().unwrap();
    assert_eq!(
        running.get(&format!("/v1/models/{id}")).await.json()["id"],
        *id
    );
    assert_eq!(
        running.get("/v1/models/elpis/ada").await.json()["id"],
        "elpis/ada"
    );
    let unknown = running.get("/v1/models/gpt-5").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
}
