//! The table of routes.

use std::any::Any;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Router, extract::DefaultBodyLimit};
use elpis::settings::ServerSettings;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::anthropic::messages;
use crate::error::ApiError;
use crate::openai::{chat, models};
use crate::responses::api as responses;
use crate::state::App;
use crate::{events, feelings, health, unread_body};

/// The header that names a request, which clients show in errors.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Builds the router.
pub(crate) fn router(app: &App) -> Router {
    let settings = app.settings();
    let keyed = Router::new()
        .route("/v1/models", get(models::list))
        .route("/models", get(models::list))
        .route("/v1/models/{*id}", get(models::get))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/chat/completions", post(chat::completions))
        .route("/v1/responses", post(responses::create))
        // Without it, this would be a response with that id.
        .route("/v1/responses/compact", any(unknown))
        .route(
            "/v1/responses/{id}",
            get(responses::get).delete(responses::delete),
        )
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/sessions", get(feelings::list))
        .route(
            "/v1/sessions/{id}",
            delete(feelings::forget).patch(feelings::change),
        )
        .route("/v1/sessions/{id}/events", post(feelings::feel))
        .route(
            "/v1/sessions/{id}/tool_calls",
            post(feelings::record_tool_call),
        )
        .route("/v1/sessions/{id}/state", get(feelings::state))
        .route("/v1/sessions/{id}/reset", post(feelings::reset))
        .route("/v1/events", get(events::follow))
        .route("/v1/vectors/reload", post(feelings::reload_vectors))
        .route("/metrics", get(health::metrics))
        .route_layer(middleware::from_fn_with_state(app.clone(), check));
    let public = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready));
    let limit = settings.max_request_mib as usize;
    keyed
        .merge(public)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(limit << 20))
        .layer(middleware::from_fn_with_state(app.clone(), check_host))
        .layer(middleware::from_fn(in_shape))
        .layer(middleware::from_fn(unread_body::answer))
        .layer(cors(settings))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app.clone())
}

/// Finds the client, for every route but the public ones.
async fn check(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let client = app.access().client(request.headers())?;
    request.extensions_mut().insert(client);
    Ok(next.run(request).await)
}

/// Checks the name of the server, for every route.
async fn check_host(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    app.access().host(request.headers(), request.uri().host())?;
    Ok(next.run(request).await)
}

async fn unknown(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::not_found(format!("there is no route {method} {path}"))
}

async fn wrong_method(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::refused(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} does not take {method}"),
    )
}

/// Gives errors of the framework, which are plain text, the shape of all others.
async fn in_shape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    // The framework's texts are short.
    let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = if text.is_empty() {
        status
            .canonical_reason()
            .unwrap_or("the request failed")
            .into()
    } else {
        text
    };
    let mut shaped = ApiError::refused(status, text).into_response();
    for (name, value) in parts.headers {
        if let Some(name) = name
            && name != header::CONTENT_TYPE
            && name != header::CONTENT_LENGTH
        {
            shaped.headers_mut().insert(name, value);
        }
    }
    shaped
}

#[expect(clippy::needless_pass_by_value, reason = "the layer calls it so")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(reason = text, "a request handler panicked");
    ApiError::internal("the server failed while it handled this request").into_response()
}

fn cors(settings: &ServerSettings) -> CorsLayer {
    let origins = &settings.cors_origins;
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok()),
        )
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, HeaderName::from_static("x-elpis-session")])
}
