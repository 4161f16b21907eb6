//! One transaction for every batch: streams, panes, alerts, messages, positions.

use rusqlite::{Transaction, TransactionBehavior, params};

use super::acts::{self, OperatorAct};
use super::blob::encode;
use super::cases;
use super::rows::{self, Compressors, StreamWriter};
use super::taken::{Rest, StreamRow, Taken};
use super::{Ledger, LedgerError};
use crate::edge::failpoint::{Point, reach};
use crate::engine::recent::Op;
use crate::engine::route::{Message, RouterMemory};
use crate::engine::units::{Offset, Partition, Timestamp};
use crate::engine::{Effect, Engine};

/// What streams that are written together weigh, about a kilobyte each: as much as the quarter of an hour of a thousand streams that
/// a replay commits at once. Panes are written in the order of time, which fills the pages of a file one after the other.
const GATHERED_MAX: usize = 32_768;

/// The newest rejected records kept.
const REJECTS_MAX: i64 = 10_000;

/// The record before the next one, by which a recreated topic is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its offset.
    pub offset: Offset,
    /// CRC-32 of its payload.
    pub crc: u32,
}

/// A hole in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    /// Where.
    pub partition: Partition,
    /// The first missing offset.
    pub from: Offset,
    /// The first offset that is there again.
    pub to: Offset,
    /// Why.
    pub reason: String,
}

/// A rule set that was offered.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSetRow {
    /// The set's hash, where it compiled.
    pub hash: Option<String>,
    /// Whether it is in force now.
    pub accepted: bool,
    /// Why it was offered: start, signal, file change, request.
    pub origin: &'static str,
    /// Who changed the files or asked for it, as far as that is known.
    pub who: String,
    /// What changed since the last accepted set, as a unified diff.
    pub diff: String,
    /// How many rules.
    pub rules: usize,
    /// What was found, one line each.
    pub diagnostics: String,
    /// The files as JSON `{name: text}`.
    pub sources: String,
    /// The compiled set, where it compiled.
    pub compiled: Option<Vec<u8>>,
}

/// Everything that one batch changed.
#[derive(Debug)]
pub struct Commit<'c> {
    /// The engines that were stepped, with the last record of each.
    pub engines: Vec<(&'c mut Engine, Option<Anchor>)>,
    /// The same of engines that went on meanwhile.
    pub taken: &'c [Taken],
    /// What they asked for, in order.
    pub effects: &'c [(Partition, Effect)],
    /// Payloads of rejected records, by position; a record not found here is kept without its payload.
    pub payload: &'c dyn Payloads,
    /// What the router asked for.
    pub messages: &'c [Message],
    /// The router after it, where it changed.
    pub router: Option<&'c RouterMemory>,
    /// What people did.
    pub acts: &'c [OperatorAct],
    /// Holes found.
    pub gaps: &'c [GapRow],
    /// The rule set that took effect, where one did.
    pub rule_set: Option<&'c RuleSetRow>,
    /// Wall time.
    pub now: Timestamp,
}

impl Commit<'_> {
    /// One in which nothing happened: what did is put over it.
    pub fn at(now: Timestamp) -> Self {
        Self {
            engines: Vec::new(),
            taken: &[],
            effects: &[],
            payload: &NoPayloads,
            messages: &[],
            router: None,
            acts: &[],
            gaps: &[],
            rule_set: None,
            now,
        }
    }
}

/// Where rejected payloads are looked up.
pub trait Payloads: std::fmt::Debug {
    /// The payload at a position.
    fn payload(&self, partition: Partition, offset: Offset) -> Option<&[u8]>;
}

/// For batches without records.
#[derive(Debug)]
pub struct NoPayloads;

impl Payloads for NoPayloads {
    fn payload(&self, _: Partition, _: Offset) -> Option<&[u8]> {
        None
    }
}

