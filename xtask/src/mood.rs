//! `cargo xtask mood`: the table of the README on how well steering works.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Shown by `cargo xtask help mood`.
pub const HELP: &str = "\
Usage: cargo xtask mood

Measures, on the bundled model, how often replies are in the mood that they are steered to,
beside unsteered replies, a random vector and a line in the prompt, and prints the table.";

/// Runs the test that measures and prints it.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    if let Some(first) = args.first() {
        bail!("unexpected `{}`", first.display());
    }
    setup::prepare(workspace)?;
    let mut command = workspace.cargo("test");
    command.args(["--package=elpis", "--test=models", "--", "--nocapture"]);
    process::run(command.arg("mood_follows_steering"))
}
