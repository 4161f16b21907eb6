//! What the loop does although nothing happened: what is due, event time in quiet partitions, promotions, the board.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::budget::promised;
use super::super::show::{open_alerts, unkeyed};
use super::super::{EdgeError, clock};
use super::{Change, Core, SURVEY_EVERY, TICK};
use crate::engine::alert::Crossing;
use crate::engine::units::Span;
use crate::engine::{Input, News};

/// How often a promotion is looked for.
const PROMOTION_EVERY: Duration = Duration::from_secs(3);
/// How often old rows are looked for.
const HOUSEKEEPING_EVERY: Duration = Duration::from_hours(1);
/// How long after the start it is done first: a daemon that is restarted every half hour must do it too.
pub(super) const HOUSEKEEPING_FIRST: Duration = Duration::from_mins(5);
/// The pause before its next round, where more was old than goes in one.
const HOUSEKEEPING_PAUSE: Duration = Duration::from_secs(1);
/// A partition without records for this long is idle: its time goes on by the wall clock.
const IDLE_AFTER: Duration = Duration::from_mins(1);
/// How long the ends of the partitions count as known.
const PROGRESS_FRESH: Duration = Duration::from_mins(1);

impl Core {
    /// What has to be done although nothing happened.
    pub(super) fn tick(&mut self) -> Result<(), EdgeError> {
        let now = clock::now();
        if self.router.deadline().is_some_and(|due| due <= now) {
            self.persist(|core| core.commit_all(&Change::default()))?;
        }
        self.idle()?;
        self.refresh();
        for receiver in self.workers.idle() {
            let due = self.writer.ledger().due(&receiver, now, 1)?.pop();
            if let Some(due) = due {
                self.workers.give(&receiver, due);
            }
        }
        if self.promotion_at.elapsed() > PROMOTION_EVERY {
            self.promotion_at = clock::instant();
            self.look_for_promotion()?;
            let share = if self.have_all_met() { self.shares.renew(|| promised(&self.engines)) } else { None };
            if let Some(share) = share {
                self.with_room(|core| {
                    let effects = core.announce(|| News::Allowance(share));
                    core.commit_all(&Change { effects: &effects, ..Change::default() })
                })?;
            }
        }
        if self.housekeeping_due <= clock::instant() {
            let kept = self.writer.ledger().retire(&self.config.retention, now);
            let more =
                kept.or_else(|error| if error.is_disk_full() || error.is_busy() { Ok(false) } else { Err(error) })?;
            self.housekeeping_due = clock::instant() + if more { HOUSEKEEPING_PAUSE } else { HOUSEKEEPING_EVERY };
        }
        self.publish(false);
        Ok(())
    }

    /// Tells receivers that keep alerts what fires and what ended lately: they forget what is not repeated. One that is
    /// busy is told as soon as it is free again, before any message: behind many of them its turn would never come.
    fn refresh(&mut self) {
        for receiver in self.workers.idle() {
            let keeps = self.config.receivers.iter().any(|(name, r)| *name == receiver && r.keeps_alerts());
            let fresh = |at: &Instant| at.elapsed() < self.config.refresh_every;
            if !keeps || self.refreshed_at.get(&receiver).is_some_and(fresh) {
                continue;
            }
            self.refreshed_at.insert(receiver.clone(), clock::instant());
            let standing: Vec<Crossing> = self.router.standing(&receiver).into_iter().cloned().collect();
            if !standing.is_empty() {
                self.workers.refresh(&receiver, standing);
            }
        }
    }

