//! llama-cpp-python, which the benchmarks compare with.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::find::Host;
use super::install;
use crate::workspace::Workspace;

/// The variable that names a Python with this package for the benchmarks.
pub const LLAMA_PYTHON: &str = "ELPIS_BENCH_LLAMA_PYTHON";

const REQUIREMENT: &str = "llama-cpp-python[server]==0.3.36";

/// The kernels of our own build, so that the two differ only in the code around llama.cpp. By
/// default the package uses the kernels of the machine.
const KERNELS: &str =
    "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON";

/// Contains the requirement once it is installed.
const MARK: &str = "llama-cpp-python.installed";

/// The Python named in the environment, or our own.
pub fn find(host: &Host, venv: &Path) -> Option<OsString> {
    if let Some(named) = host.var(LLAMA_PYTHON) {
        return Some(named.to_owned());
    }
    let installed = fs::read_to_string(venv.join(MARK)).ok()?;
    (installed == REQUIREMENT).then(|| venv.join("bin/python").into())
}

/// Finds or installs the package, which compiles its llama.cpp.
pub fn provide(workspace: &mut Workspace, host: &Host, venv: &Path) -> Result<OsString> {
    if let Some(python) = find(host, venv) {
        return Ok(python);
    }
    println!("-- setup: installing {REQUIREMENT}, which compiles for some minutes");
    if cfg!(target_arch = "x86_64") {
        workspace.set("CMAKE_ARGS", KERNELS);
    }
    // A cached build may have other kernels.
    let args = ["--no-cache-dir".into(), REQUIREMENT.into()];
    install::pip(workspace, host, venv, &args)?;
    fs::write(venv.join(MARK), REQUIREMENT)?;
    find(host, venv).context("llama-cpp-python was installed, but is not there")
}
