//! `[metrics]`: how the runtime is watched.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::schema::section;
use super::value::{Fault, Raw, SettingValue, wrong_type};

section! {
    /// How the runtime is watched.
    pub struct MetricsSettings = Metrics, metrics, "metrics";

    /// Where Prometheus may read the metrics: a port, then only from this machine, or an address with a port.
    /// Needs the cargo feature `prometheus`; without it, or without this setting, the program's own recorder
    /// receives them.
    listen: Option<ListenAddress> = None, unset "not over HTTP";
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
