//! From the tables of one version to those of the next, step by step in one transaction: a file is of the old version or of
//! the new one, never between. Blobs are read as they were written then; `fixtures/upgrade` has a file of each version.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::blob::{decode, encode};
use super::panes::{PaneWriter, table};
use super::rows::ProfileSummary;
use super::{Ledger, LedgerError, SCHEMA_VERSION, rollups, tables};
use crate::edge::failpoint::{Point, reach};
use crate::engine::baseline::Profile;
use crate::engine::sketch::Pane;
use crate::engine::units::{Span, Timestamp};
use crate::engine::window::{Change, Level, is_whole};
use crate::engine::{Counters, Position};
use crate::sql::hdr;

/// The oldest version that can be taken over.
const OLDEST: i64 = 5;

impl Ledger {
    /// Makes the tables of a new file, or takes those of an older version over.
    pub(super) fn migrate(&mut self) -> Result<(), LedgerError> {
        let version: i64 = self
            .db
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|source| self.sqlite("reading the version", source))?;
        let path = self.path.clone();
        match version {
            SCHEMA_VERSION => return Ok(()),
            newer if newer > SCHEMA_VERSION => return Err(LedgerError::Newer { path, found: newer }),
            older if older != 0 && older < OLDEST => return Err(LedgerError::Older { path, found: older }),
            _ => {}
        }
        if version != 0 {
            tracing::info!(path = %path.display(), from = version, to = SCHEMA_VERSION, "taking the database over");
        }
        let run = |db: &mut Connection| -> rusqlite::Result<()> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if version == 0 {
                transaction.execute_batch(&tables())?;
            } else {
                if version < 6 {
                    days_and_sketches(&transaction)?;
                }
                deaths(&transaction)?;
            }
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.commit()
        };
        run(&mut self.db).map_err(|source| LedgerError::of("making the tables", &path, source))
    }
}

/// 5 to 6: rollups by day, sketches in columns of their own, when verdicts came (from now on), levels of classical charts.
fn days_and_sketches(db: &Transaction<'_>) -> rusqlite::Result<()> {
    reach(Point::Migrating);
    drop_views(db)?;
    for table in ["rollup_minute", "rollup_hour"] {
        db.execute_batch(&format!("ALTER TABLE {table} RENAME TO old_{table}"))?;
    }
    db.execute_batch(&rollups())?;
    db.execute_batch(
        "CREATE TABLE label_arrivals (
           hour_ms INTEGER NOT NULL, stream_id INTEGER NOT NULL, day_ms INTEGER NOT NULL, within_ms INTEGER NOT NULL,
           labels INTEGER NOT NULL, correct INTEGER NOT NULL, PRIMARY KEY (hour_ms, stream_id, day_ms, within_ms)
         ) STRICT, WITHOUT ROWID;
         CREATE INDEX label_arrivals_by_day ON label_arrivals (stream_id, day_ms);",
    )?;
    reach(Point::Migrating);
    take_panes(db, Level::Minute)?;
    reach(Point::Migrating);
    take_panes(db, Level::Hour)?;
    reach(Point::Migrating);
    for table in ["rollup_minute", "rollup_hour"] {
        db.execute_batch(&format!("DROP TABLE old_{table}"))?;
    }
    add_levels(db, "baseline_streams", "baseline = ?2 AND stream_key = ?3", "baseline, stream_key")?;
    reach(Point::Migrating);
    add_levels(db, "provisional_baselines", "stream_id = ?2 AND ?3 IS NULL", "stream_id, NULL")
}

/// 6 to 7: records that daemons died on, and a count of those that are passed over for it.
fn deaths(db: &Transaction<'_>) -> rusqlite::Result<()> {
    reach(Point::Migrating);
    db.execute_batch(
        "CREATE TABLE inflight (
           partition INTEGER NOT NULL, offset INTEGER NOT NULL, deaths INTEGER NOT NULL, PRIMARY KEY (partition, offset)
         ) STRICT, WITHOUT ROWID;",
    )?;
    let mut select = db.prepare("SELECT position, partition FROM partitions")?;
    let mut update = db.prepare("UPDATE partitions SET position = ?1 WHERE partition = ?2")?;
    let mut rows = select.query([])?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next()? {
        let old: old::Position = read(&row.get::<_, Vec<u8>>(0)?)?;
        positions.push((encode(&Position::from(old)), row.get::<_, i64>(1)?));
    }
    reach(Point::Migrating);
    positions.iter().try_for_each(|of| update.execute((&of.0, of.1)).map(drop))
}

