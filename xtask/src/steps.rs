//! `cargo xtask test`: runs every check, the quick ones first, until one fails.
//!
//! All steps build in the dev profile and in one target folder. Lints, documentation and tests
//! therefore share one build of llama.cpp.

mod choice;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

use crate::process::Limited;
use crate::workspace::{self, FeatureSet, NEEDS_TOOLKIT, Workspace};
use crate::{
    api, bench, book, clients, demo, deny, deploy, disk_space, fuzz, packages, process, setup,
};
use choice::{Choice, choose};

/// Shown by `cargo xtask help test`.
pub const HELP: &str = "\
Usage: cargo xtask test [--only STEP,…] [--skip STEP,…] [--without FEATURE,…] [--list]

  --only STEP,…       run only these steps
  --skip STEP,…       skip these steps
  --without FEATURE,… leave these features out of the full set, such as `transformers`, which
                      needs libtorch (1.3 GB) and a Python to compare with (5 GB)
  --list              list the steps in their order

The command stops at the first failure. The feature set `lean` contains no features, `default`
those of `cargo add`, and `full` all except those that need a vendor's toolkit.";

/// One check.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Workspace) -> Result<()>,
    /// Advice in case it fails, in addition to its output.
    hint: &'static str,
}

/// Time limit of the soak test.
const SOAK_LIMIT: Duration = Duration::from_mins(30);

const STEPS: &[Step] = &[
    Step {
        name: "setup",
        about: "installs what is missing: rustfmt, clippy, native build tools, libtorch",
        run: |workspace| {
            setup::rust_components(workspace)?;
            setup::prepare(workspace)?;
            setup::prepare_for_tests(workspace)
        },
        hint: "",
    },
    Step {
        name: "fmt",
        about: "formatting",
        run: |workspace| {
            // With cargo's own options it would be quiet and hide the differences.
            let mut command = workspace.command(&workspace.cargo);
            process::run(command.args(["fmt", "--all", "--", "--check"]))
        },
        hint: "`cargo fmt --all` fixes it",
    },
    Step {
        name: "xtask",
        about: "lints and tests of xtask itself",
        run: |workspace| {
            clippy_all(workspace, &["--package=xtask".into()])?;
            let mut command = workspace.cargo("test");
            process::run(command.arg("--package=xtask"))
        },
        hint: "",
    },
    Step {
        name: "clippy-lean",
        about: "lints without features",
        run: |workspace| clippy_all(workspace, &FeatureSet::Lean.crates(&workspace.features)),
        hint: "",
    },
    Step {
        name: "test-lean",
        about: "unit tests of the crate that has some for the lack of its feature",
        run: test_lean,
        hint: "",
    },
    Step {
        name: "api",
        about: "documentation as docs.rs builds it; the public API matches api/",
        run: |workspace| api::check(workspace),
        hint: "`cargo xtask api` updates api/",
    },
    Step {
        name: "packages",
        about: "the packages can be built and contain the right files",
        run: |workspace| packages::pack(workspace, &packages::published(workspace)?),
        hint: "`cargo package --list --package NAME` lists the files",
    },
    Step {
        name: "deny",
        about: "licences, sources and advisories of the dependencies",
        run: |workspace| deny::check(workspace),
        hint: "the rules are in deny.toml",
    },
    Step {
        name: "book",
        about: "the guide in docs/ as a book",
        run: |workspace| book::build(workspace),
        hint: "",
    },
    Step {
        name: "deploy",
        about: "Prometheus' configuration, alert rules and their tests",
        run: deploy::check,
        hint: "",
    },
    Step {
        name: "clippy-default",
        about: "lints of the libraries and the command with the default features",
        run: |workspace| clippy(workspace, &FeatureSet::Default.crates(&workspace.features)),
        hint: "",
    },
    Step {
        name: "clippy-full",
        about: "lints with the full features",
        run: |workspace| clippy_all(workspace, &FeatureSet::Full.crates(&workspace.features)),
        hint: "",
    },
    Step {
        name: "doc",
        about: "documentation without warnings",
        run: doc,
        hint: "",
    },
    Step {
        name: "test-full",
        about: "unit, integration and doc tests with the full features",
        run: test_full,
        hint: "",
    },
    Step {
        name: "example",
        about: "the example agent reaches its last table",
        run: |workspace| demo::check(workspace),
        hint: "`cargo xtask demo` shows its output",
    },
    Step {
        name: "clients",
        about: "OpenAI's and LangChain's clients and a compliance suite use `elpis serve`",
        run: clients::check,
        hint: "",
    },
    Step {
        name: "soak",
        about: "90 s of load and injected faults on the bundled model",
        run: soak,
        hint: "",
    },
    Step {
        name: "fuzz",
        about: "the lock file of the fuzz targets, which `test-full` runs on their seeds",
        run: |workspace| fuzz::check(workspace),
        hint: "`cargo metadata --manifest-path fuzz/Cargo.toml` updates it",
    },
    Step {
        name: "bench",
        about: "lints and tests of the benchmarks; each runs briefly",
        run: |workspace| {
            let features = bench::features(workspace);
            let mut args = vec![bench::PACKAGE.to_owned()];
            args.extend(features.iter().map(ToString::to_string));
            clippy_all(workspace, &args)?;
            let mut command = workspace.cargo("test");
            process::run(command.args(args))?;
            bench::smoke(workspace)
        },
        hint: "",
    },
];

