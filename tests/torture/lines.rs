//! The lines to receivers are bad, while alerts begin and end.

use std::time::Duration;

use crate::stage::{Receivers, Stage};
use crate::trial::Trial;
use crate::world::fleet::{Fleet, agents};
use crate::world::proxy::{Proxy, Weather};

/// Each run has an alert, and other weather on both lines. Whatever comes more than once came because an attempt failed.
pub(crate) fn bad(trial: &mut Trial) {
    let mut receivers = Receivers::willing();
    let lines = receivers.at.map(Proxy::before);
    let [hook, post] = &lines;
    receivers.at = [hook.address(), post.address()];
    let mut stage = Stage::for_a_fleet(receivers);
    let mut fleet = Fleet::new(stage.broker.bootstrap());
    let all = agents('c', trial.runs);
    stage.start();
    stage.wait_ready();
    for agent in &all {
        for line in &lines {
            line.turn(trial.choose(&[
                Weather::Late(Duration::from_millis(300)),
                Weather::Narrow(2_000),
                Weather::Closed,
                Weather::Reset,
                Weather::HalfOpen,
                Weather::CutAfter(40),
                Weather::CutAfter(2_000),
                Weather::Flipped(7),
                Weather::Flipped(60),
            ]));
        }
        fleet.fail(std::slice::from_ref(agent));
        stage.live(Duration::from_secs(2));
    }
    for line in &lines {
        line.turn(Weather::Fair);
    }
    fleet.recover(&all);
    let failed = |receiver: &str| {
        format!(
            "SELECT count(*) FROM deliveries d JOIN outbox o ON d.message = o.id
             WHERE o.receiver = '{receiver}' AND d.outcome <> 'delivered'"
        )
    };
    stage.reach_the_end(fleet.sent);
    let attempts: i64 = ["hook", "post"].iter().filter_map(|receiver| stage.place.ask(&failed(receiver))).sum();
    assert!(attempts > 0, "the weather did nothing");
    stage.interrupted += attempts as usize;
    trial.note(format!("{attempts} attempts failed"));
    stage.compare(trial, fleet.sent);
}
