//! Reading back what was written: engines, router, rules.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::blob::decode;
use super::packed::Unpacker;
use super::write::Anchor;
use super::{Ledger, LedgerError};
use crate::engine::alert::{Crossing, Id};
use crate::engine::baseline::{Baseline, Profile};
use crate::engine::memory::{Memory, Remains};
use crate::engine::recent::Op;
use crate::engine::route::RouterMemory;
use crate::engine::rule::RuleSet;
use crate::engine::units::{Offset, Partition, Timestamp};
use crate::engine::{Position, Restored, key_of};

/// A router as it was written down: what it knows, and the newest crossing of every alert in it.
pub type WrittenRouter = (RouterMemory, BTreeMap<Id, Crossing>);

/// A partition as it was written down.
#[derive(Debug)]
pub struct PartitionState {
    /// Where it stands.
    pub position: Position,
    /// The last record it reflects.
    pub anchor: Option<Anchor>,
    /// Its streams, in the order of their indexes.
    pub streams: Vec<Restored>,
    /// The changes of its memory of recent outputs.
    pub recent: Vec<Op>,
}

/// What a stream remembers, with the baseline that its charts are drawn against.
type State = (Memory, Option<Box<Baseline>>);

/// A stream as it was written down, without its windows.
#[derive(Debug)]
pub struct Watched {
    /// The id of its row.
    pub id: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its memory.
    pub memory: Memory,
    /// The baseline that it is compared with, where it has one.
    pub baseline: Option<Baseline>,
}

/// Every stream of a database that is only read.
///
/// # Errors
/// What SQLite says; a state that cannot be read counts as damage.
pub fn watched(db: &Connection) -> rusqlite::Result<Vec<Watched>> {
    let mut select = db.prepare(
        "SELECT s.labels, s.memory, s.baseline, coalesce(p.profile,
           (SELECT profile FROM baseline_streams b WHERE b.baseline = s.baseline AND b.labels = s.labels)), s.id
         FROM streams s LEFT JOIN provisional_baselines p ON p.stream_id = s.id AND s.baseline = 'provisional'
         ORDER BY s.partition, s.idx",
    )?;
    let mut memories = Unpacker::default();
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Watched> {
        let broken = |why: String| rusqlite::Error::ToSqlConversionFailure(why.into());
        let labels = serde_json::from_str(&row.get::<_, String>(0)?).map_err(|e| broken(e.to_string()))?;
        let memory = memories.decode(&row.get::<_, Vec<u8>>(1)?).map_err(|e| broken(e.to_string()))?;
        let baseline = match (row.get::<_, Option<String>>(2)?, row.get::<_, Option<Vec<u8>>>(3)?) {
            (Some(id), Some(profile)) => {
                let profile = decode(&profile).map_err(|e| broken(e.to_string()))?;
                Some(Baseline { provisional: id == "provisional", id, profile })
            }
            _ => None,
        };
        Ok(Watched { id: row.get(4)?, labels, memory, baseline })
    };
    select.query_map([], row)?.collect()
}

