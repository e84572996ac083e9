//! `cargo xtask bench`: compares the speed of elpis with that of bare llama.cpp and of Hugging Face's
//! transformers.
//!
//! Each figure is printed as one line of JSON on standard output. Progress goes to standard error.
//! The models are generated with random weights, because speed does not depend on their values.
#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

mod apart;
mod arrivals;
mod bare;
mod cli;
mod contender;
mod engine;
mod figures;
mod kind;
mod measure;
mod model;
mod peer;
mod process;
mod record;
mod report;
mod script;
mod stats;
mod table;
mod telemetry;
mod vectors;

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use elpis::settings::HardwareBackend;
use serde_json::Value;

use crate::cli::{Options, Part};
use crate::figures::{FIGURES, Figure, memory};
use crate::measure::Run;
use crate::model::{HUGE, LARGE, ModelSpec};

fn main() -> Result<()> {
    elpis::worker::serve_if_asked();
    let Some(options) = Options::parse(std::env::args_os().skip(1))? else {
        return Ok(());
    };
    if let Some((part, spec)) = options.part {
        let start = process::peak();
        let path = model::ensure(spec, &options.cache)?;
        let run = Run::new(spec, path, 1, options.smoke);
        match part {
            Part::Figure(figure) => {
                let run = Run::new(spec, run.path, options.rounds(), options.smoke);
                let run = run.on(options.hardware)?;
                let outcome = (figure.run)(&run)?;
                println!("{}", report::line(figure, &run, &outcome));
            }
            Part::Footprint => println!("{}", memory::footprint(&run, start?)?),
            Part::Contender(kind) => contender::serve(kind, &run)?,
        }
        return Ok(());
    }
    let figures = chosen(&options)?;
    ensure!(
        figures
            .iter()
            .any(|figure| !models(figure, &options).is_empty()),
        "none of these figures can be measured on this model"
    );
    let mut lines = Vec::new();
    for figure in figures {
        for spec in models(figure, &options) {
            eprintln!("-- {} on {}: {}", figure.name, spec.name, figure.about);
            model::ensure(spec, &options.cache)
                .with_context(|| format!("cannot generate the model `{}`", spec.name))?;
            let line = alone(figure, spec, &options)
                .with_context(|| format!("`{}` failed on {}", figure.name, spec.name))?;
            println!("{line}");
            lines.push(line.clone());
            if let Some(folder) = &options.report {
                table::write(folder, &lines)?;
            }
            if let Some(folder) = &options.record {
                record::add(folder, &line)?;
            }
        }
    }
    Ok(())
}

/// Measures a figure in a separate process and returns its line. One figure's metrics recorder,
/// threads and fragmented memory therefore do not affect the next.
fn alone(figure: &Figure, spec: &ModelSpec, options: &Options) -> Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--figure", figure.name, spec.name]);
    command.args(["--rounds", &options.rounds().to_string()]);
    command.args(["--hardware", &options.hardware.to_string()]);
    command.args(options.smoke.then_some("--smoke"));
    command.arg("--cache").arg(&options.cache);
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    let mut line: Value = serde_json::from_slice(&output.stdout)?;
    line["command"] = options.command.clone().into();
    Ok(line)
}

/// The figures to measure. A figure that was named must be possible; others are left out if they are
/// not.
fn chosen(options: &Options) -> Result<Vec<&'static Figure>> {
    let mut chosen = Vec::new();
    for figure in FIGURES {
        let named = options.names.contains(&figure.name);
        if !named && !options.names.is_empty() {
            continue;
        }
        match figure.missing(options.hardware) {
            None => chosen.push(figure),
            Some(missing) if named => bail!("`{}` cannot be measured: {missing}", figure.name),
            Some(missing) => eprintln!("-- {} is left out: {missing}", figure.name),
        }
    }
    Ok(chosen)
}

fn models(figure: &Figure, options: &Options) -> Vec<&'static ModelSpec> {
    if options.smoke {
        return vec![figure.tiny()];
    }
    let models = figure.models.iter().copied();
    // On a GPU, larger models are measured than on a processor.
    let huge = figure.models.contains(&&LARGE) && options.hardware != HardwareBackend::Cpu;
    models
        .chain(huge.then_some(&HUGE))
        .filter(|spec| options.model.is_none_or(|name| name == spec.name))
        .collect()
}
