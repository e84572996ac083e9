//! Errors in the shape of `OpenAI`'s API.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use elpis::backend::BackendError;
use elpis::emotion::EmotionError;
use elpis::inference::{RequestError, SamplingError};
use elpis::{EngineError, Error};
use serde_json::{Value, json};

/// Time after which an overloaded server should be asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error as clients get it.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// The kind of error, in `OpenAI`'s words.
    pub(crate) kind: &'static str,
    /// A name that programs can match.
    pub(crate) code: Option<&'static str>,
    /// The field of the request that caused it.
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    /// When to ask again; `None` if that is of no use.
    pub(crate) retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The request is wrong and will stay wrong.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
        }
    }

    /// A key is missing or unknown.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self {
            code: Some("invalid_api_key"),
            ..Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message)
        }
    }

    /// A key lacks a right.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found_error", message)
    }

    /// A client sends too much.
    pub(crate) fn too_many(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            code: Some("rate_limit_exceeded"),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
        }
    }

    /// The server cannot answer now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(RETRY_AFTER),
            code: Some("unavailable"),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable_error",
                message,
            )
        }
    }

    /// A request of the wrong form, with its status.
    pub(crate) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", message)
    }

    /// The server failed. The operator reads it in the log.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        tracing::error!(error = message, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// The error as JSON, as it also stands in streams. The outer type is for Anthropic's clients.
    pub(crate) fn body(&self) -> Value {
        json!({"type": "error", "error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            // Whole seconds, and at least one: a client that reads 0 asks at once.
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(header::RETRY_AFTER, seconds.into());
        } else if self.status.is_server_error() {
            // OpenAI's clients repeat every 5xx unless they are told not to.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        let code = error.kind();
        match error {
            RequestError::SessionId(_) => Self::invalid("session", message),
            RequestError::Limit { field, .. } => Self::invalid(field, message),
            RequestError::Sampling(SamplingError::OutOfRange { field, .. }) => {
                Self::invalid(field, message)
            }
            // The prompt's tokens are the model's own, so that it is one of the bias.
            RequestError::Sampling(_) => Self::invalid("logit_bias", message),
            RequestError::Stop(_) => Self::invalid("stop", message),
            RequestError::Tools(_) => Self::invalid("tools", message),
            RequestError::Constraint(_) => Self::invalid("response_format", message),
            RequestError::PromptTooLong { .. } => Self {
                code: Some("context_length_exceeded"),
                ..Self::invalid("messages", message)
            },
            _ => Self {
                code: Some(code),
                ..Self::invalid("messages", message)
            },
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Request(error) => error.into(),
            EngineError::Template(_) => Self::invalid("messages", message),
            EngineError::Constraint(_) => Self::invalid("response_format", message),
            EngineError::Overloaded { .. } => Self {
                code: Some("overloaded"),
                ..Self::unavailable(message)
            },
            EngineError::EngineRestarted | EngineError::Stopped { .. } => {
                Self::unavailable(message)
            }
            EngineError::Backend(error) => error.into(),
            EngineError::Timeout { .. } => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "timeout_error", message)
            }
            EngineError::Unsupported { .. } => {
                Self::new(StatusCode::NOT_IMPLEMENTED, "not_supported_error", message)
            }
            _ => Self::internal(message),
        }
    }
}

impl From<BackendError> for ApiError {
    fn from(error: BackendError) -> Self {
        let message = error.to_string();
        match error {
            // Others hold the cache, or the model is being replaced.
            BackendError::CacheFull { .. }
            | BackendError::Aborted
            | BackendError::WorkerDied { .. }
            | BackendError::Broken { .. } => Self::unavailable(message),
            BackendError::ForeignControlToken { .. } => Self::invalid("messages", message),
            _ => Self::internal(message),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Engine(error) => error.into(),
            Error::Emotion(error) => error.into(),
            Error::Backend(error) => error.into(),
            Error::Steering(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_vectors_error",
                message,
            ),
            Error::TooManyEvents { .. } => Self::too_many(message, Duration::from_mins(1)),
            Error::TooManySessions { .. } | Error::Store(_) | Error::Stopped { .. } => {
                Self::unavailable(message)
            }
            _ => Self::internal(message),
        }
    }
}

impl From<EmotionError> for ApiError {
    fn from(error: EmotionError) -> Self {
        Self::invalid("event", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_repeat_only_what_can_succeed() {
        let overloaded = ApiError::from(EngineError::Overloaded { limit: 4 }).into_response();
        assert_eq!(overloaded.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(overloaded.headers()["retry-after"], "1");
        let failed = ApiError::internal("it broke").into_response();
        assert_eq!(failed.headers()["x-should-retry"], "false");
        let error = RequestError::PromptTooLong {
            prompt: 9,
            context: 8,
        };
        let long = ApiError::from(Error::from(error));
        assert_eq!(long.status, StatusCode::BAD_REQUEST);
        assert_eq!(long.body()["error"]["code"], "context_length_exceeded");
        assert_eq!(long.body()["error"]["param"], "messages");
    }
}
