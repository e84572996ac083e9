//! Reads the bodies of requests. Errors name the field.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// A body of JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // Browsers send other types across origins without asking first.
        if !is_json(kind) {
            return Err(ApiError::refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the content type is {kind:?}, but must be application/json"),
            ));
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| unread(&error))?;
        parse(&bytes).map(Self)
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn unread(error: &BytesRejection) -> ApiError {
    ApiError::refused(error.status(), error.body_text())
}

/// Parses JSON; an error names the path of the wrong value.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let message = match error.inner().classify() {
            serde_json::error::Category::Data if !path.is_empty() => {
                format!("{path}: {}", error.inner())
            }
            _ => format!("the body is not valid: {}", error.inner()),
        };
        ApiError::invalid(path, message)
    })?;
    json.end()
        .map_err(|error| ApiError::invalid("", format!("the body is not valid: {error}")))?;
    Ok(value)
}

/// The error of a field: its name and what is wrong with it.
pub(crate) fn field(name: impl Into<String>, wrong: &str) -> ApiError {
    let name = name.into();
    let message = format!("{name} {wrong}");
    ApiError::invalid(name, message)
}

/// The fields that were not used, by name, without those that have no effect.
pub(crate) fn unknown_fields(rest: &Map<String, Value>, without_effect: &[&str]) -> Vec<String> {
    let given = rest.iter().filter(|(_, value)| !is_empty(value));
    let names = given.map(|(name, _)| name.as_str());
    let names = names.filter(|name| !without_effect.contains(name));
    names.map(str::to_owned).collect()
}

/// Whether a value says as much as a missing one.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Talk {
        #[expect(dead_code, reason = "only its type counts")]
        messages: Vec<Vec<u8>>,
    }

    #[test]
    fn an_error_names_the_path_of_the_value() {
        let error = parse::<Talk>(br#"{"messages": [[1], ["x"]]}"#).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[1][0]"));
        assert!(
            error.message.starts_with("messages[1][0]: invalid type"),
            "{error:?}"
        );
        for broken in ["", "{", "[]", r#"{"messages": []} x"#] {
            let error = parse::<Talk>(broken.as_bytes()).unwrap_err();
            assert_eq!(error.status, StatusCode::BAD_REQUEST, "{broken}");
        }
        assert!(parse::<Talk>(br#"{"messages": [], "other": 1}"#).is_ok());
    }

    #[test]
    fn types_of_json_are_known() {
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/a+json",
        ] {
            assert!(is_json(kind), "{kind}");
        }
        for kind in [
            "",
            "text/plain",
            "application/jsonp",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(kind), "{kind}");
        }
    }
}
