//! `/health`, `/ready` and `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::Admin;
use crate::error::ApiError;
use crate::state::App;

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process is alive.
pub(crate) async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// The server takes requests: a model is loaded, and the server does not stop.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let (status, text) = if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if app.elpis().model().is_none() {
        (StatusCode::SERVICE_UNAVAILABLE, "loading")
    } else {
        (StatusCode::OK, "ready")
    };
    (status, Json(json!({"status": text}))).into_response()
}

/// The metrics of the process.
pub(crate) async fn metrics(Admin(_): Admin) -> Result<Response, ApiError> {
    match elpis::internal::telemetry::render_metrics() {
        Some(text) => Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()),
        None => Err(ApiError::not_found(
            "this process records its metrics elsewhere",
        )),
    }
}
