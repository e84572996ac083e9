//! `elpis vectors …`

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Failure;
use crate::steering::{SteeringVector, VectorFormat, parse, write};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows width, layers and norms of vector files.
    Inspect {
        /// The files: .safetensors, .pt or .gguf.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Writes a vector in another format, which its file name chooses.
    Convert {
        /// The vector.
        from: PathBuf,
        /// The file to write; an existing one is replaced as a whole.
        to: PathBuf,
        /// The layer of a vector that does not name one (for GGUF, which
        /// always does); the output of decoder layer N, counted from 0.
        #[arg(long, value_name = "N")]
        layer: Option<usize>,
    },
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Inspect { files } => files.iter().try_for_each(|file| inspect(file)),
        Command::Convert { from, to, layer } => convert(&from, &to, layer),
    }
}

fn inspect(file: &Path) -> Result<(), Failure> {
    let vector = read(file)?;
    let mut out = stdout().lock();
    writeln!(out, "{}: width {}", file.display(), vector.width())?;
    if let Some(model) = vector.model_hint() {
        writeln!(out, "  made for {model}")?;
    }
    for (layer, row) in vector.rows() {
        let norm: f64 = row
            .iter()
            .map(|&x| f64::from(x).powi(2))
            .sum::<f64>()
            .sqrt();
        match layer {
            Some(layer) => writeln!(out, "  layer {layer:3}  norm {norm:.4}")?,
            None => writeln!(out, "  no layer   norm {norm:.4}")?,
        }
    }
    Ok(())
}

fn convert(from: &Path, to: &Path, layer: Option<usize>) -> Result<(), Failure> {
    let format = format_of(to)?;
    let mut vector = read(from)?;
    if let Some(layer) = layer {
        vector = vector
            .at_layer(layer)
            .map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let bytes = write(format, &vector).map_err(|error| format!("{}: {error}", to.display()))?;
    replace(to, &bytes).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
    Ok(())
}

/// Writes beside the file and renames, so that a watching runtime never sees
/// half of it.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(".elpis-")
        .tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

fn read(file: &Path) -> Result<SteeringVector, Failure> {
    let format = format_of(file)?;
    let bytes =
        std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(parse(format, &bytes).map_err(|error| format!("{}: {error}", file.display()))?)
}

fn format_of(file: &Path) -> Result<VectorFormat, Failure> {
    let extension = file
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    VectorFormat::from_extension(extension).ok_or_else(|| {
        let known: Vec<_> = VectorFormat::ALL.iter().map(|f| f.extension()).collect();
        format!(
            "{}: unknown vector format {extension:?}; known are {}",
            file.display(),
            known.join(", ")
        )
        .into()
    })
}
