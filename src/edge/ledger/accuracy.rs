//! How accurate streams were over their last day, from the panes that are written down.

use rusqlite::Connection;

use super::packed::Unpacker;
use super::panes;
use crate::engine::cause::Contradiction;
use crate::engine::chart::Chart;
use crate::engine::memory::Memory;
use crate::engine::sketch::Pane;
use crate::engine::standing::Standing;
use crate::engine::units::{Span, Timestamp};
use crate::engine::window::{Level, is_whole};

/// How accurate one stream was over its last 24 hours with outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct LastDay {
    /// Who; nothing where streams are not formed by agent.
    pub agent: Option<String>,
    /// The segment, where streams are formed by it.
    pub task: Option<String>,
    /// How accurate it was.
    pub standing: Standing,
    /// Accuracy of its baseline, in [0, 1], where that has labels.
    pub baseline: Option<f64>,
}

/// The accuracy of at most `most` streams with labels, those with firing alerts first, then those with the most labels; and how
/// many streams with labels there are.
///
/// # Errors
/// What SQLite says; a pane that cannot be read counts as damage.
pub fn last_days(db: &Connection, most: usize) -> rusqlite::Result<(Vec<LastDay>, i64)> {
    let all = db.query_row("SELECT count(*) FROM streams WHERE labelled > 0", [], |row| row.get(0))?;
    let mut select = db.prepare(
        "SELECT s.id, s.agent, s.task, s.newest_pane_ms, b.baseline_accuracy, s.memory
         FROM streams s JOIN v_stream_baselines b ON b.stream_id = s.id
         LEFT JOIN (SELECT DISTINCT stream_id FROM v_open_alerts WHERE state = 'firing') f ON f.stream_id = s.id
         WHERE s.labelled > 0 AND s.newest_pane_ms IS NOT NULL
         ORDER BY f.stream_id IS NULL, s.labelled DESC, s.id LIMIT ?1",
    )?;
    let mut memories = Unpacker::default();
    let days = select.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
        let newest = Timestamp::from_millis(row.get(3)?);
        let pane = last_day(db, row.get(0)?, newest)?;
        let memory = memories
            .decode(&row.get::<_, Vec<u8>>(5)?)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let standing = Standing::of_pane(&pane);
        let standing = match contradicted(&memory) {
            Some(found) => standing.without_estimate(found.told()),
            None => standing,
        };
        Ok(LastDay { agent: row.get(1)?, task: row.get(2)?, standing, baseline: row.get(4)? })
    })?;
    Ok((days.collect::<rusqlite::Result<_>>()?, all))
}

/// Why confidence cannot be gone by on a stream, where a chart of it says so.
pub(super) fn contradicted(memory: &Memory) -> Option<Contradiction> {
    memory.charts.values().find_map(Chart::contradiction)
}

/// All of a stream in the hour of its newest minute and the 23 hours before it, each pane found by its key.
fn last_day(db: &Connection, stream: i64, newest: Timestamp) -> rusqlite::Result<Pane> {
    let mut all = Pane::default();
    let mut add = |level: Level, start: Timestamp| -> rusqlite::Result<()> {
        if let Some(pane) = panes::find(db, level, start, stream)? {
            all.merge(&pane);
        }
        Ok(())
    };
    for back in (0..24).rev() {
        let hour = newest.floor(Span::HOUR).minus(Span::HOUR.times(back));
        // As in v_hours: an hour's own row is whole once all its minutes have left memory.
        if is_whole(hour, newest) {
            add(Level::Hour, hour)?;
        } else {
            (0..60).try_for_each(|minute| add(Level::Minute, hour.plus(Span::MINUTE.times(minute))))?;
        }
    }
    Ok(all)
}
