//! Rules that are replaced again and again while events come in.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::ledger::open_read_only;
use shewhart::edge::mock::MockBroker;

use crate::daemon::{Place, status};
use crate::workload::{Feeder, TOPIC, events};

/// Reloads where `SHEWHART_RELOADS` does not say how many.
const RELOADS: usize = 1_000;

/// Two rules that ask the same chart and share their fate: whatever one does, the other must do at the same record.
fn rules(set: &str) -> String {
    let rule = |n: u8| {
        format!(
            "  - alert: {set}{n}\n    where: {{ agent: triage }}\n    detect: {{ measure: accuracy, drop: 2pp, grade: drifting }}\n    \
             labels: {{ severity: info, set: {set} }}\n"
        )
    };
    format!("groups:\n- name: g\n  rules:\n{}{}", rule(1), rule(2))
}

fn put(folder: &Path, set: &str) {
    // Written beside and renamed, as editors and mounts do: no reader sees half a file.
    let new = folder.join(".new");
    fs::write(&new, rules(set)).unwrap();
    fs::rename(new, folder.join("rules.yaml")).unwrap();
}

fn reload(socket: &Path) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .write_all(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn rules_that_are_replaced_again_and_again_judge_every_event_whole_and_cost_no_memory() {
    #[expect(clippy::disallowed_methods, reason = "how long this test goes on is for whoever runs it to say")]
    let reloads = std::env::var("SHEWHART_RELOADS").ok().map_or(RELOADS, |n| n.parse().unwrap());
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let folder = place.path().join("rules");
    fs::create_dir(&folder).unwrap();
    put(&folder, "a");
    place.rules = format!("[ {} ]", folder.display());
    "baseline: { provisional_outputs: 1000 }\n".clone_into(&mut place.more);
    let events = events(7);
    let total = events.len();
    let feeder = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], events);
    let mut daemon = place.start();
    // Records until the drop is found, and then those of three more days, spread over the reloads.
    let share = |half_days: usize| total * half_days / 42;
    feeder.allow(share(23));
    let fires = "SELECT count(*) FROM alerts WHERE state = 'firing'";
    place.wait("the planted drop", &mut daemon, |place| place.ask(fires).is_some_and(|n| n >= 2));
    let socket = place.data.join("shewhart.sock");
    let mut early = 0;
    // Reloads may be faster than records: each set is given some to judge now and then. An odd number, so that both are.
    let pause_every = (reloads / 16) | 1;
    for n in 0..reloads {
        let set = if n % 2 == 0 { "b" } else { "a" };
        put(&folder, set);
        // Those that the pause needs are kept back until then: the daemon takes what is there at once.
        let ahead = if n % pause_every == 0 { pause_every / 2 } else { 0 };
        feeder.allow(share(23) + (share(27) - share(23)) * (n + ahead) / reloads);
        let answer = reload(&socket);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"rules\":2"), "{n}: {answer}");
        if n % pause_every == 0 {
            let fires =
                format!("SELECT count(*) FROM alerts WHERE state = 'firing' AND rule IN ('g/{set}1', 'g/{set}2')");
            place.wait("records for a set", &mut daemon, |place| place.ask(&fires).is_some_and(|n| n >= 2));
        }
        if n == reloads / 4 {
            early = status(daemon.pid(), "VmRSS:").unwrap();
        }
    }
    let late = status(daemon.pid(), "VmRSS:").unwrap();
    println!("{reloads} reloads: {early} KiB after a quarter of them, {late} KiB after all");
    let records = feeder.finish();
    place.wait("the end", &mut daemon, |place| place.committed() == records);
    place.stop(daemon);

    // Every set is written down, with what changed; the file watch may have been first, but none is lost.
    let sets = place.ask("SELECT count(*) FROM v_rule_sets WHERE accepted AND diff <> ''").unwrap();
    assert!(sets > reloads as i64, "{sets}");
    // Incidents of the two rules of a set, by the records at which they began and ended.
    let db = open_read_only(&place.database()).unwrap();
    let of = |rule: &str| -> Vec<(i64, i64, String)> {
        db.prepare(
            "SELECT f.offset, coalesce(r.offset, -1), coalesce(r.reason, '') FROM alerts a
             JOIN alert_events f ON f.alert_id = a.id AND f.to_state = 'firing'
             LEFT JOIN alert_events r ON r.alert_id = a.id AND r.to_state = 'resolved' WHERE a.rule = ?1 ORDER BY 1, 2",
        )
        .unwrap()
        .query_map([rule], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
    };
    for set in ["a", "b"] {
        let (first, second) = (of(&format!("g/{set}1")), of(&format!("g/{set}2")));
        assert_eq!(first, second, "a record was judged by half of set {set}");
        let removed = first.iter().filter(|(_, _, reason)| reason == "rule_removed").count();
        assert!(removed > 1, "{removed} of {}", first.len());
    }
    // What is allocated and given back leaves the heap a little different each time; what leaked would show as a slope.
    assert!(late < early + early / 5, "{early} KiB after a quarter of {reloads} reloads, {late} KiB after all");
}
