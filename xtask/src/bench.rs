//! `cargo xtask bench`: timed comparisons with bare llama.cpp and with Hugging Face's
//! transformers.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Shown by `cargo xtask help bench`.
pub const HELP: &str = "\
Usage: cargo xtask bench [NAME…] [--rounds N] [--model MODEL] [--hardware NAME] [--list]
                         [--record]

  NAME…           run these figures alone; `peers` is all that need a Python or libtorch
  --rounds N      rounds of each figure, by default 7
  --model MODEL   run on this model alone: small, large, large-q4, huge, torch-f32, torch-bf16 or
                  torch-large
  --hardware NAME measure on this hardware, which llama.cpp is compiled for: cuda, rocm, vulkan,
                  metal or cpu, the default; on a GPU also a model of 5.7 billion parameters
  --list          name the figures, each with what it must come to
  --smoke         a few tokens on a tiny model, to see that every figure runs
  --record        keeps the lines in `benches/results.jsonl`, each in the place of an earlier one of
                  its figure, model and machine, and writes the tables of BENCHMARKS.md from them

Prints one line of JSON for each figure and model, and writes the lines and a Markdown table of
them to `target/xtask/bench/figures.jsonl` and `figures.md`. Needs a machine with nothing else to do.
The first run compiles llama.cpp for the release profile, which takes some minutes, and makes
the models, of random weights (1.3 GB below the target folder).

The figures of `peers` need libtorch (LIBTORCH), a Python with torch and transformers
(ELPIS_TEST_PYTHON) and one with llama-cpp-python (ELPIS_BENCH_LLAMA_PYTHON). They are installed below the
target folder when these figures are asked for by name, and otherwise the figures are left out.";

/// The figure that compares with every peer.
const SERVING: &str = "serving";

/// Records the measurements in the repository.
const RECORD: &str = "--record";

/// Names the hardware of the models.
const HARDWARE: &str = "--hardware";

/// Arguments for git that print the measured revision.
const REVISION: &[&str] = &["describe", "--always", "--dirty", "--abbrev=12"];

/// The package of the benchmarks.
pub const PACKAGE: &str = "--package=elpis-bench";

/// Names the folder of libtorch.
const LIBTORCH: &str = "LIBTORCH";
/// Names a Python with torch and transformers.
const PYTHON: &str = "ELPIS_TEST_PYTHON";

/// Names a Python with llama-cpp-python.
const LLAMA_PYTHON: &str = "ELPIS_BENCH_LLAMA_PYTHON";

/// Sets up and measures.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    setup::prepare(workspace)?;
    setup::adopt(workspace);
    if asks_for(args, "transformers-") || asks_for(args, SERVING) {
        setup::prepare_for_tests(workspace)?;
    }
    if asks_for(args, "peer-") || asks_for(args, SERVING) {
        setup::provide_llama_python(workspace)?;
    }
    let mut run = workspace.cargo("run");
    run.args(["--release", PACKAGE]);
    let record = args.iter().any(|arg| arg == RECORD);
    let args = args.iter().filter(|arg| *arg != RECORD);
    run.args(features(workspace));
    run.args(gpu(args.clone()).map(|name| format!("--features={name}")));
    run.arg("--").args(args);
    run.arg("--report")
        .arg(workspace.own_folder().join("bench"));
    for (variable, tool, arguments) in [
        ("ELPIS_BENCH_REVISION", "git", REVISION),
        ("ELPIS_BENCH_RUSTC", "rustc", &["--version"]),
    ] {
        if let Some(told) = told(workspace, tool, arguments) {
            run.env(variable, told);
        }
    }
    if record {
        run.arg("--record").arg(&workspace.root);
    }
    process::run(with_cache(workspace, &mut run))
}

/// Cargo's arguments for the figures that can be measured here.
pub fn features(workspace: &Workspace) -> &'static [&'static str] {
    match workspace.variable(LIBTORCH) {
        Some(_) if workspace.has_feature(setup::TRANSFORMERS) => &["--features=transformers"],
        _ => &[],
    }
}

/// The GPU's name, if the figures are to be measured on one.
fn gpu<'a>(args: impl Iterator<Item = &'a OsString>) -> Option<&'a str> {
    let mut args = args.filter_map(|arg| arg.to_str());
    let mut name = None;
    while let Some(arg) = args.next() {
        match arg.strip_prefix(HARDWARE) {
            Some("") => name = args.next(),
            Some(rest) => name = rest.strip_prefix('='),
            None => {}
        }
    }
    name.filter(|name| !matches!(*name, "cpu" | "auto"))
}

/// Returns whether the arguments ask for figures whose names begin with `beginning`.
fn asks_for(args: &[OsString], beginning: &str) -> bool {
    let mut names = args.iter().filter_map(|arg| arg.to_str());
    names.any(|name| name == "peers" || name.starts_with(beginning))
}

/// Runs every figure for a moment. Its output is not a measurement.
pub fn smoke(workspace: &Workspace) -> Result<()> {
    for name in [LIBTORCH, PYTHON, LLAMA_PYTHON] {
        if workspace.variable(name).is_none() {
            println!("   note: {name} is not set, the figures that need it are left out");
        }
    }
    let mut run = workspace.cargo("run");
    run.arg(PACKAGE).args(features(workspace));
    run.args(["--", "--smoke"]);
    process::capture(with_cache(workspace, &mut run)).map(drop)
}

fn with_cache<'a>(workspace: &Workspace, command: &'a mut Command) -> &'a mut Command {
    let folder = workspace.own_folder().join("bench-models");
    command.arg("--cache").arg(folder)
}

/// The output of a tool about itself or the measured revision, if the tool is installed.
fn told(workspace: &Workspace, tool: &str, arguments: &[&str]) -> Option<String> {
    let mut command = workspace.command(tool);
    let told = process::capture(command.args(arguments)).ok()?;
    Some(told.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_compiled_for_when_it_is_asked_for() {
        for (args, expected) in [
            (&["--hardware", "cuda", "prefix"][..], Some("cuda")),
            (&["--rounds=3", "--hardware=vulkan"], Some("vulkan")),
            (&["--hardware", "cpu"], None),
            (&["--hardware"], None),
            (&["prefix"], None),
        ] {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            assert_eq!(gpu(args.iter()), expected, "{args:?}");
        }
    }

    #[test]
    fn the_figures_that_need_a_python_are_known_by_name() {
        let asks = |args: &[&str], beginning| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            asks_for(&args, beginning)
        };
        assert!(asks(&["--rounds", "5", "peers"], "transformers-"));
        assert!(asks(&["transformers-memory"], "transformers-"));
        assert!(!asks(&["transformers-memory"], "peer-"));
        assert!(asks(&["peer-llama-cpp-python-8"], "peer-"));
        assert!(!asks(&["prefix", "--list"], "peer-"));
    }
}
