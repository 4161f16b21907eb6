//! The real binary against what goes wrong around it: hostile records, a full disk, broken rules, a dead mail server.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::mock::MockBroker;
use shewhart::simulate::{ATTACKS, SimulatedEvent};

use crate::broker::mock_process;
use crate::daemon::{Place, Reserved, TO_FOLDER};
use crate::fake_smtp::{FakeSmtp, Letter, Mode, Script};
use crate::state::Left;
use crate::workload::{Feeder, TOPIC, events};
use crate::world::real::skipped;
use crate::world::rules::{own_rules, swap};

/// The beginning of the workload: so many records.
fn beginning(records: usize) -> Vec<SimulatedEvent> {
    events(7).into_iter().take(records).collect()
}

fn feeder(brokers: &str, events: Vec<SimulatedEvent>) -> Feeder {
    Feeder::start(vec![ProducerSettings::new(brokers).with("compression.type", "gzip")], events)
}

/// Reads the topic without any trouble, and compares.
fn must_be_as_without_trouble(place: &Place, brokers: &str, records: u64) {
    let mut calm = Place::new(brokers, TOPIC);
    calm.group = "calm";
    let mut daemon = calm.start();
    calm.wait_for_end(&mut daemon, records);
    calm.stop(daemon);
    let (left, expected) = (Left::behind(place), Left::behind(&calm));
    left.must_equal(&expected);
    left.notices_must_equal(&expected);
}

/// What stands in a record that is in order.
fn fields(id: usize) -> String {
    format!("\"event_id\":\"h{id}\",\"agent\":\"target\",\"ts\":\"2026-01-05T10:00:00Z\"")
}

/// Records that must not be counted, with the reason.
fn refused() -> Vec<(Option<Vec<u8>>, &'static str)> {
    let object = |rest: &str| Some(format!("{{{}{rest}}}", fields(1)).into_bytes());
    let text = |text: String| Some(text.into_bytes());
    let keys = (0..50_000).map(|key| format!("\"k{key}\":{key}")).collect::<Vec<_>>().join(",");
    let deep = "[".repeat(100_000);
    vec![
        (None, "empty"),
        (text(String::new()), "empty"),
        (text(" \r\n\t".to_owned()), "empty"),
        (Some(vec![b' '; 1 << 10]), "empty"),
        (Some([fields(1).as_bytes(), &vec![b'x'; 1 << 20]].concat()), "too_large"),
        (text(deep.clone()), "malformed"),
        (object(&format!(",\"metrics\":{deep}")), "malformed"),
        (Some(vec![0xff, 0xfe, 0x00, 0x80]), "malformed"),
        (Some([&b"{\"agent\":\""[..], &[0xc3, 0x28], b"\"}"].concat()), "malformed"),
        (text(format!("\u{feff}{{{}}}", fields(1))), "malformed"),
        (text(format!("{{{}}} {{}}", fields(1))), "malformed"),
        (text(format!("{{{}", fields(1))), "malformed"),
        (text("[1,2,3]".to_owned()), "malformed"),
        (object(",\"agent\":\"twice\""), "malformed"),
        (object(",\"confidence\":NaN"), "malformed"),
        (object(",\"confidence\":1e309"), "malformed"),
        (object(",\"confidence\":\"0.9\""), "malformed"),
        (object(",\"version\":\"\\ud800\""), "malformed"),
        (object(&format!(",\"tokens_in\":{}", "9".repeat(10_000))), "malformed"),
        (object(",\"confidence\":1.0000001"), "out_of_range"),
        (object(",\"latency_ms\":-1"), "out_of_range"),
        (object(",\"latency_ms\":1e308"), "out_of_range"),
        (object(",\"cost_usd\":1e7"), "out_of_range"),
        (text("{\"event_id\":\"x\",\"agent\":\"a\",\"ts\":\"9999-12-31T23:59:59Z\"}".to_owned()), "time"),
        (text("{\"event_id\":\"x\",\"agent\":\"a\",\"ts\":\"1970-01-01T00:00:00Z\"}".to_owned()), "time"),
        (text("{\"event_id\":\"x\",\"agent\":\"a\",\"ts\":\"yesterday\"}".to_owned()), "time"),
        (text("{\"agent\":\"a\",\"ts\":\"2026-01-05T10:00:00Z\"}".to_owned()), "missing"),
        (text(format!("{{{keys}}}")), "missing"),
        (text(format!("{{\"type\":\"feedback\",{}}}", fields(1))), "missing"),
    ]
}