    /// Lets event time go on in partitions that are read to the end and silent: their clock moves by as much time as goes by, so
    /// that an agent that is alone in its partition can be missed. A wall clock that is set misses nobody.
    fn idle(&mut self) -> Result<(), EdgeError> {
        // Without word from the brokers nobody knows whether agents are silent.
        if self.progress_at.is_none_or(|at| at.elapsed() > PROGRESS_FRESH) {
            return Ok(());
        }
        let mut due = Vec::new();
        for engine in self.engines.iter() {
            let partition = engine.partition();
            let (Some(time), Some(heard_at)) = (engine.position().time, self.heard_at.get(&partition)) else {
                continue;
            };
            let idle = heard_at.elapsed();
            let read_to_end = self.status.lag.get(&partition).is_some_and(|lag| *lag == 0);
            let is_due = self.idle_at.get(&partition).is_none_or(|at| at.elapsed() >= IDLE_AFTER);
            if idle >= IDLE_AFTER && read_to_end && is_due && !self.open.has(partition) {
                self.idle_at.insert(partition, clock::instant());
                due.push((partition, time.plus(Span::from_millis(idle.as_millis() as i64))));
            }
        }
        let move_on = |core: &mut Self| {
            let mut all = Vec::new();
            let mut effects = Vec::new();
            for (partition, now) in &due {
                let Some(engine) = core.engines.get_mut(*partition) else { continue };
                engine.step(Input::Idle { now: *now }, &mut effects);
                all.extend(effects.drain(..).map(|effect| (*partition, effect)));
            }
            if all.is_empty() { Ok(()) } else { core.commit_all(&Change { effects: &all, ..Change::default() }) }
        };
        self.persist(move_on).map(drop)
    }

    pub(super) fn look_for_promotion(&mut self) -> Result<(), EdgeError> {
        if self.writer.ledger().promoted_id()? == self.baselines.id {
            return Ok(());
        }
        self.commit_open()?;
        self.baselines = Arc::new(self.writer.ledger().promoted()?);
        tracing::info!(
            baseline = self.baselines.id,
            streams = self.baselines.streams.len(),
            "another baseline is in force"
        );
        self.status.baseline.clone_from(&self.baselines.id);
        let baselines = Arc::clone(&self.baselines);
        self.with_room(|core| {
            let effects = core.announce(|| News::Baselines(Arc::clone(&baselines)));
            core.commit_all(&Change { effects: &effects, ..Change::default() })
        })
        .map(drop)
    }

    /// Hangs up a new snapshot, at most once a second unless it must be now.
    pub(super) fn publish(&mut self, must: bool) {
        if !must && self.published_at.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        self.published_at = Some(clock::instant());
        self.status.ticked_at = Some(clock::instant());
        self.status.counters =
            self.engines.iter().map(|engine| (engine.partition(), engine.position().counters)).collect();
        self.status.streams = self.engines.iter().map(|engine| engine.streams().len()).sum();
        self.status.alerts = open_alerts(&self.engines);
        self.status.silences = self.router.silences().filter(|s| s.starts_at <= clock::now()).count();
        if must || self.surveyed_at.is_none_or(|at| at.elapsed() >= SURVEY_EVERY) {
            self.surveyed_at = Some(clock::instant());
            self.status.unkeyed_streams = unkeyed(&self.engines);
            self.status.promised = promised(&self.engines);
        }
        self.status.budget_per_week = self.shares.per_week();
        self.status.database = self.writer.ledger().bytes();
        self.status.damaged = self.writer.ledger().damaged();
        self.status.disk_free = disk_free(&self.config.data_dir);
        // The first word comes some seconds after the assignment.
        let heard_at = self.assigned_at.map(|at| self.progress_at.map_or(at, |heard| heard.max(at)));
        self.status.brokers_silent = heard_at.is_some_and(|at| at.elapsed() > PROGRESS_FRESH);
        let counts = self.writer.ledger().outbox_counts();
        match counts {
            Ok(counts) => {
                // A receiver for which nothing waits is 0, not missing.
                let known = self.config.receivers.iter().map(|(name, _)| (name.clone(), (0, 0)));
                self.status.outbox = known.chain(counts).collect();
            }
            Err(error) => tracing::warn!(%error, "the outbox could not be counted"),
        }
        self.board.write(self.status.clone());
    }
}

/// The share of the disk that is free for us; nothing where the system does not say.
fn disk_free(folder: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    (disk.f_blocks > 0).then(|| disk.f_bavail as f64 / disk.f_blocks as f64)
}
