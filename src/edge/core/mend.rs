//! What the loop does when something breaks: it waits for the disk, begins again from what is committed, and finds the record
//! that panics or kills.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::kafka::{BATCH_RECORDS, Batch};
use super::super::ledger::{DEATHS_MAX, LedgerError, Marks, Suspect};
use super::super::{EdgeError, clock};
use super::open::{Open, Opens, RECORDS_MAX, Stepped};
use super::{Core, notify_systemd, restored_router};
use crate::engine::units::{Offset, Partition};
use crate::engine::{Effect, Engine};

/// Records of a partition that are handled with care after a death: as many as can be stepped and not committed, those that are
/// being written and those behind them.
const CAREFUL: usize = 2 * (RECORDS_MAX + BATCH_RECORDS);

/// The longest wait between two attempts to write.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How often a file may look damaged while the daemon runs, before it is taken for that.
const DOUBTS_MAX: u32 = 3;

/// Records that are passed over, with what is said of them.
pub(super) type Poison = BTreeMap<(Partition, Offset), String>;

/// What a death of the last daemon calls for; nothing where there was none.
#[derive(Debug, Default)]
pub(super) struct Caution {
    /// Where it is said what is being handled.
    marks: Option<Marks>,
    /// Records handled with care so far.
    handled: BTreeMap<Partition, usize>,
    /// What too many daemons died on.
    pub(super) poison: Poison,
}

impl Caution {
    /// After a death with what daemons died on so far.
    pub(super) fn after(suspects: Vec<Suspect>, marks: Marks) -> Self {
        tracing::warn!(
            "the last daemon ended without a stop; the first records of each partition are handled with care"
        );
        for Suspect { at: (partition, offset), deaths } in &suspects {
            tracing::warn!(
                partition = partition.0,
                offset = offset.0,
                deaths,
                "daemons died while they handled a record"
            );
        }
        let killers = suspects.into_iter().filter(|suspect| suspect.deaths >= DEATHS_MAX);
        let told = |deaths: u32| format!("{deaths} processes died on this record");
        let poison = killers.map(|suspect| (suspect.at, told(suspect.deaths))).collect();
        Self { marks: Some(marks), handled: BTreeMap::new(), poison }
    }

    /// Says that a record is about to be handled, where it takes care.
    pub(super) fn handling(&self, at: (Partition, Offset)) {
        let is_due = self.handled.get(&at.0).is_none_or(|handled| *handled < CAREFUL);
        if let Some(marks) = self.marks.as_ref().filter(|_| is_due) {
            marks.handling(at);
        }
    }

    /// Says that no record is being handled.
    pub(super) fn handled(&self) {
        if let Some(marks) = &self.marks {
            marks.handled();
        }
    }

    /// Takes note of a batch that is committed.
    pub(super) fn passed(&mut self, batch: &Batch) {
        if self.marks.is_some() {
            batch.records().for_each(|record| *self.handled.entry(record.partition).or_default() += 1);
        }
    }
}

