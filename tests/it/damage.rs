//! What a daemon makes of a database that is damaged, another's, or from before.

#![expect(clippy::indexing_slicing, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::ledger::{Identity, Ledger, LedgerError};
use shewhart::edge::mock::MockBroker;
use shewhart::engine::units::Partition;
use shewhart::simulate::SimulatedEvent;

use crate::daemon::{PATIENCE, Place, tail};
use crate::state::Left;
use crate::workload::{Feeder, TOPIC, brief, events};
use crate::world::real::skipped;

fn feeder(broker: &MockBroker, events: Vec<SimulatedEvent>) -> Feeder {
    Feeder::start(vec![ProducerSettings::new(broker.bootstrap()).with("compression.type", "gzip")], events)
}

/// A daemon that has read so many records, and stopped.
fn after(broker: &MockBroker, feeder: &Feeder, group: &'static str, records: usize) -> Place {
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.group = group;
    feeder.allow(records);
    let mut daemon = place.start();
    place.wait("a beginning", &mut daemon, |place| place.committed() == records as u64);
    place.wait_for_end(&mut daemon, records as u64);
    place.stop(daemon);
    place
}

/// A state with its checksum, which a newer version wrote.
fn of_another_version(state: &[u8]) -> Vec<u8> {
    let mut body = state[..state.len() - 4].to_vec();
    body[0] += 1;
    let crc = crc32fast::hash(&body);
    body.extend(crc.to_le_bytes());
    body
}

/// From a state to what is left of it.
type Damage = fn(&[u8]) -> Vec<u8>;

/// The ways in which a state can be damaged.
fn damages() -> BTreeMap<&'static str, Damage> {
    let torn: Damage = |s| [&s[..s.len() / 2], &vec![0; s.len() - s.len() / 2][..]].concat();
    BTreeMap::from([
        ("torn", torn),
        ("truncated", |s: &[u8]| s[..s.len() / 2].to_vec()),
        ("bit-flipped", |s: &[u8]| {
            let mut s = s.to_vec();
            let middle = s.len() / 2;
            s[middle] ^= 4;
            s
        }),
        ("zeroed", |s: &[u8]| vec![0; s.len()]),
        ("too long", |s: &[u8]| [s, &[7; 3]].concat()),
        ("of another version", of_another_version),
        ("empty", |_: &[u8]| Vec::new()),
    ])
}

