//! Finds the session of a request among the places where clients can name it.

use axum::http::HeaderMap;
use elpis::settings::ServerSettings;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The beginning of a model's name that names a session: `elpis/ada`.
pub(crate) const MODEL_PREFIX: &str = "elpis/";

/// The parts of a request that can name its session.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Carriers<'a> {
    /// `elpis.session` in the body.
    pub(crate) session: Option<&'a str>,
    /// `metadata` in the body.
    pub(crate) metadata: Option<&'a Map<String, Value>>,
    /// The session of the response that the request goes on from.
    pub(crate) previous: Option<&'a str>,
    pub(crate) prompt_cache_key: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) safety_identifier: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
}

/// The session of a request, and where it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) session: String,
    pub(crate) by: String,
}

impl Carriers<'_> {
    /// Finds the session. Empty names count as none.
    ///
    /// # Errors
    /// A header that is not text.
    pub(crate) fn find(
        &self,
        headers: &HeaderMap,
        settings: &ServerSettings,
    ) -> Result<Named, ApiError> {
        let named = |session: Option<&str>, by: &str| {
            let session = session.filter(|session| !session.is_empty())?;
            Some(Named {
                session: session.to_owned(),
                by: by.to_owned(),
            })
        };
        if let Some(named) = named(self.session, "elpis.session") {
            return Ok(named);
        }
        let own = "X-Elpis-Session";
        let names = settings.session_headers.iter().map(String::as_str);
        for name in std::iter::once(own).chain(names) {
            if let Some(named) = named(text_of(headers, name)?, name) {
                return Ok(named);
            }
        }
        let metadata = self
            .metadata
            .and_then(|metadata| metadata.get("session_id"));
        let in_model = self
            .model
            .and_then(|model| model.strip_prefix(MODEL_PREFIX));
        Ok(
            named(metadata.and_then(Value::as_str), "metadata.session_id")
                .or_else(|| named(self.previous, "previous_response_id"))
                .or_else(|| named(self.prompt_cache_key, "prompt_cache_key"))
                .or_else(|| named(self.user, "user"))
                .or_else(|| named(self.safety_identifier, "safety_identifier"))
                .or_else(|| named(in_model, "model"))
                .unwrap_or_else(|| Named {
                    session: settings.default_session.clone(),
                    by: "default".to_owned(),
                }),
        )
    }
}

/// Whether the front end asks for itself, as for a title of the chat.
pub(crate) fn is_task(headers: &HeaderMap, settings: &ServerSettings) -> bool {
    settings.task_headers.iter().any(|name| {
        let value = headers.get(name.as_str());
        // An unfilled template stands for an empty value.
        value.is_some_and(|value| !value.is_empty() && !value.as_bytes().starts_with(b"{{"))
    })
}

/// The text of a header, which may be beyond ASCII.
pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(ApiError::invalid(
            name,
            format!("the header {name} is not UTF-8"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_carrier_names_the_session() {
        let settings = ServerSettings::default();
        let metadata = serde_json::json!({"session_id": "in-metadata"});
        let mut carriers = Carriers {
            session: Some("in-body"),
            metadata: metadata.as_object(),
            previous: Some("in-previous"),
            prompt_cache_key: Some("in-cache-key"),
            user: Some("in-user"),
            safety_identifier: Some("in-identifier"),
            model: Some("elpis/in-model"),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-elpis-session", "in-header".parse().unwrap());
        headers.insert("x-openwebui-chat-id", "in-chat".parse().unwrap());
        let found = |carriers: &Carriers<'_>, headers: &HeaderMap| {
            let named = carriers.find(headers, &settings).unwrap();
            (named.session, named.by)
        };
        let pair = |session: &str, by: &str| (session.to_owned(), by.to_owned());
        assert_eq!(found(&carriers, &headers), pair("in-body", "elpis.session"));
        carriers.session = Some("");
        assert_eq!(
            found(&carriers, &headers),
            pair("in-header", "X-Elpis-Session")
        );
        headers.remove("x-elpis-session");
        assert_eq!(
            found(&carriers, &headers),
            pair("in-chat", "X-OpenWebUI-Chat-Id")
        );
        headers.clear();
        assert_eq!(
            found(&carriers, &headers),
            pair("in-metadata", "metadata.session_id")
        );
        carriers.metadata = None;
        assert_eq!(
            found(&carriers, &headers),
            pair("in-previous", "previous_response_id")
        );
        carriers.previous = None;
        assert_eq!(
            found(&carriers, &headers),
            pair("in-cache-key", "prompt_cache_key")
        );
        carriers.prompt_cache_key = None;
        assert_eq!(found(&carriers, &headers), pair("in-user", "user"));
        carriers.user = None;
        assert_eq!(
            found(&carriers, &headers),
            pair("in-identifier", "safety_identifier")
        );
        carriers.safety_identifier = None;
        assert_eq!(found(&carriers, &headers), pair("in-model", "model"));
        carriers.model = Some("gpt-5");
        assert_eq!(found(&carriers, &headers), pair("default", "default"));
    }

    #[test]
    fn a_header_that_is_no_text_is_refused() {
        let mut headers = HeaderMap::new();
        let value = axum::http::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
        headers.insert("x-elpis-session", value);
        let error = Carriers::default().find(&headers, &ServerSettings::default());
        assert!(error.unwrap_err().message.contains("X-Elpis-Session"));
        let value = axum::http::HeaderValue::from_bytes("Zoë".as_bytes()).unwrap();
        headers.insert("x-elpis-session", value);
        let named = Carriers::default().find(&headers, &ServerSettings::default());
        assert_eq!(named.unwrap().session, "Zoë");
    }

    #[test]
    fn tasks_of_the_front_end_are_known() {
        let settings = ServerSettings::default();
        let mut headers = HeaderMap::new();
        assert!(!is_task(&headers, &settings));
        for (value, task) in [("title_generation", true), ("", false), ("{{TASK}}", false)] {
            headers.insert("x-elpis-task", value.parse().unwrap());
            assert_eq!(is_task(&headers, &settings), task, "{value}");
        }
    }
}
