//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::figures::{FIGURES, SMALL_AND_LARGE};

const HELP: &str = "\
Usage: elpis-bench [NAME…] [--rounds N] [--model small|large] [--smoke] [--list] [--cache DIR]

  NAME…           run these figures alone
  --rounds N      rounds of each figure, at least 1, by default 7
  --model M       run on this model alone
  --smoke         a few tokens on a tiny model, to see that every figure runs
  --list          name the figures
  --cache DIR     where the models are kept";

/// What is to be measured, and how.
#[derive(Debug)]
pub struct Options {
    /// The figures; none: all.
    pub names: Vec<&'static str>,
    /// The only model to measure on.
    pub model: Option<&'static str>,
    /// A quick pass whose numbers mean nothing.
    pub smoke: bool,
    /// Folder of the models.
    pub cache: PathBuf,
    rounds: Option<usize>,
}

impl Options {
    /// Reads the arguments; nothing is returned when they only asked for a text.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Option<Self>> {
        let mut options = Self {
            names: Vec::new(),
            model: None,
            smoke: false,
            cache: std::env::temp_dir().join("elpis-bench-models"),
            rounds: None,
        };
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Long("list") => {
                    for figure in FIGURES {
                        let bound = figure.bound.to_string();
                        println!("{:<18} {bound:<9} {}", figure.name, figure.about);
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
                Long("model") => options.model = Some(model(&parser.value()?.string()?)?),
                Long("smoke") => options.smoke = true,
                Long("cache") => options.cache = parser.value()?.into(),
                Value(name) => options.names.push(figure(&name.string()?)?),
                _ => return Err(arg.unexpected().into()),
            }
        }
        Ok(Some(options))
    }

    /// Rounds of each figure.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.smoke { 1 } else { 7 })
    }
}

fn figure(name: &str) -> Result<&'static str> {
    let figure = FIGURES.iter().find(|figure| figure.name == name);
    figure
        .map(|figure| figure.name)
        .with_context(|| format!("no figure `{name}`; `--list` names them"))
}

fn model(name: &str) -> Result<&'static str> {
    let spec = SMALL_AND_LARGE.iter().find(|spec| spec.name == name);
    spec.map(|spec| spec.name)
        .with_context(|| format!("no model `{name}`; there are small and large"))
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
        assert_eq!(parse(&["--smoke"]).unwrap().unwrap().rounds(), 1);
        assert!(parse(&["--list"]).unwrap().is_none());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse(&["relaod"]).is_err());
        assert!(parse(&["--rounds=0"]).is_err());
        assert!(parse(&["--model=huge"]).is_err());
        assert!(parse(&["--fast"]).is_err());
    }
}
