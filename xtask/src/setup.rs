//! `cargo xtask setup`: what the native build of llama.cpp needs.
//!
//! First the tools are looked for; then the system's package manager is asked; then `PyPI`,
//! whose packages go into the target folder; then a person. When everything is there, this
//! costs some milliseconds, so every other command starts with it.

mod find;
mod install;

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;
use find::{Host, Tools};
use install::Manager;

/// Shown by `cargo xtask help setup`.
pub const HELP: &str = "\
Usage: cargo xtask setup

Looks for a C++ compiler, make or ninja, cmake and libclang, and installs what is missing:
with apt-get (as root, or through sudo) or brew; failing that, from PyPI into the target
folder. Where neither works, prints the command to run and exits with status 1.";

/// Sets up and tells what a plain cargo command needs in its environment.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    if let Some(arg) = args.first() {
        bail!("unexpected `{}`", arg.display());
    }
    let tools = native_tools(workspace)?;
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

/// Makes sure that the native build can run and hands its environment to all children.
pub fn prepare(workspace: &mut Workspace) -> Result<()> {
    native_tools(workspace).map(drop)
}

/// Hands the environment of what is there to all children; installs nothing.
pub fn adopt(workspace: &mut Workspace) {
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

/// Makes sure that rustfmt and clippy are there, which a minimal toolchain lacks.
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
