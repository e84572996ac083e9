//! The `elpis` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    elpis::cli::main()
}
