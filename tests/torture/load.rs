//! Too much at once, and a wall clock that jumps.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use shewhart::edge::clock;

use crate::stage::Stage;
use crate::trial::Trial;
use crate::world::daemon::status;
use crate::world::workload::brief;

/// All records lie there at the start: as many as it can read, not as many as come.
pub(crate) fn overload(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let sent = stage.feed(crate::crash::records(trial)).0.finish();
    for _ in 1..trial.runs {
        stage.start();
        stage.wait_committed(1);
        stage.kill();
    }
    stage.start();
    stage.wait_committed(sent);
    let peak = status(stage.daemon().pid(), "VmHWM:").unwrap();
    assert!(peak < 300 << 10, "{peak} KiB while it caught up");
    stage.end(trial, sent);
}

/// Where Debian puts it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Whether there is what turns the clock of a program.
fn prepare(shim: &Path) -> Result<(), String> {
    if !Path::new(FAKETIME).exists() {
        return Err("libfaketime is missing (Debian: faketime)".to_owned());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/clock_shim.c");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(shim).arg(source).status();
    let made = made.map_err(|error| format!("cc: {error}"))?;
    if made.success() { Ok(()) } else { Err(format!("cc: {made}")) }
}

/// The wall clock jumps by hours and days, back and forth. Nothing is told that would not be, and nothing much later.
pub(crate) fn jumping_clock(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let shim = stage.place.path().join("clock_shim.so");
    if let Err(why) = prepare(&shim) {
        trial.skipped = Some(why);
        return;
    }
    let file = stage.place.path().join("clock");
    let turn = |by: &str| {
        fs::write(file.with_extension("new"), by).unwrap();
        fs::rename(file.with_extension("new"), &file).unwrap();
    };
    turn("+0");
    stage.place.environment.extend([
        ("LD_PRELOAD", format!("{} {FAKETIME}", shim.display())),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]);
    let (feeder, total) = stage.feed(brief(trial.seed));
    stage.start();
    stage.wait_ready();
    for run in 0..trial.runs {
        turn(trial.choose(&["+1h", "-1h", "+1d", "-1d", "+0", "+30s", "-30s"]));
        let goal = total * (run + 1) / (trial.runs + 1);
        feeder.allow(goal);
        stage.live(Duration::from_millis(trial.pick(200..3_000)));
        if trial.pick(0..4) == 0 {
            stage.kill();
            stage.start();
        }
        stage.wait_committed(goal as u64);
    }
    turn("+0");
    let begun = clock::instant();
    let sent = feeder.finish();
    stage.wait("the end", |place| place.committed() == sent);
    // Nothing comes now; that a day has gone by since is the clock's opinion only, however often the ends are asked for.
    turn("+1d");
    stage.live(Duration::from_secs(20));
    turn("+0");
    stage.reach_the_end(sent);
    trial.note(format!("at the end {:.0} s after the clock was right", begun.elapsed().as_secs_f64()));
    stage.compare(trial, sent);
}
