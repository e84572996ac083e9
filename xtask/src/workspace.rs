//! The workspace as cargo sees it, and its commands.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// Features of the library that need an additional toolkit, each with that toolkit.
///
/// All other features together are the full set that is linted and tested, so that a new feature is
/// covered without a change here.
pub const NEEDS_TOOLKIT: &[(&str, &str)] = &[
    ("cuda", "the CUDA toolkit"),
    ("metal", "macOS"),
    ("rocm", "ROCm"),
    ("vulkan", "the Vulkan SDK"),
];

/// The default spin count of OpenMP threads before they sleep.
///
/// This is as fast as the default on a quiet machine and several times faster on a busy one.
/// `OpenMP` reads it when a process starts, so it has to be set from outside.
const SPIN_COUNT: &str = "3000";

/// Paths, features and the environment of the children.
pub struct Workspace {
    /// The folder of the top `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder, absolute.
    pub target: PathBuf,
    /// Features of the library, without `default`.
    pub features: Vec<String>,
    /// Variables set for every child, in addition to our own environment.
    pub env: Vec<(String, OsString)>,
    /// The cargo that runs us.
    pub cargo: OsString,
}

impl Workspace {
    /// Asks cargo for the workspace that this program was built in.
    pub fn load() -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(&cargo);
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        command.args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ]);
        let metadata: Value = serde_json::from_str(&process::capture(&mut command)?)?;
        let path = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("cargo metadata has no `{key}`"))
        };
        let mut workspace = Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            features: library_features(&metadata),
            env: Vec::new(),
            cargo,
        };
        // The path may be relative to the current folder, but children run in the root.
        let target = workspace.target.clone();
        workspace.set("CARGO_TARGET_DIR", target);
        if env::var_os("GOMP_SPINCOUNT").is_none() {
            workspace.set("GOMP_SPINCOUNT", SPIN_COUNT);
        }
        Ok(workspace)
    }

    /// Sets a variable for all later children.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
    }

    /// Whether the library has a feature, and it was not left out.
    pub fn has_feature(&self, name: &str) -> bool {
        self.features.iter().any(|known| known == name)
    }

    /// A variable as children see it, unless it is empty.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let own = self.env.iter().find(|(known, _)| known == name);
        let value = own.map(|(_, value)| value.clone());
        value
            .or_else(|| env::var_os(name))
            .filter(|v| !v.is_empty())
    }

    /// The folder for the tools that these chores install or build.
    pub fn own_folder(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// A command in the workspace root, with the children's environment and no input.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        // `cargo run` describes xtask in these variables. Build scripts that watch them would run
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_about_ourselves) {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A cargo command: with progress on a terminal, quiet in a log.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.command(&self.cargo);
        command.arg(subcommand);
        if !std::io::stderr().is_terminal() {
            command.arg("--quiet");
        }
        command
    }

    /// Builds the command and the examples, and returns the folder that they are in.
    ///
    /// The packages and features are those of the tests, so that nothing is recompiled after them:
    /// cargo chooses the features of shared dependencies by all packages that it builds.
    pub fn build_programs(&self) -> Result<PathBuf> {
        let mut build = self.cargo("build");
        build.args(FeatureSet::Full.crates(&self.features));
        process::run(build.args(["--bins", "--examples"]))?;
        Ok(self.target.join("debug"))
    }
}

/// The file name of a program.
pub fn program(name: &str) -> String {
    format!("{name}{}", env::consts::EXE_SUFFIX)
}

fn is_about_ourselves(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name == "CARGO_BIN_NAME"
        || name == "CARGO_CRATE_NAME"
        || name == "CARGO_PRIMARY_PACKAGE"
}

fn library_features(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array();
    packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "elpis")
        .and_then(|package| package["features"].as_object())
        .into_iter()
        .flat_map(|features| features.keys())
        .filter(|name| *name != "default")
        .cloned()
        .collect()
}

/// A choice of the library's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureSet {
    /// No features: the pure core, no native code.
    Lean,
    /// The features of a plain `cargo add elpis`.
    Default,
    /// Everything but [`NEEDS_TOOLKIT`].
    Full,
}

/// Members that are not part of the library and have separate features.
const CHORES: [&str; 2] = ["elpis-bench", "xtask"];

/// The crates that are built with a feature of the library, each with that feature.
const BACKENDS: [(&str, &str); 2] = [
    ("elpis-llama-cpp", "llama-cpp"),
    ("elpis-transformers", "transformers"),
];

impl FeatureSet {
    /// Cargo's arguments for this set of the library's crates.
    pub fn crates(self, features: &[String]) -> Vec<String> {
        let mut args = vec!["--workspace".to_owned()];
        let mut leave = |name: &str| args.push(format!("--exclude={name}"));
        CHORES.into_iter().for_each(&mut leave);
        for (package, feature) in BACKENDS {
            let built = match self {
                Self::Lean => false,
                Self::Default => feature == "llama-cpp",
                Self::Full => features.iter().any(|name| name == feature),
            };
            if !built {
                leave(package);
            }
        }
        args.extend(self.features(features));
        args
    }

    fn features(self, features: &[String]) -> Vec<String> {
        let mut args = Vec::new();
        match self {
            Self::Lean => args.push("--no-default-features".into()),
            Self::Default => {}
            Self::Full => {
                let full: Vec<_> = features
                    .iter()
                    .map(String::as_str)
                    .filter(|name| NEEDS_TOOLKIT.iter().all(|(needs, _)| needs != name))
                    .collect();
                args.push("--no-default-features".into());
                args.push(format!("--features={}", full.join(",")));
            }
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_of_the_library() {
        let metadata = serde_json::json!({"packages": [
            {"name": "xtask", "features": {"other": []}},
            {"name": "elpis", "features": {"cuda": [], "default": ["hub"], "hub": []}},
        ]});
        assert_eq!(library_features(&metadata), ["cuda", "hub"]);
        assert!(library_features(&serde_json::json!({})).is_empty());
    }

    #[test]
    fn the_full_set_leaves_out_what_needs_a_toolkit() {
        let features = ["cuda", "hub", "llama-cpp", "vulkan"].map(String::from);
        assert_eq!(
            FeatureSet::Full.features(&features),
            ["--no-default-features", "--features=hub,llama-cpp"]
        );
        assert!(FeatureSet::Default.features(&features).is_empty());
    }

    #[test]
    fn backends_are_left_out_with_their_feature() {
        let features = ["hub", "llama-cpp"].map(String::from);
        let left_out = |set: FeatureSet| {
            let args = set.crates(&features);
            let names = BACKENDS.map(|(package, _)| format!("--exclude={package}"));
            names.map(|name| args.contains(&name))
        };
        assert_eq!(left_out(FeatureSet::Lean), [true, true]);
        assert_eq!(left_out(FeatureSet::Default), [false, true]);
        assert_eq!(left_out(FeatureSet::Full), [false, true]);
    }

    #[test]
    fn variables_that_describe_xtask_are_dropped() {
        assert!(is_about_ourselves("CARGO_PKG_VERSION"));
        assert!(is_about_ourselves("CARGO_MANIFEST_DIR"));
        assert!(!is_about_ourselves("CARGO_TARGET_DIR"));
        assert!(!is_about_ourselves("CARGO_HOME"));
    }
}
