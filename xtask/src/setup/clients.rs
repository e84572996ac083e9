//! The Python clients that the server is driven with.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::find::Host;
use super::install;
use crate::workspace::Workspace;

/// Contains the requirements once they are installed.
const MARK: &str = "clients.installed";

/// Finds or installs the packages of a file of requirements, and returns their Python.
pub fn provide(
    workspace: &Workspace,
    host: &Host,
    venv: &Path,
    requirements: &Path,
) -> Result<OsString> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let mark = venv.join(MARK);
    if fs::read_to_string(&mark).ok().as_deref() != Some(&wanted) {
        println!("-- setup: installing the server's clients (200 MB on disk)");
        install::pip(workspace, host, venv, &["-r".into(), requirements.into()])?;
        fs::write(&mark, wanted)?;
    }
    Ok(venv.join("bin/python").into())
}
