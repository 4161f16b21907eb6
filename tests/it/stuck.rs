//! A daemon that is stuck must be seen, and one whose log or descriptors are taken must not be stuck.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::mock::MockBroker;

use crate::daemon::{PATIENCE, Place};
use crate::workload::{Feeder, TOPIC, brief};

fn feeder(broker: &MockBroker) -> Feeder {
    Feeder::start(vec![ProducerSettings::new(broker.bootstrap()).with("compression.type", "gzip")], brief(17))
}

#[test]
fn the_watchdog_is_fed_by_rounds_of_the_loop_and_by_nothing_else() {
    must_starve_the_watchdog("batch-taken");
}

#[test]
fn the_watchdog_notices_a_commit_that_hangs() {
    must_starve_the_watchdog("commit-begun");
}

/// A daemon that is stuck for a while where it comes to that point does not feed the watchdog meanwhile, and goes on.
fn must_starve_the_watchdog(point: &str) {
    const STUCK: Duration = Duration::from_secs(8);
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let path = place.path().join("systemd");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    place.environment = vec![
        ("NOTIFY_SOCKET", path.display().to_string()),
        ("SHEWHART_FAILPOINTS", format!("{point}:sleep={}", STUCK.as_millis())),
    ];
    let mut daemon = place.start();
    let feeder = feeder(&broker);
    let hear = || {
        let mut text = [0; 256];
        let length = systemd.recv(&mut text).unwrap();
        String::from_utf8_lossy(text.get(..length).unwrap()).into_owned()
    };
    while !hear().contains("WATCHDOG=1") {}
    // From here on it is fed about every second, until the batch comes that it is stuck on.
    feeder.allow(500);
    let mut longest = Duration::ZERO;
    let begun = clock::instant();
    let mut last = begun;
    while place.committed() < 500 || longest < STUCK / 2 {
        if hear().contains("WATCHDOG=1") {
            longest = longest.max(last.elapsed());
            last = clock::instant();
        }
        assert!(daemon.runs());
        assert!(begun.elapsed() < PATIENCE, "fed all the time: {longest:?}");
    }
    assert!(longest >= STUCK / 8 * 7, "{longest:?}");
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.stop(daemon);
    while !hear().contains("STOPPING=1") {}
}

/// The daemon as another program starts it.
fn started(place: &Place, mut command: Command) -> Child {
    let file = place.configure();
    command.args([env!("CARGO_BIN_EXE_shewhart"), "run", "-c"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
    command.envs(place.environment.iter().map(|(name, value)| (name, value))).spawn().unwrap()
}

fn wait(what: &str, child: &mut Child, reached: impl Fn() -> bool) {
    let deadline = clock::instant() + PATIENCE;
    while !reached() {
        assert!(child.try_wait().unwrap().is_none(), "{what}: it ended");
        assert!(clock::instant() < deadline, "{what}");
        clock::sleep(Duration::from_millis(20));
    }
}

fn stop(mut child: Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    wait_for_the_end(&mut child);
}

fn wait_for_the_end(child: &mut Child) {
    let deadline = clock::instant() + crate::daemon::STOP_WITHIN;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            return;
        }
        if clock::instant() > deadline {
            drop(child.kill());
            panic!("it does not stop");
        }
        clock::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_log_that_nobody_reads_or_takes_holds_nothing_up_and_is_counted() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let place = Place::new(broker.bootstrap(), TOPIC);
    let feeder = feeder(&broker);
    feeder.allow(4_000);
    let (reader, mut writer) = std::io::pipe().unwrap();
    // As much as a pipe holds.
    writer.write_all(&vec![b'\n'; 16 << 12]).unwrap();
    let mut command = Command::new("env");
    command.stderr(writer);
    let mut child = started(&place, command);
    wait("records", &mut child, || place.committed() == 4_000);
    let dropped = || place.metric("shewhart_log_lines_dropped_total").unwrap_or(0.0);
    wait("lines that nobody took", &mut child, || dropped() > 3.0);
    // Somebody reads again: the loss is told.
    let mut lines = BufReader::new(reader).lines();
    feeder.allow(8_000);
    assert!(lines.any(|line| line.unwrap().contains("lines of the log were lost")));
    // And now the other end is gone.
    drop(lines);
    let before = dropped();
    let records = feeder.finish();
    wait("the end", &mut child, || place.committed() == records);
    wait("lines that nobody took", &mut child, || dropped() > before);
    stop(child);
}

#[test]
fn without_descriptors_connections_wait_and_records_are_counted() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let place = Place::new(broker.bootstrap(), TOPIC);
    let feeder = feeder(&broker);
    feeder.allow(2_000);
    let mut command = Command::new("prlimit");
    command.arg("--nofile=64").stderr(Stdio::null());
    let mut child = started(&place, command);
    wait("records", &mut child, || place.committed() == 2_000);
    let connections: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(place.http).unwrap()).collect();
    clock::sleep(Duration::from_millis(500));
    feeder.allow(6_000);
    wait("more records", &mut child, || place.committed() == 6_000);
    drop(connections);
    wait("answers again", &mut child, || matches!(place.page("/-/healthy"), Some((200, _))));
    let records = feeder.finish();
    wait("the end", &mut child, || place.committed() == records);
    stop(child);
}
