//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use elpis::settings::HardwareBackend;
use lexopt::prelude::*;

use crate::figures::{FIGURES, Figure, MODELS, Needs, PEERS};
use crate::kind::Kind;
use crate::model::{ModelSpec, TINY, TORCH_SMALL, TORCH_TINY};

const HELP: &str = "\
Usage: elpis-bench [NAME…] [--rounds N] [--model MODEL] [--hardware NAME] [--smoke] [--list]
                   [--cache DIR] [--report DIR] [--record DIR]

  NAME…           run only these figures; `peers` means all that need a Python or libtorch
  --rounds N      rounds of each figure, at least 1, by default 7
  --model MODEL   run only on this model: small, large, large-q4, huge, torch-f32, torch-bf16 or
                  torch-large
  --hardware NAME the hardware of the models, as in `model.hardware_backend`; by default cpu
  --smoke         generate a few tokens on a tiny model, to check that every figure runs
  --list          list the figures
  --cache DIR     the folder of the models
  --report DIR    also write the lines and a Markdown table of them to this folder
  --record DIR    also add the lines to benches/results.jsonl of this repository, and update the
                  tables of BENCHMARKS.md";

/// The figures to measure, and how to measure them.
#[derive(Debug)]
pub struct Options {
    /// The figures. An empty list means all of them.
    pub names: Vec<&'static str>,
    /// The only model to measure on.
    pub model: Option<&'static str>,
    /// The hardware that the models run on.
    pub hardware: HardwareBackend,
    /// Whether this is a quick pass whose numbers mean nothing.
    pub smoke: bool,
    /// The folder of the models.
    pub cache: PathBuf,
    /// The folder for the lines and their table.
    pub report: Option<PathBuf>,
    /// The repository whose record the lines are added to.
    pub record: Option<PathBuf>,
    /// The command line, as a user would type it.
    pub command: String,
    /// The task of this process and its model, if it is a child process.
    pub part: Option<(Part, &'static ModelSpec)>,
    rounds: Option<usize>,
}

/// The task of a child process.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Measures a figure.
    Figure(&'static Figure),
    /// Loads the model and reports the memory that this takes.
    Footprint,
    /// Serves requests line by line.
    Contender(Kind),
}

impl Options {
    /// Parses the arguments. Returns `None` if they only request a text, such as the help.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Option<Self>> {
        let mut options = Self {
            names: Vec::new(),
            model: None,
            hardware: HardwareBackend::Cpu,
            smoke: false,
            cache: std::env::temp_dir().join("elpis-bench-models"),
            report: None,
            record: None,
            command: "cargo xtask bench".to_owned(),
            part: None,
            rounds: None,
        };
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Long("list") => {
                    for figure in FIGURES {
                        let bound = figure.bound.to_string();
                        println!("{:<19} {bound:<9} {}", figure.name, figure.about);
                    }
                    return Ok(None);
                }
                Long("help") | Short('h') => {
                    println!("{HELP}");
                    return Ok(None);
                }
                Long("rounds") => {
                    let rounds: usize = parser.value()?.parse()?;
                    if rounds == 0 {
                        bail!("--rounds is 0, must be at least 1");
                    }
                    options.rounds = Some(rounds);
                }
                Long("model") => options.model = Some(model(&parser.value()?.string()?)?.name),
                Long("hardware") => {
                    let name = parser.value()?.string()?;
                    options.hardware = serde_json::from_value(name.into())?;
                    if options.hardware == HardwareBackend::Auto {
                        bail!("--hardware must name the hardware to measure, not auto");
                    }
                }
                Long("smoke") => options.smoke = true,
                Long("cache") => options.cache = parser.value()?.into(),
                Long("record") => options.record = Some(parser.value()?.into()),
                Long("report") => options.report = Some(parser.value()?.into()),
                Long("figure") => {
                    let name = parser.value()?.string()?;
                    let figure = FIGURES.iter().find(|figure| figure.name == name);
                    let figure = figure.with_context(|| format!("no `{name}`"))?;
                    let spec = any_model(&parser.value()?.string()?)?;
                    options.part = Some((Part::Figure(figure), spec));
                }
                Long("footprint") => {
                    let spec = any_model(&parser.value()?.string()?)?;
                    options.part = Some((Part::Footprint, spec));
                }
                Long("contender") => {
                    let kind = parser.value()?.string()?;
                    let kind = Kind::named(&kind).with_context(|| format!("no `{kind}`"))?;
                    let spec = any_model(&parser.value()?.string()?)?;
                    options.part = Some((Part::Contender(kind), spec));
                }
                Value(name) => options.names.extend(figures(&name.string()?)?),
                _ => return Err(arg.unexpected().into()),
            }
        }
        let mut typed = vec![options.command];
        typed.extend(options.names.iter().map(ToString::to_string));
        typed.extend(options.model.map(|model| format!("--model {model}")));
        typed.extend(options.rounds.map(|rounds| format!("--rounds {rounds}")));
        if options.hardware != HardwareBackend::Cpu {
            typed.push(format!("--hardware {}", options.hardware));
        }
        options.command = typed.join(" ");
        Ok(Some(options))
    }

    /// Number of rounds of each figure.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.smoke { 1 } else { 7 })
    }
}

