//! Keys, rights and names of the server.

use axum::http::StatusCode;
use elpis::settings::{ApiKey, Rights, ServerSettings};
use elpis_server::hash_of_key;
use serde_json::json;

use crate::support::{Running, says, start, start_serving};

fn key(name: &str, secret: &str, rest: &str) -> ApiKey {
    let key = ApiKey::new(name, hash_of_key(secret), Rights::default()).unwrap();
    format!("{key}{rest}").parse().unwrap()
}

async fn keyed() -> Running {
    let keys = vec![
        key("ada", "sk-ada", "chat+feel prefix=ada/"),
        key("bob", "sk-bob", "chat prefix=bob/"),
        key("root", "sk-root", "chat+feel+admin"),
        key("slow", "sk-slow", "chat rate=1"),
    ];
    start_serving(ServerSettings::default().keys(keys)).await
}

#[tokio::test]
async fn only_public_routes_are_open_without_a_key() {
    let running = keyed().await;
    for path in ["/health", "/ready"] {
        assert_eq!(running.get(path).await.status, StatusCode::OK);
    }
    for path in [
        "/v1/models",
        "/v1/sessions",
        "/v1/sessions/a/state",
        "/v1/events",
        "/metrics",
    ] {
        let answer = running.get(path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let answer = running
        .ask(
            "GET",
            "/v1/models",
            &[("authorization", "Bearer sk-adx")],
            None,
        )
        .await;
    assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
}

#[tokio::test]
async fn a_key_reaches_its_own_sessions_with_its_own_rights() {
    let running = keyed().await;
    let as_ada = [("authorization", "Bearer sk-ada")];
    let as_bob = [("x-api-key", "sk-bob")];
    let as_root = [("authorization", "Bearer sk-root")];
    let felt = running
        .ask(
            "POST",
            "/v1/sessions/x/events",
            &as_ada,
            Some(&json!("success")),
        )
        .await;
    assert_eq!(felt.json()["session"], "x", "{}", felt.text);
    for (method, path) in [
        ("GET", "/v1/sessions/x/state"),
        ("GET", "/v1/events"),
        ("DELETE", "/v1/sessions/x"),
        ("GET", "/metrics"),
    ] {
        let refused = running.ask(method, path, &as_bob, None).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(refused.json()["error"]["type"], "permission_error");
    }
    let mut body = says("Hello.");
    body["elpis"] = json!({"session": "x"});
    let answer = running
        .ask("POST", "/v1/chat/completions", &as_bob, Some(&body))
        .await;
    assert_eq!(answer.json()["elpis"]["session"], "x");
    body["elpis"]["events"] = json!(["success"]);
    let answer = running
        .ask("POST", "/v1/chat/completions", &as_bob, Some(&body))
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let sessions = running
        .ask("GET", "/v1/sessions", &as_root, None)
        .await
        .json();
    assert_eq!(
        sessions["data"],
        json!([{"session": "ada/x"}, {"session": "bob/x"}])
    );
    let applied = async |name: &str| {
        let path = format!("/v1/sessions/{}/state", name.replace('/', "%2F"));
        running.ask("GET", &path, &as_root, None).await.json()["events_applied"].clone()
    };
    assert_eq!(
        (applied("ada/x").await, applied("bob/x").await),
        (json!(1), json!(0))
    );
}

#[tokio::test]
async fn a_key_is_slowed_down_with_a_time_to_wait() {
    let running = keyed().await;
    let slow = [("x-api-key", "sk-slow")];
    assert_eq!(
        running.ask("GET", "/v1/models", &slow, None).await.status,
        StatusCode::OK
    );
    let refused = running.ask("GET", "/v1/models", &slow, None).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn a_web_page_reaches_a_local_server_by_no_name_of_its_own() {
    let running = start().await;
    let rebound = running
        .ask("GET", "/v1/models", &[("host", "evil.example")], None)
        .await;
    assert_eq!(rebound.status, StatusCode::FORBIDDEN);
    // A form of a foreign page is sent without asking, but is no JSON.
    let mut form = crate::support::request("POST", "/v1/chat/completions", &[], None);
    form.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    *form.body_mut() = says("x").to_string().into();
    assert_eq!(
        running.send(form).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let asked = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
    ];
    let answer = running
        .ask("OPTIONS", "/v1/chat/completions", &asked, None)
        .await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn listed_origins_are_allowed() {
    let origins = vec!["https://chat.example".to_owned()];
    let running = start_serving(ServerSettings::default().cors_origins(origins)).await;
    let ask = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
        ];
        running
            .ask("OPTIONS", "/v1/chat/completions", &headers, None)
            .await
    };
    let allowed = ask("https://chat.example").await;
    assert_eq!(
        allowed.headers["access-control-allow-origin"],
        "https://chat.example"
    );
    assert!(
        allowed.headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    assert!(
        !ask("https://evil.example")
            .await
            .headers
            .contains_key("access-control-allow-origin")
    );
}
