//! llama-cpp-python, which the benchmarks compare with.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::find::Host;
use super::install;
use crate::workspace::Workspace;

/// The variable that tells the benchmarks of a Python that has it.
pub const LLAMA_PYTHON: &str = "ELPIS_BENCH_LLAMA_PYTHON";

const REQUIREMENT: &str = "llama-cpp-python[server]==0.3.36";

/// The kernels that ours is built with, so that the two differ in nothing but what stands around
/// llama.cpp. By itself the package takes those of the machine.
const KERNELS: &str =
    "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON";

/// Holds the requirement once it is met.
const MARK: &str = "llama-cpp-python.installed";

/// The Python that is named, or of our own.
pub fn find(host: &Host, venv: &Path) -> Option<OsString> {
    if let Some(named) = host.var(LLAMA_PYTHON) {
        return Some(named.to_owned());
    }
    let installed = fs::read_to_string(venv.join(MARK)).ok()?;
    (installed == REQUIREMENT).then(|| venv.join("bin/python").into())
}

/// Finds it or installs it, which compiles the llama.cpp of that package.
pub fn provide(workspace: &mut Workspace, host: &Host, venv: &Path) -> Result<OsString> {
    if let Some(python) = find(host, venv) {
        return Ok(python);
    }
    println!("-- setup: installing {REQUIREMENT}, which compiles for some minutes");
    if cfg!(target_arch = "x86_64") {
        workspace.set("CMAKE_ARGS", KERNELS);
    }
    // A package that was built before may have other kernels.
    let args = ["--no-cache-dir".into(), REQUIREMENT.into()];
    install::pip(workspace, host, venv, &args)?;
    fs::write(venv.join(MARK), REQUIREMENT)?;
    find(host, venv).context("llama-cpp-python was installed, but is not there")
}