/// Records that count although they look bad.
fn accepted() -> Vec<String> {
    let hostile = |(at, text): (usize, &&str)| {
        let text = serde_json::Value::from(format!("x{text}"));
        format!(
            "{{\"event_id\":\"a{at}\",\"agent\":{text},\"task\":{text},\"version\":{text},\"ts\":\"2026-01-05T10:00:00Z\"}}"
        )
    };
    let mut all: Vec<String> = ATTACKS.iter().enumerate().map(hostile).collect();
    all.push(format!("{{{},\"unknown\":{{\"deep\":{}1{}}}}}", fields(9_001), "[".repeat(100), "]".repeat(100)));
    all.push(format!("{{{},\"latency_ms\":1e-400}}", fields(9_002)));
    all.push(format!("{{{},\"confidence\":-0.0}}", fields(9_003)));
    // A name of half a megabyte.
    let long = "A".repeat(500_000);
    all.push(format!("{{\"event_id\":\"l\",\"agent\":\"{long}\",\"ts\":\"2026-01-05T10:00:00Z\"}}"));
    all
}

#[test]
fn hostile_records_cost_themselves_only_and_each_is_kept_with_its_reason() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("message.max.bytes", "4000000")
        .set("compression.type", "gzip")
        .create()
        .unwrap();
    let mut sent = 0_u64;
    let mut put = |payload: Option<&[u8]>| {
        let mut record = BaseRecord::to(TOPIC).partition(0).key("k");
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        producer.send(record).map_err(|(error, _)| error).unwrap();
        sent += 1;
    };
    let mut good = 0;
    for (payload, _) in refused() {
        put(payload.as_deref());
        put(Some(format!("{{{}}}", fields(100 + good)).as_bytes()));
        good += 1;
    }
    let hostile = accepted();
    for payload in &hostile {
        put(Some(payload.as_bytes()));
    }
    // Counted, but at the broker's time: nobody moves the clock by centuries.
    put(Some(b"{\"event_id\":\"f\",\"agent\":\"target\",\"ts\":\"2150-01-01T00:00:00Z\"}"));
    // The first again.
    put(Some(format!("{{{}}}", fields(100)).as_bytes()));
    producer.flush(Duration::from_secs(30)).unwrap();

    let place = Place::new(broker.bootstrap(), TOPIC);
    let mut daemon = place.start();
    place.wait_for_end(&mut daemon, sent);
    // The page is of the last second, and all its numbers are of one moment.
    let read = |place: &Place| place.metric("shewhart_records_total") == Some(sent as f64);
    place.wait("a page that is up to date", &mut daemon, read);
    let metric = |name: &str| place.metric(name).unwrap() as usize;
    assert_eq!(metric("shewhart_records_total"), sent as usize);
    assert_eq!(metric("shewhart_decision_seconds_count"), sent as usize);
    assert_eq!(metric("shewhart_outputs_total"), good + hostile.len() + 1);
    assert_eq!(metric("shewhart_records_early_total"), 1);
    assert_eq!(metric("shewhart_panics_total"), 0);
    let mut expected: Vec<&str> = refused().iter().map(|(_, why)| *why).collect();
    expected.push("duplicate");
    for why in ["empty", "too_large", "malformed", "missing", "out_of_range", "time", "duplicate", "relabelled"] {
        let count = expected.iter().filter(|found| **found == why).count();
        assert_eq!(metric(&format!("shewhart_records_rejected_total{{reason=\"{why}\"}}")), count, "{why}");
    }
    assert!(daemon.runs());
    place.stop(daemon);
    // By position: the n-th refused record lies at offset 2n.
    for (at, why) in expected.iter().enumerate().take(expected.len() - 1) {
        let found = place.list(&format!("SELECT why FROM rejects WHERE offset = {}", 2 * at));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [*why], "record {at}");
    }
    let rows = place.ask("SELECT count(*) FROM rejects WHERE length(payload) <= 4096 AND length(detail) <= 256");
    assert_eq!(rows, Some(expected.len() as i64));
}

#[test]
fn started_and_stopped_while_the_brokers_are_away_it_goes_on_when_they_come_back() {
    let mut broker = mock_process(TOPIC, 3);
    let place = Place::new(broker.bootstrap(), TOPIC);
    let feeder = feeder(broker.bootstrap(), beginning(8_000));
    feeder.allow(3_000);
    let mut daemon = place.start();
    place.wait("a beginning", &mut daemon, |place| place.committed() == 3_000);
    broker.order("down");
    daemon.kill();
    let mut daemon = place.start();
    place.wait("a daemon that lives", &mut daemon, |place| matches!(place.page("/-/healthy"), Some((200, _))));
    clock::sleep(Duration::from_secs(1));
    assert_eq!(place.page("/-/ready").unwrap().0, 503);
    place.stop(daemon);
    let mut daemon = place.start();
    clock::sleep(Duration::from_secs(2));
    assert!(daemon.runs());
    broker.order("up");
    let sent = feeder.finish();
    place.wait_for_end(&mut daemon, sent);
    // Away once more, in the middle of running.
    broker.order("down");
    clock::sleep(Duration::from_secs(2));
    assert!(daemon.runs());
    place.stop(daemon);
    broker.order("up");
    must_be_as_without_trouble(&place, broker.bootstrap(), sent);
}

