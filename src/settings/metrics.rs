//! `[metrics]`: how the runtime is watched.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::schema::{between, section};
use super::value::{Fault, Raw, SettingValue, wrong_type};
use crate::inference::{SessionId, SessionIdError};

section! {
    /// How the runtime is watched.
    pub struct MetricsSettings = Metrics, metrics, "metrics";

    /// Where Prometheus may read the metrics: a port, then only from this machine, or an address with a port
    /// (`0.0.0.0:9464`, `localhost:9464`).
    /// Needs the cargo feature `prometheus`; without it, or without this setting, the program's own recorder
    /// receives them.
    listen: Option<ListenAddress> = None, unset "not over HTTP";
    /// Time between two looks at what nobody reports: the moods of the sessions, mailboxes, memory.
    interval: Duration = Duration::from_secs(5), in between(0.1, 3600.0), as Seconds "interval_seconds";
    /// Sessions that have series of their own, by name; at most 100. Each costs memory in Prometheus for as long
    /// as it keeps data.
    sessions: Vec<String> = Vec::new();
    /// What the model is called in metrics and traces, so that two files of one model can be told apart.
    model: Option<String> = None, unset "the name that the model's file gives";
    /// Also measures under the names of OpenTelemetry's conventions for generative AI (`gen_ai.…`).
    opentelemetry: bool = false;
    /// Puts prompts and replies into the spans of generations. They may be private.
    trace_text: bool = false;
}

impl MetricsSettings {
    /// Sessions that may have series of their own.
    pub const MAX_SESSIONS: usize = 100;

    /// What a model of this name is called in metrics and traces.
    pub(crate) fn model_label<'a>(&'a self, name: &'a str) -> &'a str {
        self.model.as_deref().unwrap_or(name)
    }

    /// Checks and takes the names of [`sessions`](Self::sessions).
    pub(crate) fn listed_sessions(&self) -> Result<Vec<SessionId>, SessionIdError> {
        self.sessions.iter().map(SessionId::new).collect()
    }
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl ListenAddress {
    /// Reads a port, which stands for this machine alone, or an address with a port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(port) = text.parse::<u16>() {
            return Some(Self::from(port));
        }
        // Its one name that needs nobody to be asked.
        if let Some(port) = text.strip_prefix("localhost:") {
            return port.parse::<u16>().ok().map(Self::from);
        }
        text.parse().ok().map(Self)
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl From<u16> for ListenAddress {
    /// The port on this machine alone.
    fn from(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl SettingValue for ListenAddress {
    fn type_name() -> String {
        "port, or address:port".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Fault> {
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
