//! `elpis vectors train`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;

use super::model::ModelOptions;
use super::staged::Staged;
use super::{CliError, Failure};
use crate::terminal;
use elpis::internal::vectors::is_library_file;
use elpis::steering::VectorFormat;
use elpis::training::{ContrastPairs, Form, Method, ReadAt, TrainOptions, Trained, train};
use elpis_files::printable::printable_path;

/// Sequences for the model's own replies, half of which generate.
const OWN_REPLIES: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The layers after which the vectors are added, counted from 0, or `auto` for several that
    /// are spread over the middle of the model.
    #[arg(long, value_name = "N,…|auto", default_value = "auto", value_parser = layers)]
    layer: Layers,
    /// Also trains the 24 further emotions that are shipped as replies, such as `curious`, `proud`
    /// and `lonely`.
    #[arg(long, conflicts_with = "pairs")]
    further: bool,
    /// The sentences to train on: replies of the assistant, or statements about it. Replies by
    /// default, if there are any.
    #[arg(long, value_parser = PossibleValuesParser::new(Form::NAMES).try_map(|name| name.parse::<Form>()))]
    from: Option<Form>,
    /// The folder to write.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// The method for finding a direction.
    #[arg(long, default_value_t, value_parser = PossibleValuesParser::new(Method::NAMES).try_map(|name| name.parse::<Method>()))]
    method: Method,
    /// The tokens at which statements are read: from the question to the end of the prompt, the
    /// prompt's last token, or a greedy reply. Replies are read as a whole.
    #[arg(long, default_value_t, value_parser = PossibleValuesParser::new(ReadAt::NAMES).try_map(|name| name.parse::<ReadAt>()))]
    at: ReadAt,
    /// The format of the files: safetensors, pt, npz or gguf.
    #[arg(long, default_value = "safetensors", value_parser = format)]
    format: VectorFormat,
    /// Mean norm of the vectors, summed over their layers, in units of the residual stream's median
    /// norm.
    #[arg(long, value_name = "X", default_value_t = TrainOptions::DEFAULT_STRENGTH)]
    strength: f32,
    /// Keeps the component that all emotions have in common. By default it is removed, so that a
    /// neutral state steers nothing.
    #[arg(long)]
    keep_common: bool,
    /// Replaces existing vectors in the folder.
    #[arg(long)]
    force: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Layers; none stands for `auto`.
#[derive(Debug, Clone)]
struct Layers(Vec<usize>);

fn layers(text: &str) -> Result<Layers, String> {
    if text == "auto" {
        return Ok(Layers(Vec::new()));
    }
    let numbers = text.split(',').map(|number| number.trim().parse());
    let numbers = numbers.collect::<Result<Vec<usize>, _>>();
    let expected = |_| "numbers such as 12 or 9,12,16, or `auto`, are expected".to_owned();
    Ok(Layers(numbers.map_err(expected)?))
}

fn format(name: &str) -> Result<VectorFormat, String> {
    let known = || {
        let all = VectorFormat::ALL.iter().copied();
        all.filter(|format| format.names_layers())
    };
    VectorFormat::from_extension(name)
        .filter(|format| format.names_layers())
        .ok_or_else(|| {
            let known: Vec<_> = known().map(VectorFormat::extension).collect();
            format!("known are {}", known.join(", "))
        })
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    // Refuse this before hours of work, not after.
    check_output(&options.output, options.force)?;
    let pairs = if options.further {
        ContrastPairs::shipped_with_further()
    } else {
        options.model.pairs()?
    };
    let mut loaded = options.model.load(config, OWN_REPLIES, quiet)?;
    let train_options = TrainOptions {
        layers: options.layer.0.clone(),
        form: options.from,
        method: options.method,
        at: options.at,
        strength: options.strength,
        keep_common: options.keep_common,
    };
    let trained = loaded.work(|backend, template, on_progress| {
        train(backend, template, &pairs, &train_options, on_progress)
    });
    let trained = trained.map_err(|failure| options.model.at_pairs(failure))?;
    let staged = Staged::beside(&options.output)?;
    staged.write(&trained.files(options.format)?)?;
    loaded.check_stop()?;
    staged.publish()?;
    let mut out = terminal::out();
    if options.json {
        writeln!(out, "{}", as_json(&trained, &options.output))?;
        return Ok(());
    }
    print(&mut out, &trained)?;
    writeln!(out, "\nwritten to {}", printable_path(&options.output))?;
    for doubt in trained.doubts() {
        writeln!(out, "note: {doubt}")?;
    }
    Ok(())
}

fn print(out: &mut impl Write, trained: &Trained) -> std::io::Result<()> {
    writeln!(
        out,
        "separation of held-out sentences (AUC; 0.5 is chance)\n"
    )?;
    let names: Vec<&str> = trained.vectors.keys().map(String::as_str).collect();
    write!(out, "layer")?;
    for name in &names {
        write!(out, "  {name:>10}")?;
    }
    writeln!(out, "        mean")?;
    for score in &trained.scores {
        write!(out, "{:5}", score.layer)?;
        for (name, auc) in &score.auc {
            write!(out, "  {auc:>width$.3}", width = name.len().max(10))?;
        }
        let chosen = if trained.layers.contains(&score.layer) {
            "  <"
        } else {
            ""
        };
        writeln!(out, "  {:>10.3}{chosen}", score.mean)?;
    }
    match &trained.reading {
        Some(reading) => writeln!(
            out,
            "\nreplies are read at layer {}: a full mood lies at {:.1} deviations of valence and {:.1} of arousal",
            reading.axes.layer, reading.valence.span, reading.arousal.span
        ),
        None => writeln!(
            out,
            "\nreplies are not read: that needs [[replies]] of neutral and of emotions all over the plane, which this model tells apart"
        ),
    }
}

fn as_json(trained: &Trained, folder: &Path) -> serde_json::Value {
    json!({
        "folder": folder,
        "steered_layers": trained.layers,
        "trained_on": trained.form.to_string(),
        "emotions": trained.vectors.keys().collect::<Vec<_>>(),
        "pairs": trained.evidence.iter().map(|(emotion, evidence)| {
            let counts = json!({ "pairs": evidence.pairs, "held_out": evidence.held_out });
            (emotion.clone(), counts)
        }).collect::<std::collections::BTreeMap<_, _>>(),
        "notes": trained.doubts(),
        "reading": trained.reading.as_ref().map(|reading| json!({
            "layer": reading.axes.layer,
            "span": { "valence": reading.valence.span, "arousal": reading.arousal.span },
        })),
        "layers": trained.scores.iter().map(|score| json!({
            "layer": score.layer,
            "mean": score.mean,
            "auc": score.auc.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })).collect::<Vec<_>>(),
    })
}

fn check_output(folder: &Path, force: bool) -> Result<(), Failure> {
    let cannot = CliError::unreadable(folder);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(cannot(error).into()),
    };
    for entry in entries.into_iter().flatten() {
        let name = entry.map_err(&cannot)?.file_name();
        let taken = name.to_str().is_some_and(is_library_file);
        if taken && !force {
            return Err(format!(
                "{} holds {} already; --force replaces it",
                printable_path(folder),
                printable_path(Path::new(&name))
            )
            .into());
        }
    }
    // Tests whether the set can be moved there, without leaving anything.
    drop(Staged::beside(folder)?);
    Ok(())
}
