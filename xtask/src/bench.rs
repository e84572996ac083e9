//! `cargo xtask bench`: timed comparisons with bare llama.cpp.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Shown by `cargo xtask help bench`.
pub const HELP: &str = "\
Usage: cargo xtask bench [NAME…] [--rounds N] [--model small|large] [--list]

  NAME…           run these figures alone
  --rounds N      rounds of each figure, by default 7
  --model M       run on this model alone
  --list          name the figures, each with what it must come to
  --smoke         a few tokens on a tiny model, to see that every figure runs

Prints one line of JSON for each figure and model. Needs a machine with nothing else to do.
The first run compiles llama.cpp for the release profile, which takes some minutes, and makes
the models, of random weights (700 MB below the target folder).";

/// The package that measures.
pub const PACKAGE: &str = "--package=elpis-bench";

/// Sets up and measures.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    setup::prepare(workspace)?;
    let mut run = workspace.cargo("run");
    run.args(["--release", PACKAGE, "--"]).args(args);
    if let Some(revision) = revision(workspace) {
        run.env("ELPIS_BENCH_REVISION", revision);
    }
    process::run(with_cache(workspace, &mut run))
}

/// Runs every figure for a moment. What it prints is no measurement.
pub fn smoke(workspace: &Workspace) -> Result<()> {
    let mut run = workspace.cargo("run");
    run.args([PACKAGE, "--", "--smoke"]);
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