#[test]
fn a_stream_whose_state_is_damaged_begins_anew_and_all_others_are_exact() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let feeder = feeder(&broker, events(5));
    // In the middle of the incidents: some alerts are open.
    let place = after(&broker, &feeder, "disturbed", 32_000);
    let db = Connection::open(place.database()).unwrap();
    let streams: Vec<(i64, String, bool)> = db
        .prepare(
            "SELECT id, agent, EXISTS (SELECT 1 FROM alerts a WHERE a.state = 'firing' AND a.labels ->> 'agent' = agent)
             FROM streams ORDER BY 3 DESC, id",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(streams[0].2, "an alert is open");
    let damages = damages();
    assert!(streams.len() > damages.len() + 1, "{streams:?}");
    for ((_, damage), (stream, _, _)) in damages.iter().zip(&streams) {
        let state: Vec<u8> = db.query_row("SELECT memory FROM streams WHERE id = ?1", [stream], |r| r.get(0)).unwrap();
        db.execute("UPDATE streams SET memory = ?1 WHERE id = ?2", (damage(&state), stream)).unwrap();
    }
    // And one whose baseline is gone, which is worth as much.
    let hit = damages.len() + 1;
    let of = "UPDATE provisional_baselines SET profile = x'0708' WHERE stream_id = ?1";
    assert_eq!(db.execute(of, [streams[hit - 1].0]).unwrap(), 1);
    drop(db);
    let (hit, whole) = streams.split_at(hit);
    let agents: Vec<String> = hit.iter().map(|(_, agent, _)| format!("'{agent}'")).collect();
    let of_hit = format!("labels ->> 'agent' IN ({})", agents.join(", "));
    let firing = place.list(&format!("SELECT id FROM alerts WHERE state = 'firing' AND {of_hit}"));
    assert!(!firing.is_empty());

    let mut daemon = place.start();
    place.wait("the streams", &mut daemon, |place| {
        place.metric("shewhart_states_damaged_total") == Some(hit.len() as f64)
    });
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.stop(daemon);
    for (_, agent, _) in hit {
        let said = |line: &str| line.contains("begins anew") && line.contains(agent.as_str());
        assert!(place.log().lines().any(said), "{agent}");
    }
    // Whoever was told that it fires is told that nobody watches it any more.
    let told = "SELECT e.alert_id FROM alert_events e JOIN outbox_alerts o ON o.notice = e.id
        WHERE e.reason = 'state_lost' AND e.to_state = 'resolved'";
    assert_eq!(place.list(told), firing);

    let mut calm = Place::new(broker.bootstrap(), TOPIC);
    calm.group = "calm";
    let mut daemon = calm.start();
    calm.wait_for_end(&mut daemon, records);
    calm.stop(daemon);
    let is_hit = |table: &str, row: &str| {
        table == "partitions"
            || table == "meta"
            || hit.iter().any(|(id, agent, _)| {
                row.starts_with(&format!("id={id} "))
                    || row.contains(&format!("stream_id={id} "))
                    || row.contains(&format!("\"agent\":\"{agent}\""))
            })
    };
    let (left, expected) = (Left::behind(&place).without(is_hit), Left::behind(&calm).without(is_hit));
    assert!(expected.count("streams") == whole.len() && expected.count("rollup_hour") > 100);
    left.must_equal(&expected);
}

#[test]
fn other_states_that_are_damaged_cost_themselves_or_stop_the_start_with_the_ways_out() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let feeder = feeder(&broker, brief(5).into_iter().take(3_000).collect());
    let place = after(&broker, &feeder, "shewhart", 3_000);
    let identity = Identity { topic: TOPIC.to_owned(), group_by: "agent,task".to_owned() };
    let damaged = |sql: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shewhart.db");
        fs::copy(place.database(), &path).unwrap();
        let db = Connection::open(&path).unwrap();
        assert!(db.execute(sql, []).unwrap() >= 1, "{sql}");
        drop(db);
        let ledger = Ledger::open_file(&path, &identity).unwrap();
        (folder, ledger)
    };
    let restored = |sql: &str| {
        let (_folder, ledger) = damaged(sql);
        let state = ledger.restore_partition(Partition(0));
        (state, ledger.damaged())
    };
    let (whole, none) = restored("UPDATE meta SET value = value");
    let whole = whole.unwrap().unwrap();
    assert_eq!(none, 0);
    // Some recent outputs are forgotten, and no more.
    let (state, found) = restored("UPDATE recent_ops SET ops = x'07' WHERE seq = (SELECT min(seq) FROM recent_ops)");
    let state = state.unwrap().unwrap();
    assert_eq!(found, 1);
    assert!(state.recent.len() < whole.recent.len() && state.position == whole.position);
    assert!(state.streams.iter().all(|stream| stream.memory.is_ok()));
    // Panes are left out.
    let (state, found) =
        restored("UPDATE rollup_hour SET rest = x'07ff' WHERE start_ms = (SELECT max(start_ms) FROM rollup_hour)");
    let state = state.unwrap().unwrap();
    assert!(found >= 1 && state.streams.iter().all(|stream| stream.memory.is_ok()));
    // Without the position records would count twice.
    let (state, _) = restored("UPDATE partitions SET position = substr(position, 1, 9)");
    let told = state.unwrap_err();
    assert!(matches!(told, LedgerError::Blob { .. }) && told.to_string().contains("Ways out"), "{told}");
    // Without the router nobody knows who was told what. The daemon itself says so, and leaves the file alone.
    Connection::open(place.database()).unwrap().execute("UPDATE router SET state = x'07'", []).unwrap();
    refuses(&place, "the router", &["the state of the router", "Ways out"]);
    assert_eq!(place.ask("SELECT count(*) FROM router WHERE state = x'07'"), Some(1));
}

