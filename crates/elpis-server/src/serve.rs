//! Connections: listening, limits on clients, draining.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use elpis::settings::ServerSettings;
use thiserror::Error;

use crate::routes;
use crate::state::App;

/// Maximum time until a new connection has sent the headers of its first request.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(15);

/// Maximum time between two requests of a connection.
const IDLE_TIME: Duration = Duration::from_secs(75);

/// Maximum number and size of the headers of a request, in bytes.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Why a server cannot serve.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The server would be open to everybody.
    #[error(
        "server.listen is {listen}, which others can reach, but server.keys is empty; set keys, or \
         server.allow_anonymous = true to let everybody in"
    )]
    Open {
        /// The address.
        listen: SocketAddr,
    },
    /// Of the certificate and its key only one is set.
    #[error("server.{set} is set, but server.{missing} is not; TLS needs both")]
    HalfTls {
        /// The setting that is set.
        set: &'static str,
        /// The setting that is missing.
        missing: &'static str,
    },
    /// The certificate or its key cannot be used.
    #[error("server.tls_certificate {certificate} with server.tls_key {key}: {source}")]
    Tls {
        /// The file of the certificate.
        certificate: String,
        /// The file of the key.
        key: String,
        /// Why.
        source: io::Error,
    },
    /// An origin is not valid.
    #[error(
        "server.cors_origins has {origin:?}, but must have `*` or origins such as https://chat.example"
    )]
    Origin {
        /// The given origin.
        origin: String,
    },
    /// A header is not valid.
    #[error("server.{field} has {name:?}, which is not the name of a header")]
    Header {
        /// The setting.
        field: &'static str,
        /// The given name.
        name: String,
    },
    /// Two keys have one name or one hash.
    #[error("server.keys has two keys with the {what} of {name:?}")]
    Twice {
        /// The shared property: `name` or `hash`.
        what: &'static str,
        /// The name of the second.
        name: String,
    },
    /// The address cannot be listened on.
    #[error("server.listen {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listener failed.
    #[error("the listener failed: {0}")]
    Failed(#[source] io::Error),
}

/// Checks what concerns several settings.
pub(crate) fn validate(settings: &ServerSettings) -> Result<(), ServerError> {
    let listen = settings.listen.0;
    if !listen.ip().is_loopback() && settings.keys.is_empty() && !settings.allow_anonymous {
        return Err(ServerError::Open { listen });
    }
    let (certificate, key) = ("tls_certificate", "tls_key");
    match (&settings.tls_certificate, &settings.tls_key) {
        (Some(_), None) => {
            return Err(ServerError::HalfTls {
                set: certificate,
                missing: key,
            });
        }
        (None, Some(_)) => {
            return Err(ServerError::HalfTls {
                set: key,
                missing: certificate,
            });
        }
        _ => {}
    }
    for origin in &settings.cors_origins {
        let (scheme, host) = origin.split_once("://").unwrap_or_default();
        let valid = matches!(scheme, "http" | "https")
            && !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if origin != "*" && !valid {
            return Err(ServerError::Origin {
                origin: origin.clone(),
            });
        }
    }
    let headers = [
        ("session_headers", &settings.session_headers),
        ("task_headers", &settings.task_headers),
    ];
    for (field, names) in headers {
        for name in names {
            if axum::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(ServerError::Header {
                    field,
                    name: name.clone(),
                });
            }
        }
    }
    for (index, key) in settings.keys.iter().enumerate() {
        let earlier = &settings.keys[..index];
        let what = if earlier.iter().any(|other| other.name == key.name) {
            "name"
        } else if earlier.iter().any(|other| other.hash == key.hash) {
            "hash"
        } else {
            continue;
        };
        return Err(ServerError::Twice {
            what,
            name: key.name.clone(),
        });
    }
    Ok(())
}

