//! Serves a runtime of `elpis` over HTTP: `OpenAI`'s and Anthropic's API, the feelings of sessions,
//! live events.
//!
//! ```no_run
//! use elpis::{Elpis, Settings};
//! use elpis_server::Server;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let elpis = Elpis::start(Settings::load()?).await?;
//! let server = Server::new(elpis)?;
//! let listener = server.bind()?;
//! server.serve(listener, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A program that has an `axum` router of its own mounts [`Server::router`]. The settings are those
//! of the runtime: the section `[server]`.

#![deny(unsafe_code)]

mod access;
mod anthropic;
mod calls;
mod carrier;
mod content;
mod error;
mod events;
mod extension;
mod extract;
mod feelings;
mod health;
mod idempotency;
mod openai;
mod response_cache;
mod responses;
mod routes;
mod serve;
mod sse;
mod state;
mod turn;
mod unread_body;

use std::net::TcpListener;

use axum::Router;
use elpis::Elpis;
use elpis::settings::ServerSettings;

pub use access::hash_of_key;
pub use serve::ServerError;
use state::App;

/// The server of a runtime. Clones share it.
#[derive(Debug, Clone)]
pub struct Server {
    app: App,
}

impl Server {
    /// Creates the server of a runtime from the runtime's settings.
    ///
    /// # Errors
    /// [`ServerError`] if the section `[server]` is contradictory, or if it would open the server
    /// to everybody beyond this machine by accident.
    pub fn new(elpis: Elpis) -> Result<Self, ServerError> {
        serve::validate(&elpis.settings().server)?;
        Ok(Self {
            app: App::new(elpis),
        })
    }

    /// The routes of the server, for a program that has a server of its own. Keys, limits and the
    /// check of the `Host` header are part of it; connections and TLS are the program's.
    pub fn router(&self) -> Router {
        routes::router(&self.app)
    }

    /// The section `[server]` of the runtime's settings.
    pub fn settings(&self) -> &ServerSettings {
        self.app.settings()
    }

    /// Checks the section `[server]`, as [`new`](Self::new) does, before a model is loaded.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn check(settings: &ServerSettings) -> Result<(), ServerError> {
        serve::validate(settings)
    }

    /// Listens on an address, as [`bind`](Self::bind) does, before a model is loaded.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_to(settings: &ServerSettings) -> Result<TcpListener, ServerError> {
        serve::bind(settings)
    }

    /// Listens on `server.listen`.
    ///
    /// # Errors
    /// [`ServerError::Listen`] if the address cannot be used.
    pub fn bind(&self) -> Result<TcpListener, ServerError> {
        serve::bind(self.settings())
    }

    /// Serves until `stop` is ready. From then on `/ready` fails; after `server.drain_delay_seconds`
    /// no connection is accepted, and the running requests have `runtime.shutdown_timeout_seconds`
    /// to end. The runtime keeps running.
    ///
    /// # Errors
    /// [`ServerError`] if the certificate cannot be used or the listener fails.
    ///
    /// # Cancel safety
    /// If the future is dropped, all connections are closed, and their generations are cancelled.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServerError> {
        serve::serve(&self.app, listener, stop).await
    }
}
