//! `shewhart run`: the daemon.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::OK;
use super::args::RunArgs;
use crate::config::Config;
use crate::edge::{self, Control, log};

pub(super) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    log::set_up();
    if rustix::process::geteuid().is_root() {
        // No refusal: in a container root may be nobody outside.
        tracing::warn!("running as root, which nothing here needs: whoever takes over this process has the machine");
    }
    let mut config = Config::load(&args.config)?;
    if let Some(folder) = &args.mail_dir {
        config.add_mail_dir(folder);
    }
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    edge::run(config, |control, board| {
        listen(signals, control);
        let address = board.address().map(|a| a.to_string()).unwrap_or_default();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), http = address, "started");
        edge::ready();
    })?;
    Ok(OK)
}

/// SIGTERM and SIGINT stop, SIGHUP reads the rules again. A second SIGTERM ends at once: everything is committed.
pub(super) fn listen(mut signals: Signals, control: Control) {
    let work = move || {
        let mut asked = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => control.reload(),
                _ if asked => signal_hook::low_level::exit(0),
                _ => {
                    asked = true;
                    control.stop();
                }
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("signals".to_owned()).spawn(work) {
        tracing::error!(%error, "signals are not listened to");
    }
}