/// A small file system of its own, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(at);
        let output = mount.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(Self(at.to_owned())) } else { Err(said) }
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        for size in [1 << 20, 4_096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The folder above is temporary: what cannot be unmounted now goes with the machine.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_stops_the_daemon_from_nothing_but_writing_and_nothing_is_lost() {
    let broker = MockBroker::start(TOPIC, 3).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let disk = match SmallDisk::mount(&place.path().join("disk")) {
        Ok(disk) => disk,
        Err(why) => return skipped("a full disk", &why),
    };
    place.data = disk.0.join("data");
    let feeder = feeder(broker.bootstrap(), beginning(36_000));
    let full = |place: &Place| matches!(place.page("/-/ready"), Some((503, why)) if why.contains("full"));
    feeder.allow(8_000);
    let mut daemon = place.start();
    place.wait("a beginning", &mut daemon, |place| place.committed() >= 5_000);
    leave_no_room(&disk, &place);
    feeder.allow(20_000);
    place.wait("a daemon that says why it is not ready", &mut daemon, full);
    let before = place.committed();
    // Each from the state as it was committed.
    let failures = |place: &Place| place.metric("shewhart_commit_failures_total");
    place.wait("several attempts", &mut daemon, |place| failures(place) >= Some(3.0));
    assert!(daemon.runs() && full(&place));
    assert_eq!(place.page("/-/healthy").unwrap().0, 200);
    assert_eq!(place.committed(), before);
    disk.free();
    place.wait("going on", &mut daemon, |place| place.committed() == 20_000);
    assert_eq!(place.page("/-/ready").unwrap().0, 200);
    leave_no_room(&disk, &place);
    feeder.allow(30_000);
    place.wait("a second time", &mut daemon, full);
    place.stop(daemon);
    disk.free();
    let mut daemon = place.start();
    let sent = feeder.finish();
    place.wait_for_end(&mut daemon, sent);
    place.stop(daemon);
    must_be_as_without_trouble(&place, broker.bootstrap(), sent);
}

#[test]
fn where_not_even_the_smallest_write_has_room_the_daemon_waits_and_goes_on() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let disk = match SmallDisk::mount(&place.path().join("disk")) {
        Ok(disk) => disk,
        Err(why) => return skipped("a full disk", &why),
    };
    place.data = disk.0.join("data");
    let rules = own_rules(&mut place);
    let good = fs::read_to_string(rules.join("accuracy.yaml")).unwrap();
    // No folder can be made there, so attempts to deliver go on failing, and each failure has to be written down.
    fs::write(place.mail(), "in the way").unwrap();
    let feeder = feeder(broker.bootstrap(), beginning(32_100));
    feeder.allow(32_000);
    let mut daemon = place.start();
    place.wait("failed deliveries", &mut daemon, |place| {
        place.committed() == 32_000 && place.ask("SELECT count(*) FROM deliveries") >= Some(3)
    });
    leave_no_room(&disk, &place);
    feeder.allow(32_050);
    fs::write(rules.join("accuracy.yaml"), "groups: 1").unwrap();
    daemon.signal("HUP");
    let full = |place: &Place| matches!(place.page("/-/ready"), Some((503, why)) if why.contains("full"));
    place.wait("a daemon that says why it is not ready", &mut daemon, full);
    for _ in 0..8 {
        clock::sleep(Duration::from_secs(1));
        assert!(daemon.runs(), "{}", place.log());
    }
    assert!(full(&place));
    assert_eq!(place.page("/-/healthy").unwrap().0, 200);
    disk.free();
    place.wait("the refusal", &mut daemon, |p| p.metric("shewhart_config_last_reload_successful") == Some(0.0));
    place.wait("going on", &mut daemon, |place| place.committed() == 32_050);
    fs::write(rules.join("accuracy.yaml"), good).unwrap();
    fs::remove_file(place.mail()).unwrap();
    let sent = feeder.finish();
    place.wait_for_end(&mut daemon, sent);
    assert_eq!(place.page("/-/ready").unwrap().0, 200);
    place.stop(daemon);
    must_be_as_without_trouble(&place, broker.bootstrap(), sent);
}

/// Fills the disk at a moment at which the database's log is empty: it keeps the room that it once had, and a write
/// that fits there is written although the disk is full.
fn leave_no_room(disk: &SmallDisk, place: &Place) {
    let db = rusqlite::Connection::open(place.database()).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    for attempt in 0..100 {
        let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        disk.fill();
        let log = place.database().with_extension("db-wal");
        if busy == 0 && fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
            return;
        }
        // The daemon wrote in between.
        assert!(attempt < 99, "the log was never empty");
        disk.free();
    }
}

