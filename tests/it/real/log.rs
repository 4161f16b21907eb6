//! What stands in the log of a real broker: transactions, records that rotted.

use std::fs;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use serde_json::json;

use super::*;

/// Sends records in a transaction and ends it.
fn transact(broker: &Broker, id: &str, records: &[(String, String)], commit: bool) {
    let producer: ThreadedProducer<_> =
        ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).set("transactional.id", id).create().unwrap();
    let patience = Duration::from_mins(1);
    producer.init_transactions(patience).unwrap();
    producer.begin_transaction().unwrap();
    for (agent, json) in records {
        producer.send(BaseRecord::to(TOPIC).key(agent).payload(json)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(patience).unwrap();
    if commit {
        producer.commit_transaction(patience).unwrap();
    } else {
        producer.abort_transaction(patience).unwrap();
    }
}

#[test]
fn records_of_aborted_transactions_never_count_and_those_of_an_open_one_wait_for_its_end() {
    let Some(broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 2);
    let records = |from: usize, count: usize| -> Vec<(String, String)> {
        let one = |id: usize| {
            let agent = format!("a{}", id % 7);
            let ts = format!("2026-01-05T00:{:02}:{:02}Z", id / 100, id % 60);
            (agent.clone(), json!({ "event_id": id.to_string(), "agent": agent, "ts": ts, "status": "ok" }).to_string())
        };
        (from..from + count).map(one).collect()
    };
    transact(&broker, "first", &records(0, 300), true);
    transact(&broker, "second", &records(1_000, 200), false);
    transact(&broker, "third", &records(2_000, 300), true);
    transact(&broker, "fourth", &records(3_000, 100), false);
    let place = place(broker.bootstrap(), "transactions");
    let mut daemon = place.start();
    let counted = "SELECT coalesce(sum(outputs), 0) FROM rollup_minute";
    place.wait_asking("what was committed", &mut daemon, Duration::from_millis(100), |place| {
        place.ask(counted) == Some(600)
    });
    // Behind the last record stand the markers of the transactions: that is no lag, and nothing stalls.
    place.wait_asking("no lag", &mut daemon, Duration::from_millis(200), |place| {
        place.page("/metrics").is_some_and(|(_, page)| {
            let lags: Vec<&str> =
                page.lines().filter(|line| line.starts_with("shewhart_consumer_lag_records{")).collect();
            lags.len() == 2 && lags.iter().all(|line| line.ends_with(" 0"))
        })
    });
    transact(&broker, "first", &records(4_000, 50), true);
    place.wait_asking("what came after", &mut daemon, Duration::from_millis(100), |place| {
        place.ask(counted) == Some(650)
    });
    place.stop(daemon);
    assert_eq!(place.ask(counted), Some(650));
    assert_eq!(place.ask("SELECT count(*) FROM gaps"), Some(0));
    assert_eq!(place.ask("SELECT count(*) FROM rejects"), Some(0));
}

/// Turns a byte in the middle of the largest segment of the first partition.
fn rot(broker: &Broker) {
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let segment = broker.segments(TOPIC, 0).into_iter().max_by_key(size).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 0x40);
    fs::write(&segment, bytes).unwrap();
}

#[test]
fn a_batch_that_rotted_on_the_brokers_disk_is_a_gap_and_what_comes_after_it_is_read() {
    let Some(mut broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 2);
    // Where the machine is busy the client would make a batch of thousands.
    let settings = ProducerSettings::new(broker.bootstrap()).with("batch.num.messages", "200");
    let sent = Feeder::start(vec![settings], brief(SEED)).finish();
    broker.signal(0, "TERM");
    rot(&broker);
    broker.start_again(0);
    broker.wait(1);
    let mut place = place(broker.bootstrap(), "rotten");
    place.log_filter = "debug";
    let mut daemon = place.start();
    place.wait("everything but what rotted", &mut daemon, |place| place.committed() == sent);
    place.stop(daemon);
    assert_eq!(place.list("SELECT reason FROM gaps"), ["unreadable".to_owned()].into());
    // The other partition lacks nothing, and of this one no more than a few batches.
    assert_eq!(place.ask("SELECT count(*) FROM gaps WHERE partition <> 0"), Some(0));
    let left_out = place.ask("SELECT sum(to_offset - from_offset) FROM gaps").unwrap();
    assert!((1..sent as i64 / 4).contains(&left_out), "{left_out} of {sent} records");
}
