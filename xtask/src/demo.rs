//! `cargo xtask demo`: the example agent, from nothing to its last table.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::process;
use crate::progress;
use crate::setup;
use crate::workspace::{self, Workspace};

/// Shown by `cargo xtask help demo`.
pub const HELP: &str = "\
Usage: cargo xtask demo [-- ARGS]

Runs examples/agent_loop.rs with the bundled model. ARGS go to the example.
The first run compiles llama.cpp, which takes some minutes.";

/// The example that shows the main use.
pub const EXAMPLE: &str = "agent_loop";

/// The example's closing table starts with this.
const LAST_TABLE: &str = "mood over the run";

/// Longer than any normal run of the example, but short enough to wait for.
const LIMIT: Duration = Duration::from_mins(10);

/// Sets up and runs the example on the console.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let args = match args.split_first() {
        None => &[],
        Some((first, rest)) if first == "--" => rest,
        Some((first, _)) => bail!(
            "unexpected `{}`; arguments of the example go after `--`",
            first.display()
        ),
    };
    setup::prepare(workspace)?;
    // The dev profile, as in the tests: llama.cpp is compiled once for both, and its C++ is
    // optimised in either profile. `--release` would cost a newcomer a second native build.
    println!("-- demo: building the example; the first time this compiles llama.cpp");
    progress::build(workspace, &["--package=elpis", "--example", EXAMPLE])?;
    let mut command = workspace.command(&workspace.cargo);
    command.args([
        "run",
        "--quiet",
        "--package=elpis",
        "--example",
        EXAMPLE,
        "--",
    ]);
    process::run(command.args(args))
}

/// A smaller example: its name, and the beginning of its last line.
struct Small {
    name: &'static str,
    last_line: &'static str,
}

const SMALL: [Small; 6] = [
    Small {
        name: "tool_agent",
        last_line: "calls answered: 3",
    },
    Small {
        name: "companion",
        last_line: "moods remembered: 3 of 3",
    },
    Small {
        name: "custom_events",
        last_line: "own events felt: 3",
    },
    Small {
        name: "prometheus",
        last_line: "series: ",
    },
    Small {
        name: "opentelemetry",
        last_line: "Spans",
    },
    Small {
        name: "hot_reload",
        last_line: "library replaced: true",
    },
];

/// Builds and runs the examples; the main one must end with its table.
pub fn check(workspace: &Workspace) -> Result<()> {
    let folder = workspace.build_programs()?.join("examples");
    for small in &SMALL {
        check_small(workspace, &folder, small)?;
    }
    let mut command = workspace.command(folder.join(workspace::program(EXAMPLE)));
    let run = process::run_limited(&mut command, LIMIT, false)?;
    if run.success && ends_with_table(&run.output) {
        return Ok(());
    }
    eprintln!("{}", run.output.trim_end());
    if run.timed_out {
        bail!(
            "the example did not end within {} minutes",
            LIMIT.as_secs() / 60
        );
    }
    if !run.success {
        bail!("`{}` failed", process::describe(&command));
    }
    bail!("the example ended without the line `{LAST_TABLE} …` and the table below it")
}

fn check_small(workspace: &Workspace, folder: &Path, small: &Small) -> Result<()> {
    let mut command = workspace.command(folder.join(workspace::program(small.name)));
    let run = process::run_limited(&mut command, LIMIT, false)?;
    let ends = |line: &str| line.starts_with(small.last_line);
    if run.success && run.output.lines().any(ends) {
        return Ok(());
    }
    eprintln!("{}", run.output.trim_end());
    bail!(
        "`{}` did not end with `{}`",
        process::describe(&command),
        small.last_line
    );
}

/// Returns whether a line starts the closing table and rows follow it.
fn ends_with_table(output: &str) -> bool {
    let mut lines = output
        .lines()
        .skip_while(|line| !line.starts_with(LAST_TABLE));
    lines.next().is_some() && lines.any(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_needs_its_title_and_rows() {
        assert!(ends_with_table(
            "hi\nmood over the run (6 tasks)\n  1 calm\n"
        ));
        assert!(!ends_with_table("hi\nmood over the run\n\n"));
        assert!(!ends_with_table("the mood over the run\n1\n"));
        assert!(!ends_with_table(""));
    }
}
