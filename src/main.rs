//! The `shewhart` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    shewhart::cli::main()
}
