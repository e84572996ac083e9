//! Timed comparisons of elpis with bare llama.cpp: `cargo xtask bench`.
//!
//! Every figure is printed as one line of JSON on standard output; progress goes to standard
//! error. The models are made here, with random weights: speed does not depend on what a model
//! says.

mod arrivals;
mod bare;
mod cli;
mod engine;
mod figures;
mod measure;
mod model;
mod report;
mod stats;
mod vectors;

use anyhow::{Context, Result, ensure};

use crate::cli::Options;
use crate::figures::{FIGURES, Figure};
use crate::measure::Run;
use crate::model::ModelSpec;

fn main() -> Result<()> {
    let Some(options) = Options::parse(std::env::args_os().skip(1))? else {
        return Ok(());
    };
    let chosen = || chosen(&options);
    ensure!(
        chosen().any(|figure| !models(figure, &options).is_empty()),
        "none of these figures is measured on this model"
    );
    for figure in chosen() {
        for spec in models(figure, &options) {
            eprintln!("-- {} on {}: {}", figure.name, spec.name, figure.about);
            let path = model::ensure(spec, &options.cache)
                .with_context(|| format!("cannot make the model `{}`", spec.name))?;
            let run = Run::new(spec, path, options.rounds(), options.smoke);
            let outcome = (figure.run)(&run)
                .with_context(|| format!("`{}` failed on {}", figure.name, spec.name))?;
            println!("{}", report::line(figure, &run, &outcome));
        }
    }
    Ok(())
}

fn chosen(options: &Options) -> impl Iterator<Item = &'static Figure> {
    FIGURES
        .iter()
        .filter(|figure| options.names.is_empty() || options.names.contains(&figure.name))
}

fn models(figure: &Figure, options: &Options) -> Vec<&'static ModelSpec> {
    if options.smoke {
        return vec![&model::TINY];
    }
    let models = figure.models.iter().copied();
    models
        .filter(|spec| options.model.is_none_or(|name| name == spec.name))
        .collect()
}
