//! `shewhart status` and `shewhart alerts`: the operator's console.

use super::args::ConsoleArgs;
use super::{Invalid, OK, print};

pub(super) fn status(args: &ConsoleArgs) -> anyhow::Result<u8> {
    drop(args);
    print("");
    Ok(OK)
}

pub(super) fn alerts(args: &ConsoleArgs) -> anyhow::Result<u8> {
    drop(args);
    Err(Invalid(String::new()).into())
}
