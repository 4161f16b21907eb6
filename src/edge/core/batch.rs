//! Records as they come: stepped at once, so that what they decide is known at once, and written down later.
//!
//! A commit writes every stream that changed, so it costs much the same for one record and for a thousand. Records wait for it
//! as long as nobody waits for them: until an alert changes its state, until they are many, or for a second. Each partition has
//! its own position, so each is committed for itself: records that come meanwhile wait for a small commit, not for a large one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::super::failpoint::{Point, reach, reach_record};
use super::super::kafka::{Batch, Record};
use super::super::ledger::{Anchor, Commit, Ledger, LedgerError};
use super::super::payload::Records;
use super::super::show::tell;
use super::super::{EdgeError, clock};
use super::mend::{Caution, Poison};
use super::open::{Came, Open, Stepped};
use super::{Core, route};
use crate::engine::event::{Rejection, Why};
use crate::engine::units::Partition;
use crate::engine::{Effect, Engine, Input};

/// Streams in a commit of what is due, but for those of the last partition: they take some milliseconds, and one commit for each
/// of hundreds of partitions would ask too much of a disk.
const STREAMS_AT_ONCE: usize = 100;

impl Core {
    /// Steps records that the reader handed over then, and leaves them to the next commit.
    pub(super) fn batch(&mut self, (batch, handed): (&Batch, Instant)) {
        reach(Point::BatchTaken);
        let now = clock::instant();
        let Self { engines, ledger, caution, open, status, heard_at, .. } = self;
        let mut heard = None;
        for record in batch.records() {
            let Some(engine) = engines.get_mut(record.partition) else { continue };
            if heard.replace(record.partition) != Some(record.partition) {
                status.stalled.remove(&record.partition);
                heard_at.insert(record.partition, now);
            }
            open.take(&record, now, |effects| step(engine, (ledger, caution, &caution.poison), &record, effects));
        }
        status.decisions.add(batch.records().len() as u64, handed.elapsed());
        if caution.died {
            ledger.handled();
        }
        reach(Point::BatchStepped);
    }

    /// Steps records of a partition anew.
    pub(super) fn step(&mut self, batch: &Batch, poison: &Poison) -> Stepped {
        let mut effects = Vec::new();
        for record in batch.records() {
            let Some(engine) = self.engines.get_mut(record.partition) else { continue };
            if step(engine, (&self.ledger, &self.caution, poison), &record, &mut effects) == Came::Panic {
                return Stepped::Panicked;
            }
        }
        if self.caution.died {
            self.ledger.handled();
        }
        Stepped::Done(effects)
    }

    /// Writes down everything that was stepped.
    pub(super) fn commit_open(&mut self) -> Result<(), EdgeError> {
        let parts = self.open.take_all();
        self.commit_parts(parts)
    }

    /// Writes down some of what is due.
    pub(super) fn commit_due(&mut self) -> Result<(), EdgeError> {
        let engines = &self.engines;
        let streams = |partition| engines.get(partition).map_or(0, Engine::unwritten);
        let parts = self.open.take_due(clock::instant(), (STREAMS_AT_ONCE, streams));
        self.commit_parts(parts)
    }

    fn commit_parts(&mut self, mut parts: BTreeMap<Partition, Open>) -> Result<(), EdgeError> {
        if parts.is_empty() {
            return Ok(());
        }
        let mut poison = self.caution.poison.clone();
        if self.persist(|core| core.commit_or_mend(&mut parts, &mut poison))?.is_none() {
            return Ok(());
        }
        for Open { batch, .. } in parts.values() {
            self.caution.passed(batch);
        }
        self.mark(|partition| parts.contains_key(&partition));
        for ((partition, offset), why) in &poison {
            let is_it = |open: &Open| open.batch.records().any(|record| record.offset == *offset);
            if parts.get(partition).is_some_and(is_it) {
                tracing::error!(partition = partition.0, offset = offset.0, "a record is left out: {why}");
            }
        }
        Ok(())
    }

    /// Commits records with what came of them.
    pub(super) fn commit_batches(
        &mut self,
        parts: &BTreeMap<Partition, Open>,
        effects: &[(Partition, Effect)],
    ) -> Result<(), LedgerError> {
        let now = clock::now();
        let messages = route(&mut self.router, effects, now);
        let router = self.router.take_unwritten();
        let anchors: BTreeMap<Partition, Anchor> = parts
            .values()
            .flat_map(|open| open.batch.ends())
            .map(|(partition, (_, a))| (partition, Anchor { offset: a.offset, crc: a.crc }))
            .collect();
        let engines = self
            .engines
            .iter_mut()
            .filter_map(|engine| anchors.get(&engine.partition()).copied().map(|anchor| (engine, Some(anchor))))
            .collect();
        self.ledger.commit(Commit {
            engines,
            effects,
            payload: &Records::of(parts.values().map(|open| &open.batch)),
            messages: &messages,
            router: router.as_ref(),
            ..Commit::at(now)
        })?;
        self.anchors.extend(anchors);
        self.status.committed_at = Some(now);
        if router.is_some() {
            // Messages go out now, or there is a new time at which they do.
            self.tick_at = clock::instant();
        }
        tell(effects);
        Ok(())
    }
}

/// Steps a record.
fn step(
    engine: &mut Engine,
    (ledger, caution, poison): (&Ledger, &Caution, &Poison),
    record: &Record<'_>,
    effects: &mut Vec<Effect>,
) -> Came {
    let (before, at) = (effects.len(), (record.partition, record.offset));
    if caution.is_due(record.partition) {
        ledger.handling(at);
    }
    let done = catch_unwind(AssertUnwindSafe(|| {
        if let Some(why) = poison.get(&at) {
            return engine.reject(record.offset, Rejection::new(Why::Poison, why), effects);
        }
        let payload = record.payload.unwrap_or_default();
        reach_record(payload);
        let (offset, appended) = (record.offset, record.appended);
        engine.step(Input::Record { offset, appended, payload }, effects);
    }));
    if done.is_err() {
        return Came::Panic;
    }
    let mut came = Came::Quiet;
    for crossing in effects.iter().skip(before).filter_map(Effect::crossing) {
        tracing::debug!(id = %crossing.alert_id, to = crossing.to.as_str(), "an alert is about to change");
        came = Came::Crossing;
    }
    came
}
