//! `elpis key`

use std::io::Write as _;

use clap::Args;
use rand::Rng as _;

use super::{Failure, complain, terminal};
use elpis::settings::{ApiKey, Rights};
use elpis_server::hash_of_key;

/// Creates a key for a client of `elpis serve`.
///
/// Prints the key, which is shown only now, and on standard error the line for `server.keys`, which
/// has its hash.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// A name for logs, without spaces.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What its owner may do: `chat` generates replies, `feel` sends events and reads states,
    /// `admin` changes and deletes sessions, reloads vectors and reads metrics.
    #[arg(long, value_name = "RIGHT", value_delimiter = ',', default_value = "chat,feel",
          value_parser = ["chat", "feel", "admin"])]
    rights: Vec<String>,
    /// The beginning of the names of its sessions, which keeps clients apart.
    #[arg(long, value_name = "TEXT", value_parser = name)]
    prefix: Option<String>,
    /// Maximum number of requests per minute.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',') {
        return Err("it must be a word without spaces and commas");
    }
    Ok(text.to_owned())
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let mut random = [0; 32];
    rand::rng().fill_bytes(&mut random);
    let secret = format!("sk-elpis-{}", blake3::Hash::from_bytes(random).to_hex());
    let rights = options.rights.join("+").parse::<Rights>()?;
    let mut key = ApiKey::new(options.name.as_str(), hash_of_key(&secret), rights)?;
    key.prefix = options.prefix.clone().unwrap_or_default();
    key.rate = options.rate;
    writeln!(terminal::out(), "{secret}")?;
    complain(&format!("add to elpis.toml:\n[server]\nkeys = [\"{key}\"]"));
    Ok(())
}