impl Ledger {
    /// Writes everything a batch changed, or nothing of it.
    ///
    /// # Errors
    /// What SQLite says. After an error the engines' changes are no longer known to be unwritten: drop them and restore.
    pub fn commit(&mut self, commit: Commit<'_>) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let Self { db, compressors, .. } = self;
        let run = || -> rusqlite::Result<u64> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let damaged = write_all(&transaction, compressors, commit)?;
            reach(Point::CommitWritten);
            transaction.commit()?;
            Ok(damaged)
        };
        let damaged = run().map_err(|source| LedgerError::of("committing a batch", &path, source))?;
        reach(Point::Committed);
        self.count_damage(damaged);
        self.keep_log_short();
        Ok(())
    }

    /// Writes down a rule set that changed no engine: refused, or the one the daemon starts with.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn note_rules(&mut self, row: &RuleSetRow, now: Timestamp) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let run = |db: &mut rusqlite::Connection| -> rusqlite::Result<()> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write_rule_set(&transaction, row, now)?;
            transaction.commit()
        };
        run(&mut self.db).map_err(|source| LedgerError::of("recording a rule set", &path, source))
    }
}

/// Returns how many panes could not be read.
fn write_all(db: &Transaction<'_>, compressors: &mut Compressors, mut commit: Commit<'_>) -> rusqlite::Result<u64> {
    reach(Point::CommitBegun);
    let mut streams = StreamWriter::new(db, compressors)?;
    for (engine, anchor) in std::mem::take(&mut commit.engines) {
        // Some after the other: there may be a hundred thousand.
        let (mut rows, mut weight) = (Vec::new(), 0);
        for index in engine.take_dirty() {
            let Some(row) = StreamRow::take(engine, index) else { continue };
            weight += row.weight();
            rows.push(row);
            if weight >= GATHERED_MAX {
                streams.write(&rows)?;
                rows.clear();
                weight = 0;
            }
        }
        streams.write(&rows)?;
        write_rest(db, &Rest::take(engine, anchor))?;
    }
    for Taken { streams: rows, rest } in commit.taken {
        streams.write(rows)?;
        write_rest(db, rest)?;
    }
    let damaged = streams.panes.damaged;
    reach(Point::StreamsWritten);
    let mut rejected = false;
    for (partition, effect) in commit.effects {
        rejected |= matches!(effect, Effect::Rejected { .. });
        write_effect(db, *partition, effect, &commit)?;
    }
    if rejected {
        db.prepare_cached(
            "DELETE FROM rejects WHERE (partition, offset) IN (SELECT partition, offset FROM rejects
             ORDER BY at_ms DESC, partition, offset DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([REJECTS_MAX])?;
    }
    for message in commit.messages {
        super::outbox::insert(db, message, commit.now)?;
    }
    for gap in commit.gaps {
        db.prepare_cached(
            "INSERT INTO gaps (partition, from_offset, to_offset, reason, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![gap.partition.0, gap.from.0, gap.to.0, gap.reason, commit.now.as_millis()])?;
        // The record before the hole proves nothing about the log after it.
        db.prepare_cached(
            "UPDATE partitions SET anchor_offset = NULL, anchor_crc = NULL WHERE partition = ?1 AND next_offset = ?2",
        )?
        .execute(params![gap.partition.0, gap.to.0])?;
    }
    if let Some(row) = commit.rule_set {
        write_rule_set(db, row, commit.now)?;
    }
    if let Some(router) = commit.router {
        write_router(db, router)?;
    }
    for act in commit.acts {
        acts::write(db, act, commit.now)?;
    }
    Ok(damaged)
}

fn write_router(db: &Transaction<'_>, router: &RouterMemory) -> rusqlite::Result<()> {
    for silence in router.silences() {
        acts::count(db, silence)?;
    }
    db.prepare_cached(
        "INSERT INTO router (id, state) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
    )?
    .execute([encode(router)])
    .map(drop)
}

/// The id of a stream's row.
pub(super) fn stream_id(partition: Partition, index: u32) -> i64 {
    (i64::from(partition.0) << 32) | i64::from(index)
}

/// Writes what of a partition belongs to no stream, once its streams are written.
fn write_rest(db: &Transaction<'_>, rest: &Rest) -> rusqlite::Result<()> {
    let Rest { partition, position, anchor, recent: (ops, capacity) } = rest;
    write_recent(db, *partition, ops, *capacity as i64)?;
    // Without a record in this batch (rules, silence) the anchor stays what it was.
    db.prepare_cached(
        "INSERT INTO partitions (partition, next_offset, anchor_offset, anchor_crc, position) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset,
         anchor_offset = coalesce(excluded.anchor_offset, anchor_offset),
         anchor_crc = coalesce(excluded.anchor_crc, anchor_crc), position = excluded.position",
    )?
    .execute(params![
        partition.0,
        position.next.0,
        anchor.map(|a| a.offset.0),
        anchor.map(|a| a.crc),
        encode(position)
    ])?;
    Ok(())
}

/// Appends the changes of the memory of recent outputs, and drops those that only made entries long pushed out.
fn write_recent(db: &Transaction<'_>, partition: Partition, ops: &[Op], capacity: i64) -> rusqlite::Result<()> {
    if ops.is_empty() {
        return Ok(());
    }
    let inserts = ops.iter().filter(|op| matches!(op, Op::Insert(_))).count() as i64;
    db.prepare_cached(
        "INSERT INTO recent_ops (partition, seq, inserts, ops)
         SELECT ?1, coalesce(max(seq), 0) + 1, ?2 + coalesce((SELECT inserts FROM recent_ops WHERE partition = ?1
         ORDER BY seq DESC LIMIT 1), 0), ?3 FROM recent_ops WHERE partition = ?1",
    )?
    .execute(params![partition.0, inserts, encode(&ops)])?;
    // `inserts` counts from the beginning: everything before the newest `capacity` of them is no longer remembered.
    db.prepare_cached(
        "DELETE FROM recent_ops WHERE partition = ?1 AND inserts <= (SELECT max(inserts) FROM recent_ops
         WHERE partition = ?1) - ?2",
    )?
    .execute(params![partition.0, capacity])?;
    Ok(())
}

fn write_effect(
    db: &Transaction<'_>,
    partition: Partition,
    effect: &Effect,
    commit: &Commit<'_>,
) -> rusqlite::Result<()> {
    match effect {
        Effect::Crossed(crossing) => rows::write_crossing(db, crossing),
        Effect::Rejected { offset, rejection } => {
            let payload = commit.payload.payload(partition, *offset).unwrap_or_default();
            let head = payload.get(..payload.len().min(4_096)).unwrap_or_default();
            db.prepare_cached(
                "INSERT INTO rejects (partition, offset, at_ms, why, detail, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (partition, offset) DO UPDATE SET at_ms = excluded.at_ms, why = excluded.why,
                 detail = excluded.detail, payload = excluded.payload",
            )?
            .execute(params![
                partition.0,
                offset.0,
                commit.now.as_millis(),
                rejection.why.as_str(),
                rejection.detail,
                head
            ])
            .map(drop)
        }
        // The baseline itself is written with its stream.
        Effect::Learnt { .. } => Ok(()),
        Effect::Version { stream, from, to, at } => db
            .prepare_cached(
                "INSERT INTO versions (stream_id, at_ms, from_version, to_version) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![stream_id(partition, *stream), at.as_millis(), from, to])
            .map(drop),
        Effect::Case { stream, case } => cases::write(db, stream_id(partition, *stream), case),
        Effect::Judged { stream, at, key, judged_at, correct } => {
            cases::mark(db, stream_id(partition, *stream), (*at, *key), (*judged_at, *correct))
        }
        Effect::Drawn { stream, point } => db
            .prepare_cached(
                "INSERT INTO chart_points (at_ms, stream_id, chart, measure, statistic, limit_value, centre, samples,
                 out_of_control, method) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                point.at.as_millis(),
                stream_id(partition, *stream),
                point.chart.to_string(),
                point.measure.to_string(),
                point.statistic,
                point.limit,
                point.centre,
                point.samples as i64,
                point.out,
                point.method
            ])
            .map(drop),
    }
}

fn write_rule_set(db: &Transaction<'_>, row: &RuleSetRow, now: Timestamp) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO rule_sets (hash, at_ms, accepted, origin, rules, diagnostics, sources, compiled, who, diff)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            row.hash,
            now.as_millis(),
            row.accepted,
            row.origin,
            row.rules as i64,
            row.diagnostics,
            row.sources,
            row.compiled,
            row.who,
            row.diff
        ],
    )
    .map(drop)
}