/// The daemon does not start, and says why.
fn refuses(place: &Place, damage: &str, words: &[&str]) {
    let mut daemon = place.start();
    let status = daemon.ended(PATIENCE).unwrap_or_else(|| panic!("{damage}: it runs:\n{}", tail(&place.log())));
    assert_eq!(status.code(), Some(1), "{}", tail(&place.log()));
    let log = place.log();
    let last = tail(&log);
    let path = place.database().display().to_string();
    for word in words.iter().copied().chain([path.as_str()]) {
        assert!(last.contains(word), "{damage}: {word}: {last}");
    }
}

/// What is done to a file of pages of that size.
type OfFile = fn(&mut Vec<u8>, usize);

#[test]
fn a_damaged_file_is_refused_with_the_ways_out_and_never_written() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let feeder = feeder(&broker, brief(5).into_iter().take(4_000).collect());
    let place = after(&broker, &feeder, "shewhart", 3_000);
    // As after a death: a stop leaves nothing to be checked.
    let db = Connection::open(place.database()).unwrap();
    db.execute("UPDATE meta SET value = '1' WHERE key = 'running'", []).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    let whole = fs::read(place.database()).unwrap();
    let page = 4_096;
    let damages: [(&str, OfFile); 4] = [
        ("the header", |file, _| file[..64].fill(0x5a)),
        ("pages of the middle", |file, page| {
            let middle = file.len() / page / 2;
            file[middle * page..(middle + 8) * page].fill(0);
        }),
        ("a cut", |file, page| {
            let half = file.len() / page / 2;
            file.truncate(half * page);
        }),
        ("the schema", |file, page| file[200..page].fill(0xff)),
    ];
    for (what, damage) in damages {
        let mut file = whole.clone();
        damage(&mut file, page);
        fs::write(place.database(), &file).unwrap();
        for suffix in ["-wal", "-shm"] {
            drop(fs::remove_file(format!("{}{suffix}", place.database().display())));
        }
        refuses(&place, what, &["is damaged", "Ways out"]);
        assert!(fs::read(place.database()).unwrap() == file, "{what}: it wrote");
    }
    fs::write(place.database(), &whole).unwrap();
    let mut daemon = place.start();
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.stop(daemon);
}

/// A log that is cut or full of rubbish is one that ends earlier: what it held is read again.
#[test]
fn a_damaged_log_of_the_database_costs_time_only() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let feeder = feeder(&broker, brief(5));
    let place = after(&broker, &feeder, "disturbed", 3_000);
    feeder.allow(9_000);
    let mut daemon = place.start();
    place.wait("more records", &mut daemon, |place| place.committed() >= 6_000);
    daemon.kill();
    let log = place.database().with_extension("db-wal");
    let mut bytes = fs::read(&log).unwrap();
    assert!(bytes.len() > 40_000, "{}", bytes.len());
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4_000].fill(0x77);
    fs::write(&log, &bytes).unwrap();
    fs::remove_file(place.database().with_extension("db-shm")).unwrap();
    let mut daemon = place.start();
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.stop(daemon);
    let mut calm = Place::new(broker.bootstrap(), TOPIC);
    calm.group = "calm";
    let mut daemon = calm.start();
    calm.wait_for_end(&mut daemon, records);
    calm.stop(daemon);
    let (left, expected) = (Left::behind(&place), Left::behind(&calm));
    left.must_equal(&expected);
    left.notices_must_equal(&expected);
}

