//! A server in this process, asked without connections.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use elpis::settings::{ModelSettings, RuntimeSettings, ServerSettings};
use elpis::{Elpis, Settings};
use elpis_server::Server;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A server with its runtime.
pub struct Running {
    pub elpis: Elpis,
    pub server: Server,
    router: Router,
}

/// An answer: its status, its headers and its body.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The data of all events of a stream.
    pub fn events(&self) -> Vec<String> {
        let lines = self.text.lines();
        lines
            .filter_map(|line| line.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }

    /// The chunks of a stream, which ends as it must.
    pub fn chunks(&self) -> Vec<Value> {
        let mut events = self.events();
        assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{}", self.text);
        events
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect()
    }
}

pub fn settings() -> Settings {
    let emotion = elpis::emotion::EmotionConfig::default().behavioral_monitoring_enabled(false);
    Settings::default()
        .model(
            ModelSettings::default()
                .context_length(512_u32)
                .max_tokens(24_u32),
        )
        .runtime(RuntimeSettings::default().n_parallel(4_usize))
        .emotion(emotion)
}

pub async fn start() -> Running {
    start_with(settings()).await
}

pub async fn start_serving(server: ServerSettings) -> Running {
    start_with(settings().server(server)).await
}

pub async fn start_with(settings: Settings) -> Running {
    let elpis = Elpis::start(settings).await.unwrap();
    let server = Server::new(elpis.clone()).unwrap();
    let router = server.router();
    Running {
        elpis,
        server,
        router,
    }
}

impl Running {
    /// Sends a request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Sends a request with headers and JSON.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        self.send(request(method, path, headers, body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], Some(body)).await
    }

    /// Completes a chat, which must succeed.
    pub async fn chat(&self, body: &Value) -> Value {
        let answer = self.post("/v1/chat/completions", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// Opens a stream whose body is read by the caller.
    pub async fn open(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }
}

pub fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8080");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match body {
        None => request.body(Body::empty()),
        Some(body) => request
            .header("content-type", "application/json")
            .body(Body::from(body.to_string())),
    }
    .unwrap()
}

/// A request with one message.
pub fn says(text: &str) -> Value {
    json!({"model": "tiny", "messages": [{"role": "user", "content": text}], "seed": 7, "max_tokens": 12})
}

/// A request with one message and more fields.
#[expect(clippy::needless_pass_by_value, reason = "callers build it in place")]
pub fn says_with(text: &str, fields: Value) -> Value {
    let mut body = says(text);
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}
