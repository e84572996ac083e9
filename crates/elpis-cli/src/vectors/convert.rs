//! `elpis vectors convert`

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{CliError, Failure, format_of, read, replace};
use elpis::steering::{
    FormatError, NamedLayer, StackedRows, SteeringVector, VectorFile, layer_in_stem, write,
};
use elpis_files::printable::printable_path;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The vector.
    from: PathBuf,
    /// The file to write; an existing one is replaced as a whole.
    to: PathBuf,
    /// The layer of a vector that does not name one (required for GGUF): the output of decoder
    /// layer N, counted from 0.
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// The meaning of the rows of a matrix without layer names: outputs of layers, or hidden
    /// states, the first of which is the embedding.
    #[arg(long, value_name = "WHAT", conflicts_with = "layer",
          value_parser = PossibleValuesParser::new(["layers", "hidden-states"]).map(|name| meaning(&name)))]
    rows: Option<StackedRows>,
    /// The emotion to extract from a pack.
    #[arg(long, value_name = "NAME")]
    emotion: Option<String>,
}

fn meaning(name: &str) -> StackedRows {
    if name == "layers" {
        StackedRows::Layers
    } else {
        StackedRows::HiddenStates
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let format = format_of(&options.to)?;
    let from = &options.from;
    let mut vector = pick(from, read(from)?, options.emotion.as_deref())?;
    if let Some(meaning) = options.rows {
        vector = vector.with_rows_as(meaning).map_err(CliError::at(from))?;
    }
    let told = named_layer(from, &vector)?;
    if let Some(layer) = options.layer {
        let own: Vec<usize> = told.into_iter().chain(vector.layers()).collect();
        if vector.is_stacked() || own.iter().any(|own| *own != layer) {
            return Err(CliError::LayersOfItsOwn {
                file: printable_path(from),
                layers: if own.is_empty() {
                    vec!["every layer of a model".to_owned()]
                } else {
                    own.iter().map(usize::to_string).collect()
                },
                asked: layer,
            }
            .into());
        }
    }
    if let Some(layer) = options.layer.or(told) {
        vector = vector.at_layer(layer).map_err(CliError::at(from))?;
    }
    let bytes = write(format, &vector).map_err(CliError::at(&options.to))?;
    replace(&options.to, &bytes).map_err(CliError::unwritable(&options.to))?;
    Ok(())
}

/// The layer in the name of a bare vector's file.
pub(super) fn named_layer(file: &Path, vector: &SteeringVector) -> Result<Option<usize>, Failure> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    match layer_in_stem(&stem).0 {
        NamedLayer::Layer(layer) if vector.is_bare() => Ok(Some(layer)),
        NamedLayer::Unclear(reason) if vector.is_bare() => {
            Err(CliError::at(file)(FormatError::UnclearLayer {
                tensor: elpis_files::printable::printable(&stem).into_owned(),
                reason,
            })
            .into())
        }
        _ => Ok(None),
    }
}

fn pick(file: &Path, read: VectorFile, emotion: Option<&str>) -> Result<SteeringVector, Failure> {
    match (read, emotion) {
        (VectorFile::One(vector), None) => Ok(vector),
        (VectorFile::One(_), Some(asked)) => Err(CliError::NotInPack {
            file: printable_path(file),
            asked: asked.to_owned(),
            has: Vec::new(),
        }
        .into()),
        (VectorFile::Pack(mut vectors), Some(asked)) => match vectors.remove(asked) {
            Some(vector) => Ok(vector),
            None => Err(CliError::NotInPack {
                file: printable_path(file),
                asked: asked.to_owned(),
                has: vectors.into_keys().collect(),
            }
            .into()),
        },
        (VectorFile::Pack(vectors), None) => Err(CliError::at(file)(FormatError::Pack {
            emotions: vectors.into_keys().collect(),
        })
        .into()),
    }
}
