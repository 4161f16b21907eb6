//! Files of older versions are taken over whole, and those of newer ones are left alone.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use shewhart::edge::ledger::{Identity, Ledger, LedgerError, SCHEMA_VERSION, open_read_only, query};
use shewhart::engine::units::Partition;

use super::analyst::rows;
use super::daemon::{PATIENCE, Place, tail};

/// What is asked of the file before and after: everything that its version knew of hours.
const HOURS: &str = "SELECT stream_id, agent, hour, complete, outputs, labelled, correct, escalated, status_error,
    confidence_n, confidence_mean, confidence_sd, latency_n, latency_mean_ms, latency_p50_ms, latency_p95_ms, latency_p99_ms,
    latency_max_ms, cost_n, round(cost_usd, 9) AS cost_usd, round(tokens, 6) AS tokens, confidence_sum, paired_right_sum
  FROM v_hours ORDER BY stream_id, hour";

fn fixture(folder: &Path, name: &str) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/upgrade").join(name);
    let path = folder.join("shewhart.db");
    let bytes = zstd::decode_all(std::fs::File::open(packed).unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn identity() -> Identity {
    Identity { topic: "replay".to_owned(), group_by: "agent".to_owned() }
}

/// What a file is made of, without what spaces are between the words.
fn schema(db: &Connection) -> BTreeMap<String, String> {
    let all = rows(db, "SELECT type || ' ' || name AS name, sql FROM sqlite_schema WHERE sql IS NOT NULL");
    let words = |sql: &str| {
        let lines: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap()).collect();
        lines.join(" ").replace(['(', ')', '"'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let pair = |row: &Value| (row["name"].as_str().unwrap().to_owned(), words(row["sql"].as_str().unwrap()));
    let parts = |(name, sql): (String, String)| {
        // Columns that were added stand behind the keys.
        let mut parts: Vec<&str> = sql.split(',').map(str::trim).collect();
        parts.sort_unstable();
        (name, parts.join(","))
    };
    all.iter().map(pair).map(parts).collect()
}

#[test]
fn a_file_of_the_version_before_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture(folder.path(), "schema-5.db.zst");
    let before = rows(&open_read_only(&path).unwrap(), HOURS);
    let minutes = "SELECT count(*) AS n, sum(outputs) AS outputs FROM rollup_minute";
    let counted = rows(&open_read_only(&path).unwrap(), minutes);
    let next = "SELECT next_offset AS next FROM partitions";
    let next = rows(&open_read_only(&path).unwrap(), next)[0]["next"].as_i64().unwrap();
    assert!(before.len() > 20);

    let ledger = Ledger::open_file(&path, &identity()).unwrap();
    let state = ledger.restore_partition(Partition(0)).unwrap().unwrap();
    assert_eq!(state.streams.len(), 1);
    // Where it goes on, and what it had counted.
    let counters = state.position.counters;
    let told = counters.outputs + counters.feedback + counters.rejected.iter().sum::<u64>();
    assert_eq!((state.position.next.0, counters.records), (next, told));
    assert!(next > 0 && state.position.time.is_some() && counters.outputs > 400, "{counters:?}");
    drop(ledger);

    let db = open_read_only(&path).unwrap();
    assert_eq!(rows(&db, HOURS), before);
    assert_eq!(rows(&db, minutes), counted);
    let sums = "SELECT sum(outputs) AS outputs, sum(labelled) AS labelled, sum(correct) AS correct, sum(latency_n) AS latencies";
    assert_eq!(rows(&db, &format!("{sums} FROM v_days")), rows(&db, &format!("{sums} FROM v_hours")));
    assert_eq!(rows(&db, "SELECT complete FROM v_days ORDER BY day_ms")[0]["complete"], 1);
    assert!(!rows(&db, "SELECT * FROM v_control_charts WHERE measure = 'accuracy' AND phase = 'baseline'").is_empty());
    assert_eq!(query::check(&db).unwrap(), [""; 0]);

    let new = folder.path().join("new.db");
    drop(Ledger::open_file(&new, &identity()).unwrap());
    let (old, new) = (schema(&db), schema(&open_read_only(&new).unwrap()));
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    for (name, sql) in &new {
        assert_eq!(old[name], *sql, "an old file becomes what a new one is");
    }
}

#[test]
fn a_file_that_cannot_be_taken_over_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture(folder.path(), "schema-5.db.zst");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("UPDATE rollup_hour SET pane = x'00' WHERE start_ms = (SELECT max(start_ms) FROM rollup_hour)")
        .unwrap();
    let whole = |db: &Connection| rows(db, "SELECT name, sql FROM sqlite_schema ORDER BY name");
    let before = whole(&db);
    drop(db);
    assert!(matches!(Ledger::open_file(&path, &identity()).unwrap_err(), LedgerError::Sqlite { .. }));
    let db = Connection::open(&path).unwrap();
    assert_eq!(whole(&db), before, "one transaction: all of it or nothing");
    assert_eq!(rows(&db, "SELECT user_version AS version FROM pragma_user_version")[0]["version"], 5);
}

#[test]
fn newer_files_and_those_from_before_the_promise_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.db");
    drop(Ledger::open_file(&path, &identity()).unwrap());
    for (version, words) in [(SCHEMA_VERSION + 1, "use the newer shewhart"), (4, "never released")] {
        Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
        let refused = Ledger::open_file(&path, &identity()).unwrap_err().to_string();
        assert!(refused.contains(words) && refused.contains(&version.to_string()), "{refused}");
        let db = Connection::open(&path).unwrap();
        assert_eq!(rows(&db, "SELECT user_version AS version FROM pragma_user_version")[0]["version"], version);
    }
}

#[test]
fn killed_at_any_step_of_a_take_over_a_file_is_of_the_old_version_or_the_new_one() {
    let mut place = Place::new("127.0.0.1:9", "replay");
    place.more.push_str("group_by: [ agent ]\n");
    let all = [("schema-5.db.zst", 5, 7), ("schema-6.db.zst", 6, 2)];
    for (name, version, steps) in all {
        drop(std::fs::remove_dir_all(&place.data));
        std::fs::create_dir(&place.data).unwrap();
        let path = fixture(&place.data, name);
        let hours = rows(&open_read_only(&path).unwrap(), HOURS);
        assert!(hours.len() > 20);
        let is_of = |version: i64| {
            let db = open_read_only(&path).unwrap();
            assert_eq!(rows(&db, "SELECT user_version AS version FROM pragma_user_version")[0]["version"], version);
            assert_eq!(rows(&db, HOURS), hours);
        };
        for step in 1..=steps {
            place.environment = vec![("SHEWHART_FAILPOINTS", format!("migrating@{step}:abort"))];
            let status = place.start().ended(PATIENCE).expect("an end");
            assert_eq!(status.signal(), Some(6), "step {step} of {name}: {}", tail(&place.log()));
            is_of(version);
        }
        place.environment = vec![("SHEWHART_FAILPOINTS", format!("migrating@{}:abort", steps + 1))];
        let mut daemon = place.start();
        place.wait("a daemon", &mut daemon, |place| matches!(place.page("/-/healthy"), Some((200, _))));
        place.stop(daemon);
        is_of(SCHEMA_VERSION);
    }
}
