//! The panes that are still within the rings of a partition's streams.
//!
//! The tables are ordered by time and then by stream. The panes of many streams that were last heard of in the same hour lie beside
//! each other, and are read in one go for every minute and hour; those of a few would lie among many others, and are looked up one
//! by one.

use std::collections::BTreeMap;

use rusqlite::params;

use super::panes::{self, PANE, table};
use super::write::stream_id;
use super::{Ledger, LedgerError};
use crate::engine::sketch::Pane;
use crate::engine::units::{Partition, Span, Timestamp};
use crate::engine::window::{Level, Window};

/// Streams of one hour from which on their panes are read in one go.
const MANY: usize = 64;

/// Panes of one stream.
#[derive(Default)]
struct Found {
    minutes: BTreeMap<Timestamp, Pane>,
    hours: BTreeMap<Timestamp, Pane>,
}

impl Found {
    fn put(&mut self, level: Level, start: Timestamp, pane: Pane) {
        let panes = if level == Level::Minute { &mut self.minutes } else { &mut self.hours };
        panes.insert(start, pane);
    }
}

/// The starts of the panes that a ring keeps of a stream, the newest first. The oldest hour that is still kept began less than
/// a day before the newest minute.
fn ring(level: Level, newest: Timestamp) -> impl Iterator<Item = Timestamp> {
    let kept = if level == Level::Minute { 60 } else { 24 };
    (0..kept).map(move |back| newest.floor(level.span()).minus(level.span().times(back)))
}

impl Ledger {
    /// The windows of streams whose newest pane is of that minute, by their indexes.
    pub(super) fn windows(
        &self,
        partition: Partition,
        newest: BTreeMap<u32, Timestamp>,
    ) -> Result<BTreeMap<u32, Window>, LedgerError> {
        let mut groups: BTreeMap<Timestamp, BTreeMap<u32, Timestamp>> = BTreeMap::new();
        for (index, newest) in newest {
            groups.entry(newest.floor(Span::HOUR)).or_default().insert(index, newest);
        }
        let mut windows = BTreeMap::new();
        for (hour, group) in groups {
            let mut found: BTreeMap<u32, Found> = group.keys().map(|index| (*index, Found::default())).collect();
            for level in [Level::Minute, Level::Hour] {
                if group.len() < MANY {
                    self.look_up(level, partition, &group, &mut found)?;
                } else {
                    self.read_through(level, (partition, hour), &group, &mut found)?;
                }
            }
            for ((index, newest), Found { minutes, hours }) in group.into_iter().zip(found.into_values()) {
                windows.insert(index, Window::restore(minutes, hours, Some(newest)));
            }
        }
        Ok(windows)
    }

    fn look_up(
        &self,
        level: Level,
        partition: Partition,
        group: &BTreeMap<u32, Timestamp>,
        found: &mut BTreeMap<u32, Found>,
    ) -> Result<(), LedgerError> {
        for ((index, newest), found) in group.iter().zip(found.values_mut()) {
            for start in ring(level, *newest) {
                let pane = panes::find(&self.db, level, start, stream_id(partition, *index));
                if let Some(pane) = self.unless_damaged(pane.transpose(), *index, start)? {
                    found.put(level, start, pane);
                }
            }
        }
        Ok(())
    }

    fn read_through(
        &self,
        level: Level,
        (partition, hour): (Partition, Timestamp),
        group: &BTreeMap<u32, Timestamp>,
        found: &mut BTreeMap<u32, Found>,
    ) -> Result<(), LedgerError> {
        let sqlite = |source| self.sqlite("restoring panes", source);
        let (table, first) = (table(level), stream_id(partition, 0));
        let text = format!("SELECT {PANE}, stream_id FROM {table} WHERE start_ms = ?1 AND stream_id BETWEEN ?2 AND ?3");
        let mut select = self.db.prepare(&text).map_err(sqlite)?;
        let id = select.column_index("stream_id").map_err(sqlite)?;
        // From the oldest pane of one that was last heard of as the hour began to the newest of one heard of as it ended.
        let newest = hour.plus(Span::HOUR).minus(Span::MINUTE);
        let oldest = ring(level, hour).last().unwrap_or(hour);
        let starts = std::iter::successors(Some(newest.floor(level.span())), |start| Some(start.minus(level.span())));
        for start in starts.take_while(|start| *start >= oldest) {
            let mut rows =
                select.query(params![start.as_millis(), first, stream_id(partition, u32::MAX)]).map_err(sqlite)?;
            while let Some(row) = rows.next().map_err(sqlite)? {
                let index = (row.get::<_, i64>(id).map_err(sqlite)? - first) as u32;
                let Some(newest) = group.get(&index) else { continue };
                let kept = start <= *newest && ring(level, *newest).last().is_some_and(|oldest| start >= oldest);
                let Some(found) = found.get_mut(&index).filter(|_| kept) else { continue };
                if let Some(pane) = self.unless_damaged(Some(panes::read(row)), index, start)? {
                    found.put(level, start, pane);
                }
            }
        }
        Ok(())
    }

    /// A pane that was read; nothing where it cannot be.
    fn unless_damaged(
        &self,
        pane: Option<rusqlite::Result<Pane>>,
        index: u32,
        start: Timestamp,
    ) -> Result<Option<Pane>, LedgerError> {
        match pane.transpose() {
            Ok(pane) => Ok(pane),
            Err(error) if panes::is_damage(&error) => {
                tracing::error!(stream = index, %start, %error, "a pane of a stream cannot be read; it is left out");
                self.count_damage(1);
                Ok(None)
            }
            Err(source) => Err(self.sqlite("restoring panes", source)),
        }
    }
}
