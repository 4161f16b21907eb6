//! What a process costs, by the system's own count.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run of a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds of CPU, user and system, of all threads.
    pub(crate) cpu: f64,
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Bytes that it handed to the disk.
    pub(crate) written: u64,
}

/// CPU seconds of all children that have ended: `cutime` and `cstime` of `/proc/self/stat`, in hundredths of a second.
fn children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    fields.skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Bytes that a process has handed to the disk: `self`, or its number.
pub(crate) fn written(process: &str) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// What the processes cost that start and end within `run`.
pub(crate) fn measure(run: impl FnOnce()) -> Cost {
    let (cpu, bytes, begun) = (children(), written("self"), Instant::now());
    run();
    Cost { cpu: children() - cpu, wall: begun.elapsed().as_secs_f64(), written: written("self") - bytes }
}

/// Runs a process to its end.
pub(crate) fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// The median of several runs, and the smallest and the largest.
pub(crate) struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

pub(crate) fn spread(of: impl Iterator<Item = f64>) -> Spread {
    let mut sorted: Vec<f64> = of.collect();
    sorted.sort_by(f64::total_cmp);
    let (middle, last) = (sorted.len() / 2, sorted.len() - 1);
    let at = |place: usize| sorted.iter().copied().nth(place).unwrap();
    Spread { median: at(middle), low: at(0), high: at(last) }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median < 100.0 { 2 } else { 0 };
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.low, self.high)
    }
}
