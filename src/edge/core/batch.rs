//! Records as they come: stepped at once, so that what they decide is known at once, and written down later.
//!
//! A commit writes every stream that changed, so it costs much the same for one record and for a thousand. Records wait for it
//! as long as nobody waits for them: until an alert changes its state, until they are many, or for a second. Each partition has
//! its own position, so each is committed for itself, and beside the loop: what records that come meanwhile wait for is what is
//! taken out of the engines for it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::super::failpoint::{Point, reach, reach_record};
use super::super::kafka::{Batch, KafkaEvent, Record};
use super::super::ledger::{Commit, LedgerError, Taken};
use super::super::payload::Records;
use super::super::show::tell;
use super::super::{EdgeError, clock};
use super::mend::{Caution, Poison};
use super::open::{Came, Open, Stepped};
use super::writer::{Decided, Job, Written};
use super::{Core, Happening, route};
use crate::engine::event::{Rejection, Why};
use crate::engine::units::{Offset, Partition};
use crate::engine::{Effect, Engine, Input};

/// Streams in a commit of what is due, but for those of the last partition: they take some milliseconds, and one commit for each
/// of hundreds of partitions would ask too much of a disk.
const STREAMS_AT_ONCE: usize = 100;
/// Records of which it is said together how long they waited.
const TIMED_AT_ONCE: u64 = 32;
/// Streams that may change in a commit that is written beside the loop: what changed of them is in memory twice.
const STREAMS_BESIDE: usize = 5_000;

impl Core {
    /// Steps records that the reader handed over then, and leaves them to the next commit.
    pub(super) fn batch(&mut self, (batch, handed): (&Batch, Instant)) {
        reach(Point::BatchTaken);
        let now = clock::instant();
        let Self { engines, caution, open, status, heard_at, .. } = self;
        let mut heard = None;
        let mut waited = 0;
        for record in batch.records() {
            if waited == TIMED_AT_ONCE {
                status.decisions.add(std::mem::take(&mut waited), handed.elapsed());
            }
            waited += 1;
            let Some(engine) = engines.get_mut(record.partition) else { continue };
            if heard.replace(record.partition) != Some(record.partition) {
                status.stalled.remove(&record.partition);
                heard_at.insert(record.partition, now);
            }
            open.take(&record, now, |effects| step(engine, (caution, &caution.poison), &record, effects));
        }
        status.decisions.add(waited, handed.elapsed());
        caution.handled();
        reach(Point::BatchStepped);
    }

    /// Steps records of a partition anew.
    pub(super) fn step(&mut self, batch: &Batch, poison: &Poison) -> Stepped {
        let mut effects = Vec::new();
        for record in batch.records() {
            let Some(engine) = self.engines.get_mut(record.partition) else { continue };
            if step(engine, (&self.caution, poison), &record, &mut effects) == Came::Panic {
                return Stepped::Panicked;
            }
        }
        self.caution.handled();
        Stepped::Done(effects)
    }

    /// Writes down everything that was stepped.
    pub(super) fn commit_open(&mut self) -> Result<(), EdgeError> {
        self.join()?;
        let parts = self.open.take_all();
        self.commit_parts(parts, None)
    }

    /// Writes down some of what is due, beside the loop where that can be. What changed is taken out of one partition after the
    /// other, and records that come meanwhile wait for one of them only.
    pub(super) fn commit_due(&mut self) -> Result<(), EdgeError> {
        self.join()?;
        let all = self.open.is_full();
        let (mut parts, mut taken, mut effects, mut streams) = (BTreeMap::new(), Vec::new(), Vec::new(), 0);
        while let Some((partition, open)) = self.open.first_due(clock::instant(), all) {
            // Where there are too many, a batch can be stepped while these are written.
            let is_enough = streams >= STREAMS_AT_ONCE && (!all || self.open.has_room());
            // What came behind those of a partition that are taken goes into the next commit.
            if (is_enough && !open.urgent) || parts.contains_key(&partition) {
                break;
            }
            let is_done = open.is_done();
            let Some(engine) = self.engines.get_mut(partition) else {
                // Nobody owns it any more; what is left of it comes again to whoever does.
                self.open.remove(partition);
                continue;
            };
            streams += engine.unwritten();
            if !is_done || streams > STREAMS_BESIDE {
                if parts.is_empty() {
                    let open = self.open.remove(partition);
                    return self.commit_parts(open.map(|open| (partition, open)).into_iter().collect(), None);
                }
                break;
            }
            let Some(mut open) = self.open.remove(partition) else { break };
            taken.push(Taken::from(engine, open.anchor()));
            effects.extend(open.take_effects().into_iter().map(|effect| (partition, effect)));
            parts.insert(partition, open);
            // Where there are too many, others wait for room: with them it would never come.
            if !all {
                self.look_for_records();
            }
        }
        if !parts.is_empty() {
            let decided = self.decide(&parts, effects);
            self.writer.write(Job { parts, taken, decided });
        }
        Ok(())
    }

