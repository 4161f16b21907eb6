//! The daemon on a real Apache Kafka that is stopped, killed, frozen, guarded, and changed under it.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

mod doors;
mod group;
mod log;
mod three;

use std::time::Duration;

use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;

use crate::world::daemon::{Daemon, Place};
use crate::world::proxy::Weather;
use crate::world::real::Broker;
use crate::world::state::Left;
use crate::world::workload::{Feeder, TOPIC, brief};

const SEED: u64 = 20_261_127;

/// A place whose daemon soon hears of new topics and partitions. Its member of the group has no name: one whose session a broker
/// outlasted while it restarted would be fenced by itself, and end for its supervisor to start again.
fn place(brokers: &str, group: &'static str) -> Place {
    let mut place = Place::new(brokers, TOPIC);
    place.group = group;
    "    topic.metadata.refresh.interval.ms: \"1000\"\n".clone_into(&mut place.kafka);
    place
}

/// What a daemon leaves behind that read everything in peace.
fn in_peace(broker: &Broker, records: u64) -> Left {
    let calm = place(broker.bootstrap(), "calm");
    let mut oracle = calm.start();
    calm.wait_for_end(&mut oracle, records);
    calm.stop(oracle);
    Left::behind(&calm)
}

/// A daemon reads while something is done to the brokers after each third of the records; it ends where one ends that
/// read the same records in peace.
fn ends_as_in_peace(broker: &mut Broker, disturb: impl Fn(&mut Broker, usize)) {
    let (events, disturbed) = (brief(SEED), place(broker.bootstrap(), "disturbed"));
    let total = events.len();
    let producer = ProducerSettings::new(broker.bootstrap()).with("compression.type", "lz4");
    let feeder = Feeder::start(vec![producer], events);
    let mut daemon = disturbed.start();
    for third in 1..=2 {
        feeder.allow(total * third / 3);
        let goal = (total * third / 3).saturating_sub(500) as u64;
        disturbed.wait("a third of the records", &mut daemon, |place| place.committed() >= goal);
        disturb(broker, third);
    }
    let sent = feeder.finish();
    assert_eq!(sent, total as u64);
    disturbed.wait_for_end(&mut daemon, sent);
    disturbed.stop(daemon);
    let expected = in_peace(broker, sent);
    assert!(expected.count("alert_events") > 10, "nothing happened in this workload");
    Left::behind(&disturbed).must_equal(&expected);
}

/// Waits for a word in the log of a daemon that goes on.
fn says(place: &Place, daemon: &mut Daemon, word: &str) {
    place.wait_asking(word, daemon, Duration::from_millis(100), |place| place.log().contains(word));
}

#[test]
fn a_broker_that_is_stopped_and_one_that_is_killed_cost_the_daemon_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 3);
    ends_as_in_peace(&mut broker, |broker, third| {
        broker.signal(0, if third == 1 { "TERM" } else { "KILL" });
        clock::sleep(Duration::from_secs(3));
        broker.start_again(0);
        broker.wait(1);
    });
}

#[test]
fn a_broker_that_freezes_is_waited_for() {
    let Some(mut broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 3);
    ends_as_in_peace(&mut broker, |broker, third| {
        broker.signal(0, "STOP");
        // Beyond the group's session of four seconds, the second time.
        clock::sleep(Duration::from_secs(if third == 1 { 2 } else { 8 }));
        broker.signal(0, "CONT");
    });
}

#[test]
fn a_line_to_the_broker_that_is_cut_half_open_narrow_or_late_costs_the_daemon_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 3);
    ends_as_in_peace(&mut broker, |broker, third| {
        let bad = [
            [Weather::CutAfter(20_000), Weather::HalfOpen],
            [Weather::Narrow(8_000), Weather::Reset],
            [Weather::Late(Duration::from_millis(200)), Weather::Closed],
        ];
        for weather in bad.iter().skip(third - 1).take(2).flatten() {
            broker.line.turn(*weather);
            clock::sleep(Duration::from_secs(4));
        }
        broker.line.turn(Weather::Fair);
    });
}

#[test]
fn a_topic_that_comes_late_is_waited_for_and_partitions_that_are_added_are_read() {
    let Some(broker) = Broker::start() else { return };
    let events = brief(SEED);
    let total = events.len();
    let place = place(broker.bootstrap(), "late");
    let mut daemon = place.start();
    says(&place, &mut daemon, "the topic is missing");
    assert_eq!(place.page("/-/ready").map(|page| page.0), Some(503));
    broker.create_topic(TOPIC, 1);
    let mut producers = vec![ProducerSettings::new(broker.bootstrap()); 2];
    producers[1] = producers[1].clone().with("topic.metadata.refresh.interval.ms", "500");
    let feeder = Feeder::start(producers, events);
    feeder.allow(total / 2);
    place.wait("the first half", &mut daemon, |place| place.committed() == (total / 2) as u64);
    assert_eq!(place.page("/-/ready").map(|page| page.0), Some(200));
    broker.add_partitions(TOPIC, 3);
    let sent = feeder.finish();
    place.wait_for_end(&mut daemon, sent);
    assert_eq!(place.ask("SELECT count(*) FROM partitions WHERE next_offset > 0"), Some(3));
    place.stop(daemon);
}
