//! `cargo xtask fuzz`: fuzzes the parsers of outside input.
//!
//! Like `cargo fuzz`, but on any toolchain: the targets are built with the compiler's coverage
//! counters, which libFuzzer reads. No sanitizer is needed, because there is no unsafe code in the
//! parsers; a counting allocator checks their memory limits.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::process::{self, Limited};
use crate::workspace::Workspace;

/// Shown by `cargo xtask help fuzz`.
pub const HELP: &str = "\
Usage: cargo xtask fuzz [TARGET…] [--seconds N] [--list]

  TARGET…       run these alone: safetensors, pt, gguf, gguf_model, manifest, tool_calls,
                schemas, templates, frames, hub, settings, store_rows, store_import,
                checkpoint
  --seconds N   how long each is run, by default 600
  --list        name the targets

Begins with the files of `fuzz/seeds` and of `tests/data`, and with what earlier runs
found worth keeping in `target/xtask/fuzz/corpus`. Prints for each target how many inputs were
tried. An input that breaks a target is a finding: it is kept, and the command fails.";

/// The default running time of each target.
const DEFAULT_SECONDS: u64 = 600;
/// Extra time for reading the corpus and for an input that hangs.
const GRACE: Duration = Duration::from_mins(2);
/// The last lines of a run that are shown with a finding.
const LINES_SHOWN: usize = 40;

/// The compiler flags for coverage counters, as in `cargo fuzz`.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions";

struct Target {
    name: &'static str,
    about: &'static str,
    /// Files of this folder in `tests/data` with this extension are seeds.
    data: Option<(&'static str, &'static str)>,
}

const TARGETS: [Target; 14] = [
    Target {
        name: "safetensors",
        about: "vectors as safetensors, and their bound on memory",
        data: Some(("steering", "safetensors")),
    },
    Target {
        name: "pt",
        about: "vectors as PyTorch archives and pickles, and their bound on memory",
        data: Some(("steering", "pt")),
    },
    Target {
        name: "gguf",
        about: "GGUF control vectors, and their bound on memory",
        data: Some(("steering", "gguf")),
    },
    Target {
        name: "gguf_model",
        about: "what is checked of GGUF models, and its bound on memory",
        data: Some(("gguf", "gguf")),
    },
    Target {
        name: "manifest",
        about: "vectors.toml, and its bound on memory",
        data: None,
    },
    Target {
        name: "tool_calls",
        about: "tool calls in replies, however they are cut",
        data: None,
    },
    Target {
        name: "schemas",
        about: "schemas of answers and tools, in every format",
        data: None,
    },
    Target {
        name: "templates",
        about: "chat templates: their work, their memory, and the control tokens of contents",
        data: None,
    },
    Target {
        name: "frames",
        about: "what a model's own process and the runtime tell each other",
        data: None,
    },
    Target {
        name: "hub",
        about: "listings and headers of a Hub, and their bound on memory",
        data: None,
    },
    Target {
        name: "settings",
        about: "elpis.toml and the environment, and their bound on memory",
        data: None,
    },
    Target {
        name: "store_rows",
        about: "the rows of a store",
        data: None,
    },
    Target {
        name: "store_import",
        about: "exported sessions",
        data: None,
    },
    Target {
        name: "checkpoint",
        about: "config.json and tokenizer.json of a Hugging Face folder",
        data: None,
    },
];

/// Runs the chosen targets.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let Some(Choice { targets, seconds }) = choose(args)? else {
        for target in &TARGETS {
            println!("{:<12} {}", target.name, target.about);
        }
        return Ok(());
    };
    run(workspace, &targets, seconds)
}

/// Checks that the package of the targets resolves to its lock file. What the targets do is a
/// library that the tests of the root package compile and run on the seeds.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut metadata = workspace.cargo("metadata");
    metadata.args(["--locked", "--format-version=1"]);
    metadata.args(["--manifest-path", "fuzz/Cargo.toml"]);
    process::capture(&mut metadata).map(drop)
}

struct Choice {
    targets: Vec<&'static Target>,
    seconds: u64,
}

/// Reads the options; nothing is returned when the targets are only to be listed.
fn choose(args: &[OsString]) -> Result<Option<Choice>> {
    let mut targets = Vec::new();
    let mut seconds = DEFAULT_SECONDS;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("list") => return Ok(None),
            Long("seconds") => seconds = parser.value()?.parse()?,
            Value(name) => {
                let name = name.string()?;
                let known = TARGETS.iter().find(|target| target.name == name);
                targets.push(
                    known.with_context(|| format!("no target `{name}`; `--list` names them"))?,
                );
            }
            _ => return Err(arg.unexpected().into()),
        }
    }
    if seconds == 0 {
        bail!("--seconds must be at least 1: 0 would never end");
    }
    if targets.is_empty() {
        targets.extend(&TARGETS);
    }
    Ok(Some(Choice { targets, seconds }))
}