    /// Steps the records that wait, where nothing waits before them and there is room.
    fn look_for_records(&mut self) {
        if self.held.is_some() || self.open.is_full() {
            return;
        }
        match self.happenings.try_recv() {
            Ok(Happening::Kafka(KafkaEvent::Batch(batch, handed))) => self.batch((&batch, handed)),
            Ok(Happening::Written) => {}
            other => self.held = other.ok(),
        }
    }

    /// Waits for what is being written, and takes note of how that ended.
    pub(super) fn join(&mut self) -> Result<(), EdgeError> {
        self.writer.wait().map_or(Ok(()), |written| self.written(written))
    }

    /// Takes note of what was written beside the loop, where that ended.
    pub(super) fn look_for_written(&mut self) -> Result<(), EdgeError> {
        self.writer.written().map_or(Ok(()), |written| self.written(written))
    }

    fn written(&mut self, written: Written) -> Result<(), EdgeError> {
        let Written { parts, decided, result, .. } = written;
        match result {
            Ok(()) => {
                self.committed(&parts, decided);
                tell_left_out(&parts, &self.caution.poison);
                Ok(())
            }
            Err(error) => self.commit_parts(parts, Some(error)),
        }
    }

    /// Writes records down; where it was tried and failed, once more as soon as that may succeed.
    fn commit_parts(
        &mut self,
        mut parts: BTreeMap<Partition, Open>,
        mut failed: Option<LedgerError>,
    ) -> Result<(), EdgeError> {
        if parts.is_empty() {
            return Ok(());
        }
        let mut poison = self.caution.poison.clone();
        let done = self.persist(|core| match failed.take() {
            Some(error) => Err(error.into()),
            None => core.commit_or_mend(&mut parts, &mut poison),
        });
        if done?.is_some() {
            tell_left_out(&parts, &poison);
        }
        Ok(())
    }

    /// Commits records with what came of them.
    pub(super) fn commit_batches(
        &mut self,
        parts: &BTreeMap<Partition, Open>,
        effects: Vec<(Partition, Effect)>,
    ) -> Result<(), LedgerError> {
        let decided = self.decide(parts, effects);
        let anchors = &decided.anchors;
        let engines = self
            .engines
            .iter_mut()
            .filter_map(|engine| anchors.get(&engine.partition()).copied().map(|anchor| (engine, Some(anchor))));
        let payload = Records::of(parts.values().map(|open| &open.batch));
        let commit = Commit { engines: engines.collect(), ..decided.commit(&payload) };
        self.writer.ledger().commit(commit)?;
        self.committed(parts, decided);
        Ok(())
    }

    /// Lets the router see what came of records.
    fn decide(&mut self, parts: &BTreeMap<Partition, Open>, effects: Vec<(Partition, Effect)>) -> Decided {
        let now = clock::now();
        let messages = route(&mut self.router, &effects, now);
        let anchors = parts.iter().filter_map(|(partition, open)| Some((*partition, open.anchor()?))).collect();
        Decided { effects, messages, router: self.router.take_unwritten(), anchors, now }
    }

    /// Takes note of records that are committed.
    fn committed(&mut self, parts: &BTreeMap<Partition, Open>, decided: Decided) {
        let Decided { effects, router, anchors, now, .. } = decided;
        if let Some(kafka) = &self.kafka {
            kafka.mark(anchors.iter().map(|(partition, last)| (*partition, Offset(last.offset.0.saturating_add(1)))));
        }
        self.anchors.extend(anchors);
        self.status.committed_at = Some(now);
        if router.is_some() {
            // Messages go out now, or there is a new time at which they do.
            self.tick_at = clock::instant();
        }
        tell(&effects);
        for open in parts.values() {
            self.caution.passed(&open.batch);
        }
    }
}

/// Logs which of these records were passed over.
fn tell_left_out(parts: &BTreeMap<Partition, Open>, poison: &Poison) {
    for ((partition, offset), why) in poison {
        let is_it = |open: &Open| open.batch.records().any(|record| record.offset == *offset);
        if parts.get(partition).is_some_and(is_it) {
            tracing::error!(partition = partition.0, offset = offset.0, "a record is left out: {why}");
        }
    }
}

/// Steps a record.
fn step(
    engine: &mut Engine,
    (caution, poison): (&Caution, &Poison),
    record: &Record<'_>,
    effects: &mut Vec<Effect>,
) -> Came {
    let (before, at) = (effects.len(), (record.partition, record.offset));
    caution.handling(at);
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
