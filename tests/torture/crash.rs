//! Daemons that end where nobody chose, or exactly where a failpoint chose.

use std::time::Duration;

use shewhart::edge::clock;

use crate::stage::{Receivers, SIGABRT, Stage};
use crate::trial::Trial;
use crate::world::fleet::{Fleet, agents};
use crate::world::workload::{Feeder, brief, events};

/// The records of a trial: all of the workload at night.
pub(crate) fn records(trial: &Trial) -> Vec<shewhart::simulate::SimulatedEvent> {
    if trial.night { events(trial.seed) } else { brief(trial.seed) }
}

/// Killed at any time between 0.05 and 3 seconds after the start, or right after something was counted.
pub(crate) fn killed(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let (feeder, total) = stage.feed(records(trial));
    for run in 0..trial.runs {
        feeder.allow(total * (run + 1) / (trial.runs + 1));
        let before = stage.place.committed();
        stage.start();
        if trial.pick(0..3) == 0 {
            stage.live(Duration::from_millis(trial.pick(50..3_000)));
        } else {
            stage.wait_committed(before + 1);
            stage.live(Duration::from_millis(trial.pick(0..400)));
        }
        stage.kill();
    }
    stage.end(trial, feeder.finish());
}

/// Lets a little more of the records through at each call.
pub(crate) fn trickle(feeder: &Feeder, from: usize, step: usize) -> impl FnMut() {
    let mut allowed = from;
    move || {
        allowed += step;
        feeder.allow(allowed);
        clock::sleep(Duration::from_millis(100));
    }
}

/// Aborted at the first or second time that it comes to one of these points while it counts.
fn aborted_counting(trial: &mut Trial, points: &[&str]) {
    let mut stage = Stage::set(1, 4);
    let (feeder, total) = stage.feed(records(trial));
    for (run, point) in (0..trial.runs).zip(points.iter().cycle()) {
        let time = trial.pick(1..3);
        stage.start_with(&format!("{point}@{time}:abort"));
        let part = total / (trial.runs + 1);
        stage.wait_ended(SIGABRT, trickle(&feeder, part * run, part / 20 + 1));
    }
    stage.end(trial, feeder.finish());
}

pub(crate) fn before_a_commit(trial: &mut Trial) {
    aborted_counting(trial, &["batch-taken", "batch-stepped"]);
}

pub(crate) fn within_a_commit(trial: &mut Trial) {
    aborted_counting(trial, &["commit-begun", "streams-written", "commit-written"]);
}

pub(crate) fn after_a_commit(trial: &mut Trial) {
    aborted_counting(trial, &["committed"]);
}

/// Aborted at one of these points of a delivery; each run has an alert of its own, told to three receivers.
fn aborted_telling(trial: &mut Trial, points: &[&str]) {
    let mut stage = Stage::for_a_fleet(Receivers::willing());
    let mut fleet = Fleet::new(stage.broker.bootstrap());
    let all = agents('c', trial.runs);
    for (agent, point) in all.iter().zip(points.iter().cycle()) {
        let time = trial.pick(1..4);
        stage.start_with(&format!("{point}@{time}:abort"));
        fleet.fail(std::slice::from_ref(agent));
        stage.wait_ended(SIGABRT, || ());
    }
    fleet.recover(&all);
    stage.end(trial, fleet.sent);
}

pub(crate) fn before_a_message(trial: &mut Trial) {
    aborted_telling(trial, &["message-taken"]);
}

pub(crate) fn after_a_message(trial: &mut Trial) {
    aborted_telling(trial, &["message-sent", "message-settled"]);
}
