//! Programs from the package registry that a check needs.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// A program; its package has the same name.
pub struct Tool {
    pub name: &'static str,
    /// The version that is installed, and the oldest one that is accepted.
    pub version: (u32, u32, u32),
    /// Cargo's arguments for its features.
    pub features: &'static [&'static str],
}

impl Tool {
    /// Finds a version that is new enough, the user's or one below the target folder, or installs
    /// it
    pub fn provide(&self, workspace: &Workspace) -> Result<PathBuf> {
        let name = self.name;
        let tools = workspace.own_folder().join("tools");
        let own = tools
            .join("bin")
            .join(format!("{name}{}", env::consts::EXE_SUFFIX));
        for candidate in [Some(own.clone()), which::which(name).ok()] {
            let Some(path) = candidate.filter(|path| path.exists()) else {
                continue;
            };
            let answer = process::capture(workspace.command(&path).arg("--version"));
            if answer.ok().and_then(|text| parse_version(&text)) >= Some(self.version) {
                return Ok(path);
            }
        }

        let (major, minor, patch) = self.version;
        println!("   installing {name} {major}.{minor}.{patch}, once: a minute or two");
        let build = workspace.own_folder().join(format!("{name}-build"));
        let mut install = workspace.cargo("install");
        install.args(["--locked", "--force", "--debug", "--root"]);
        install.arg(&tools);
        install.arg(format!("{name}@{major}.{minor}.{patch}"));
        install.args(self.features);
        // An unoptimised build without debug information is quick to build and fast enough.
        install.env("CARGO_PROFILE_DEV_DEBUG", "0");
        install.env("CARGO_TARGET_DIR", &build);
        process::run(&mut install).with_context(|| format!("{name} cannot be installed"))?;
        fs::remove_dir_all(&build).ok();
        Ok(own)
    }
}

/// Reads `cargo-deny 1.2.3` or `mdbook v1.2.3`.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let version = text.split_whitespace().nth(1)?;
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut numbers = version.splitn(3, '.');
    let mut next = || -> Option<u32> {
        let part = numbers.next()?;
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part[..end].parse().ok()
    };
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(parse_version("cargo-deny 0.20.2\n"), Some((0, 20, 2)));
        assert_eq!(parse_version("mdbook v0.5.4\n"), Some((0, 5, 4)));
        assert_eq!(parse_version("cargo-deny 1.0.0-rc.1"), Some((1, 0, 0)));
        assert_eq!(parse_version("cargo-deny"), None);
        assert!(parse_version("cargo-deny 0.9.11") < Some((0, 20, 2)));
        assert!(parse_version("cargo-deny 0.21.0") > Some((0, 20, 2)));
    }
}
