//! Licences, sources and advisories of the dependencies, through cargo-deny.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::process::{self, Limited};
use crate::tool::Tool;
use crate::workspace::Workspace;

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: (0, 20, 2),
    features: &[],
};

/// The time limit for fetching the advisory database and checking against it.
const ADVISORIES_LIMIT: Duration = Duration::from_secs(90);

/// Runs all checks of `deny.toml`.
///
/// Advisories are in a separate git repository. If it cannot be fetched, one line says that they
/// were not checked; an advisory that applies fails the check.
pub fn check(workspace: &Workspace) -> Result<()> {
    let deny = CARGO_DENY.provide(workspace)?;
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

/// The result of `check advisories`.
#[derive(Debug, PartialEq, Eq)]
enum Advisories {
    Clean,
    /// There is no database to check against, because there is no network.
    Unreachable,
    /// Real findings, or an error that needs attention.
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
}
