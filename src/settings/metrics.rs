//! `[metrics]`: metrics and traces.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::schema::{between, section};
use super::value::{Raw, SettingValue, ValueError, wrong_type};
use crate::inference::{SessionId, SessionIdError};

section! {
    /// Metrics and traces of the runtime.
    pub struct MetricsSettings = Metrics, metrics, "metrics";

    /// Address on which Prometheus reads the metrics: a port, for this machine only, or an address
    /// with a port (`0.0.0.0:9464`, `localhost:9464`). Needs the cargo feature `prometheus`;
    /// without it, or without this setting, the program's own recorder receives them.
    listen: Option<ListenAddress> = None, unset "not over HTTP";
    /// Time between two samples of the gauges for moods, mailboxes and memory.
    interval: Duration = Duration::from_secs(5), in between(0.1, 3600.0), as Seconds "interval_seconds";
    /// Sessions with their own time series, by name; at most 100. Each takes memory in Prometheus
    /// for as long as Prometheus keeps data.
    sessions: Vec<String> = Vec::new();
    /// Name of the model in metrics and traces, to distinguish two files of one model.
    model: Option<String> = None, unset "the name in the model's file";
    /// Also records metrics under the names of OpenTelemetry's conventions for generative AI
    /// (`gen_ai.…`).
    opentelemetry: bool = false;
    /// Whether the spans of generations contain prompts and replies, which may be private.
    trace_text: bool = false;
}

impl MetricsSettings {
    /// Maximum number of sessions with their own time series.
    pub const MAX_SESSIONS: usize = 100;

    /// Returns the name of a model in metrics and traces.
    pub(crate) fn model_label<'a>(&'a self, name: &'a str) -> &'a str {
        self.model.as_deref().unwrap_or(name)
    }

    /// Parses the names of [`sessions`](Self::sessions).
    pub(crate) fn listed_sessions(&self) -> Result<Vec<SessionId>, SessionIdError> {
        self.sessions.iter().map(SessionId::new).collect()
    }
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl ListenAddress {
    /// Parses a port, for this machine only, or an address with a port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(port) = text.parse::<u16>() {
            return Some(Self::from(port));
        }
        // `localhost` needs no name resolution.
        if let Some(port) = text.strip_prefix("localhost:") {
            return port.parse::<u16>().ok().map(Self::from);
        }
        text.parse().ok().map(Self)
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    /// Parses a port, for this machine only, or an address with a port.
    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        Self::parse(text.trim()).ok_or(ListenAddressError)
    }
}

/// A text is not an address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a port, or an address with a port")]
#[non_exhaustive]
pub struct ListenAddressError;

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl From<u16> for ListenAddress {
    /// Listens on the port on this machine only.
    fn from(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl SettingValue for ListenAddress {
    fn type_name() -> String {
        "port, or address:port".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, ValueError> {
        let address = match raw {
            Raw::Int(port) => u16::try_from(*port).ok().map(Self::from),
            Raw::Str(text) | Raw::Text(text) => Self::parse(text.trim()),
            _ => None,
        };
        address.ok_or_else(|| wrong_type(raw))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}
