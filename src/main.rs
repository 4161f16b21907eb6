//! The `shewhart` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    shewhart::cli::main()
}
