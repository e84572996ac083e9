//! Who may ask: keys, rights, rate limits, and the names of the server.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use elpis::settings::{ApiKey, Rights, ServerSettings};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::ApiError;

/// A key with the state of its rate limit.
#[derive(Debug)]
struct Holder {
    key: ApiKey,
    limiter: Option<DefaultDirectRateLimiter>,
}

/// All keys and names.
#[derive(Debug)]
pub(crate) struct Access {
    holders: Vec<Arc<Holder>>,
    /// The names in the `Host` header that are allowed; `None` allows all.
    hosts: Option<Vec<String>>,
}

/// The client of a request.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) rights: Rights,
    /// The beginning of the names of its sessions.
    pub(crate) prefix: Arc<str>,
}

impl Client {
    /// The runtime's name of a session that the client names.
    pub(crate) fn session(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The client's name of a session; `None` if it may not see it.
    pub(crate) fn name_of<'a>(&self, session: &'a str) -> Option<&'a str> {
        session.strip_prefix(&*self.prefix)
    }
}

impl Access {
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        let holders = settings.keys.iter().map(|key| {
            let rate = key.rate.and_then(NonZeroU32::new);
            let limiter =
                rate.map(|rate| DefaultDirectRateLimiter::direct(Quota::per_minute(rate)));
            Arc::new(Holder {
                key: key.clone(),
                limiter,
            })
        });
        let local = settings.listen.0.ip().is_loopback();
        let hosts = (local && settings.keys.is_empty()).then(|| {
            let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
            let ip = settings.listen.0.ip().to_string();
            own.into_iter()
                .chain([ip])
                .chain(settings.hosts.iter().cloned())
                .collect()
        });
        Self {
            holders: holders.collect(),
            hosts,
        }
    }

    /// Finds out who asks.
    pub(crate) fn client(&self, headers: &HeaderMap) -> Result<Client, ApiError> {
        if self.holders.is_empty() {
            return Ok(Client {
                rights: Rights::ALL,
                prefix: "".into(),
            });
        }
        let Some(given) = key_of(headers) else {
            return Err(ApiError::unauthorized(
                "a key is missing: send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`",
            ));
        };
        let hash = hash_of_key(given);
        // All are compared, so that the time does not tell which key came near.
        let mut found = None;
        for holder in &self.holders {
            if bool::from(holder.key.hash.ct_eq(&hash)) {
                found = Some(holder);
            }
        }
        let Some(holder) = found else {
            return Err(ApiError::unauthorized("the key is unknown"));
        };
        if let Some(limiter) = &holder.limiter {
            limiter.check().map_err(|early| {
                let wait = early.wait_time_from(DefaultClock::default().now());
                let rate = holder.key.rate.unwrap_or_default();
                ApiError::too_many(
                    format!(
                        "key {:?} may send {rate} requests per minute",
                        holder.key.name
                    ),
                    wait.max(Duration::from_secs(1)),
                )
            })?;
        }
        Ok(Client {
            rights: holder.key.rights,
            prefix: holder.key.prefix.as_str().into(),
        })
    }

    /// Refuses requests to a name that the server does not have.
    pub(crate) fn host(&self, headers: &HeaderMap, uri_host: Option<&str>) -> Result<(), ApiError> {
        let Some(allowed) = &self.hosts else {
            return Ok(());
        };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        // HTTP/2 has the name in the address alone.
        let Some(host) = host.or(uri_host) else {
            return Err(ApiError::refused(
                StatusCode::BAD_REQUEST,
                "the Host header is missing",
            ));
        };
        let name = without_port(host);
        if allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
        {
            return Ok(());
        }
        Err(ApiError::refused(
            StatusCode::FORBIDDEN,
            format!(
                "the Host header is {host:?}, which is not a name of this server; `server.hosts` adds names"
            ),
        ))
    }
}

/// The hash of a key, as the settings have it.
pub fn hash_of_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

