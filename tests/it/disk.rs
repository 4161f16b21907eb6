//! The daemon on a disk that fails or is slow. The errors are made with strace, which not every machine has or allows.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::mock::MockBroker;
use shewhart::simulate::{Generator, Scenario, SimulatedEvent};

use crate::daemon::{Daemon, Place};
use crate::state::Left;
use crate::workload::{Feeder, TOPIC, brief};
use crate::world::real::skipped;

/// What is done to the system calls of a running daemon, until it is dropped.
struct Fault(Child);

impl Fault {
    fn inject(daemon: &Daemon, fault: &str) -> Self {
        let calls = fault.split(':').next().unwrap();
        let pid = daemon.pid().to_string();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &pid, "-e", &format!("trace={calls}"), "-e"]);
        strace.arg(format!("inject={fault}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(strace.spawn().unwrap())
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // It lets go of the daemon before it ends; killed, it would take it along.
        drop(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}

/// Whether this machine lets us look into a process.
fn strace_works(what: &str) -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]).output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => format!("strace: {error}"),
    };
    skipped(what, &why);
    false
}

fn feeder(broker: &MockBroker) -> Feeder {
    Feeder::start(vec![ProducerSettings::new(broker.bootstrap()).with("compression.type", "gzip")], brief(13))
}

/// So many events of agents of which too little is known for any alert: nothing but records has to be written.
fn calm(events: usize) -> Vec<SimulatedEvent> {
    let text = "start: 2026-01-05T00:00:00Z\nagents:\n  - { name: calm, copies: 6, per_day: 20000, accuracy: 0.9 }\n";
    Generator::new(&Scenario::parse(text).unwrap(), 1).take(events).collect()
}

fn must_be_as_on_a_good_disk(place: &Place, broker: &MockBroker, records: u64) {
    let mut calm = Place::new(broker.bootstrap(), TOPIC);
    calm.group = "calm";
    let mut daemon = calm.start();
    calm.wait_for_end(&mut daemon, records);
    calm.stop(daemon);
    assert_eq!(place.committed(), calm.committed());
    // A batch that was on the disk although nobody confirmed it is read again, and passed over; that is counted there.
    let counted = |table: &str, _: &str| table == "partitions";
    let (left, expected) = (Left::behind(place).without(counted), Left::behind(&calm).without(counted));
    left.must_equal(&expected);
    left.notices_must_equal(&expected);
}

/// With such errors of the disk, twice, the daemon waits, says why, opens the file anew and goes on as if nothing had been.
fn lives_through(fault: &str) {
    if !strace_works("a disk that fails") {
        return;
    }
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.group = "disturbed";
    let feeder = feeder(&broker);
    let mut daemon = place.start();
    let failures = |place: &Place| place.metric("shewhart_commit_failures_total").unwrap_or(0.0);
    for (round, records) in [3_000, 8_000].into_iter().enumerate() {
        feeder.allow(records);
        place.wait("records", &mut daemon, |place| place.committed() >= records as u64 - 500);
        let before = failures(&place);
        let injected = Fault::inject(&daemon, fault);
        feeder.allow(records + 2_000);
        let waits = |place: &Place| {
            let says = matches!(place.page("/-/ready"), Some((503, why)) if why.contains("the disk fails"));
            says && failures(place) >= before + 2.0
        };
        place.wait("a daemon that waits for its disk", &mut daemon, waits);
        assert!(daemon.runs());
        drop(injected);
        let records = records as u64 + 2_000;
        place.wait(&format!("going on, round {round}"), &mut daemon, |place| place.committed() == records);
        place.wait_ready(&mut daemon);
    }
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.stop(daemon);
    must_be_as_on_a_good_disk(&place, &broker, records);
}

#[test]
fn a_disk_that_does_not_sync_is_waited_for_and_read_anew() {
    lives_through("fsync:error=EIO");
}

#[test]
fn a_disk_that_does_not_write_is_waited_for_and_read_anew() {
    lives_through("pwrite64:error=EIO");
}

#[test]
fn a_disk_that_does_not_read_is_waited_for_and_read_anew() {
    lives_through("fsync,pread64:error=EIO");
}

#[test]
fn whoever_holds_the_database_for_long_is_waited_for() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.group = "disturbed";
    let feeder = feeder(&broker);
    feeder.allow(3_000);
    let mut daemon = place.start();
    place.wait("records", &mut daemon, |place| place.committed() == 3_000);
    let other = Connection::open(place.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    feeder.allow(6_000);
    let says = |place: &Place| matches!(place.page("/-/ready"), Some((503, why)) if why.contains("holds the database"));
    place.wait("a daemon that waits", &mut daemon, says);
    other.execute_batch("ROLLBACK").unwrap();
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.wait_ready(&mut daemon);
    place.stop(daemon);
    must_be_as_on_a_good_disk(&place, &broker, records);
}

#[test]
fn records_are_judged_while_those_before_them_wait_for_the_disk() {
    const HELD: Duration = Duration::from_secs(4);
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.group = "disturbed";
    let feeder = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], calm(6_000));
    feeder.allow(3_000);
    let mut daemon = place.start();
    place.wait("records", &mut daemon, |place| place.committed() == 3_000);
    let other = Connection::open(place.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The first of these are being written when the others come, until somebody gives the file free.
    feeder.allow(3_500);
    clock::sleep(HELD / 2);
    feeder.allow(6_000);
    clock::sleep(HELD / 2);
    assert_eq!(place.committed(), 3_000);
    other.execute_batch("ROLLBACK").unwrap();
    place.wait("the records", &mut daemon, |place| place.committed() == 6_000);
    let decided = |place: &Place| place.metric("shewhart_decision_seconds_count") == Some(6_000.0);
    place.wait("a page that is up to date", &mut daemon, decided);
    assert_eq!(place.metric("shewhart_decision_seconds_bucket{le=\"1.0\"}"), Some(6_000.0), "none waited for the disk");
    assert_eq!(place.metric("shewhart_commit_failures_total"), Some(0.0));
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.stop(daemon);
    must_be_as_on_a_good_disk(&place, &broker, records);
}

#[test]
fn a_slow_disk_makes_larger_batches_and_nothing_else() {
    if !strace_works("a slow disk") {
        return;
    }
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.group = "disturbed";
    let feeder = feeder(&broker);
    feeder.allow(1_000);
    let mut daemon = place.start();
    place.wait("records", &mut daemon, |place| place.committed() == 1_000);
    let slow = Fault::inject(&daemon, "fsync:delay_enter=400000");
    clock::sleep(Duration::from_millis(500));
    feeder.allow(8_000);
    place.wait("the records", &mut daemon, |place| place.committed() == 8_000);
    assert_eq!(place.page("/-/healthy").unwrap().0, 200);
    drop(slow);
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    assert_eq!(place.metric("shewhart_commit_failures_total"), Some(0.0));
    assert!(!place.log().contains("removed us"), "the group kept it");
    place.stop(daemon);
    must_be_as_on_a_good_disk(&place, &broker, records);
}
