//! `[server]`: the HTTP server of `elpis serve` and of the crate `elpis-server`.

mod key;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::metrics::ListenAddress;
use super::schema::{between, section};
use super::value::choices;
use crate::inference::ClientSampling;

pub use key::{ApiKey, ApiKeyError, Rights};

choices!(ClientSampling);

section! {
    /// The HTTP server.
    pub struct ServerSettings = Server, server, "server";

    /// Address of the server: a port, for this machine only, or an address with a port
    /// (`0.0.0.0:8080`). Beyond this machine, `keys` or `allow_anonymous` must be set.
    listen: ListenAddress = ListenAddress(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8080));
    /// Keys of clients. Each is `NAME HASH RIGHTS [prefix=PREFIX] [rate=N]`: a name for logs, the
    /// SHA-256 of the key in hexadecimal, the rights (`chat`, `feel`, `admin`, joined by `+`), the
    /// beginning of the names of its sessions, and its requests per minute. `elpis key NAME`
    /// creates one.
    keys: Vec<ApiKey> = Vec::new();
    /// Whether a server without keys may listen beyond this machine. Everybody who reaches it then
    /// has all rights.
    allow_anonymous: bool = false;
    /// Origins of web pages that may call the server, such as `https://chat.example`; `*` allows
    /// all.
    cors_origins: Vec<String> = Vec::new();
    /// Names under which clients may address a server that listens on this machine only, besides
    /// `localhost` and its addresses. Other names in the `Host` header are refused, so that a web
    /// page cannot reach the server through a name of its own.
    hosts: Vec<String> = Vec::new();
    /// How a client's `temperature` and `top_p` are used: with `base` the mood moves them, with
    /// `override` they replace the modulated values.
    client_sampling: ClientSampling = ClientSampling::Base;
    /// Headers that name the session, in this order.
    session_headers: Vec<String> = vec![
        "X-OpenWebUI-Chat-Id".to_owned(),
        "X-Conversation-Id".to_owned(),
    ];
    /// Headers whose presence marks a request of the front end itself, such as a title for a chat.
    /// Such requests do not move the mood.
    task_headers: Vec<String> = vec!["X-Elpis-Task".to_owned(), "X-OpenWebUI-Task".to_owned()];
    /// Session of requests that name none.
    default_session: String = "default".to_owned();
    /// Maximum size of a request, in MiB.
    max_request_mib: u32 = 8, in between(1.0, 1024.0);
    /// Maximum number of connections at once.
    max_connections: u32 = 4096, in between(1.0, 1_048_576.0);
    /// Maximum number of replies to one request (`n`).
    max_choices: u32 = 8, in between(1.0, 128.0);
    /// Time between two comments in a stream that has nothing else to send, so that proxies keep it
    /// open.
    keep_alive: Duration = Duration::from_secs(10), in between(0.1, 300.0), as Seconds "keep_alive_seconds";
    /// Time between the refusal of readiness and that of new connections when the server stops, so
    /// that load balancers notice.
    drain_delay: Duration = Duration::ZERO, in between(0.0, 300.0), as Seconds "drain_delay_seconds";
    /// File with the certificate chain of the server, in PEM; needs `tls_key`.
    tls_certificate: Option<PathBuf> = None, unset "HTTP without TLS";
    /// File with the private key of the certificate, in PEM.
    tls_key: Option<PathBuf> = None, unset "HTTP without TLS";
}