#[test]
fn a_database_of_another_cluster_is_refused() {
    let (one, other) = (MockBroker::start(TOPIC, 1).unwrap(), MockBroker::start(TOPIC, 1).unwrap());
    let feeder = feeder(&one, brief(5).into_iter().take(500).collect());
    let mine = after(&one, &feeder, "shewhart", 500);
    let mut theirs = Place::new(other.bootstrap(), TOPIC);
    theirs.data.clone_from(&mine.data);
    let mut daemon = theirs.start();
    let status = daemon.ended(PATIENCE).expect("an end");
    assert_eq!(status.code(), Some(1), "{}", tail(&theirs.log()));
    assert!(theirs.log().contains("holds `cluster`"), "{}", tail(&theirs.log()));
    // The right one goes on.
    let mut daemon = mine.start();
    mine.wait_ready(&mut daemon);
    mine.stop(daemon);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_at_once() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let feeder = feeder(&broker, brief(5).into_iter().take(500).collect());
    let place = after(&broker, &feeder, "shewhart", 500);
    let data = place.data.display().to_string();
    let mount = |options: &str| {
        let said = Command::new("mount").args(["-o", options, &data, &data]).output().unwrap();
        if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
    };
    if let Err(why) = mount("bind").and_then(|()| mount("remount,bind,ro")) {
        return skipped("a disk that is read only", &why);
    }
    let mut daemon = place.start();
    let status = daemon.ended(PATIENCE);
    drop(daemon);
    assert!(Command::new("umount").args(["-l", &data]).status().unwrap().success());
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    let log = tail(&place.log());
    assert!(log.contains("Read-only file system") && log.contains(&data), "{log}");
}

#[test]
fn a_backup_taken_under_load_and_restored_later_ends_where_the_other_ended_with_the_same_ids() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let feeder = feeder(&broker, brief(5));
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.group = "first";
    feeder.allow(6_000);
    let mut daemon = place.start();
    place.wait("a beginning", &mut daemon, |place| place.committed() >= 4_000);
    feeder.allow(9_000);
    let copy = place.path().join("copy.db");
    let shewhart = |args: &[&Path]| {
        let said = Command::new(env!("CARGO_BIN_EXE_shewhart")).arg("db").args(args).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    shewhart(&[Path::new("backup"), &place.database(), &copy]);
    shewhart(&[Path::new("check"), &copy]);
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    place.stop(daemon);

    let mut restored = Place::new(broker.bootstrap(), TOPIC);
    restored.group = "second";
    fs::create_dir(&restored.data).unwrap();
    fs::copy(&copy, restored.database()).unwrap();
    let before = restored.committed();
    assert!(before >= 4_000 && before < records, "{before}");
    let mut daemon = restored.start();
    restored.wait_for_end(&mut daemon, records);
    restored.stop(daemon);
    let (left, expected) = (Left::behind(&restored), Left::behind(&place));
    assert!(expected.count("alert_events") > 5);
    left.must_equal(&expected);
    left.notices_must_equal(&expected);
}

/// An index that lacks a row: it is told by whoever changes the row, and by no quick look.
#[test]
fn a_damage_that_no_quick_look_finds_ends_the_daemon_where_it_meets_it_again_and_again() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let feeder = feeder(&broker, brief(5).into_iter().take(500).collect());
    let place = after(&broker, &feeder, "shewhart", 500);
    let db = Connection::open(place.database()).unwrap();
    // A message that cannot be read is given up, which changes its row.
    db.execute_batch(
        "PRAGMA writable_schema = ON;
         CREATE TEMP TABLE kept AS SELECT * FROM main.sqlite_schema WHERE name = 'outbox_open';
         DELETE FROM main.sqlite_schema WHERE name = 'outbox_open';
         PRAGMA writable_schema = RESET;
         INSERT INTO outbox (id, receiver, group_key, status, occasion, created_at_ms, state, attempts, fallback, next_at_ms,
           message) VALUES ('7', 'mail', 'g', 'firing', 'first', 1, 'pending', 0, 0, 1, 'rubbish');
         PRAGMA writable_schema = ON;
         INSERT INTO main.sqlite_schema SELECT * FROM kept;
         PRAGMA writable_schema = RESET;",
    )
    .unwrap();
    assert_eq!(db.query_row("PRAGMA quick_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    drop(db);
    refuses(&place, "an index", &["is damaged", "Ways out"]);
}
