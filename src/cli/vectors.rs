//! `elpis vectors …`

mod calibrate;
mod convert;
mod model;
mod staged;
mod train;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Failure;
use super::fault::Fault;
use super::signal::Stop;
use crate::steering::{SteeringVector, VectorFormat, parse};

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
    /// Makes vectors from a model's own activations.
    Train(train::Options),
    /// Finds how strongly each vector may be added before the text suffers,
    /// and writes that into vectors.toml as its cap.
    Calibrate(calibrate::Options),
}

pub(super) fn run(config: Option<PathBuf>, command: Command, quiet: bool) -> Result<(), Failure> {
    match command {
        Command::Inspect { files } => files.iter().try_for_each(|file| convert::inspect(file)),
        Command::Convert { from, to, layer } => convert::convert(&from, &to, layer),
        Command::Train(options) => train::run(config, &options, quiet),
        Command::Calibrate(options) => calibrate::run(config, &options, quiet),
    }
}

/// Writes beside the file and renames, so that a watching runtime never sees
/// half of it.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".elpis-");
    // Those of any new file, not a temporary file's: whoever watches the
    // folder may be another user.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

fn read(file: &Path) -> Result<SteeringVector, Failure> {
    let format = format_of(file)?;
    let bytes = std::fs::read(file).map_err(Fault::unreadable(file))?;
    Ok(parse(format, &bytes).map_err(Fault::at(file))?)
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
