//! `elpis vectors inspect` and `convert`

use std::io::Write;
use std::path::Path;

use super::{Failure, Fault, format_of, read, replace};
use crate::cli::terminal;
use crate::steering::write;

pub(super) fn inspect(file: &Path) -> Result<(), Failure> {
    let vector = read(file)?;
    let mut out = terminal::out();
    writeln!(out, "{}: width {}", file.display(), vector.width())?;
    if let Some(model) = vector.model_hint() {
        writeln!(out, "  made for {model}")?;
    }
    for (layer, row) in vector.rows() {
        let norm: f64 = row
            .iter()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>()
            .sqrt();
        match layer {
            Some(layer) => writeln!(out, "  layer {layer:3}  norm {norm:.4}")?,
            None => writeln!(out, "  no layer   norm {norm:.4}")?,
        }
    }
    Ok(())
}

pub(super) fn convert(from: &Path, to: &Path, layer: Option<usize>) -> Result<(), Failure> {
    let format = format_of(to)?;
    let mut vector = read(from)?;
    if let Some(layer) = layer {
        if !vector.is_bare() && !vector.layers().eq([layer]) {
            return Err(Fault::LayersOfItsOwn {
                file: from.display().to_string(),
                layers: vector.layers().map(|layer| layer.to_string()).collect(),
                asked: layer,
            }
            .into());
        }
        vector = vector.at_layer(layer).map_err(Fault::at(from))?;
    }
    let bytes = write(format, &vector).map_err(Fault::at(to))?;
    replace(to, &bytes).map_err(Fault::unwritable(to))?;
    Ok(())
}
