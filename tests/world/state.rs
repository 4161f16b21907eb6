//! What a daemon left behind, compared bit for bit.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fault of a test's own may end the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use shewhart::edge::ledger::{Identity, Ledger, open_read_only};
use shewhart::engine::recent::{Entry, Op, Recent};
use shewhart::engine::units::Partition;

use super::daemon::Place;

/// What must not depend on how often a daemon was ended, and when. Columns with the wall clock's time are left out.
const EXACT: [(&str, &str); 15] = [
    ("partitions", "SELECT * FROM partitions ORDER BY partition"),
    ("streams", "SELECT * FROM streams ORDER BY id"),
    ("rollup_minute", "SELECT * FROM rollup_minute ORDER BY start_ms, stream_id"),
    ("rollup_hour", "SELECT * FROM rollup_hour ORDER BY start_ms, stream_id"),
    ("rollup_day", "SELECT * FROM rollup_day ORDER BY start_ms, stream_id"),
    ("label_arrivals", "SELECT * FROM label_arrivals ORDER BY hour_ms, stream_id, day_ms, within_ms"),
    ("provisional_baselines", "SELECT * FROM provisional_baselines ORDER BY stream_id"),
    ("alerts", "SELECT * FROM alerts ORDER BY id"),
    ("alert_events", "SELECT * FROM alert_events ORDER BY id"),
    ("versions", "SELECT * FROM versions ORDER BY stream_id, at_ms, to_version"),
    ("chart_points", "SELECT * FROM chart_points ORDER BY at_ms, stream_id, chart"),
    ("cases", "SELECT * FROM cases ORDER BY stream_id, at_ms, key"),
    ("rejects", "SELECT partition, offset, why, detail, payload FROM rejects ORDER BY partition, offset"),
    ("gaps", "SELECT partition, from_offset, to_offset, reason FROM gaps ORDER BY id"),
    ("meta", "SELECT * FROM meta WHERE key <> 'running' ORDER BY key"),
];
/// What must not depend on it either where every crossing has a message of its own.
const NOTICES: &str = "SELECT DISTINCT notice, alert_id FROM outbox_alerts ORDER BY notice";

/// Everything comparable that a daemon left behind.
#[derive(Debug, PartialEq)]
pub(crate) struct Left {
    rows: BTreeMap<&'static str, Vec<String>>,
    recent: BTreeMap<i32, Vec<Entry>>,
    /// Notices with their alerts, as far as messages were made of them.
    pub(crate) notices: Vec<String>,
}

impl Left {
    /// Reads it. The daemon must be gone.
    pub(crate) fn behind(place: &Place) -> Self {
        let db = open_read_only(&place.database()).unwrap();
        let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let rows = EXACT.iter().map(|(name, sql)| (*name, rows(&db, sql))).collect();
        Self { rows, recent: recent(&db, place), notices: self::rows(&db, NOTICES) }
    }

    /// Without the rows of which somebody says so, by table and row, and without recent outputs.
    pub(crate) fn without(mut self, out: impl Fn(&str, &str) -> bool) -> Self {
        self.rows.iter_mut().for_each(|(table, rows)| rows.retain(|row| !out(table, row)));
        self.recent.clear();
        self
    }

    /// How many rows of a table.
    pub(crate) fn count(&self, table: &str) -> usize {
        self.rows.get(table).map_or(0, Vec::len)
    }

    /// Fails with the first rows that differ of each table that does: rejects and positions say where it began.
    pub(crate) fn must_equal(&self, oracle: &Self) {
        let differ: Vec<_> = oracle.rows.iter().filter(|(table, expected)| self.rows[**table] != **expected).collect();
        for name in ["rejects", "partitions"] {
            if let Some((table, expected)) = differ.iter().find(|(table, _)| **table == name) {
                same(table, &self.rows[**table], expected);
            }
        }
        for (table, expected) in differ {
            same(table, &self.rows[table], expected);
        }
        for (partition, expected) in &oracle.recent {
            assert!(self.recent.get(partition) == Some(expected), "recent outputs of partition {partition} differ");
        }
        assert_eq!(self.recent.len(), oracle.recent.len());
    }

    /// The same of the notices, where every crossing has a message of its own.
    pub(crate) fn notices_must_equal(&self, oracle: &Self) {
        same("notices", &self.notices, &oracle.notices);
    }
}

fn same(what: &str, found: &[String], expected: &[String]) {
    let rows = (found.len(), expected.len());
    let [found, expected] = [found, expected].map(|rows| rows.iter().map(String::as_str).collect::<BTreeSet<&str>>());
    let surplus: Vec<_> = found.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(
        surplus.is_empty() && missing.is_empty(),
        "{what}: {} rows are other than without interruption, of {}\nfound    {:#?}\nexpected {:#?}",
        surplus.len().max(missing.len()),
        expected.len(),
        &surplus[..surplus.len().min(3)],
        &missing[..missing.len().min(3)]
    );
    assert_eq!(rows.0, rows.1, "{what}: some row is there more than once");
}

/// Rows as text: floats by their bits, bytes by their hash.
fn rows(db: &Connection, sql: &str) -> Vec<String> {
    let mut select = db.prepare(sql).unwrap();
    let names: Vec<String> = select.column_names().map(str::to_owned).collect();
    let mut found = select.query([]).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let mut text = String::new();
        for (at, name) in names.iter().enumerate() {
            match row.get_ref(at).unwrap() {
                ValueRef::Null => {}
                ValueRef::Integer(n) => write!(text, "{name}={n} ").unwrap(),
                ValueRef::Real(x) => write!(text, "{name}={x}:{:016x} ", x.to_bits()).unwrap(),
                ValueRef::Text(word) => write!(text, "{name}={} ", String::from_utf8_lossy(word)).unwrap(),
                ValueRef::Blob(bytes) => {
                    write!(text, "{name}={}:{} ", bytes.len(), &blake3::hash(bytes).to_hex()[..16]).unwrap();
                }
            }
        }
        rows.push(text);
    }
    rows
}

/// The remembered outputs of every partition: the changes are cut into rows at commits, and old ones are dropped by rows,
/// so only what they fold into can be compared.
fn recent(db: &Connection, place: &Place) -> BTreeMap<i32, Vec<Entry>> {
    let meta = |key: &str| db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).unwrap();
    let identity = Identity { topic: meta("topic"), group_by: meta("group_by") };
    let mut select = db.prepare("SELECT partition FROM partitions").unwrap();
    let partitions: Vec<i32> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let ledger = Ledger::open(&place.data, &identity).unwrap();
    let fold = |partition: i32| {
        let state = ledger.restore_partition(Partition(partition)).unwrap().unwrap();
        let mut recent = Recent::new(place.join_outputs);
        state.recent.iter().for_each(|op| recent.fold(*op));
        let mut seen = BTreeSet::new();
        let newest_first = state.recent.iter().rev().filter_map(|op| match op {
            Op::Insert(entry) if seen.insert(entry.key) => recent.get(entry.key).copied(),
            _ => None,
        });
        newest_first.collect()
    };
    partitions.into_iter().map(|partition| (partition, fold(partition))).collect()
}