fn figures(name: &str) -> Result<Vec<&'static str>> {
    let meant = FIGURES.iter().filter(|figure| match name {
        PEERS => figure.needs != Needs::LlamaCpp,
        name => figure.name == name,
    });
    let names: Vec<_> = meant.map(|figure| figure.name).collect();
    if names.is_empty() {
        bail!("unknown figure `{name}`; `--list` shows all figures");
    }
    Ok(names)
}

fn model(name: &str) -> Result<&'static ModelSpec> {
    let spec = MODELS.iter().find(|spec| spec.name == name);
    let known = || MODELS.iter().map(|spec| spec.name).collect::<Vec<_>>();
    spec.copied().with_context(|| {
        format!(
            "unknown model `{name}`; the models are {}",
            known().join(", ")
        )
    })
}

/// As [`model`], including those of a quick pass.
fn any_model(name: &str) -> Result<&'static ModelSpec> {
    let tiny = [&TINY, &TORCH_TINY, &TORCH_SMALL];
    let tiny = tiny.into_iter().find(|spec| spec.name == name);
    tiny.map_or_else(|| model(name), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Options>> {
        Options::parse(args.iter().map(OsString::from))
    }

    #[test]
    fn names_and_options_are_read() {
        let args = ["reload", "--rounds", "5", "--model=large", "prefix"];
        let options = parse(&args).unwrap().unwrap();
        assert_eq!(options.names, ["reload", "prefix"]);
        assert_eq!(options.model, Some("large"));
        assert_eq!(options.rounds(), 5);
        let typed = "cargo xtask bench reload prefix --model large --rounds 5";
        assert_eq!(options.command, typed);
        assert_eq!(options.hardware, HardwareBackend::Cpu);
        let gpu = parse(&["--hardware=cuda"]).unwrap().unwrap();
        assert_eq!(gpu.hardware, HardwareBackend::Cuda);
        assert_eq!(gpu.command, "cargo xtask bench --hardware cuda");
        assert_eq!(parse(&["--smoke"]).unwrap().unwrap().rounds(), 1);
        let peers = parse(&["peers"]).unwrap().unwrap().names;
        assert_eq!(peers.len(), 7, "{peers:?}");
        assert!(parse(&["--list"]).unwrap().is_none());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse(&["relaod"]).is_err());
        assert!(parse(&["--rounds=0"]).is_err());
        assert!(parse(&["--model=gigantic"]).is_err());
        assert!(parse(&["--hardware=auto"]).is_err());
        assert!(parse(&["--hardware=abacus"]).is_err());
        assert!(parse(&["--fast"]).is_err());
    }
}
