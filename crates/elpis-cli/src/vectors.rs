//! `elpis vectors …`

mod calibrate;
mod convert;
mod cosines;
mod eval;
mod inspect;
mod model;
mod staged;
mod train;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Failure;
use super::error::CliError;
use super::signal::Stop;
use elpis::internal::vectors::read_file;
use elpis::steering::{VectorFile, VectorFormat, parse_file};
use elpis_files::printable::{printable, printable_path};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows width, layers and norms of vectors, and their similarity.
    Inspect(inspect::Options),
    /// Converts a vector to another format, according to the file name.
    Convert(convert::Options),
    /// Trains vectors from a model's own activations.
    Train(train::Options),
    /// Finds how strongly each vector may be added before the text degrades, and writes that into
    /// vectors.toml as its cap.
    Calibrate(calibrate::Options),
    Eval(eval::Options),
}

pub(super) fn run(config: Option<PathBuf>, command: Command, quiet: bool) -> Result<(), Failure> {
    match command {
        Command::Inspect(options) => inspect::run(config, &options, quiet),
        Command::Convert(options) => convert::run(&options),
        Command::Train(options) => train::run(config, &options, quiet),
        Command::Calibrate(options) => calibrate::run(config, &options, quiet),
        Command::Eval(options) => eval::run(config, &options, quiet),
    }
}

/// Writes a temporary file and renames it, so that a watching runtime never sees half of it.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".elpis-");
    // Use the permissions of a regular file instead of a temporary one, because another user may
    // watch the folder.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

fn read(file: &Path) -> Result<VectorFile, Failure> {
    let format = format_of(file)?;
    let bytes = read_file(file).map_err(|error| unread(file, error))?;
    Ok(parse_file(format, &bytes).map_err(CliError::at(file))?)
}

/// The error of a file that cannot be opened, as the command's own error, which has hints.
fn unread(file: &Path, error: elpis::SteeringError) -> Failure {
    match std::fs::metadata(file) {
        Err(source) => CliError::unreadable(file)(source).into(),
        Ok(_) => error.into(),
    }
}

fn format_of(file: &Path) -> Result<VectorFormat, Failure> {
    let extension = file
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    VectorFormat::from_extension(extension).ok_or_else(|| {
        let known: Vec<_> = VectorFormat::ALL.iter().map(|f| f.extension()).collect();
        format!(
            "{}: unknown vector format \"{}\"; known are {}",
            printable_path(file),
            printable(extension),
            known.join(", ")
        )
        .into()
    })
}