#[test]
fn a_broken_rule_file_changes_nothing_and_the_repaired_one_is_taken_up() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let rules = own_rules(&mut place);
    let good = fs::read_to_string(rules.join("accuracy.yaml")).unwrap();
    let faulty = good.replace("drop: 2pp", "drop: two points");
    let feeder = feeder(broker.bootstrap(), beginning(8_000));
    feeder.allow(3_000);
    let mut daemon = place.start();
    let reload = |place: &Place| place.metric("shewhart_config_last_reload_successful");
    place.wait("a beginning", &mut daemon, |place| place.committed() == 3_000);
    assert_eq!(reload(&place), Some(1.0));
    let count = place.metric("shewhart_rules").unwrap();
    swap(&rules, &faulty);
    place.wait("a refusal", &mut daemon, |place| reload(place) == Some(0.0));
    assert_eq!(place.metric("shewhart_rules"), Some(count));
    // The old rules judge the rest, over a restart too.
    feeder.allow(6_000);
    place.wait("the old rules at work", &mut daemon, |place| place.committed() == 6_000);
    place.stop(daemon);
    let mut daemon = place.start();
    let sent = feeder.finish();
    place.wait_for_end(&mut daemon, sent);
    assert_eq!((reload(&place), place.metric("shewhart_rules")), (Some(0.0), Some(count)));
    assert!(place.log().contains("starting on the last good ones"), "{}", place.log());
    place.stop(daemon);
    must_be_as_without_trouble(&place, broker.bootstrap(), sent);

    let mut daemon = place.start();
    place.wait_ready(&mut daemon);
    let more = |name: &str| {
        format!("{good}\n      - alert: {name}\n        detect: {{ measure: accuracy, drop: 5pp, arl0: 20000 }}\n")
    };
    swap(&rules, &more("Steeper"));
    place.wait("the repaired file", &mut daemon, |place| place.metric("shewhart_rules") == Some(count + 1.0));
    assert_eq!(reload(&place), Some(1.0));
    // The files are looked at every two seconds, so a signal that comes right after a change nearly always comes first.
    let by_signal = "SELECT count(*) FROM rule_sets WHERE accepted AND origin = 'signal'";
    for attempt in 0..5 {
        let hash = place.ask("SELECT max(id) FROM rule_sets");
        swap(&rules, &more(&format!("Steeper{attempt}")));
        daemon.signal("HUP");
        place.wait("a change", &mut daemon, |place| place.ask("SELECT max(id) FROM rule_sets") > hash);
        if place.ask(by_signal) > Some(0) {
            break;
        }
    }
    assert_eq!(place.ask(by_signal), Some(1));
    place.stop(daemon);
}

#[test]
fn mails_wait_for_a_dead_server_over_a_kill_and_all_arrive_once_it_lives() {
    let broker = MockBroker::start(TOPIC, 3).unwrap();
    let reserved = Reserved::new();
    let address = reserved.address;
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.more = TO_FOLDER.replace(
        "folder: { path: mail }",
        &format!("email: {{ smtp: \"{address}\", security: none, from: a@example.org, to: [ b@example.org ] }}"),
    );
    let feeder = feeder(broker.bootstrap(), beginning(36_000));
    feeder.allow(usize::MAX);
    let mut daemon = place.start();
    let tried = "SELECT count(*) FROM deliveries WHERE outcome = 'retry' AND class = 'connect'";
    place.wait("an attempt", &mut daemon, |place| place.ask(tried) >= Some(2));
    daemon.kill();
    let sent = feeder.finish();
    let mut daemon = place.start();
    place.wait("the end of the records", &mut daemon, |place| place.committed() == sent);
    let before = place.ask(tried);
    place.wait("more attempts", &mut daemon, |place| place.ask(tried) > before);
    assert_eq!(place.ask("SELECT count(*) FROM outbox WHERE state <> 'pending'"), Some(0));
    let server = FakeSmtp::start_at(address, Mode::Plain, vec![Script::new()]);
    place.wait_for_end(&mut daemon, sent);
    place.stop(daemon);
    let ids = place.list("SELECT id FROM outbox");
    assert!(ids.len() >= 5, "{ids:?}");
    assert_eq!(ids, place.list("SELECT id FROM outbox WHERE state = 'delivered'"));
    let mails: Vec<String> =
        server.record().mails.iter().map(|mail| Letter::read(mail).header("Message-ID").to_owned()).collect();
    // Nothing was interrupted after the server had it, so each came once.
    assert_eq!(mails.len(), ids.len(), "{mails:?}");
    assert!(ids.iter().all(|id| mails.iter().any(|mail| mail.contains(id.as_str()))), "{ids:?} {mails:?}");
}
