//! Reading beside the daemon: outputs and verdicts by confidence, hour by hour.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::blob::decode;
use crate::engine::baseline::Profile;
use crate::engine::confidence::ConfidenceTable;
use crate::engine::sketch::Pane;
use crate::engine::units::{Span, Timestamp};

/// The hours' tables are read at one level above: a stream's hours that are not whole there yet are at most its newest two.
const RING: Span = Span::MINUTE.times(119);

/// A stream that has outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedStream {
    /// The id of its row.
    pub id: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
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
        "SELECT id, labels, newest_pane_ms FROM streams WHERE (?1 IS NULL OR agent = ?1) AND (?2 IS NULL OR task = ?2)
         AND newest_pane_ms IS NOT NULL ORDER BY labels, id",
    )?;
    let rows = select.query_map(params![agent, task], |row| {
        let labels: String = row.get(1)?;
        let labels = serde_json::from_str(&labels).map_err(|e| broken(1, e))?;
        Ok(CountedStream { id: row.get(0)?, labels, newest: Timestamp::from_millis(row.get(2)?) })
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

/// Outputs and verdicts by confidence of some streams together, for every hour of the outputs that begins from `from` on and
/// before `to`. Hours without outputs are left out.
///
/// # Errors
/// What SQLite says; a pane that cannot be read counts as damage.
pub fn confidence_by_hour(
    db: &Connection,
    streams: &[CountedStream],
    (from, to): (Timestamp, Timestamp),
) -> rusqlite::Result<BTreeMap<Timestamp, ConfidenceTable>> {
    let mut hours: BTreeMap<Timestamp, ConfidenceTable> = BTreeMap::new();
    let mut add = |hour: Timestamp, bytes: &[u8]| -> rusqlite::Result<()> {
        let pane: Pane = decode(bytes).map_err(|e| broken(0, e))?;
        hours.entry(hour).or_default().merge(&pane.by_confidence);
        Ok(())
    };
    let mut select = db.prepare(
        "SELECT start_ms, stream_id, pane FROM rollup_hour WHERE start_ms >= ?1 AND start_ms < ?2 AND confidence_n > 0",
    )?;
    let mut rows = select.query(params![from.as_millis(), to.as_millis()])?;
    while let Some(row) = rows.next()? {
        let (hour, id) = (Timestamp::from_millis(row.get(0)?), row.get::<_, i64>(1)?);
        if streams.iter().any(|stream| stream.id == id && whole(hour, stream)) {
            add(hour, row.get_ref(2)?.as_blob()?)?;
        }
    }
    let mut minute = db.prepare("SELECT pane FROM rollup_minute WHERE start_ms = ?1 AND stream_id = ?2")?;
    for stream in streams {
        // One search for each minute: the table's key begins with the time.
        for at in (0..120).map(|back| stream.newest.minus(Span::MINUTE.times(back))) {
            let hour = at.floor(Span::HOUR);
            if whole(hour, stream) || hour < from || hour >= to {
                continue;
            }
            let found: Option<Vec<u8>> =
                minute.query_row(params![at.as_millis(), stream.id], |row| row.get(0)).optional()?;
            if let Some(bytes) = found {
                add(hour, &bytes)?;
            }
        }
    }
    Ok(hours)
}

/// Whether all minutes of an hour have moved on into it.
fn whole(hour: Timestamp, stream: &CountedStream) -> bool {
    hour.plus(RING) <= stream.newest
}

fn broken(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
}
