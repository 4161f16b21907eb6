//! Records as they come: stepped at once, so that what they decide is known at once, and written down together.
//!
//! A commit writes every stream that changed, so it costs much the same for one record and for a thousand. Records wait for it
//! as long as nobody waits for them: until an alert changes its state, until they are many, or for a second.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::super::failpoint::{Point, reach, reach_record};
use super::super::kafka::Batch;
use super::super::ledger::{Anchor, Commit, LedgerError};
use super::super::payload::Records;
use super::super::show::tell;
use super::super::{EdgeError, clock};
use super::mend::Poison;
use super::{Core, route};
use crate::engine::event::{Rejection, Why};
use crate::engine::units::Partition;
use crate::engine::{Effect, Input};

/// Records that wait for a commit at most, but for those of one batch more.
pub(super) const RECORDS_MAX: usize = 20_000;
/// Bytes of their values, likewise.
const BYTES_MAX: usize = 16 << 20;
/// The longest that a record waits for it.
const COMMIT_WITHIN: Duration = Duration::from_secs(1);

/// What came of stepping records.
#[derive(Debug)]
pub(super) enum Stepped {
    /// What the engines asked for.
    Done(Vec<(Partition, Effect)>),
    /// One of the records made its engine panic.
    Panicked,
    /// Nothing any more: the engines were taken back to the last commit.
    Undone,
}

/// Records that are not committed yet.
#[derive(Debug)]
pub(super) struct Open {
    batch: Batch,
    stepped: Stepped,
    /// When they have to be committed.
    due: Option<Instant>,
}

impl Default for Open {
    fn default() -> Self {
        Self { batch: Batch::default(), stepped: Stepped::Done(Vec::new()), due: None }
    }
}

impl Open {
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The engines were taken back to the last commit.
    pub(super) fn undone(&mut self) {
        if !self.batch.is_empty() {
            self.stepped = Stepped::Undone;
        }
    }

    /// Takes records and what came of them.
    fn take(&mut self, batch: Batch, stepped: Stepped, now: Instant) {
        let crossed = |effects: &[(Partition, Effect)]| effects.iter().any(|(_, effect)| effect.crossing().is_some());
        self.batch.append(batch);
        let many = self.batch.records().len() >= RECORDS_MAX || self.batch.bytes() >= BYTES_MAX;
        let soon = many || !matches!(&stepped, Stepped::Done(effects) if !crossed(effects));
        let due = if soon { now } else { now + COMMIT_WITHIN };
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
        match (&mut self.stepped, stepped) {
            (Stepped::Done(all), Stepped::Done(new)) => all.extend(new),
            (known, new) => *known = new,
        }
    }
}

impl Core {
    /// Steps records, and leaves them to the next commit.
    pub(super) fn batch(&mut self, batch: Batch) {
        reach(Point::BatchTaken);
        let poison = std::mem::take(&mut self.caution.poison);
        let stepped = match self.open.stepped {
            Stepped::Done(_) => self.step(&batch, &poison),
            // Those before them come first.
            Stepped::Panicked | Stepped::Undone => Stepped::Undone,
        };
        self.caution.poison = poison;
        let now = clock::instant();
        let mut partitions: Vec<Partition> = batch.records().map(|record| record.partition).collect();
        partitions.dedup();
        for partition in partitions {
            self.status.stalled.remove(&partition);
            self.heard_at.insert(partition, now);
        }
        if let Stepped::Done(effects) = &stepped {
            for crossing in effects.iter().filter_map(|(_, effect)| effect.crossing()) {
                tracing::debug!(id = %crossing.alert_id, to = crossing.to.as_str(), "an alert is about to change");
            }
        }
        self.open.take(batch, stepped, now);
    }

    /// Writes down what was stepped.
    pub(super) fn commit_open(&mut self) -> Result<(), EdgeError> {
        let Open { batch, stepped, .. } = std::mem::take(&mut self.open);
        if batch.is_empty() {
            return Ok(());
        }
        let mut poison = self.caution.poison.clone();
        let mut first = Some(stepped);
        let done =
            self.persist(|core| core.commit_or_mend(&batch, first.take().unwrap_or(Stepped::Undone), &mut poison));
        self.open = Open::default();
        self.tick_at = clock::instant();
        if done?.is_none() {
            return Ok(());
        }
        self.caution.passed(&batch);
        self.mark();
        for ((partition, offset), why) in &poison {
            if batch.records().any(|record| (record.partition, record.offset) == (*partition, *offset)) {
                tracing::error!(partition = partition.0, offset = offset.0, "a record is left out: {why}");
            }
        }
        Ok(())
    }

    /// Steps records through the engines.
    pub(super) fn step(&mut self, batch: &Batch, poison: &Poison) -> Stepped {
        match catch_unwind(AssertUnwindSafe(|| self.step_batch(batch, poison))) {
            Ok(effects) => {
                reach(Point::BatchStepped);
                Stepped::Done(effects)
            }
            Err(_) => Stepped::Panicked,
        }
    }

    fn step_batch(&mut self, batch: &Batch, poison: &Poison) -> Vec<(Partition, Effect)> {
        let mut all = Vec::new();
        let mut effects = Vec::new();
        for record in batch.records() {
            let Some(engine) = self.engines.get_mut(&record.partition) else { continue };
            let at = (record.partition, record.offset);
            if let Some(why) = poison.get(&at) {
                engine.reject(record.offset, Rejection::new(Why::Poison, why), &mut effects);
            } else {
                if self.caution.is_due(record.partition) {
                    self.ledger.handling(at);
                }
                let payload = record.payload.unwrap_or_default();
                reach_record(payload);
                let (offset, appended) = (record.offset, record.appended);
                engine.step(Input::Record { offset, appended, payload }, &mut effects);
            }
            all.extend(effects.drain(..).map(|effect| (record.partition, effect)));
        }
        if self.caution.died {
            self.ledger.handled();
        }
        all
    }

    pub(super) fn commit_batch(&mut self, batch: &Batch, effects: &[(Partition, Effect)]) -> Result<(), LedgerError> {
        let now = clock::now();
        let messages = route(&mut self.router, effects, now);
        let router = self.router.take_unwritten();
        let ends = batch.ends();
        let anchor = |partition: &Partition| ends.get(partition).map(|(_, a)| Anchor { offset: a.offset, crc: a.crc });
        let engines = self
            .engines
            .iter_mut()
            .filter(|(partition, _)| ends.contains_key(partition))
            .map(|(partition, engine)| (engine, anchor(partition)))
            .collect();
        self.ledger.commit(Commit {
            engines,
            effects,
            payload: &Records::of(batch),
            messages: &messages,
            router: router.as_ref(),
            ..Commit::at(now)
        })?;
        self.anchors.extend(ends.iter().map(|(p, (_, a))| (*p, Anchor { offset: a.offset, crc: a.crc })));
        self.status.committed_at = Some(now);
        tell(effects);
        Ok(())
    }
}
