//! Reading beside the daemon: outputs and verdicts by confidence, hour by hour.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::blob::decode;
use super::panes;
use crate::engine::baseline::Profile;
use crate::engine::confidence::ConfidenceTable;
use crate::engine::sketch::Pane;
use crate::engine::units::{Span, Timestamp};
use crate::engine::window::{Level, is_whole};

/// How long before its first output a stream may have others that came late.
const LATE: Span = Span::DAY;

/// A stream that has outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedStream {
    /// The id of its row.
    pub id: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Event time of its first output.
    pub first: Timestamp,
    /// Its newest minute.
    pub newest: Timestamp,
}

/// All streams, in the order of their labels.
///
/// # Errors
/// What SQLite says; labels that cannot be read count as damage.
pub fn all_streams(db: &Connection) -> rusqlite::Result<Vec<CountedStream>> {
    streams(db, None, None)
}

/// The streams of an agent, of a task where one is named, in the order of their labels.
///
/// # Errors
/// As [`all_streams`].
pub fn streams_of(db: &Connection, agent: &str, task: Option<&str>) -> rusqlite::Result<Vec<CountedStream>> {
    streams(db, Some(agent), task)
}

fn streams(db: &Connection, agent: Option<&str>, task: Option<&str>) -> rusqlite::Result<Vec<CountedStream>> {
    let mut select = db.prepare(
        "SELECT id, labels, first_seen_ms, newest_pane_ms FROM streams WHERE (?1 IS NULL OR agent = ?1) AND (?2 IS NULL OR task = ?2)
         AND newest_pane_ms IS NOT NULL ORDER BY labels, id",
    )?;
    let rows = select.query_map(params![agent, task], |row| {
        let labels: String = row.get(1)?;
        let labels = serde_json::from_str(&labels).map_err(|e| broken(1, e))?;
        let [first, newest] = [row.get(2)?, row.get(3)?].map(Timestamp::from_millis);
        Ok(CountedStream { id: row.get(0)?, labels, first, newest })
    })?;
    rows.collect()
}

/// What a stream is compared with, where it has a baseline.
///
/// # Errors
/// What SQLite says; a profile that cannot be read counts as damage.
pub fn profile_of(db: &Connection, stream: i64) -> rusqlite::Result<Option<Profile>> {
    let select = "SELECT coalesce(p.profile,
        (SELECT profile FROM baseline_streams b WHERE b.baseline = s.baseline AND b.labels = s.labels))
        FROM streams s LEFT JOIN provisional_baselines p ON p.stream_id = s.id AND s.baseline = 'provisional'
        WHERE s.id = ?1";
    let bytes: Option<Option<Vec<u8>>> = db.query_row(select, [stream], |row| row.get(0)).optional()?;
    bytes.flatten().map(|bytes| decode(&bytes).map_err(|e| broken(0, e))).transpose()
}

/// Outputs and verdicts by confidence of some streams together, for every hour of the outputs from the one that holds `from` on
/// that begins before `to`. Hours without outputs are left out.
///
/// # Errors
/// As [`each_pane`].
pub fn confidence_by_hour(
    db: &Connection,
    streams: &[CountedStream],
    span: (Timestamp, Timestamp),
) -> rusqlite::Result<BTreeMap<Timestamp, ConfidenceTable>> {
    let mut hours: BTreeMap<Timestamp, ConfidenceTable> = BTreeMap::new();
    let add = |_: &CountedStream, hour, pane: &Pane| hours.entry(hour).or_default().merge(&pane.by_confidence);
    each_pane(db, streams, span, add)?;
    Ok(hours)
}

/// Calls `each` with everything counted of these streams, as `v_hours` has it: the stream, the hour of the outputs, a pane of that
/// hour or of a part of it. Hours from the one that holds `from` on that begin before `to`.
///
/// # Errors
/// What SQLite says; a pane that cannot be read counts as damage.
pub fn each_pane(
    db: &Connection,
    streams: &[CountedStream],
    (from, to): (Timestamp, Timestamp),
    mut each: impl FnMut(&CountedStream, Timestamp, &Pane),
) -> rusqlite::Result<()> {
    // One search for each hour and minute: the tables' keys begin with the time, so a range would read the rows of all streams.
    let mut find = |level: Level, at: Timestamp, stream: &CountedStream| -> rusqlite::Result<()> {
        if let Some(pane) = panes::find(db, level, at, stream.id)? {
            each(stream, at.floor(Span::HOUR), &pane);
        }
        Ok(())
    };
    for stream in streams {
        let end = to.min(stream.newest.plus(Span::HOUR));
        let mut hour = from.max(stream.first.minus(LATE)).floor(Span::HOUR);
        while hour < end {
            if is_whole(hour, stream.newest) {
                find(Level::Hour, hour, stream)?;
            }
            hour = hour.plus(Span::HOUR);
        }
        for at in (0..120).map(|back| stream.newest.minus(Span::MINUTE.times(back))) {
            let hour = at.floor(Span::HOUR);
            if !is_whole(hour, stream.newest) && hour >= from && hour < to {
                find(Level::Minute, at, stream)?;
            }
        }
    }
    Ok(())
}

fn broken(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
}