/// Listens on the address of the settings.
pub(crate) fn bind(settings: &ServerSettings) -> Result<TcpListener, ServerError> {
    let listen = settings.listen.0;
    TcpListener::bind(listen).map_err(|source| ServerError::Listen { listen, source })
}

/// Serves until `stop` is ready, then drains.
pub(crate) async fn serve(
    app: &App,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServerError> {
    let settings = app.settings();
    let handle = Handle::new();
    let router = routes::router(app);
    let (counted, most) = (handle.clone(), settings.max_connections as usize);
    // An error closes the connection.
    let connections = tower::service_fn(move |_: SocketAddr| {
        let full = counted.connection_count() >= most;
        std::future::ready(if full { Err(Full) } else { Ok(router.clone()) })
    });
    let mut server = axum_server::from_tcp(listener)
        .map_err(ServerError::Failed)?
        .handle(handle.clone())
        .first_request_timeout(FIRST_REQUEST_TIME)
        .acceptor(NoDelayAcceptor::new());
    let builder = server.http_builder();
    builder
        .http1()
        .header_read_timeout(IDLE_TIME)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .max_header_list_size(MAX_HEADER_BYTES as u32);
    let serving = async {
        match tls(settings).await? {
            None => server.serve(connections).await,
            Some(tls) => {
                let tls = |inner| RustlsAcceptor::new(tls).acceptor(inner);
                server.map(tls).serve(connections).await
            }
        }
        .map_err(ServerError::Failed)
    };
    let draining = async {
        stop.await;
        app.drain();
        tokio::time::sleep(settings.drain_delay).await;
        let limit = app.elpis().settings().runtime.shutdown_timeout;
        handle.graceful_shutdown(Some(limit));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving => served,
        () = draining => Ok(()),
    }
}

/// There are too many connections.
#[derive(Debug, Clone, Copy, Error)]
#[error("there are too many connections")]
struct Full;

/// The certificate, if there is one.
async fn tls(settings: &ServerSettings) -> Result<Option<RustlsConfig>, ServerError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    // A program with several providers of cryptography must choose one; an error means that it has.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = RustlsConfig::from_pem_file(certificate, key).await;
    let config = config.map_err(|source| ServerError::Tls {
        certificate: certificate.display().to_string(),
        key: key.display().to_string(),
        source,
    })?;
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn refused(settings: &ServerSettings) -> String {
        validate(settings).unwrap_err().to_string()
    }

    #[test]
    fn a_server_is_not_open_to_everybody_by_accident() {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
        let open = ServerSettings::default().listen(everywhere);
        assert!(refused(&open).contains("server.keys is empty"));
        assert!(validate(&open.clone().allow_anonymous(true)).is_ok());
        let hash = "0".repeat(64);
        let keys = vec![format!("ada {hash} chat").parse().unwrap()];
        assert!(validate(&open.keys(keys)).is_ok());
        assert!(validate(&ServerSettings::default()).is_ok());
    }

    #[test]
    fn contradictory_settings_are_named() {
        let settings = ServerSettings::default;
        assert!(refused(&settings().tls_key("key.pem")).contains("server.tls_certificate is not"));
        assert!(refused(&settings().tls_certificate("a.pem")).contains("server.tls_key is not"));
        for origin in [
            "chat.example",
            "ftp://a",
            "https://a/b",
            "https://",
            "https://a b",
        ] {
            let origins = vec![origin.to_owned()];
            assert!(refused(&settings().cors_origins(origins)).contains(origin));
        }
        let headers = vec!["X Y".to_owned()];
        assert!(refused(&settings().session_headers(headers)).contains("session_headers"));
        let key =
            |name: &str, digit: &str| format!("{name} {} chat", digit.repeat(64)).parse().unwrap();
        let twice = vec![key("ada", "0"), key("ada", "1")];
        assert!(refused(&settings().keys(twice)).contains("name"));
        let twice = vec![key("ada", "0"), key("bob", "0")];
        assert!(refused(&settings().keys(twice)).contains("hash"));
    }
}
