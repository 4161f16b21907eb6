//! What a daemon takes that has nothing to do, and whether it finds its brokers again afterwards.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::time::Duration;

use crate::stage::Stage;
use crate::trial::Trial;
use crate::world::daemon::spent;
use crate::world::workload::brief;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// What a process has taken since it began.
struct Taken {
    /// Of one core.
    seconds: f64,
    /// Sent to the disk.
    bytes: f64,
}

impl Taken {
    fn by(pid: u32) -> Self {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
        Self { seconds: spent(pid) as f64 / 100.0, bytes: bytes.parse().unwrap() }
    }
}

/// Half of the records come, then none for long, then the brokers start anew and the other half comes.
pub(crate) fn idle(trial: &mut Trial) {
    let length = trial.soak.length;
    let mut stage = Stage::set(1, 4);
    // As shipped: what is asked a hundred times a second is not idle.
    stage.place.fetch_wait_ms = 500;
    let (feeder, total) = stage.feed(brief(trial.seed));
    stage.start();
    stage.wait_ready();
    feeder.allow(total / 2);
    stage.wait_committed(total as u64 / 2);
    // What the records set off is told by then.
    stage.live(Duration::from_secs(20));
    let pid = stage.daemon().pid();
    let before = Taken::by(pid);
    stage.live(length);
    let after = Taken::by(pid);
    let share = (after.seconds - before.seconds) / length.as_secs_f64();
    let daily = (after.bytes - before.bytes) / length.as_secs_f64() * DAY / f64::from(1 << 20);
    trial.note(format!(
        "{:.0} s without records: {:.2} % of a core, {daily:.1} MiB a day written",
        length.as_secs_f64(),
        100.0 * share
    ));
    stage.broker.order("down");
    stage.live(Duration::from_secs(2));
    stage.broker.order("up");
    let sent = feeder.finish();
    stage.end(trial, sent);
    if length >= Duration::from_mins(10) {
        assert!(share <= 0.01 && daily <= 10.0, "{share} of a core, {daily} MiB a day");
    }
}
