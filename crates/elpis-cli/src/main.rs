//! The `elpis` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    elpis_cli::main()
}
