//! Daemons that are killed and stopped, against one that is left alone: the state must be the same to the bit.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::mock::MockBroker;

use crate::daemon::{Daemon, Place, STOP_WITHIN, TO_FOLDER};
use crate::state::Left;
use crate::workload::{Feeder, TOPIC, events};
use crate::world::real::Broker;

const SEED: u64 = 20_260_105;

/// How a daemon is ended.
#[derive(Clone, Copy)]
enum End {
    Kill,
    Term,
}

#[expect(clippy::print_stdout, reason = "seen with --nocapture")]
fn measured(what: &str) {
    println!("measured: {what}");
}

/// Starts and ends a daemon so many times while the workload arrives, each time somewhere within its part of the records.
/// Returns how many records there were, with the daemon that reads the rest.
fn interrupt(place: &Place, feeder: Feeder, total: usize, (times, end): (usize, End)) -> (u64, Daemon) {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for round in 0..times {
        let part = total / (times + 1);
        feeder.allow(part * (round + 1));
        let mut daemon = place.start();
        // One in five is ended wherever it is in starting; the others once they have read a random share of their part.
        if random.random_range(0..5) != 0 {
            let goal = (part * round + random.random_range(0..part)) as u64;
            place.wait("a share of the records", &mut daemon, |place| place.committed() >= goal);
            clock::sleep(Duration::from_millis(random.random_range(0..300)));
        } else {
            clock::sleep(Duration::from_millis(random.random_range(0..3_000)));
        }
        match end {
            End::Kill => daemon.kill(),
            End::Term => measured(&format!("stopped after {:?}", place.stop(daemon))),
        }
        measured(&format!("interrupted at {} of {total}", place.committed()));
    }
    let daemon = place.start();
    (feeder.finish(), daemon)
}

/// Every message was delivered, every delivered message is a file, and no file is half written.
fn every_message_is_a_file(place: &Place) {
    let delivered = place.list("SELECT id FROM outbox WHERE state = 'delivered'");
    assert_eq!(delivered, place.list("SELECT id FROM outbox"));
    let names: Vec<String> =
        fs::read_dir(place.mail()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let id = |name: &String| Some(name.strip_suffix(".eml")?.split_once('-')?.1.to_owned());
    let files: BTreeSet<String> = names.iter().filter_map(id).collect();
    assert_eq!(files, delivered);
    assert_eq!(names.len(), delivered.len(), "{names:?}");
}

/// People know how every alert stands: its last notice is in a message that was delivered. Where every crossing has a
/// message of its own, all notices are.
fn everything_was_told(place: &Place, each: bool) {
    let told = place
        .list("SELECT a.notice FROM outbox_alerts a JOIN outbox o ON a.message = o.id WHERE o.state = 'delivered'");
    let last = "transition = (SELECT max(transition) FROM alert_events n WHERE n.alert_id = e.alert_id
                AND n.to_state IN ('firing', 'resolved'))";
    let which = if each { "true" } else { last };
    let sql = format!("SELECT id FROM alert_events e WHERE to_state IN ('firing', 'resolved') AND {which}");
    let due = place.list(&sql);
    assert!(due.is_subset(&told), "not told: {:?}", due.difference(&told));
    assert!(told.is_subset(&place.list("SELECT id FROM alert_events")));
}

/// The workload is worth it: alerts of several kinds fire and end, records are late, twice and broken.
fn is_eventful(place: &Place, left: &Left) {
    let count = |sql: &str| place.ask(sql).unwrap();
    let kinds = count("SELECT count(DISTINCT alert) FROM alerts WHERE fired_at_ms IS NOT NULL");
    let ended = count("SELECT count(*) FROM alerts WHERE fired_at_ms IS NOT NULL AND ended_at_ms IS NOT NULL");
    let twice = count("SELECT count(*) FROM rejects WHERE why = 'duplicate'");
    let broken = count("SELECT count(*) FROM rejects WHERE why <> 'duplicate'");
    measured(&format!(
        "{kinds} kinds of alerts fired, {ended} ended, {} crossings; {twice} records twice, {broken} broken; {} minutes, \
         {} hours, {} points",
        left.count("alert_events"),
        left.count("rollup_minute"),
        left.count("rollup_hour"),
        left.count("chart_points")
    ));
    assert!(kinds >= 5 && ended >= 5 && twice >= 20 && broken >= 5);
    assert_eq!(left.count("gaps"), 0);
}

