//! Brokers that refuse, go away, freeze, limp and hand their partitions on, while records come and the daemon runs.

use std::time::Duration;

use shewhart::edge::clock;

use crate::check;
use crate::stage::Stage;
use crate::trial::Trial;
use crate::world::workload::brief;

const PARTITIONS: u64 = 4;

/// Lets records come in as many parts as there are runs; `disturb` does its worst while each part is read, leaves the
/// brokers well, and says what then stands in the log, where the client tells anybody. Afterwards the part has to be
/// counted: the daemon found its way back by itself.
fn while_it_reads(trial: &mut Trial, brokers: i32, disturb: fn(&mut Trial, &mut Stage) -> &'static str) {
    let mut stage = Stage::set(brokers, PARTITIONS as i32);
    let (feeder, total) = stage.feed(brief(trial.seed));
    stage.start();
    stage.wait_ready();
    let mut slowest = Duration::ZERO;
    for run in 0..trial.runs {
        let goal = total * (run + 1) / (trial.runs + 1);
        feeder.allow(goal - total / (trial.runs + 1) / 2);
        stage.live(Duration::from_millis(trial.pick(0..800)));
        let before = stage.place.log().len();
        let sign = disturb(trial, &mut stage);
        // On a busy machine the client meets it late. The other half of the part comes after that.
        stage.wait(&format!("`{sign}` in the log: was anything disturbed?"), |place| {
            place.log()[before..].contains(sign)
        });
        feeder.allow(goal);
        let healed = clock::instant();
        stage.wait_committed(goal as u64);
        slowest = slowest.max(healed.elapsed());
    }
    trial.note(format!("going on at most {:.1} s after the brokers were well", slowest.as_secs_f64()));
    feeder.finish();
    let sent = check::log_end(stage.broker.bootstrap());
    stage.end(trial, sent);
}

/// The coordinator of the group refuses what members ask it.
pub(crate) fn refusing_coordinator(trial: &mut Trial) {
    while_it_reads(trial, 1, |trial, stage| {
        let error = trial.choose(&[
            "rebalance-in-progress",
            "unknown-member",
            "illegal-generation",
            "coordinator-not-available",
            "not-coordinator",
        ]);
        let request = trial.choose(&["join", "sync", "coordinator", "commit", "heartbeat"]);
        stage.broker.order(&format!("fail {request} {error} {}", trial.pick(1..4)));
        // A member that joins again meets the errors of the other requests too.
        stage.broker.order("fail heartbeat unknown-member 1");
        stage.live(Duration::from_secs(2));
        "revoked partitions"
    });
}

/// The broker says that our offset is none of its own.
pub(crate) fn refused_offsets(trial: &mut Trial) {
    while_it_reads(trial, 1, |trial, stage| {
        let before = stage.place.log().len();
        // The client drops the refusal where the same answer tells that it has just reached the end: then once more.
        for _ in 0..5 {
            stage.broker.order(&format!("fail fetch out-of-range {}", trial.pick(1..4)));
            stage.live(Duration::from_millis(500));
            if stage.place.log()[before..].contains("Offset out of range") {
                break;
            }
        }
        "all partitions are checked"
    });
}

/// It refuses to give records, for reasons that pass.
pub(crate) fn refused_fetches(trial: &mut Trial) {
    while_it_reads(trial, 1, |trial, stage| {
        let error = trial.choose(&["not-leader", "storage", "unauthorized", "unknown-topic"]);
        stage.broker.order(&format!("fail fetch {error} {}", trial.pick(1..20)));
        stage.live(Duration::from_millis(500));
        // Nobody else fetches: who reads on has been refused as often as was asked for. The client tells nobody.
        ""
    });
}

/// All brokers are away, or frozen.
pub(crate) fn away(trial: &mut Trial) {
    while_it_reads(trial, 3, |trial, stage| {
        let time = Duration::from_millis(if trial.night { 10_000 } else { trial.pick(2_000..6_000) });
        let before = stage.place.log().lines().count();
        let sign = if trial.pick(0..3) == 0 {
            stage.broker.signal("STOP");
            stage.live(time);
            stage.broker.signal("CONT");
            // A frozen process needs no witness.
            ""
        } else {
            stage.broker.order("down");
            stage.live(time);
            stage.broker.order("up");
            "Connection refused"
        };
        let said = stage.place.log().lines().count() - before;
        assert!(said < 60, "{said} lines in {time:?} about brokers that are away");
        sign
    });
}

/// One of three brokers is away or slow.
pub(crate) fn one_of_three(trial: &mut Trial) {
    while_it_reads(trial, 3, |trial, stage| {
        let broker = trial.pick(1..4);
        match trial.pick(0..3) {
            0 => {
                stage.broker.order(&format!("down {broker}"));
                stage.live(Duration::from_secs(3));
                stage.broker.order(&format!("up {broker}"));
                "Connection refused"
            }
            slow => {
                let by = if slow == 1 { 400 } else { 5_000 };
                stage.broker.order(&format!("slow {broker} {by}"));
                stage.live(Duration::from_secs(3));
                stage.broker.order(&format!("slow {broker} 0"));
                ""
            }
        }
    });
}

/// Partitions change their leaders.
pub(crate) fn moving_leaders(trial: &mut Trial) {
    while_it_reads(trial, 3, |trial, stage| {
        let (partition, broker) = (trial.pick(0..PARTITIONS), trial.pick(1..4));
        stage.broker.order(&format!("lead {partition} {broker}"));
        stage.live(Duration::from_secs(2));
        // Only its leader gives the records of a partition: who reads on has gone there.
        ""
    });
}
