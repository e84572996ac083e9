//! Licences, sources and advisories of the dependencies, through cargo-deny.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::process::{self, Limited};
use crate::workspace::Workspace;

/// The version that is installed, and the oldest one that is accepted.
const VERSION: (u32, u32, u32) = (0, 20, 2);

/// How long fetching the advisory database and checking against it may take.
const ADVISORIES_LIMIT: Duration = Duration::from_secs(90);

/// Runs all checks of `deny.toml`.
///
/// Advisories live in a git repository of their own. Where that cannot be fetched, one line
/// says that they were not checked; what is found in it fails.
pub fn check(workspace: &Workspace) -> Result<()> {
    let deny = find_or_install(workspace)?;
    let mut rules = workspace.command(&deny);
    rules.args([
        "--workspace",
        "--log-level=error",
        "check",
        "--hide-inclusion-graph",
    ]);
    process::run(rules.args(["--allow=duplicate", "licenses", "bans", "sources"]))?;

    let mut advisories = workspace.command(&deny);
    advisories.args(["--workspace", "--log-level=error", "check", "advisories"]);
    advisories.env("GIT_TERMINAL_PROMPT", "0");
    let run = process::run_limited(&mut advisories, ADVISORIES_LIMIT, false)?;
    match classify(&run) {
        Advisories::Clean => {}
        Advisories::Unreachable => {
            println!("   note: advisories were not checked: the database cannot be fetched");
        }
        Advisories::Findings => {
            eprintln!("{}", run.output.trim_end());
            bail!("`{}` failed", process::describe(&advisories));
        }
    }
    Ok(())
}

/// What a run of `check advisories` means.
#[derive(Debug, PartialEq, Eq)]
enum Advisories {
    Clean,
    /// There is no database to check against: no network.
    Unreachable,
    /// Real findings, or an error that somebody has to look at.
    Findings,
}

fn classify(run: &Limited) -> Advisories {
    if run.success {
        Advisories::Clean
    } else if run.timed_out || run.output.contains("failed to fetch advisory database") {
        Advisories::Unreachable
    } else {
        Advisories::Findings
    }
}

/// Finds a cargo-deny that is new enough: the user's own, or ours under the target folder.
fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.own_folder().join("tools");
    let own = tools
        .join("bin")
        .join(format!("cargo-deny{}", env::consts::EXE_SUFFIX));
    for candidate in [Some(own.clone()), which::which("cargo-deny").ok()] {
        let Some(path) = candidate.filter(|path| path.exists()) else {
            continue;
        };
        let answer = process::capture(workspace.command(&path).arg("--version"));
        if answer.ok().and_then(|text| parse_version(&text)) >= Some(VERSION) {
            return Ok(path);
        }
    }

    let (major, minor, patch) = VERSION;
    println!("   installing cargo-deny {major}.{minor}.{patch}, once: a minute or two");
    let build = workspace.own_folder().join("cargo-deny-build");
    let mut install = workspace.cargo("install");
    install.args(["--locked", "--force", "--debug", "--root"]);
    install.arg(&tools);
    install.arg(format!("cargo-deny@{major}.{minor}.{patch}"));
    // An unoptimised build without debug information is quickest to have and fast enough.
    install.env("CARGO_PROFILE_DEV_DEBUG", "0");
    install.env("CARGO_TARGET_DIR", &build);
    process::run(&mut install).context("cargo-deny cannot be installed")?;
    fs::remove_dir_all(&build).ok();
    Ok(own)
}

/// Reads `cargo-deny 1.2.3`.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let version = text.split_whitespace().nth(1)?;
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

    fn run(success: bool, timed_out: bool, output: &str) -> Limited {
        Limited {
            success,
            timed_out,
            output: output.into(),
        }
    }

    #[test]
    fn a_missing_database_is_told_from_findings() {
        let no_network = "[ERROR] failed to fetch advisory database https://… with cli: failed to \
                          clone\nfatal: unable to access: Could not resolve host";
        let finding = "error[vulnerability]: use after free\n  ID: RUSTSEC-2024-0001\nadvisories \
                       FAILED";
        let cases = [
            (run(true, false, "advisories ok"), Advisories::Clean),
            (run(false, false, no_network), Advisories::Unreachable),
            (run(false, true, ""), Advisories::Unreachable),
            (run(false, false, finding), Advisories::Findings),
            (
                run(false, false, "error: no such option"),
                Advisories::Findings,
            ),
        ];
        for (outcome, expected) in cases {
            assert_eq!(classify(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(parse_version("cargo-deny 0.20.2\n"), Some((0, 20, 2)));
        assert_eq!(parse_version("cargo-deny 1.0.0-rc.1"), Some((1, 0, 0)));
        assert_eq!(parse_version("cargo-deny"), None);
        assert!(parse_version("cargo-deny 0.9.11") < Some(VERSION));
        assert!(parse_version("cargo-deny 0.21.0") > Some(VERSION));
    }
}