fn key_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())
}

/// A client with a right.
macro_rules! right {
    ($(#[$meta:meta])* $Name:ident, $right:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $Name(pub(crate) Client);

        impl<S: Send + Sync> FromRequestParts<S> for $Name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
                let client = parts.extensions.get::<Client>().cloned();
                let client = client.ok_or_else(|| ApiError::internal("the route checks no keys"))?;
                if !client.rights.$right {
                    let right = stringify!($right);
                    return Err(ApiError::forbidden(format!("the key lacks the right `{right}`")));
                }
                Ok(Self(client))
            }
        }
    };
}

right! {
    /// A client that may generate replies.
    Chats, chat
}
right! {
    /// A client that may send events to sessions.
    Feels, feel
}
right! {
    /// A client that may administrate.
    Admin, admin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let list = list.iter().map(|(name, value)| {
            let value = axum::http::HeaderValue::from_str(value).unwrap();
            (axum::http::HeaderName::from_static(name), value)
        });
        list.collect()
    }

    fn key(secret: &str, rest: &str) -> ApiKey {
        let key = ApiKey::new("ada", hash_of_key(secret), Rights::default()).unwrap();
        format!("{key}{rest}").parse().unwrap()
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        let settings = ServerSettings::default().keys(vec![key("sk-1", "chat prefix=ada/")]);
        let access = Access::new(&settings);
        for given in [
            headers(&[("authorization", "Bearer sk-1")]),
            headers(&[("authorization", "bearer  sk-1")]),
            headers(&[("x-api-key", "sk-1")]),
            headers(&[("authorization", "Basic abc"), ("x-api-key", "sk-1")]),
        ] {
            let client = access.client(&given).unwrap();
            assert_eq!(client.session("x"), "ada/x");
            assert_eq!(client.name_of("ada/x"), Some("x"));
            assert_eq!(client.name_of("bob/x"), None);
            assert!(client.rights.chat && !client.rights.feel);
        }
        for given in [
            headers(&[]),
            headers(&[("authorization", "sk-1")]),
            headers(&[("authorization", "Bearer sk-2")]),
            headers(&[("authorization", "Bearer ")]),
        ] {
            assert_eq!(
                access.client(&given).unwrap_err().status,
                StatusCode::UNAUTHORIZED
            );
        }
    }

    #[test]
    fn a_key_is_limited_to_its_rate() {
        let settings = ServerSettings::default().keys(vec![key("sk-1", "chat rate=2")]);
        let access = Access::new(&settings);
        let given = headers(&[("x-api-key", "sk-1")]);
        assert!(access.client(&given).is_ok());
        assert!(access.client(&given).is_ok());
        let refused = access.client(&given).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(
            refused
                .retry_after
                .is_some_and(|wait| wait <= Duration::from_secs(31))
        );
    }

    #[test]
    fn a_local_server_answers_to_its_own_names_alone() {
        let hosts = vec!["box.lan".to_owned()];
        let access = Access::new(&ServerSettings::default().hosts(hosts));
        for host in [
            "localhost:8080",
            "127.0.0.1",
            "[::1]:8080",
            "LOCALHOST",
            "box.lan:1",
        ] {
            assert!(
                access.host(&headers(&[("host", host)]), None).is_ok(),
                "{host}"
            );
        }
        assert!(access.host(&headers(&[]), Some("localhost")).is_ok());
        for host in ["evil.example", "localhost.evil.example:8080", "", "[::1"] {
            assert!(
                access.host(&headers(&[("host", host)]), None).is_err(),
                "{host}"
            );
        }
        assert!(access.host(&headers(&[]), None).is_err());
        let keyed = ServerSettings::default().keys(vec![key("sk-1", "chat")]);
        assert!(
            Access::new(&keyed)
                .host(&headers(&[("host", "any.example")]), None)
                .is_ok()
        );
    }
}