/// Runs the chosen steps.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let Some(Choice { steps, without }) = choose(args)? else {
        for step in STEPS {
            println!("{:<15} {}", step.name, step.about);
        }
        return Ok(());
    };
    if let Some(unknown) = without.iter().find(|name| !workspace.has_feature(name)) {
        bail!(
            "unknown feature `{unknown}`; the features are {}",
            workspace.features.join(", ")
        );
    }
    println!("features left out: {}", left_out(workspace, &without));
    workspace.features.retain(|name| !without.contains(name));
    if let Some(note) = disk_space::note(&workspace.own_folder()) {
        println!("note: {note}");
    }
    setup::adopt(workspace);
    let start = Instant::now();
    let started_at = SystemTime::now();
    for step in &steps {
        println!("-- {}: {}", step.name, step.about);
        let step_start = Instant::now();
        (step.run)(workspace).with_context(|| {
            let hint = if step.hint.is_empty() {
                String::new()
            } else {
                format!("; {}", step.hint)
            };
            format!(
                "step `{}` failed{} (`cargo xtask test --only {0}` repeats it{hint})",
                step.name,
                disk_space::hint(&workspace.target)
            )
        })?;
        println!("   ok, {}", seconds(step_start.elapsed()));
    }
    let builds = native_builds(&workspace.target, started_at);
    if builds > 1 {
        println!(
            "note: llama.cpp was compiled {builds} times, because a step changed the features of its \
             build dependencies"
        );
    }
    println!("{} steps passed, {}", steps.len(), seconds(start.elapsed()));
    Ok(())
}

/// Lints libraries and programs only.
fn clippy(workspace: &Workspace, args: &[String]) -> Result<()> {
    let mut command = workspace.cargo("clippy");
    process::run(command.args(args).args(["--", "-D", "warnings"]))
}

/// Lints tests, examples and benchmarks too.
fn clippy_all(workspace: &Workspace, args: &[String]) -> Result<()> {
    clippy(workspace, &[args, &["--all-targets".to_owned()]].concat())
}

/// The crate with a test for the lack of its feature. `clippy-lean` compiles all others without
/// features, and they are tested with the full set.
fn test_lean(workspace: &mut Workspace) -> Result<()> {
    let mut command = workspace.cargo("test");
    process::run(command.args(["--package=elpis-hub", "--no-default-features", "--lib"]))
}

fn test_full(workspace: &mut Workspace) -> Result<()> {
    let mut command = workspace.cargo("test");
    process::run(command.args(FeatureSet::Full.crates(&workspace.features)))
}

