//! `cargo xtask api`: the public API of every crate as text, and the documentation as docs.rs
//! builds it.
//!
//! One run of rustdoc produces both. Its JSON output is unstable, so only rustdoc runs as if it
//! were a nightly version: in the environment of cargo the variable would rebuild every dependency.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::packages::{self, Package};
use crate::process;
use crate::workspace::Workspace;

/// Shown by `cargo xtask help api`.
pub const HELP: &str = "\
Usage: cargo xtask api [--check]

  --check   change nothing; fail if a file of api/ differs

Documents every published library with the features of docs.rs, offline and without native
code, and writes its public items to api/CRATE.txt, one a line. A change of these files in a
pull request shows what it does to users.";

/// The folder of the texts, below the root.
pub const FOLDER: &str = "api";

/// Crates without an API file: one is a command, the other cannot be documented without compiling
/// llama.cpp, which the step `doc` does.
const LEFT_OUT: [&str; 2] = ["elpis-cli", "elpis-llama-cpp"];

/// Names the real rustdoc, which this program wraps.
const REAL_RUSTDOC: &str = "ELPIS_XTASK_RUSTDOC";

/// Runs the command.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let mut only_check = false;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("check") => only_check = true,
            _ => return Err(arg.unexpected().into()),
        }
    }
    if only_check {
        return check(workspace);
    }
    fs::create_dir_all(workspace.root.join(FOLDER))?;
    for package in documented(workspace)? {
        let text = text(workspace, &package)?;
        let file = file(workspace, &package);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Builds the documentation and fails if a file of the API differs from what is committed.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut changes = String::new();
    for package in documented(workspace)? {
        let file = file(workspace, &package);
        let committed = fs::read_to_string(&file).unwrap_or_default();
        for line in difference(&committed, &text(workspace, &package)?) {
            let _ = write!(changes, "\n  {}: {line}", file.display());
        }
    }
    if !changes.is_empty() {
        bail!("the public API has changed; `cargo xtask api` writes it anew:{changes}");
    }
    Ok(())
}

/// The libraries whose API is recorded.
fn documented(workspace: &Workspace) -> Result<Vec<Package>> {
    let mut packages = packages::published(workspace)?;
    packages.retain(|package| package.library && !LEFT_OUT.contains(&package.name.as_str()));
    Ok(packages)
}

fn file(workspace: &Workspace, package: &Package) -> PathBuf {
    let folder = workspace.root.join(FOLDER);
    folder.join(format!("{}.txt", package.name))
}

/// The public items of a library, one per line.
fn text(workspace: &Workspace, package: &Package) -> Result<String> {
    let json = document(workspace, package)?;
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_auto_derived_impls(true)
        .omit_auto_trait_impls(true)
        .omit_blanket_impls(true)
        .build()
        .with_context(|| format!("cannot read {}", json.display()))?;
    Ok(api.to_string())
}

/// Runs rustdoc on a crate as docs.rs does, and returns the path of its JSON output.
fn document(workspace: &Workspace, package: &Package) -> Result<PathBuf> {
    let mut command = workspace.cargo("rustdoc");
    command.args(["--offline", "--lib", "--package", &package.name]);
    command.args(&package.docs_rs);
    command.args([
        "--",
        "-Zunstable-options",
        "--output-format=json",
        "-Dwarnings",
    ]);
    command.arg("--cfg=docsrs");
    let rustdoc = workspace.variable("RUSTDOC");
    command.env(REAL_RUSTDOC, rustdoc.unwrap_or_else(|| "rustdoc".into()));
    command.env("RUSTDOC", env::current_exe()?);
    command.env("DOCS_RS", "1").env_remove("LIBTORCH");
    process::run(&mut command)?;
    let file = format!("{}.json", package.import_name());
    Ok(workspace.target.join("doc").join(file))
}

/// Wraps rustdoc if cargo runs this program in its place.
pub fn as_rustdoc() -> Option<ExitCode> {
    let rustdoc = env::var_os(REAL_RUSTDOC)?;
    Some(match run_rustdoc(&rustdoc) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot start {}: {error}", Path::new(&rustdoc).display());
            ExitCode::FAILURE
        }
    })
}

fn run_rustdoc(rustdoc: &OsStr) -> std::io::Result<bool> {
    let mut command = Command::new(rustdoc);
    command.args(env::args_os().skip(1));
    command.env_remove(REAL_RUSTDOC).env("RUSTC_BOOTSTRAP", "1");
    Ok(command.status()?.success())
}

/// Lines that only one of two texts has, marked as in a patch; order is ignored.
pub fn difference(before: &str, after: &str) -> Vec<String> {
    let gone = before
        .lines()
        .filter(|line| !after.lines().any(|l| l == *line));
    let new = after
        .lines()
        .filter(|line| !before.lines().any(|l| l == *line));
    gone.map(|line| format!("-{line}"))
        .chain(new.map(|line| format!("+{line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_is_gone_and_new() {
        let before = "pub fn a()\npub fn b()\n";
        let after = "pub fn b()\npub fn a(u8)\n";
        assert_eq!(difference(before, after), ["-pub fn a()", "+pub fn a(u8)"]);
        assert!(difference(before, "pub fn b()\npub fn a()\n").is_empty());
    }
}