impl Core {
    /// Does something that ends in a commit, after the records that came before it. While the disk is full or fails, or somebody
    /// else holds the database, it waits and does it again, from the state as it was committed. Nothing comes of it when the
    /// daemon is told to stop meanwhile.
    pub(super) fn with_room<T, E: Into<EdgeError>>(
        &mut self,
        act: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, EdgeError> {
        self.commit_open()?;
        self.persist(act)
    }

    /// The same for the records themselves, and for what has nothing to do with them.
    pub(super) fn persist<T, E: Into<EdgeError>>(
        &mut self,
        mut act: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, EdgeError> {
        if self.abandoned {
            return Ok(None);
        }
        self.join()?;
        let before = (self.status.ready, self.status.not_ready_because.clone());
        let mut wait = Duration::from_secs(1);
        let mut done = act(self).map_err(E::into);
        let mut reopen = false;
        loop {
            let error = match done {
                Err(EdgeError::Ledger(error)) if error.passes() => error,
                Err(error) => {
                    self.abandon();
                    return Err(error);
                }
                Ok(done) => return Ok(Some(done)),
            };
            // A disk that cannot be read makes a good file look damaged. A damaged one stays so.
            self.doubts += u32::from(matches!(error, LedgerError::Damaged { .. }));
            if self.doubts > DOUBTS_MAX {
                self.abandon();
                return Err(error.into());
            }
            reopen |= error.is_disk_error();
            let what = match reopen {
                true => "the disk fails",
                false if error.is_busy() => "somebody else holds the database",
                false => "the disk is full",
            };
            tracing::error!(%error, "{what}; waiting {} s and trying again", wait.as_secs());
            self.status.commit_failures += 1;
            self.status.ready = false;
            self.status.not_ready_because = format!("{what}: {error}");
            self.publish(true);
            if self.wait_for_room(wait) {
                self.abandon();
                return Ok(None);
            }
            wait = (wait * 2).min(WAIT_MAX);
            // After an error the system may call written what never reached the disk: only a new look at the file tells.
            let opened = if reopen { self.writer.ledger().reopen() } else { Ok(()) };
            reopen &= opened.is_err();
            done = opened.and_then(|()| self.reset()).map_err(EdgeError::from).and_then(|()| {
                (self.status.ready, self.status.not_ready_because) = before.clone();
                act(self).map_err(E::into)
            });
        }
    }

    /// Ends with what is committed. What was not committed did not happen: it must not be marked, and what the router made of it
    /// must not be written, so nothing is written any more.
    pub(super) fn abandon(&mut self) {
        self.engines.retain(|_| false);
        self.open = Opens::default();
        self.abandoned = true;
    }

    /// What came of looking into the database. Where the disk failed nothing did, and the file is opened anew; where somebody
    /// else holds it, it is left to them a moment. It is looked at again in the next round.
    pub(super) fn looked<T>(&mut self, result: Result<T, EdgeError>) -> Result<Option<T>, EdgeError> {
        match result {
            Err(EdgeError::Ledger(error)) if error.is_disk_error() || error.is_busy() => {
                let mut first = Some(error);
                self.with_room(|_| first.take().map_or(Ok(()), Err))?;
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Feeds the watchdog and the board within what takes long.
    fn sign_of_life(&mut self) {
        notify_systemd(&[sd_notify::NotifyState::Watchdog]);
        self.publish(false);
    }

    /// Waits while the watchdog and the board are fed. Returns whether to stop.
    fn wait_for_room(&mut self, wait: Duration) -> bool {
        let until = clock::instant() + wait;
        while clock::instant() < until {
            if self.stop.load(Ordering::SeqCst) {
                return true;
            }
            self.sign_of_life();
            clock::sleep(Duration::from_millis(200));
        }
        false
    }

    /// Throws away everything in memory that was not committed. After an error it must be called again.
    fn reset(&mut self) -> Result<(), LedgerError> {
        // Engines stay until they are replaced: a partition that fell out here would be passed over in silence.
        let partitions: Vec<Partition> = self.engines.iter().map(Engine::partition).collect();
        self.router = restored_router(&self.config, &self.writer.ledger())?;
        self.open.undone();
        for partition in partitions {
            let committed = self.anchors.get(&partition).copied();
            let restored = self.restore(partition);
            if restored.is_err() {
                // The next call must know it too.
                self.anchors.extend(committed.map(|anchor| (partition, anchor)));
            }
            let engine = restored?;
            // The reader is past what the disk lost, and would not read it again.
            if let Some(lost) = committed.filter(|anchor| anchor.offset >= engine.position().next) {
                let path = self.writer.ledger().path().to_owned();
                return Err(LedgerError::Back { path, partition: partition.0, offset: lost.offset.0 });
            }
            self.engines.insert(engine);
        }
        Ok(())
    }

    /// Commits records with what came of them. One that makes the engine panic, or that daemons die on, costs that record only.
    pub(super) fn commit_or_mend(
        &mut self,
        parts: &mut BTreeMap<Partition, Open>,
        poison: &mut Poison,
    ) -> Result<(), EdgeError> {
        loop {
            if let Some(effects) = taken(parts) {
                return Ok(self.commit_batches(parts, effects)?);
            }
            if let Some(open) = parts.values().find(|open| matches!(open.stepped, Stepped::Panicked)) {
                poison.insert(self.find_poison(&open.batch, poison)?, "it made the engine panic".to_owned());
                // Each record found is a step forward: a batch full of them takes longer than the watchdog waits.
                self.sign_of_life();
            }
            // All engines are taken back, so all records go with these.
            self.open.take_behind(parts);
            self.reset()?;
            for open in parts.values_mut() {
                open.stepped = self.step(&open.batch, poison);
            }
        }
    }

    /// Finds the record of a batch that makes the engine panic, by stepping anew until it happens again.
    fn find_poison(&mut self, batch: &Batch, known: &Poison) -> Result<(Partition, Offset), EdgeError> {
        self.reset()?;
        for record in batch.records().filter(|r| !known.contains_key(&(r.partition, r.offset))) {
            let one = Batch::of(&record);
            if matches!(self.step(&one, known), Stepped::Panicked) {
                return Ok((record.partition, record.offset));
            }
        }
        // It did not happen again: whatever it was, it was not the records.
        Err(EdgeError::System {
            doing: "handling a batch".to_owned(),
            source: std::io::Error::other("the engine panicked once and not again; restarting is safe"),
        })
    }
}

/// What came of all these records, where all were stepped well.
fn taken(parts: &mut BTreeMap<Partition, Open>) -> Option<Vec<(Partition, Effect)>> {
    if !parts.values().all(Open::is_done) {
        return None;
    }
    let mut all = Vec::new();
    for (partition, open) in parts {
        all.extend(open.take_effects().into_iter().map(|effect| (*partition, effect)));
    }
    Some(all)
}