fn soak(workspace: &mut Workspace) -> Result<()> {
    let elpis = workspace
        .build_programs()?
        .join(workspace::program("elpis"));
    let run = |seconds: &str| -> Result<Limited> {
        let mut command = workspace.command(&elpis);
        command.args(["soak", seconds]);
        // Faults are its business; only what it finds is told.
        process::run_limited(command.env("ELPIS_LOG", "off"), SOAK_LIMIT, true)
    };
    let first = run("--seconds=90")?;
    if first.success {
        return Ok(());
    }
    // Caches and allocators may not have settled in so short a time: a leak is there in a longer
    // trial as well.
    let growth_alone = first.output.contains("memory grew by");
    if growth_alone && run("--seconds=240")?.success {
        return Ok(());
    }
    bail!("the trial found a fault")
}

fn doc(workspace: &mut Workspace) -> Result<()> {
    let mut command = workspace.cargo("doc");
    command.args(FeatureSet::Full.crates(&workspace.features));
    let flags = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
    command.env("RUSTDOCFLAGS", format!("{flags} -D warnings"));
    process::run(command.arg("--no-deps"))
}

/// The library's features that are not built here, each with what it needs.
fn left_out(workspace: &Workspace, without: &[String]) -> String {
    let asked = without.iter().map(|name| format!("{name} (as asked)"));
    let left_out: Vec<_> = NEEDS_TOOLKIT
        .iter()
        .filter(|(name, _)| workspace.features.iter().any(|known| known == name))
        .map(|(name, toolkit)| format!("{name} ({toolkit})"))
        .chain(asked)
        .collect();
    if left_out.is_empty() {
        "none".to_owned()
    } else {
        left_out.join(", ")
    }
}

/// Counts the runs of the native build script since a point in time.
fn native_builds(target: &Path, since: SystemTime) -> usize {
    fs::read_dir(target.join("debug/build"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with("llama-cpp-sys-2-")
        })
        .filter_map(|entry| entry.path().join("output").metadata().ok()?.modified().ok())
        .filter(|modified| *modified >= since)
        .count()
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(args: &[&str]) -> Result<Vec<&'static str>> {
        let choice = choose(&args.iter().map(OsString::from).collect::<Vec<_>>())?;
        let steps = choice.map(|choice| choice.steps).unwrap_or_default();
        Ok(steps.iter().map(|s| s.name).collect())
    }

    #[test]
    fn steps_are_chosen_in_their_own_order() {
        assert_eq!(chosen(&[]).unwrap().len(), STEPS.len());
        assert_eq!(chosen(&["--only", "doc,fmt"]).unwrap(), ["fmt", "doc"]);
        assert_eq!(
            chosen(&["--only=fmt", "--only=deny"]).unwrap(),
            ["fmt", "deny"]
        );
        let rest = chosen(&["--skip", "setup, deny"]).unwrap();
        assert_eq!(rest.len(), STEPS.len() - 2);
        assert_eq!(rest[0], "fmt");
        assert!(chosen(&["--list"]).unwrap().is_empty());
    }

    #[test]
    fn wrong_choices_are_refused() {
        assert!(chosen(&["--only", "fnt"]).is_err());
        assert!(chosen(&["--only=fmt", "--skip=fmt"]).is_err());
        assert!(chosen(&["fmt"]).is_err());
        assert!(chosen(&["--onyl=fmt"]).is_err());
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(340)), "0.3 s");
        assert_eq!(seconds(Duration::from_secs(305)), "5 min 05 s");
    }

    #[test]
    fn native_builds_are_counted_from_the_start_of_the_run() {
        let target = tempfile::tempdir().unwrap();
        let since = SystemTime::now() - Duration::from_mins(1);
        for name in ["llama-cpp-sys-2-1a", "llama-cpp-sys-2-2b", "ring-3c"] {
            let folder = target.path().join("debug/build").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("output"), "").unwrap();
        }
        assert_eq!(native_builds(target.path(), since), 2);
        let later = SystemTime::now() + Duration::from_mins(1);
        assert_eq!(native_builds(target.path(), later), 0);
    }
}