impl Ledger {
    /// The offset from which a partition goes on, and the last record before it; nothing where it was never seen.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn reached(&self, partition: Partition) -> Result<Option<(Offset, Option<Anchor>)>, LedgerError> {
        let select = "SELECT next_offset, anchor_offset, anchor_crc FROM partitions WHERE partition = ?1";
        let row = |row: &rusqlite::Row<'_>| {
            let anchor = row.get::<_, Option<i64>>(1)?.zip(row.get::<_, Option<u32>>(2)?);
            Ok((Offset(row.get(0)?), anchor.map(|(offset, crc)| Anchor { offset: Offset(offset), crc })))
        };
        let reached = self.db.query_row(select, [partition.0], row).optional();
        reached.map_err(|source| self.sqlite("looking up a position", source))
    }

    /// Reads one partition, or nothing where it was never seen. A stream whose state cannot be read comes without it, recent
    /// outputs and panes that cannot be read are left out; each is said and counted.
    ///
    /// # Errors
    /// What SQLite says, or a position that cannot be read: everything hangs on it, and records would count twice.
    pub fn restore_partition(&self, partition: Partition) -> Result<Option<PartitionState>, LedgerError> {
        let sqlite = |source| self.sqlite("restoring a partition", source);
        let row = self
            .db
            .query_row(
                "SELECT position, anchor_offset, anchor_crc FROM partitions WHERE partition = ?1",
                [partition.0],
                |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<u32>>(2)?)),
            )
            .optional()
            .map_err(sqlite)?;
        let Some((position, offset, crc)) = row else { return Ok(None) };
        let anchor = offset.zip(crc).map(|(offset, crc)| Anchor { offset: Offset(offset), crc });
        Ok(Some(PartitionState {
            position: self.read("position of a partition", &position)?,
            anchor,
            streams: self.restore_streams(partition)?,
            recent: self.restore_recent(partition)?,
        }))
    }

    fn restore_streams(&self, partition: Partition) -> Result<Vec<Restored>, LedgerError> {
        let sqlite = |source| self.sqlite("restoring streams", source);
        let mut windows = self.windows(partition, self.newest_panes(partition).map_err(sqlite)?)?;
        let mut select = self
            .db
            .prepare(
                "SELECT s.idx, s.labels, s.memory, s.baseline, p.profile FROM streams s
                 LEFT JOIN provisional_baselines p ON p.stream_id = s.id WHERE s.partition = ?1 ORDER BY s.idx",
            )
            .map_err(sqlite)?;
        let mut rows = select.query([partition.0]).map_err(sqlite)?;
        let mut streams = Vec::new();
        let mut memories = Unpacker::default();
        // One after the other: what stands in the rows of all of them would lie between what stays, and never be given back.
        while let Some(row) = rows.next().map_err(sqlite)? {
            let (index, labels, memory, baseline, provisional): (u32, String, Vec<u8>, _, _) =
                row.try_into().map_err(sqlite)?;
            let labels: BTreeMap<String, String> = serde_json::from_str(&labels)
                .map_err(|error| self.blob(&format!("labels of stream {index}"), &error.to_string()))?;
            let memory = memories.decode(&memory).map_err(|error| self.blob("memory", &error.to_string()));
            let state = self.restore_state((partition, index), memory, (baseline, provisional), &labels)?;
            let (memory, baseline) = match state {
                Some((memory, baseline)) => (Ok(memory), baseline),
                None => (Err(self.remains(partition, &labels)?), None),
            };
            let window = windows.remove(&index).unwrap_or_default();
            streams.push(Restored { key: key_of(&labels).into(), memory, window, baseline });
        }
        Ok(streams)
    }

    /// When the newest pane of each stream begins that has one.
    fn newest_panes(&self, partition: Partition) -> rusqlite::Result<BTreeMap<u32, Timestamp>> {
        let mut select = self
            .db
            .prepare("SELECT idx, newest_pane_ms FROM streams WHERE partition = ?1 AND newest_pane_ms IS NOT NULL")?;
        let newest = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?)));
        select.query_map([partition.0], newest)?.collect()
    }

    /// What a stream remembers, with the baseline that its charts are drawn against: the one is worth nothing without the other.
    /// Nothing where one of them cannot be read.
    fn restore_state(
        &self,
        (partition, index): (Partition, u32),
        memory: Result<Memory, LedgerError>,
        (baseline, provisional): (Option<String>, Option<Vec<u8>>),
        labels: &BTreeMap<String, String>,
    ) -> Result<Option<State>, LedgerError> {
        let read = move || -> Result<State, LedgerError> {
            let memory = memory?;
            let baseline = baseline.map(|id| self.restore_baseline(id, provisional, labels)).transpose()?;
            Ok((memory, baseline.flatten()))
        };
        match read() {
            Ok(state) => Ok(Some(state)),
            Err(LedgerError::Blob { what, why, .. }) => {
                tracing::error!(
                    partition = partition.0,
                    stream = index,
                    ?labels,
                    "the {what} of a stream cannot be read ({why}); the stream begins anew, and its open alerts end"
                );
                self.count_damage(1);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What other tables tell of a stream whose memory is lost.
    fn remains(&self, partition: Partition, labels: &BTreeMap<String, String>) -> Result<Remains, LedgerError> {
        let read = || -> rusqlite::Result<Remains> {
            let select =
                "SELECT a.state IN ('pending', 'firing'), (SELECT crossing FROM alert_events e WHERE e.alert_id = a.id
                 ORDER BY transition DESC LIMIT 1) FROM alerts a WHERE a.partition = ?1";
            let mut select = self.db.prepare_cached(select)?;
            let mut rows = select.query([partition.0])?;
            let mut remains = Remains::default();
            while let Some(row) = rows.next()? {
                let Some(last) = row.get::<_, Option<String>>(1)? else { continue };
                let Ok(last) = serde_json::from_str::<Crossing>(&last) else { continue };
                // A rule may add labels of its own, but not those that streams are formed by.
                let is_its =
                    ["agent", "task", "version"].iter().all(|name| last.labels.get(*name) == labels.get(*name));
                if is_its {
                    remains.incidents += 1;
                    remains.open.extend(row.get::<_, bool>(0)?.then_some(last));
                }
            }
            Ok(remains)
        };
        read().map_err(|source| self.sqlite("reading the alerts of a stream", source))
    }

    /// The baseline of that id for a stream, even where another has been promoted since.
    fn restore_baseline(
        &self,
        id: String,
        provisional: Option<Vec<u8>>,
        labels: &BTreeMap<String, String>,
    ) -> Result<Option<Box<Baseline>>, LedgerError> {
        let is_provisional = id == "provisional";
        let bytes = if is_provisional {
            provisional
        } else {
            let select = "SELECT profile FROM baseline_streams WHERE baseline = ?1 AND stream_key = ?2";
            self.db
                .prepare_cached(select)
                .and_then(|mut select| select.query_row(params![id, key_of(labels)], |row| row.get(0)).optional())
                .map_err(|source| self.sqlite("restoring a baseline", source))?
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let profile: Profile = self.read(&format!("baseline {id}"), &bytes)?;
        Ok(Some(Box::new(Baseline { id, provisional: is_provisional, profile })))
    }

    fn restore_recent(&self, partition: Partition) -> Result<Vec<Op>, LedgerError> {
        let sqlite = |source| self.sqlite("restoring recent outputs", source);
        let mut select =
            self.db.prepare("SELECT ops FROM recent_ops WHERE partition = ?1 ORDER BY seq").map_err(sqlite)?;
        let rows = select.query_map([partition.0], |row| row.get::<_, Vec<u8>>(0)).map_err(sqlite)?;
        let mut ops = Vec::new();
        for row in rows {
            match self.read::<Vec<Op>>("list of recent outputs", &row.map_err(sqlite)?) {
                Ok(read) => ops.extend(read),
                Err(error) => {
                    let why = if let LedgerError::Blob { why, .. } = error { why } else { error.to_string() };
                    tracing::error!(
                        partition = partition.0,
                        why,
                        "a list of recent outputs cannot be read; they are forgotten: verdicts on them count for their agents as a whole, and copies \
                         of them count again"
                    );
                    self.count_damage(1);
                }
            }
        }
        Ok(ops)
    }

    /// The router as it was written down.
    ///
    /// # Errors
    /// What SQLite says, or a state that cannot be read.
    pub fn restore_router(&self) -> Result<Option<WrittenRouter>, LedgerError> {
        let sqlite = |source| self.sqlite("restoring the router", source);
        let Some(memory) = self.router_memory()? else { return Ok(None) };
        let mut crossings = BTreeMap::new();
        let mut select = self.db.prepare_cached("SELECT crossing FROM alert_events WHERE id = ?1").map_err(sqlite)?;
        for (alert, crossing) in memory.crossings() {
            let text: Option<String> =
                select.query_row([crossing.to_string()], |row| row.get(0)).optional().map_err(sqlite)?;
            let read = text.as_deref().map(serde_json::from_str).transpose();
            let what = || format!("crossing {crossing}");
            let fault = |why: String| LedgerError::Blob { path: self.path.clone(), what: what(), why };
            let found =
                read.map_err(|error| fault(error.to_string()))?.ok_or_else(|| fault("it is gone".to_owned()))?;
            crossings.insert(alert, found);
        }
        Ok(Some((memory, crossings)))
    }

    /// What the router wrote down of itself.
    pub(super) fn router_memory(&self) -> Result<Option<RouterMemory>, LedgerError> {
        let row: Option<Vec<u8>> = self
            .db
            .query_row("SELECT state FROM router WHERE id = 1", [], |row| row.get(0))
            .optional()
            .map_err(|source| self.sqlite("reading the router", source))?;
        row.map(|bytes| self.read("state of the router", &bytes)).transpose()
    }

    /// The files of the last rule set that was accepted, by name; none where there was none.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn last_good_sources(&self) -> Result<BTreeMap<String, String>, LedgerError> {
        let select = "SELECT sources FROM rule_sets WHERE accepted ORDER BY id DESC LIMIT 1";
        let text: Option<String> = self
            .db
            .query_row(select, [], |row| row.get(0))
            .optional()
            .map_err(|source| self.sqlite("reading the last good rule files", source))?;
        // What cannot be read differs from everything.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// The last rule set that was accepted.
    ///
    /// # Errors
    /// What SQLite says, or a set that cannot be read.
    pub fn last_good_rules(&self) -> Result<Option<RuleSet>, LedgerError> {
        let row: Option<Vec<u8>> = self
            .db
            .query_row(
                "SELECT compiled FROM rule_sets WHERE accepted AND compiled IS NOT NULL ORDER BY id DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(|source| self.sqlite("reading the last good rules", source))?;
        row.map(|bytes| self.read("last good rule set", &bytes)).transpose()
    }

    pub(super) fn count_damage(&self, states: u64) {
        self.damaged.set(self.damaged.get() + states);
    }

    fn read<T: serde::de::DeserializeOwned>(&self, what: &str, bytes: &[u8]) -> Result<T, LedgerError> {
        decode(bytes).map_err(|error| self.blob(what, &error.to_string()))
    }

    fn blob(&self, what: &str, why: &str) -> LedgerError {
        LedgerError::Blob { path: self.path.clone(), what: what.to_owned(), why: why.to_owned() }
    }
}

/// A rule set as it is written down.
pub fn encode_rules(rules: &RuleSet) -> Vec<u8> {
    super::blob::encode(rules)
}
