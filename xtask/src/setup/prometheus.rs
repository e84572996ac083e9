//! Prometheus and its `promtool`, which the tests of `deploy/` run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::find::Host;
use crate::process;
use crate::workspace::Workspace;

/// The variable that names Prometheus for the tests.
pub const PROMETHEUS: &str = "ELPIS_TEST_PROMETHEUS";

/// Finds the Prometheus that the environment names, that is installed, or that was unpacked before.
pub fn find(host: &Host, own: &Path) -> Option<PathBuf> {
    let named = host.var(PROMETHEUS).map(PathBuf::from);
    let unpacked = own.join("usr/bin/prometheus");
    named
        .or_else(|| host.program("prometheus"))
        .or_else(|| unpacked.is_file().then_some(unpacked))
        .filter(|program| program.with_file_name("promtool").is_file())
}

/// Finds Prometheus, or unpacks Debian's package into the target folder. Installing the package
/// would start a service.
pub fn provide(workspace: &Workspace, host: &Host, own: &Path) -> Result<PathBuf> {
    if let Some(found) = find(host, own) {
        return Ok(found);
    }
    if host.program("apt-get").is_none() || host.program("dpkg-deb").is_none() {
        bail!("there is no prometheus with its promtool on the path; install it to test deploy/");
    }
    println!("-- setup: missing prometheus; unpacking Debian's package");
    fs::create_dir_all(own)?;
    let download = || {
        let mut command = workspace.command("apt-get");
        command
            .args(["-qq", "download", "prometheus"])
            .current_dir(own);
        process::capture(&mut command)
    };
    if download().is_err() {
        super::install::update_apt(workspace, host)?;
        download()?;
    }
    let package = fs::read_dir(own)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("apt-get downloaded no package")?;
    let mut unpack = workspace.command("dpkg-deb");
    process::run(unpack.arg("-x").arg(&package).arg(own))?;
    fs::remove_file(&package)?;
    find(host, own).context("Debian's package has no prometheus with a promtool")
}