/// States as they were written before.
mod old {
    use serde::Deserialize;

    use crate::engine::units::{Offset, Timestamp};

    /// Until version 6.
    #[derive(Deserialize)]
    pub(super) struct Position {
        pub(super) next: Offset,
        pub(super) time: Option<Timestamp>,
        pub(super) appended: Option<Timestamp>,
        pub(super) opened: (Timestamp, u32),
        pub(super) counters: Counters,
    }

    #[derive(Deserialize)]
    pub(super) struct Counters {
        pub(super) records: u64,
        pub(super) outputs: u64,
        pub(super) feedback: u64,
        pub(super) unjoined: u64,
        pub(super) rejected: [u64; 8],
        pub(super) late: u64,
        pub(super) early: u64,
        pub(super) skipped: u64,
        pub(super) overflow: u64,
    }
}

impl From<old::Position> for Position {
    fn from(old: old::Position) -> Self {
        let old::Position { next, time, appended, opened, counters } = old;
        let old::Counters { records, outputs, feedback, unjoined, late, early, skipped, overflow, .. } = counters;
        let mut rejected = [0; 9];
        rejected.iter_mut().zip(counters.rejected).for_each(|(to, from)| *to = from);
        let counters = Counters { records, outputs, feedback, unjoined, rejected, late, early, skipped, overflow };
        Self { next, time, appended, opened, counters }
    }
}

/// Views hold no data: those of another version are made anew.
pub(super) fn drop_views(db: &Transaction<'_>) -> rusqlite::Result<()> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'view'";
    let names: Vec<String> = db.prepare(names)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // Names of views come from our own file; a quote in one would be an attack on ourselves.
    names.iter().try_for_each(|name| db.execute_batch(&format!("DROP VIEW \"{}\"", name.replace('"', "\"\""))))
}

/// Panes were whole in one blob; a day is the sum of its whole hours.
fn take_panes(db: &Transaction<'_>, level: Level) -> rusqlite::Result<()> {
    let mut select = db.prepare(&format!(
        "SELECT p.start_ms, p.stream_id, p.pane, s.newest_pane_ms FROM old_{} p LEFT JOIN streams s ON s.id = p.stream_id
         ORDER BY p.start_ms, p.stream_id",
        table(level)
    ))?;
    let mut rows = select.query([])?;
    let mut encoder = hdr::Encoder::default();
    let mut panes = PaneWriter::new(db, &mut encoder);
    while let Some(row) = rows.next()? {
        let start = Timestamp::from_millis(row.get(0)?);
        let (stream, newest): (i64, Option<i64>) = (row.get(1)?, row.get(3)?);
        let pane: Pane = read(&row.get::<_, Vec<u8>>(2)?)?;
        let whole = newest.is_some_and(|newest| is_whole(start, Timestamp::from_millis(newest)));
        if level == Level::Hour && whole {
            let day = Change { level: Level::Day, start: start.floor(Span::DAY), pane: pane.clone() };
            panes.add(stream, &day)?;
        }
        panes.write(stream, &Change { level, start, pane })?;
    }
    Ok(())
}

fn add_levels(db: &Transaction<'_>, table: &str, of: &str, key: &str) -> rusqlite::Result<()> {
    db.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN levels TEXT NOT NULL DEFAULT '{{}}'"))?;
    let mut select = db.prepare(&format!("SELECT profile, {key} FROM {table}"))?;
    let mut update = db.prepare(&format!("UPDATE {table} SET levels = ?1 WHERE {of}"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let profile: Profile = read(&row.get::<_, Vec<u8>>(0)?)?;
        let key: [rusqlite::types::Value; 2] = [row.get(1)?, row.get(2)?];
        update.execute((ProfileSummary::of(&profile).levels, &key[0], &key[1]))?;
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> rusqlite::Result<T> {
    decode(bytes).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
