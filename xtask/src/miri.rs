//! `cargo xtask miri`: runs the unit tests of the pure crates under Miri, which finds undefined
//! behaviour, leaks and data races that ordinary test runs do not show.

use std::ffi::OsString;

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::process;
use crate::workspace::Workspace;

/// Shown by `cargo xtask help miri`.
pub const HELP: &str = "\
Usage: cargo xtask miri [CRATE…]

Runs the unit tests of elpis-emotion, elpis-files and elpis-steering, or of the given crates,
in the interpreter Miri. Tests that take too long there, or need system calls that Miri does
not support, are marked with `#[cfg_attr(miri, ignore)]`.

This needs a nightly toolchain with Miri, and network access once, for the dependencies of the
standard library: rustup toolchain install nightly --component miri,rust-src";

/// Crates without native code whose unit tests take minutes under Miri.
const CRATES: [&str; 3] = ["elpis-emotion", "elpis-files", "elpis-steering"];

/// Runs the command.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let mut crates = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Value(name) => crates.push(name.string()?),
            _ => return Err(arg.unexpected().into()),
        }
    }
    if crates.is_empty() {
        crates = CRATES.map(str::to_owned).into();
    }
    let mut version = workspace.command("cargo");
    if process::capture(version.args(["+nightly", "miri", "--version"])).is_err() {
        bail!(
            "there is no nightly toolchain with Miri; \
             `rustup toolchain install nightly --component miri,rust-src` installs one"
        );
    }
    // Without isolation, tests can read files and the clock.
    workspace.set("MIRIFLAGS", "-Zmiri-disable-isolation");
    workspace.set("CARGO_TARGET_DIR", workspace.own_folder().join("miri"));
    for name in crates {
        let mut test = workspace.command("cargo");
        test.args(["+nightly", "miri", "test", "--lib", "--package", &name]);
        process::run(&mut test)?;
    }
    Ok(())
}