/// How a run is disturbed, and what it reads.
struct Plan<'p> {
    brokers: &'p str,
    producers: Vec<ProducerSettings>,
    times: usize,
    end: End,
    /// What stands in the configuration.
    kafka: &'p str,
    more: &'p str,
}

impl<'p> Plan<'p> {
    fn new(brokers: &'p str, times: usize, end: End) -> Self {
        // Compressed, for the mock broker keeps 5 MiB of a partition.
        let producers = vec![ProducerSettings::new(brokers).with("compression.type", "gzip")];
        Self { brokers, producers, times, end, kafka: "", more: TO_FOLDER }
    }

    fn place(&self, group: &'static str) -> Place {
        let mut place = Place::new(self.brokers, TOPIC);
        place.group = group;
        self.kafka.clone_into(&mut place.kafka);
        self.more.clone_into(&mut place.more);
        place
    }

    /// Ends where an uninterrupted run ends.
    fn hold(self) {
        let begun = clock::instant();
        let events = events(SEED);
        let total = events.len();
        let (place, calm) = (self.place("disturbed"), self.place("calm"));
        let feeder = Feeder::start(self.producers.clone(), events);
        let (sent, mut daemon) = interrupt(&place, feeder, total, (self.times, self.end));
        assert_eq!(sent, total as u64);
        let mut oracle = calm.start();
        place.wait_for_end(&mut daemon, sent);
        place.stop(daemon);
        calm.wait_for_end(&mut oracle, sent);
        calm.stop(oracle);
        let (left, expected) = (Left::behind(&place), Left::behind(&calm));
        is_eventful(&calm, &expected);
        left.must_equal(&expected);
        let each = self.more == TO_FOLDER;
        if each {
            left.notices_must_equal(&expected);
        }
        for place in [&place, &calm] {
            every_message_is_a_file(place);
            everything_was_told(place, each);
        }
        measured(&format!("{sent} records, {} interruptions: {:?}", self.times, begun.elapsed()));
    }
}

#[test]
fn killed_ten_times_at_random_it_ends_where_an_uninterrupted_run_ends_to_the_bit() {
    let broker = MockBroker::start(TOPIC, 4).unwrap();
    Plan::new(broker.bootstrap(), 10, End::Kill).hold();
}

#[test]
fn killed_ten_times_on_a_real_broker_with_four_codecs_it_ends_where_an_uninterrupted_run_ends() {
    let Some(broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 3);
    let codecs = ["gzip", "snappy", "lz4", "zstd"];
    let producer = |codec| ProducerSettings::new(broker.bootstrap()).with("compression.type", codec);
    // A name that survives restarts, so that the group does not wait for the one that was killed.
    let kafka = "  instance_id: one\n";
    let producers = codecs.map(producer).to_vec();
    Plan { producers, kafka, ..Plan::new(broker.bootstrap(), 10, End::Kill) }.hold();
}

#[test]
fn stopped_five_times_at_random_it_ends_in_time_and_where_an_uninterrupted_run_ends() {
    let broker = MockBroker::start(TOPIC, 3).unwrap();
    // Messages wait for company here, so some are still waiting when the daemon is stopped.
    let more = TO_FOLDER.replace("0s", "1s");
    Plan { more: &more, ..Plan::new(broker.bootstrap(), 5, End::Term) }.hold();
}

#[test]
fn a_second_daemon_on_the_same_data_ends_at_once_and_names_the_lock_and_the_first_goes_on() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let producer = ProducerSettings::new(broker.bootstrap());
    let events: Vec<_> = events(SEED).into_iter().take(2_000).collect();
    let feeder = Feeder::start(vec![producer], events);
    feeder.allow(1_000);
    let mut second = Place::new(broker.bootstrap(), TOPIC);
    let first = Place::new(broker.bootstrap(), TOPIC);
    second.data.clone_from(&first.data);
    let mut daemon = first.start();
    first.wait("a beginning", &mut daemon, |place| place.committed() == 1_000);
    for _ in 0..3 {
        let begun = clock::instant();
        let status = second.start().ended(STOP_WITHIN).expect("an end, while the first goes on");
        measured(&format!("a second daemon ended after {:?}", begun.elapsed()));
        assert_eq!(status.code(), Some(1));
    }
    let lock = first.data.join("shewhart.db.lock");
    assert!(second.log().contains(lock.to_str().unwrap()), "{}", second.log());
    assert!(daemon.runs());
    let sent = feeder.finish();
    first.wait_for_end(&mut daemon, sent);
    first.stop(daemon);
}
