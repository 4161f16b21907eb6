//! The log, which goes to standard error and never holds the daemon up: a line that nobody takes is dropped and counted.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What a pipe takes without waiting, once it says that it takes anything.
const PIECE: usize = 4_096;

static DROPPED: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Lines that nobody took, since the start.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Panics since the start, of any thread.
pub(super) fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Sets up logs: text on a terminal, JSON otherwise; `SHEWHART_LOG` filters as `RUST_LOG` does elsewhere. Of
/// libraries that log by the `log` crate nothing below info is written, whatever the filter.
pub fn set_up() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("SHEWHART_LOG")
        .from_env_lossy();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Standard);
    let set = if io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    // A second call in one process (tests, the demo) keeps the first.
    drop(set);
    // The HTTP client tells this crate whole requests, keys included, at debug and trace. No filter of an operator may
    // bring them into the log.
    ::log::set_max_level(::log::LevelFilter::Info);
    // The usual hook would wait for whoever does not read standard error.
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!(thread = std::thread::current().name(), "{info}");
    }));
}

/// Standard error, a line at a time.
struct Standard;

impl Write for Standard {
    /// Takes a line whole, and says so whatever comes of it: there is nobody to tell.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        static TURN: Mutex<u64> = Mutex::new(0);
        let mut told = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = dropped() - *told;
        let head = if lost > 0 {
            format!("{{\"level\":\"WARN\",\"message\":\"{lost} lines of the log were lost\"}}\n")
        } else {
            String::new()
        };
        if put(head.as_bytes()) && put(line) {
            *told += lost;
        } else {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as long as somebody takes it. Whether all of it is out.
fn put(text: &[u8]) -> bool {
    let mut stderr = io::stderr();
    text.chunks(PIECE).all(|piece| takes(&stderr) && stderr.write_all(piece).is_ok())
}

/// Whether a write would not wait: a pipe with room, and every file.
fn takes(stderr: &io::Stderr) -> bool {
    let mut fds = [PollFd::new(stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds.iter().all(|fd| fd.revents().contains(PollFlags::OUT))
}
