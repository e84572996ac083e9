//! The contenders, and how their processes are started.

use std::process::Command;

use anyhow::{Context, Result};

use crate::measure::Run;
use crate::script::Script;

/// Number of cells of the key–value cache for each client.
pub const CONTEXT: u32 = 1024;

/// A contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A runtime whose sessions are not steered.
    Elpis,
    /// A runtime in which each session has a different vector.
    Steered,
    /// A loop around llama.cpp, one batch of all clients.
    Bare,
}

impl Kind {
    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Elpis, Self::Steered, Self::Bare];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elpis => "elpis",
            Self::Steered => "elpis-steered",
            Self::Bare => "bare",
        }
    }
}

/// Starts a process that serves as this kind.
pub fn start(kind: Kind, run: &Run) -> Result<Script> {
    let cache = run.path.parent().context("the model has no folder")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--contender", kind.name(), run.spec.name, "--cache"]);
    command.arg(cache);
    Script::start(kind.name(), &mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_their_names() {
        for kind in [Kind::Elpis, Kind::Steered, Kind::Bare] {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("vllm"), None);
    }
}
