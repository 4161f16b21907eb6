//! Daemons that are killed and stopped, against one that is left alone: the state must be the same to the bit.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::ledger::open_read_only;
use shewhart::edge::mock::MockBroker;

use crate::daemon::{Daemon, Place};
use crate::state::Left;
use crate::workload::{Feeder, TOPIC, events};

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

/// Every notice is in a message that was delivered, every delivered message is a file, and no file is half written.
fn everything_was_told(place: &Place, left: &Left) {
    let db = open_read_only(&place.database()).unwrap();
    let list = |sql: &str| -> BTreeSet<String> {
        db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let delivered = list("SELECT id FROM outbox WHERE state = 'delivered'");
    assert_eq!(delivered, list("SELECT id FROM outbox"));
    let names: Vec<String> =
        fs::read_dir(place.mail()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let id = |name: &String| Some(name.strip_suffix(".eml")?.split_once('-')?.1.to_owned());
    let files: BTreeSet<String> = names.iter().filter_map(id).collect();
    assert_eq!(files, delivered);
    assert_eq!(names.len(), delivered.len(), "{names:?}");
    let told = list("SELECT a.notice FROM outbox_alerts a JOIN outbox o ON a.message = o.id WHERE state = 'delivered'");
    let decided = list("SELECT id FROM alert_events WHERE to_state IN ('firing', 'resolved')");
    assert_eq!(told, decided);
    assert_eq!(left.notices.len(), decided.len());
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

fn ends_where_an_uninterrupted_run_ends(brokers: &str, producers: Vec<ProducerSettings>, plan: (usize, End)) {
    let begun = clock::instant();
    let events = events(SEED);
    let total = events.len();
    let feeder = Feeder::start(producers, events);
    let (place, mut calm) = (Place::new(brokers, TOPIC), Place::new(brokers, TOPIC));
    calm.group = "calm";
    let (sent, mut daemon) = interrupt(&place, feeder, total, plan);
    assert_eq!(sent, total as u64);
    let mut oracle = calm.start();
    place.wait_for_end(&mut daemon, sent);
    place.stop(daemon);
    calm.wait_for_end(&mut oracle, sent);
    calm.stop(oracle);
    let (left, expected) = (Left::behind(&place), Left::behind(&calm));
    is_eventful(&calm, &expected);
    left.must_equal(&expected);
    left.notices_must_equal(&expected);
    everything_was_told(&place, &left);
    everything_was_told(&calm, &expected);
    measured(&format!("{sent} records, {} interruptions: {:?}", plan.0, begun.elapsed()));
}

#[test]
fn killed_ten_times_at_random_it_ends_where_an_uninterrupted_run_ends_to_the_bit() {
    let broker = MockBroker::start(TOPIC, 4).unwrap();
    // Compressed, for the mock broker keeps 5 MiB of a partition.
    let producer = ProducerSettings::new(broker.bootstrap()).with("compression.type", "gzip");
    ends_where_an_uninterrupted_run_ends(broker.bootstrap(), vec![producer], (10, End::Kill));
}
