//! Records that kill the process or panic, and panics elsewhere: each costs itself only.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::edge::mock::MockBroker;

use crate::daemon::{Daemon, PATIENCE, Place, status};
use crate::state::Left;
use crate::workload::{Feeder, TOPIC, brief};

/// How many processes may die on one record, and the one that died first: it says nothing before its records.
const DEATHS: u32 = 3 + 1;

/// A topic with poison in the middle, which is no event: nobody is to count it. How many records, and where it lies.
fn poisoned(broker: &MockBroker, records: usize) -> (u64, String) {
    let settings = ProducerSettings::new(broker.bootstrap()).with("compression.type", "gzip");
    let mut before: Vec<_> = brief(11).into_iter().take(records).collect();
    let after = before.split_off(records / 2);
    let feed = |events| Feeder::start(vec![settings.clone()], events).finish();
    let mut sent = feed(before);
    let producer = Producer::new(&settings).unwrap();
    producer.send(&Outgoing::new(TOPIC, "poison", b"BOOM")).unwrap();
    sent += producer.flush(Duration::from_secs(30)).unwrap();
    sent += feed(after);
    (sent, "why = 'poison' AND payload = CAST('BOOM' AS BLOB)".to_owned())
}

fn place(broker: &MockBroker, group: &'static str, failpoints: &str) -> Place {
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.group = group;
    place.environment = vec![("SHEWHART_FAILPOINTS", failpoints.to_owned())];
    // Whoever takes over from a dead process need not wait for its session.
    "  instance_id: one\n".clone_into(&mut place.kafka);
    place
}

/// What a daemon without any trouble makes of it, besides the record itself.
fn must_be_as_without_trouble(place: &Place, broker: &MockBroker, records: u64) {
    let calm = self::place(broker, "calm", "");
    let mut daemon = calm.start();
    calm.wait_for_end(&mut daemon, records);
    calm.stop(daemon);
    // The reason is another, and is counted with the position.
    let reason = |table: &str, row: &str| table == "partitions" || (table == "rejects" && row.contains("payload=4:"));
    let (left, expected) = (Left::behind(place).without(reason), Left::behind(&calm).without(reason));
    assert!(expected.count("alerts") >= 3 && expected.count("rejects") >= 5);
    left.must_equal(&expected);
    left.notices_must_equal(&expected);
}

#[test]
fn a_record_that_kills_the_process_is_found_and_passed_over_and_nothing_else_is_lost() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let (records, poison) = poisoned(&broker, 6_000);
    let place = place(&broker, "disturbed", "record=BOOM:abort");
    let mut deaths = 0;
    let mut daemon = loop {
        let mut daemon = place.start();
        let over = |daemon: &mut Daemon| !daemon.runs() || place.committed() == records;
        let deadline = shewhart::edge::clock::instant() + PATIENCE;
        while !over(&mut daemon) {
            assert!(shewhart::edge::clock::instant() < deadline, "{}", crate::daemon::tail(&place.log()));
            shewhart::edge::clock::sleep(Duration::from_millis(20));
        }
        if daemon.runs() {
            break daemon;
        }
        deaths += 1;
        assert!(deaths <= DEATHS, "{}", crate::daemon::tail(&place.log()));
    };
    assert_eq!(deaths, DEATHS);
    place.wait_for_end(&mut daemon, records);
    let rejected = "shewhart_records_rejected_total{reason=\"poison\"}";
    place.wait("a page that is up to date", &mut daemon, |place| place.metric(rejected) == Some(1.0));
    place.stop(daemon);
    assert_eq!(place.ask(&format!("SELECT count(*) FROM rejects WHERE {poison}")), Some(1));
    let at = place
        .list("SELECT '\"partition\":' || partition || ',\"offset\":' || offset FROM rejects WHERE why = 'poison'");
    let said =
        |line: &str| line.contains("a record is left out: 3 processes died") && at.iter().all(|at| line.contains(at));
    assert!(place.log().lines().any(said), "{at:?}");
    must_be_as_without_trouble(&place, &broker, records);
    // Nothing is left to be careful about.
    let mut daemon = place.start();
    place.wait("a start", &mut daemon, |place| matches!(place.page("/-/healthy"), Some((200, _))));
    place.stop(daemon);
    assert_eq!(place.ask("SELECT count(*) FROM inflight"), Some(0));
}

