//! Drives the server with clients and suites that others wrote, on a real model.

use std::ffi::OsStr;

use anyhow::{Context, Result};

use crate::models;
use crate::process;
use crate::setup;
use crate::workspace::{self, Workspace};

/// The folder of the script and its requirements, below the root.
const FOLDER: &str = "crates/elpis-server/tests/clients";

/// The vectors of the real model, below the root.
const VECTORS: &str = "vectors/smollm2-135m-instruct";

/// Installs the clients and runs the script.
pub fn check(workspace: &mut Workspace) -> Result<()> {
    let folder = workspace.root.join(FOLDER);
    let python = setup::provide_clients(workspace, &folder.join("requirements.txt"))?;
    let model = models::named(workspace, OsStr::new("smollm2"))?;
    let elpis = workspace
        .build_programs()?
        .join(workspace::program("elpis"));
    let mut command = workspace.command(&python);
    command.arg(folder.join("run.py")).arg(elpis).arg(model);
    command.arg(workspace.root.join(VECTORS));
    process::run(&mut command).context("a client of the server is not served as it should be")
}
