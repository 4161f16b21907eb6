//! The process from outside: stopped in every way, held up, one of two in a group.

use std::process::Command;
use std::time::Duration;

use shewhart::edge::clock;

use crate::crash::trickle;
use crate::stage::{SIGABRT, SIGKILL, Stage};
use crate::trial::Trial;
use crate::world::workload::brief;

/// Stopped by every signal that means it, sometimes twice, sometimes while it starts, reloads or has no brokers.
pub(crate) fn stopped(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let (feeder, total) = stage.feed(brief(trial.seed));
    let mut slowest = Duration::ZERO;
    for run in 0..trial.runs {
        feeder.allow(total * (run + 1) / (trial.runs + 1));
        stage.start();
        // Before its handlers stand a signal is the end of any process: nothing is begun by then.
        stage.wait("signals to be heard", |place| place.page("/-/healthy").is_some());
        stage.live(Duration::from_millis(trial.pick(0..2_500)));
        let away = trial.pick(0..5) == 0;
        if away {
            stage.broker.order("down");
        }
        let signals: &[&str] = trial.choose(&[&["TERM"] as &[&str], &["INT"], &["HUP", "TERM"], &["TERM", "TERM"]]);
        slowest = slowest.max(stage.stop_by(signals));
        if away {
            stage.broker.order("up");
        }
    }
    trial.note(format!("the slowest stop took {:.1} s", slowest.as_secs_f64()));
    stage.end(trial, feeder.finish());
}

/// A stop ends with the write-ahead log being copied: aborted right before that.
pub(crate) fn aborted_at_the_checkpoint(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let (feeder, total) = stage.feed(brief(trial.seed));
    for run in 0..trial.runs {
        feeder.allow(total * (run + 1) / (trial.runs + 1));
        let before = stage.place.committed();
        stage.start_with("checkpoint:abort");
        stage.wait_committed(before + 1);
        stage.live(Duration::from_millis(trial.pick(0..300)));
        stage.daemon().signal("TERM");
        stage.wait_ended(SIGABRT, || ());
    }
    stage.end(trial, feeder.finish());
}

/// Handling one batch takes longer than the group waits for a member to ask for the next. A second's records are a batch, and
/// eight of them have room before the reader waits: so they come for longer than that.
pub(crate) fn held_up(trial: &mut Trial) {
    const TICKS: usize = 140;
    let mut stage = Stage::set(1, 4);
    "    max.poll.interval.ms: \"3400\"\n".clone_into(&mut stage.place.kafka);
    let (feeder, total) = stage.feed(brief(trial.seed));
    for run in 0..trial.runs {
        let part = total / (trial.runs + 1);
        stage.start_with(&format!("batch-taken@{}:sleep=24000", trial.pick(1..3)));
        let mut more = trickle(&feeder, part * run, part / TICKS);
        for _ in 0..TICKS {
            more();
        }
        let goal = part * (run + 1);
        feeder.allow(goal);
        stage.wait_committed(goal as u64);
        stage.stop();
    }
    let left = stage.place.log().matches("were taken so slowly").count();
    assert!(left > 0, "the group never gave the member up");
    trial.note(format!("the group gave the member up {left} times"));
    stage.end(trial, feeder.finish());
}

/// Frozen for longer than the group waits, while another daemon takes the partitions over; then it goes on.
pub(crate) fn frozen(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let (feeder, total) = stage.feed(brief(trial.seed));
    feeder.allow(total / 4);
    stage.start();
    stage.wait_committed(total as u64 / 4);
    let other = stage.another();
    for run in 0..trial.runs {
        feeder.allow(total / 4 + total / 2 * (run + 1) / trial.runs);
        stage.live(Duration::from_millis(trial.pick(0..500)));
        stage.daemon().signal("STOP");
        let mut second = other.start();
        let all = "SELECT count(*) FROM partitions";
        other.wait("the partitions", &mut second, |place| place.log().matches("partitions assigned").count() > run);
        clock::sleep(Duration::from_millis(trial.pick(0..3_000)));
        stage.daemon().signal("CONT");
        stage.live(Duration::from_millis(trial.pick(0..1_000)));
        assert_eq!(stage.place.ask(all), Some(4));
        second.kill();
    }
    stage.end(trial, feeder.finish());
}

/// Killed at the n-th time that SQLite writes into a file or waits for the disk.
pub(crate) fn killed_at_a_system_call(trial: &mut Trial) {
    if let Err(why) = Command::new("strace").arg("-V").output() {
        trial.skipped = Some(format!("strace: {why}"));
        return;
    }
    let mut stage = Stage::set(1, 4);
    let (feeder, total) = stage.feed(brief(trial.seed));
    for run in 0..trial.runs {
        let part = total / (trial.runs + 1);
        let call = trial.choose(&["pwrite64", "pwrite64", "fsync"]);
        let most = if call == "fsync" { 6 } else { 300 };
        let inject = format!("inject={call}:signal=SIGKILL:when={}", trial.pick(1..most));
        stage.place.under = ["strace", "-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]
            .map(str::to_owned)
            .to_vec();
        stage.start();
        stage.wait_ended(SIGKILL, trickle(&feeder, part * run, part / 10 + 1));
    }
    stage.place.under.clear();
    stage.end(trial, feeder.finish());
}

/// Two daemons with databases of their own in one group: the first aborts when partitions are taken from it.
pub(crate) fn aborted_at_a_revocation(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let (feeder, total) = stage.feed(brief(trial.seed));
    // What the first has never seen would go on at the second's mark: it begins everywhere.
    feeder.allow(total / 4);
    stage.start();
    stage.wait_committed(total as u64 / 4);
    stage.kill();
    let other = stage.another();
    for run in 0..trial.runs {
        let point = if run % 2 == 0 { "revoke-begun" } else { "revoked" };
        stage.start_with(&format!("{point}:abort"));
        stage.wait_ready();
        feeder.allow(total / 4 + total / 2 * (run + 1) / trial.runs);
        stage.live(Duration::from_millis(trial.pick(0..1_000)));
        let second = other.start();
        stage.wait_ended(SIGABRT, || ());
        drop(second);
    }
    stage.end(trial, feeder.finish());
}
