//! `shewhart demo`: the whole thing on one machine.

use super::OK;
use super::args::DemoArgs;

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<u8> {
    drop(args);
    Ok(OK)
}
