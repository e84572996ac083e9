//! Chooses the steps to run from the options.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use super::{STEPS, Step};

/// The parsed options.
pub(super) struct Choice {
    pub(super) steps: Vec<&'static Step>,
    /// Features that are left out of the full set.
    pub(super) without: Vec<String>,
}

/// Parses the options. Returns `None` for `--list`.
pub(super) fn choose(args: &[OsString]) -> Result<Option<Choice>> {
    let mut only = Vec::new();
    let mut skip = Vec::new();
    let mut without = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("list") => return Ok(None),
            Long("only") => only.extend(names(&parser.value()?.string()?)?),
            Long("skip") => skip.extend(names(&parser.value()?.string()?)?),
            Long("without") => without.extend(words(&parser.value()?.string()?).map(str::to_owned)),
            _ => return Err(arg.unexpected().into()),
        }
    }
    let steps: Vec<_> = STEPS
        .iter()
        .filter(|step| only.is_empty() || only.contains(&step.name))
        .filter(|step| !skip.contains(&step.name))
        .collect();
    if steps.is_empty() {
        bail!("no step is left to run");
    }
    Ok(Some(Choice { steps, without }))
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

pub(super) fn names(list: &str) -> Result<Vec<&'static str>> {
    words(list)
        .map(|name| {
            let step = STEPS.iter().find(|step| step.name == name);
            step.map(|step| step.name)
                .with_context(|| format!("unknown step `{name}`; `--list` shows all steps"))
        })
        .collect()
}
