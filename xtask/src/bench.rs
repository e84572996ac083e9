//! `cargo xtask bench`: timed comparisons with bare llama.cpp and with Hugging Face's
//! transformers.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Shown by `cargo xtask help bench`.
pub const HELP: &str = "\
Usage: cargo xtask bench [NAME…] [--rounds N] [--model MODEL] [--list]

  NAME…           run these figures alone; `peers` is all of the backend on libtorch
  --rounds N      rounds of each figure, by default 7
  --model MODEL   run on this model alone: small, large, torch-f32, torch-bf16 or torch-large
  --list          name the figures, each with what it must come to
  --smoke         a few tokens on a tiny model, to see that every figure runs

Prints one line of JSON for each figure and model. Needs a machine with nothing else to do.
The first run compiles llama.cpp for the release profile, which takes some minutes, and makes
the models, of random weights (1.3 GB below the target folder).

The figures of `peers` need libtorch (LIBTORCH) and a Python with torch and transformers
(ELPIS_PYTHON). Both are installed below the target folder when these figures are asked for by
name, and otherwise left out where they are missing.";

/// The package that measures.
pub const PACKAGE: &str = "--package=elpis-bench";

/// Set where libtorch is.
const LIBTORCH: &str = "LIBTORCH";
/// Set where a Python with torch and transformers is.
const PYTHON: &str = "ELPIS_PYTHON";

/// Sets up and measures.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    setup::prepare(workspace)?;
    if asks_for_peers(args) {
        setup::prepare_for_tests(workspace)?;
    } else {
        setup::adopt(workspace);
    }
    let mut run = workspace.cargo("run");
    run.args(["--release", PACKAGE]);
    run.args(features(workspace)).arg("--").args(args);
    if let Some(revision) = revision(workspace) {
        run.env("ELPIS_BENCH_REVISION", revision);
    }
    process::run(with_cache(workspace, &mut run))
}

/// Cargo's arguments for the figures that can be measured here.
pub fn features(workspace: &Workspace) -> &'static [&'static str] {
    match workspace.variable(LIBTORCH) {
        Some(_) if workspace.has_feature(setup::TRANSFORMERS) => &["--features=transformers"],
        _ => &[],
    }
}

fn asks_for_peers(args: &[OsString]) -> bool {
    let mut names = args.iter().filter_map(|arg| arg.to_str());
    names.any(|name| name == "peers" || name.starts_with("transformers-"))
}

/// Runs every figure for a moment. What it prints is no measurement.
pub fn smoke(workspace: &Workspace) -> Result<()> {
    for name in [LIBTORCH, PYTHON] {
        if workspace.variable(name).is_none() {
            println!("   note: {name} is not set, the figures that need it are left out");
        }
    }
    let mut run = workspace.cargo("run");
    run.arg(PACKAGE).args(features(workspace));
    run.args(["--", "--smoke"]);
    process::capture(with_cache(workspace, &mut run)).map(drop)
}

fn with_cache<'a>(workspace: &Workspace, command: &'a mut Command) -> &'a mut Command {
    let folder = workspace.own_folder().join("bench-models");
    command.arg("--cache").arg(folder)
}

/// What is measured, where git can tell.
fn revision(workspace: &Workspace) -> Option<String> {
    let mut git = workspace.command("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=12"]);
    let revision = process::capture(&mut git).ok()?;
    Some(revision.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_on_libtorch_are_known_by_name() {
        let asks = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            asks_for_peers(&args)
        };
        assert!(asks(&["--rounds", "5", "peers"]));
        assert!(asks(&["transformers-memory"]));
        assert!(!asks(&["prefix", "--list"]));
    }
}
