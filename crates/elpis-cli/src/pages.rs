//! `elpis completions` and `elpis man`

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::Failure;
use super::error::CliError;

/// Prints the completions of a shell.
///
/// For bash: `elpis completions bash > ~/.local/share/bash-completion/completions/elpis`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Prints the manual page.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Writes a page for each command into this folder instead.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn completions(mut command: Command, options: &Completions) -> Result<(), Failure> {
    // Render first, so that a closed pipe is recognised as such.
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut command, "elpis", &mut text);
    stdout().lock().write_all(&text)?;
    Ok(())
}

pub(super) fn man(command: Command, options: &Man) -> Result<(), Failure> {
    match &options.output {
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(command).render(&mut text)?;
            stdout().lock().write_all(&text)?;
        }
        Some(folder) => {
            let failed = CliError::unwritable(folder);
            std::fs::create_dir_all(folder).map_err(&failed)?;
            clap_mangen::generate_to(command, folder).map_err(&failed)?;
        }
    }
    Ok(())
}