fn run(workspace: &Workspace, targets: &[&Target], seconds: u64) -> Result<()> {
    let programs = build(workspace)?;
    let mut broken = Vec::new();
    for target in targets {
        let mut command = program(workspace, &programs, target, seconds)?;
        let limit = Duration::from_secs(seconds) + GRACE;
        let done = process::run_limited(&mut command, limit, false)?;
        let runs = runs(&done.output).map_or("?".to_owned(), |runs| runs.to_string());
        if done.success {
            println!(
                "   {:<12} {runs} inputs in {seconds} s, no finding",
                target.name
            );
            continue;
        }
        println!("   {:<12} {runs} inputs, then a finding", target.name);
        eprintln!("{}", last_lines(&done));
        broken.push(target.name);
    }
    if broken.is_empty() {
        return Ok(());
    }
    bail!(
        "findings in {}; the inputs are in {}",
        broken.join(", "),
        folder(workspace, "findings").display()
    );
}

/// Builds all targets and returns the folder of the programs.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    // Code that is built for the host, such as macros, must not have the counters; a named target
    // separates the two.
    let host = host(&process::capture(
        workspace.command(&workspace.cargo).arg("-vV"),
    )?)?;
    let target = folder(workspace, "build");
    let mut build = workspace.cargo("build");
    build.args(["--release", "--locked", "--bins", "--target", &host]);
    build.args(["--manifest-path", "fuzz/Cargo.toml"]);
    build.env("CARGO_TARGET_DIR", &target);
    build
        .env("RUSTFLAGS", COVERAGE)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(&mut build)?;
    Ok(target.join(host).join("release"))
}

/// The command for one run of a target with its corpus.
fn program(
    workspace: &Workspace,
    programs: &Path,
    target: &Target,
    seconds: u64,
) -> Result<std::process::Command> {
    let name = target.name;
    let corpus = folder(workspace, "corpus").join(name);
    let findings = folder(workspace, "findings").join(name);
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    if let Some((folder, extension)) = target.data {
        let data = workspace.root.join("tests/data").join(folder);
        copy_seeds(&data, extension, &corpus)?;
    }
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let mut command = workspace.command(programs.join(file));
    command.arg(&corpus);
    // New inputs are written only to the first folder.
    let fuzz = workspace.root.join("fuzz");
    let seeds = fuzz.join("seeds").join(name);
    if seeds.exists() {
        command.arg(seeds);
    }
    let dictionary = fuzz.join("dictionaries").join(format!("{name}.dict"));
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", findings.display()));
    command.args(["-max_len=65536", "-timeout=20", "-rss_limit_mb=2048"]);
    command.args(["-print_final_stats=1", "-verbosity=1"]);
    Ok(command)
}

fn copy_seeds(from: &Path, extension: &str, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| from.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, to.join(name)).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn folder(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.own_folder().join("fuzz").join(name)
}

/// The host target in the output of `cargo -vV`.
fn host(text: &str) -> Result<String> {
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .context("cargo does not tell its host")?
        .trim()
        .to_owned())
}

/// The number of tried inputs.
fn runs(output: &str) -> Option<u64> {
    let lines = output.lines().rev();
    let mut counts = lines.filter_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    counts.next()?.trim().parse().ok()
}

fn last_lines(done: &Limited) -> String {
    let lines: Vec<&str> = done.output.lines().collect();
    let mut text = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    if done.timed_out {
        text.push_str("\nkilled: it did not end by itself");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(args: &[&str]) -> Result<Option<(usize, u64)>> {
        let choice = choose(&args.iter().map(OsString::from).collect::<Vec<_>>())?;
        Ok(choice.map(|choice| (choice.targets.len(), choice.seconds)))
    }

    #[test]
    fn targets_and_time_are_chosen() {
        assert_eq!(chosen(&[]).unwrap(), Some((TARGETS.len(), 600)));
        assert_eq!(
            chosen(&["pt", "gguf", "--seconds=3"]).unwrap(),
            Some((2, 3))
        );
        assert_eq!(chosen(&["--list"]).unwrap(), None);
        for wrong in [
            &["ptt"][..],
            &["--seconds=0"],
            &["--seconds", "x"],
            &["--all"],
        ] {
            assert!(chosen(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_target_of_the_package_is_known() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        for Target { name, .. } in &TARGETS {
            assert!(
                manifest.contains(&format!("\nname = \"{name}\"\n")),
                "{name}"
            );
            assert!(HELP.contains(name), "{name}");
            assert!(root.join("seeds").join(name).is_dir(), "{name}");
        }
    }

    #[test]
    fn the_end_of_a_run_is_read() {
        let output = "#2\tINITED\nDone 4711 runs in 2 second(s)\n\
                      stat::number_of_executed_units: 4711\nstat::peak_rss_mb: 40\n";
        assert_eq!(runs(output), Some(4711));
        assert_eq!(runs("no such line"), None);
        let text = "cargo 1.95.0\nrelease: 1.95.0\nhost: x86_64-unknown-linux-gnu\nos: Linux\n";
        assert_eq!(host(text).unwrap(), "x86_64-unknown-linux-gnu");
        assert!(host("cargo 1.95.0").is_err());
    }
}
