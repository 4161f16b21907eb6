//! The loop: one thread that owns the engines and the router. It uses the database itself, but for most commits of records, which
//! are written beside it.

mod batch;
mod command;
mod mend;
mod open;
mod tick;
mod writer;

pub use self::command::{Answer, Ask, Command, NewAck, NewSilence, Refusal};
use self::mend::Caution;
use self::open::Opens;
use self::writer::Writer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver as Channel, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::budget::Shares;
use super::deliver::{Settled, Workers};
use super::failpoint::{Point, reach};
use super::kafka::{EndReason, Gap, KafkaEvent, KafkaHandle, KafkaProblem, OnGap, StartAt};
use super::ledger::{Anchor, Commit, GapRow, Ledger, LedgerError, OperatorAct, Outcome, RuleSetRow};
use super::offer::first_rules;
use super::show::tell;
use super::telemetry::{Board, Snapshot};
use super::{EdgeError, clock};
use crate::config::Config;
use crate::engine::baseline::BaselineSet;
use crate::engine::route::{Message, Router, Signal};
use crate::engine::rule::RuleSet;
use crate::engine::units::{Partition, Timestamp};
use crate::engine::{Effect, Engine, Engines, News, Settings};

/// Everything that can happen to the daemon.
#[derive(Debug)]
pub enum Happening {
    /// Something about Kafka.
    Kafka(KafkaEvent),
    /// An attempt to deliver ended.
    Settled(Settled),
    /// Rule files are to be read again, and why.
    Reload(&'static str),
    /// Somebody asks for something and waits for the answer.
    Asked(Command),
    /// Records were written down, or could not be.
    Written,
    /// Look at what was asked for: to stop, to read the rules again.
    Wake,
}

/// The longest the loop sleeps: it feeds the watchdog and the board at least that often.
const TICK: Duration = Duration::from_secs(1);

/// Streams that meet what is in force before the next record: so many, for they are committed together, and no longer than that,
/// for charts that have to be designed anew take milliseconds a stream, others microseconds.
const MEET_AT_ONCE: usize = 1_000;
const MEET_FOR: Duration = Duration::from_millis(15);
/// How often what takes a look at every stream is found anew.
const SURVEY_EVERY: Duration = Duration::from_secs(10);

/// The daemon's state. Everything in it can be restored from the database.
pub(super) struct Core {
    config: Config,
    settings: Arc<Settings>,
    writer: Writer,
    rules: Arc<RuleSet>,
    baselines: Arc<BaselineSet>,
    engines: Engines,
    anchors: BTreeMap<Partition, Anchor>,
    router: Router,
    workers: Workers,
    kafka: Option<KafkaHandle>,
    board: Arc<Board>,
    status: Snapshot,
    happenings: Channel<Happening>,
    /// What came while records were being taken out of the engines.
    held: Option<Happening>,
    stop: Arc<AtomicBool>,
    asked_to_reload: Arc<AtomicBool>,
    /// Records that are not committed yet.
    open: Opens,
    /// When to look again for what is due by the clock.
    tick_at: Instant,
    /// When event time last went on without a record.
    idle_at: BTreeMap<Partition, Instant>,
    /// When each partition's last batch came, or it was assigned: how long it is quiet is not for the wall clock to say.
    heard_at: BTreeMap<Partition, Instant>,
    /// When the ends of the partitions were last known.
    progress_at: Option<Instant>,
    /// When partitions were last assigned; nothing while there are none.
    assigned_at: Option<Instant>,
    promotion_at: Instant,
    housekeeping_due: Instant,
    published_at: Option<Instant>,
    surveyed_at: Option<Instant>,
    /// When each receiver that keeps alerts was last told how things stand.
    refreshed_at: BTreeMap<String, Instant>,
    shares: Shares,
    caution: Caution,
    /// Whether something could not be committed, and the daemon ends.
    abandoned: bool,
    /// How often the file looked damaged.
    doubts: u32,
}

impl Core {
    pub(super) fn start(
        config: Config,
        mut ledger: Ledger,
        board: Arc<Board>,
        (send, happenings): (SyncSender<Happening>, Channel<Happening>),
        (stop, asked_to_reload): (Arc<AtomicBool>, Arc<AtomicBool>),
    ) -> Result<Self, EdgeError> {
        let mut status = Snapshot { not_ready_because: "no partition assigned yet".to_owned(), ..Snapshot::default() };
        let caution = ledger.begin_run()?.map(|(suspects, marks)| Caution::after(suspects, marks)).unwrap_or_default();
        let rules = first_rules(&config, &mut ledger, &mut status)?;
        let baselines = Arc::new(ledger.promoted()?);
        let shares = Shares::new(config.budget);
        let router = restored_router(&config, &ledger)?;
        let workers = Workers::start(&config.receivers, &send)?;
        let writer = Writer::start(ledger, send)?;
        status.baseline.clone_from(&baselines.id);
        let now = clock::instant();
        let mut core = Self {
            settings: Arc::new(config.engine.clone()),
            config,
            writer,
            rules: Arc::new(rules),
            baselines,
            engines: Engines::default(),
            anchors: BTreeMap::new(),
            router,
            workers,
            kafka: None,
            board,
            status,
            happenings,
            held: None,
            stop,
            asked_to_reload,
            open: Opens::default(),
            tick_at: now,
            idle_at: BTreeMap::new(),
            heard_at: BTreeMap::new(),
            progress_at: None,
            assigned_at: None,
            promotion_at: now,
            housekeeping_due: now + tick::HOUSEKEEPING_FIRST,
            published_at: None,
            surveyed_at: None,
            refreshed_at: BTreeMap::new(),
            shares,
            caution,
            abandoned: false,
            doubts: 0,
        };
        core.publish(true);
        Ok(core)
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn read(&mut self, kafka: KafkaHandle) {
        self.kafka = Some(kafka);
    }

    /// Goes round until it is told to stop or cannot go on.
    pub(super) fn run(&mut self) -> Result<(), EdgeError> {
        let ended = self.go_round();
        if ended.is_err() {
            // What the database said last may be why: what is not committed is read again.
            self.abandon();
        }
        ended.and(self.commit_open())
    }

    fn go_round(&mut self) -> Result<(), EdgeError> {
        let mut watchdog = clock::instant();
        while !self.stop.load(Ordering::SeqCst) {
            let have_all_met = self.have_all_met();
            let pause = if have_all_met { self.until_due() } else { Duration::ZERO };
            match self.next_happening(pause) {
                Ok(Happening::Kafka(KafkaEvent::Batch(batch, handed))) => self.batch((&batch, handed)),
                Ok(Happening::Written) | Err(RecvTimeoutError::Timeout) => {}
                Ok(happening) => self.handle(happening)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            if self.asked_to_reload.swap(false, Ordering::SeqCst) {
                self.handle(Happening::Reload("signal"))?;
            }
            self.look_for_written()?;
            if self.open.is_full() {
                self.join()?;
            }
            if !have_all_met {
                self.meet_some()?;
            }
            // All that follows needs the database.
            if self.writer.is_busy() {
                continue;
            }
            if watchdog.elapsed() > TICK {
                watchdog = clock::instant();
                notify_systemd(&[sd_notify::NotifyState::Watchdog]);
            }
            if self.tick_at <= clock::instant() {
                let ticked = self.tick();
                self.looked(ticked)?;
                let pause = self.pause();
                self.tick_at = clock::instant() + self.looked(pause)?.unwrap_or_default();
            }
            if self.open.due().is_some_and(|due| due <= clock::instant()) {
                self.commit_due()?;
            }
            while self.open.is_full() {
                self.commit_due()?;
            }
        }
        tracing::info!("stopping");
        notify_systemd(&[sd_notify::NotifyState::Stopping]);
        Ok(())
    }

    fn next_happening(&mut self, within: Duration) -> Result<Happening, RecvTimeoutError> {
        self.held.take().map_or_else(|| self.happenings.recv_timeout(within), Ok)
    }

    /// How long there is nothing to do unless something happens. What is due waits for what is being written.
    fn until_due(&self) -> Duration {
        if self.writer.is_busy() {
            return TICK;
        }
        let next = self.open.due().map_or(self.tick_at, |due| due.min(self.tick_at));
        next.saturating_duration_since(clock::instant())
    }

    /// Ends what runs beside the loop. Everything that was decided is committed already.
    pub(super) fn close(&mut self, within: Duration) {
        self.mark();
        if self.kafka.take().is_some_and(|kafka| !kafka.stop(within)) {
            tracing::warn!("the Kafka client did not close in time; leaving it behind");
        }
        // What is on its way may still arrive: one that is not settled goes out again after the next start.
        let deadline = clock::instant() + Duration::from_secs(2);
        while self.workers.busy() && clock::instant() < deadline {
            if let Ok(Happening::Settled(settled)) = self.next_happening(Duration::from_millis(100))
                && let Err(error) = self.settle(&settled)
            {
                tracing::error!(%error, "a delivery could not be recorded");
            }
        }
        if let Err(error) = self.writer.ledger().end_run() {
            tracing::warn!(%error, "the next start will take this end for a death");
        }
        if let Err(error) = self.writer.ledger().empty_log() {
            tracing::warn!(%error, "the write-ahead log stays as it is");
        }
    }

    /// How long there is nothing to do.
    fn pause(&self) -> Result<Duration, EdgeError> {
        let mut next = self.router.deadline();
        // Only who is free to take a message is worth waking for.
        for receiver in self.workers.idle() {
            next = [next, self.writer.ledger().next_due(&receiver)?].into_iter().flatten().min();
        }
        let Some(at) = next else { return Ok(TICK) };
        let millis = at.since(clock::now()).as_millis();
        Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(TICK))
    }

    /// Lets something happen after all records that came before it. How a delivery ended has nothing to do with them, and there
    /// may be many of those; nor has how far behind we are.
    fn handle(&mut self, happening: Happening) -> Result<(), EdgeError> {
        if !matches!(happening, Happening::Settled(_) | Happening::Kafka(KafkaEvent::Progress { .. })) {
            self.commit_open()?;
        }
        self.tick_at = clock::instant();
        match happening {
            Happening::Kafka(event) => self.kafka_event(event),
            Happening::Settled(settled) => self.settle(&settled),
            Happening::Reload(origin) => self.reload(origin, None).map(drop),
            Happening::Asked(command) => self.obey(command),
            Happening::Written | Happening::Wake => Ok(()),
        }
    }

    fn kafka_event(&mut self, event: KafkaEvent) -> Result<(), EdgeError> {
        match event {
            KafkaEvent::Assigned { partitions, cluster, reply } => {
                if let Some(starts) = self.with_room(|core| core.starts(&partitions, cluster.as_deref()))? {
                    // A reader that no longer waits has been assigned anew, and asks again. While it begins to read, the
                    // partitions are taken up.
                    drop(reply.send(starts));
                    self.with_room(|core| core.assign(&partitions))?;
                }
            }
            KafkaEvent::Revoked { partitions, done, .. } => {
                reach(Point::RevokeBegun);
                // All records that came before are committed, so there is nothing left to save.
                tracing::info!(partitions = partitions.len(), "partitions revoked");
                self.mark();
                self.engines.retain(|_| false);
                self.status.lag.clear();
                self.status.stalled.clear();
                self.assigned_at = None;
                self.status.ready = false;
                "no partition assigned".clone_into(&mut self.status.not_ready_because);
                reach(Point::Revoked);
                if done.send(()).is_err() {
                    tracing::debug!("the reader did not wait for the revocation");
                }
            }
            KafkaEvent::Batch(batch, handed) => self.batch((&batch, handed)),
            KafkaEvent::Gap(gap) => self.gap(&gap)?,
            // The reader has logged it.
            KafkaEvent::Problem(KafkaProblem::Stalled { partition, .. }) => {
                self.status.stalled.insert(partition);
            }
            KafkaEvent::Problem(problem) => {
                if !self.status.ready {
                    self.status.not_ready_because = problem.to_string();
                }
            }
            KafkaEvent::Progress { lag } => {
                self.status.stalled.retain(|partition| lag.get(partition) != Some(&0));
                self.status.lag = lag;
                self.progress_at = Some(clock::instant());
            }
            KafkaEvent::Ended(EndReason::Stopped) => self.stop.store(true, Ordering::SeqCst),
            KafkaEvent::Ended(reason) => return Err(EdgeError::Reader(reason)),
        }
        Ok(())
    }

    /// Where partitions go on.
    fn starts(&mut self, partitions: &[Partition], cluster: Option<&str>) -> Result<Vec<StartAt>, LedgerError> {
        if let Some(cluster) = cluster {
            self.writer.ledger().belongs_to_cluster(cluster)?;
        }
        let start = |partition: &Partition| {
            let reached = self.writer.ledger().reached(*partition)?;
            let next = reached.map(|(next, _)| next).filter(|next| next.0 > 0);
            let anchor = reached.and_then(|(_, anchor)| anchor);
            let anchor = anchor.map(|a| super::kafka::Anchor { offset: a.offset, crc: a.crc });
            Ok(StartAt { partition: *partition, next, anchor })
        };
        partitions.iter().map(start).collect()
    }

    /// Takes up partitions from the database.
    fn assign(&mut self, partitions: &[Partition]) -> Result<(), LedgerError> {
        self.engines.retain(|partition| partitions.contains(&partition));
        let now = clock::instant();
        self.status.lag.clear();
        self.heard_at = partitions.iter().map(|partition| (*partition, now)).collect();
        for partition in partitions {
            if self.engines.get(*partition).is_none() {
                let engine = self.restore(*partition)?;
                self.engines.insert(engine);
            }
        }
        self.status.ready = true;
        self.status.not_ready_because.clear();
        self.assigned_at = Some(now);
        tracing::info!(partitions = partitions.len(), "partitions assigned");
        Ok(())
    }

    /// A partition's engine as it was committed, under the rules and baselines in force.
    fn restore(&mut self, partition: Partition) -> Result<Engine, LedgerError> {
        let (settings, rules, baselines) = (&self.settings, &self.rules, &self.baselines);
        let mut engine = Engine::new(partition, Arc::clone(settings), Arc::clone(rules), Arc::clone(baselines));
        self.anchors.remove(&partition);
        let restored = self.writer.ledger().restore_partition(partition)?;
        if let Some(state) = restored {
            self.anchors.extend(state.anchor.map(|anchor| (partition, anchor)));
            engine.restore(state.position, state.streams, state.recent.into_iter());
            // The file may have been written under other rules: its streams meet these a few at a time.
            engine.announce(News::Restored(self.shares.at_first()), &mut Vec::new());
        }
        Ok(engine)
    }

    /// Commits what changed outside a batch. Engines of which records wait are left to the commit of those.
    fn commit_all(&mut self, change: &Change<'_>) -> Result<(), LedgerError> {
        let now = clock::now();
        let mut messages = Vec::new();
        for signal in change.signals {
            self.router.step(signal.clone(), now, &mut messages);
        }
        messages.extend(route(&mut self.router, change.effects, now));
        let router = self.router.take_unwritten();
        let engines = self.engines.iter_mut().filter(|engine| !self.open.has(engine.partition()));
        self.writer.ledger().commit(Commit {
            engines: engines.map(|engine| (engine, None)).collect(),
            effects: change.effects,
            messages: &messages,
            router: router.as_ref(),
            acts: change.acts,
            gaps: change.gaps,
            rule_set: change.rule_set,
            ..Commit::at(now)
        })?;
        self.status.committed_at = Some(now);
        tell(change.effects);
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), EdgeError> {
        tracing::error!(
            partition = gap.partition.0,
            from = gap.from.0,
            to = gap.to.0,
            "records are missing: {}",
            gap.reason
        );
        self.status.gaps += 1;
        let row = GapRow { partition: gap.partition, from: gap.from, to: gap.to, reason: gap.reason.to_string() };
        // Where a person is to decide, the position stays before the hole: a restart stops there again.
        let goes_on = self.config.kafka.on_gap != OnGap::Stop;
        self.with_room(|core| {
            if !goes_on {
                return core.commit_all(&Change { gaps: std::slice::from_ref(&row), ..Change::default() });
            }
            if let Some(engine) = core.engines.get_mut(gap.partition) {
                engine.go_on_from(gap.to);
            }
            core.anchors.remove(&gap.partition);
            core.commit_all(&Change { gaps: std::slice::from_ref(&row), ..Change::default() })
        })
        .map(drop)
    }

    /// Tells the group how far we are, when no record waits: a mark for lag tools, never where we start from.
    fn mark(&self) {
        if let Some(kafka) = &self.kafka {
            kafka.mark(self.engines.iter().map(|engine| (engine.partition(), engine.position().next)));
        }
    }

    fn settle(&mut self, settled: &Settled) -> Result<(), EdgeError> {
        self.workers.done(&settled.receiver);
        let failure = match &settled.outcome {
            Outcome::Delivered => None,
            Outcome::Retry { class, detail, .. } | Outcome::Fallback { class, detail } => {
                tracing::warn!(
                    receiver = settled.receiver,
                    class,
                    detail,
                    "a message was not delivered; it will be tried again"
                );
                Some(class)
            }
            Outcome::Dead { class, detail } => {
                tracing::error!(receiver = settled.receiver, class, detail, id = ?settled.message, "a message was given up");
                Some(class)
            }
        };
        *self.status.sent.entry(settled.kind).or_default() += 1;
        if let Some(class) = failure {
            *self.status.failed.entry((settled.kind, class.clone())).or_default() += 1;
        }
        // What was told besides the outbox is in no table.
        let (Some(message), now) = (settled.message.map(|id| id.to_string()), clock::now()) else { return Ok(()) };
        if self.abandoned {
            return Ok(self.writer.ledger().settle(&message, &settled.outcome, now)?);
        }
        self.persist(|core| core.writer.ledger().settle(&message, &settled.outcome, now)).map(drop)
    }

    /// Puts something in force in all engines. What their streams say of it follows; see [`Core::meet_some`].
    fn announce(&mut self, news: impl Fn() -> News) -> Vec<(Partition, Effect)> {
        let mut all = Vec::new();
        let mut effects = Vec::new();
        // What was put in force before is met at once by those that have not met it, which may take designs.
        let partitions: Vec<Partition> = self.engines.iter().map(Engine::partition).collect();
        for partition in partitions {
            let Some(engine) = self.engines.get_mut(partition) else { continue };
            engine.announce(news(), &mut effects);
            all.extend(effects.drain(..).map(|effect| (partition, effect)));
        }
        all
    }

    fn have_all_met(&self) -> bool {
        self.engines.iter().all(Engine::have_all_met)
    }

    /// Lets some streams meet what is in force: so few that records hardly wait.
    fn meet_some(&mut self) -> Result<(), EdgeError> {
        self.with_room(|core| {
            let waits = core.engines.iter().find(|engine| !engine.have_all_met()).map(Engine::partition);
            let Some(engine) = waits.and_then(|partition| core.engines.get_mut(partition)) else { return Ok(()) };
            let (mut effects, until) = (Vec::new(), clock::instant() + MEET_FOR);
            for _ in 0..MEET_AT_ONCE / 10 {
                if engine.meet_some(10, &mut effects) || clock::instant() >= until {
                    break;
                }
            }
            if engine.unwritten() == 0 {
                return Ok(());
            }
            let partition = engine.partition();
            let effects: Vec<(Partition, Effect)> = effects.into_iter().map(|effect| (partition, effect)).collect();
            core.commit_all(&Change { effects: &effects, ..Change::default() })
        })
        .map(drop)
    }
}

/// What is committed outside a batch.
#[derive(Debug, Default)]
struct Change<'c> {
    /// What the engines asked for.
    effects: &'c [(Partition, Effect)],
    /// Holes found.
    gaps: &'c [GapRow],
    /// The rule set that took effect.
    rule_set: Option<&'c RuleSetRow>,
    /// What people did, for the file.
    acts: &'c [OperatorAct],
    /// The same, for the router.
    signals: &'c [Signal],
}

/// The router as it was committed, under the policy in force.
fn restored_router(config: &Config, ledger: &Ledger) -> Result<Router, LedgerError> {
    let router = Router::new(config.policy.clone());
    Ok(match ledger.restore_router()? {
        Some((written, crossings)) => router.resume(written, crossings, clock::now()),
        None => router,
    })
}

/// Passes crossings to the router, and lets it say what was due.
fn route(router: &mut Router, effects: &[(Partition, Effect)], now: Timestamp) -> Vec<Message> {
    router.pass(effects.iter().filter_map(|(_, effect)| effect.crossing()), now)
}

/// Tells systemd, where it started us; nothing otherwise.
pub(super) fn notify_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd does not listen");
    }
}