/// Inflating a batch is librdkafka's, which has no bound for it: what does not fit into memory is for the operator.
#[test]
fn a_record_that_is_large_once_it_is_inflated_costs_itself_only() {
    const INFLATED: usize = 128 << 20;
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let settings = ProducerSettings::new(broker.bootstrap())
        .with("compression.type", "gzip")
        .with("message.max.bytes", "1000000000");
    let producer = Producer::new(&settings).unwrap();
    let event = |id: &str| format!(r#"{{"event_id":"{id}","agent":"a","ts":1767571200000}}"#).into_bytes();
    for payload in [event("before"), vec![b'['; INFLATED], event("after")] {
        producer.send(&Outgoing::new(TOPIC, "key", &payload)).unwrap();
        producer.flush(PATIENCE).unwrap();
    }
    let place = Place::new(broker.bootstrap(), TOPIC);
    let mut daemon = place.start();
    place.wait_for_end(&mut daemon, 3);
    let peak = status(daemon.pid(), "VmHWM:").unwrap() << 10;
    place.stop(daemon);
    let left = "SELECT offset || ' ' || why || ' ' || length(payload) FROM rejects";
    assert_eq!(place.list(left).into_iter().collect::<Vec<_>>(), ["1 too_large 4096"]);
    assert!(peak < 4 * INFLATED as u64, "{peak} bytes");
}

#[test]
fn panics_cost_one_record_one_attempt_and_one_request() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let (records, poison) = poisoned(&broker, 6_000);
    let place = place(&broker, "disturbed", "record=BOOM:panic,message-taken:panic,request:panic");
    let mut daemon = place.start();
    place.wait_for_end(&mut daemon, records);
    let page = place.page("/metrics");
    assert!(page.as_ref().is_none_or(|(_, body)| body.is_empty()), "{page:?}");
    // Twice for the record: to notice it, and to find it.
    place.wait("a page", &mut daemon, |place| place.metric("shewhart_panics_total") == Some(4.0));
    let failed = "shewhart_notifications_failed_total{integration=\"folder\",reason=\"panic\"}";
    place.wait("a page that is up to date", &mut daemon, |place| place.metric(failed) == Some(1.0));
    assert!(daemon.runs());
    place.stop(daemon);
    assert_eq!(place.ask(&format!("SELECT count(*) FROM rejects WHERE {poison}")), Some(1));
    assert_eq!(place.ask("SELECT count(*) FROM outbox WHERE state <> 'delivered'"), Some(0));
    assert_eq!(place.ask("SELECT count(*) FROM deliveries WHERE class = 'panic'"), Some(1));
    must_be_as_without_trouble(&place, &broker, records);
}

#[test]
fn a_batch_full_of_records_that_panic_is_got_through_and_each_of_them_counts_as_a_sign_of_life() {
    const POISON: u64 = 100;
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let producer = Producer::new(&ProducerSettings::new(broker.bootstrap())).unwrap();
    for _ in 0..POISON {
        producer.send(&Outgoing::new(TOPIC, "poison", b"BOOM")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let mut place = place(&broker, "full", "record=BOOM:panic");
    let path = place.path().join("systemd");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    place.environment.push(("NOTIFY_SOCKET", path.display().to_string()));
    let mut daemon = place.start();
    let mut signs = 0;
    while place.committed() < POISON {
        assert!(daemon.runs(), "{}", crate::daemon::tail(&place.log()));
        let mut text = [0; 64];
        let heard = systemd.recv(&mut text).map_or(0, |length| length);
        signs += u64::from(text.get(..heard).unwrap().starts_with(b"WATCHDOG=1"));
    }
    assert!(signs >= POISON / 2, "{signs} signs of life");
    // It would wait for somebody who no longer listens.
    drop(systemd);
    place.stop(daemon);
    assert_eq!(place.ask("SELECT count(*) FROM rejects WHERE why = 'poison'"), Some(POISON as i64));
}
