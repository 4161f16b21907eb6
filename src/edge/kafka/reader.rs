//! The reader's thread: polls, gathers batches, hands them on, commits marks, notices stalls.
//!
//! How it stays in the group: librdkafka sends heartbeats from a thread of its own, and wants a poll every
//! `max.poll.interval.ms`. A poll returns a record, so while the core's channel is full the reader does not poll; it
//! waits in slices and watches for the order to stop. A core that takes nothing for the whole interval (two minutes)
//! loses its partitions to another process, which is what should happen; the reader reports
//! [`KafkaProblem::TooSlow`], and rejoins with the first poll after the wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::Shared;
use super::context::{Context, Notes, Turn, lock, release};
use super::cursor::{Arrival, Cursor};
use super::event::{Batch, EndReason, Gap, GapReason, KafkaEvent, KafkaProblem, Record, StartAt, crc};
use super::probe::{Probe, Round};
use super::settings::{OnGap, Tuning};
use super::start::{From, Marks, Plan, Policy};
use crate::edge::clock;
use crate::engine::units::{Offset, Partition, Timestamp};

/// The longest the reader looks away from the order to stop.
const SLICE: Duration = Duration::from_millis(100);
/// How long it lets a full channel drain before it tries again.
const NAP: Duration = Duration::from_millis(2);
/// How long the id of the cluster is waited for.
const CLUSTER_WITHIN: Duration = Duration::from_secs(2);
/// Time between two checks of all partitions after the broker refused an offset.
const RECHECK_EVERY: Duration = Duration::from_secs(5);
/// Records taken in a row before the reader looks at anything else.
const BURST: usize = 256;

/// Everything the thread owns.
pub(super) struct Reader {
    pub(super) consumer: BaseConsumer<Context>,
    pub(super) notes: Arc<Notes>,
    pub(super) probe: Arc<Probe>,
    pub(super) rounds: Receiver<Round>,
    pub(super) out: SyncSender<KafkaEvent>,
    pub(super) shared: Arc<Shared>,
    pub(super) topic: String,
    pub(super) policy: Policy,
    pub(super) tuning: Tuning,
    pub(super) state: State,
}

/// What changes while it runs.
#[derive(Default)]
pub(super) struct State {
    owned: BTreeMap<Partition, Cursor>,
    batch: Batch,
    /// Our clock when it was last looked at for a record of this batch.
    looked_at: Option<Timestamp>,
    batch_since: Option<Instant>,
    recheck: bool,
    /// Where a batch begins that failed its checksum, since the last check.
    damaged: Option<i64>,
    rechecked: Option<Instant>,
    /// How far behind the partitions are, while the core has had no room for it.
    progress: Option<BTreeMap<Partition, u64>>,
    marked: BTreeMap<Partition, Offset>,
    marked_at: Option<Instant>,
    marks_failed: u64,
}

impl Reader {
    /// Reads until something ends it, says so, and closes the consumer.
    pub(super) fn run(mut self) {
        let reason = match self.read() {
            Err(reason) => reason,
            Ok(never) => match never {},
        };
        // The callbacks must not wait for us any more: closing the consumer revokes everything once again.
        self.notes.close();
        if reason != EndReason::Stopped {
            tracing::error!(?reason, "reading from Kafka has ended");
        }
        if self.send(KafkaEvent::Ended(reason)).is_err() {
            tracing::debug!("nobody is left to hear that reading has ended");
        }
        self.commit_marks(true);
        drop(self.consumer);
    }

    fn read(&mut self) -> Result<std::convert::Infallible, EndReason> {
        if let Err(error) = self.consumer.subscribe(&[&self.topic]) {
            return Err(EndReason::Fatal(error.to_string()));
        }
        loop {
            if self.stopping() {
                return Err(EndReason::Stopped);
            }
            while let Some(turn) = self.notes.turn() {
                self.take_turn(turn)?;
            }
            while let Some(problem) = self.notes.problem() {
                self.report(problem)?;
            }
            self.poll()?;
            if self.batch_due() {
                self.flush()?;
            }
            self.watch()?;
            self.commit_marks(false);
        }
    }

    fn stopping(&self) -> bool {
        self.shared.stopping()
    }

    /// Waits for a record, and sleeps while more gather: waiting for each would wake this thread for each, and the client's
    /// threads would have to wake it.
    fn poll(&mut self) -> Result<(), EndReason> {
        let mut wait = if self.state.batch.is_empty() { SLICE } else { Duration::ZERO };
        let mut rested = false;
        for _ in 0..BURST {
            let arrival = match self.consumer.poll(wait) {
                None if rested || self.state.batch.is_empty() => return Ok(()),
                None => {
                    rested = true;
                    self.rest();
                    None
                }
                Some(Ok(message)) => arrive(&mut self.state, &message),
                Some(Err(error)) => {
                    self.fault(&error)?;
                    None
                }
            };
            if let Some(partition) = arrival {
                return self.recreated(partition);
            }
            // A change of partitions comes before the records that follow it.
            if self.batch_full() || self.notes.has_turn() {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Sleeps until the batch is due.
    fn rest(&self) {
        let waited = self.state.batch_since.map(|since| clock::instant().duration_since(since));
        clock::sleep(self.tuning.linger.saturating_sub(waited.unwrap_or_default()).min(SLICE));
    }

    fn fault(&mut self, error: &KafkaError) -> Result<(), EndReason> {
        match error {
            KafkaError::PartitionEOF(partition) => {
                if let Some(cursor) = self.state.owned.get_mut(&Partition(*partition)) {
                    cursor.ended();
                }
            }
            // The error names no partition, and the one it means stays silent until it is assigned again.
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => self.state.recheck = true,
            KafkaError::MessageConsumptionFatal(code) => {
                let known = self.consumer.client().fatal_error();
                let reason = known.map_or_else(|| code.to_string(), |(code, text)| format!("{code}: {text}"));
                self.report(KafkaProblem::Fatal(reason))?;
            }
            // The context has classified it already.
            _ => {}
        }
        Ok(())
    }

    fn report(&mut self, problem: KafkaProblem) -> Result<(), EndReason> {
        tracing::warn!("{problem}");
        let end = match &problem {
            KafkaProblem::Fatal(reason) => Some(EndReason::Fatal(reason.clone())),
            _ => None,
        };
        self.send(KafkaEvent::Problem(problem))?;
        end.map_or(Ok(()), Err)
    }

    fn take_turn(&mut self, turn: Turn) -> Result<(), EndReason> {
        match turn {
            Turn::Assigned(partitions) => {
                tracing::info!(?partitions, "Kafka assigned partitions");
                self.state.owned.clear();
                self.begin(partitions)
            }
            Turn::Revoked { partitions, lost } => {
                tracing::info!(?partitions, lost, "Kafka revoked partitions");
                self.revoke(partitions, lost)
            }
        }
    }

    fn revoke(&mut self, partitions: Vec<Partition>, lost: bool) -> Result<(), EndReason> {
        self.flush()?;
        let (done, answer) = sync_channel(1);
        self.send(KafkaEvent::Revoked { partitions, lost, done })?;
        let deadline = clock::instant() + self.tuning.revoke_patience;
        // A core that lost the sender has nothing left to say either.
        while let Err(RecvTimeoutError::Timeout) = answer.recv_timeout(SLICE) {
            if self.stopping() {
                return Err(EndReason::Stopped);
            }
            if clock::instant() >= deadline {
                tracing::warn!("partitions are released although the core has not finished with them");
                break;
            }
        }
        if !lost {
            self.commit_marks(true);
        }
        release(&self.consumer);
        self.state.owned.clear();
        self.probe.own(Vec::new());
        Ok(())
    }

    /// Asks the core for positions, checks them against the brokers, and assigns once.
    fn begin(&mut self, partitions: Vec<Partition>) -> Result<(), EndReason> {
        self.flush()?;
        let starts = self.positions(&partitions)?;
        let marks = self.marks(&starts)?;
        let mut plans = Vec::with_capacity(starts.len());
        for start in &starts {
            let plan = match marks.get(&start.partition) {
                Some(marks) => self.policy.plan(start, *marks),
                None => self.policy.plan_blind(start),
            };
            self.tell_gap(&plan)?;
            plans.push((start.partition, plan));
        }
        self.assign(plans);
        self.probe.own(partitions);
        Ok(())
    }

    fn assign(&mut self, plans: Vec<(Partition, Plan)>) {
        let mut list = TopicPartitionList::with_capacity(plans.len());
        let mut owned = BTreeMap::new();
        for (partition, plan) in plans {
            let offset = match plan.from {
                From::At(offset) => NativeOffset::Offset(offset),
                From::Beginning => NativeOffset::Beginning,
                From::End => NativeOffset::End,
            };
            tracing::debug!(partition = partition.0, ?offset, next = plan.next, "partition begins");
            list.add_partition_offset(&self.topic, partition.0, offset)
                .expect("positions and watermarks are not negative, and the topic name came from the client");
            owned.insert(partition, Cursor::new(&plan, self.state.owned.get(&partition)));
        }
        self.state.owned = owned;
        self.state.progress = None;
        self.state.recheck = false;
        // On failure the group has moved on, and its next turn is in the queue; else the watchdog begins anew.
        if let Err(error) = self.consumer.assign(&list) {
            tracing::warn!(%error, "the assignment was refused");
        }
    }

    fn tell_gap(&mut self, plan: &Plan) -> Result<(), EndReason> {
        let Some(gap) = plan.gap else { return Ok(()) };
        tracing::warn!(?gap, "records are missing");
        self.send(KafkaEvent::Gap(gap))?;
        if self.policy.on_gap == OnGap::Stop { Err(EndReason::Gap(gap)) } else { Ok(()) }
    }

    fn positions(&mut self, partitions: &[Partition]) -> Result<Vec<StartAt>, EndReason> {
        let (reply, answer) = sync_channel(1);
        // It is known since the client has been told who leads the partitions; some brokers have none.
        let cluster = self.consumer.client().fetch_cluster_id(CLUSTER_WITHIN).filter(|id| !id.is_empty());
        self.send(KafkaEvent::Assigned { partitions: partitions.to_vec(), cluster, reply })?;
        let known = loop {
            match answer.recv_timeout(SLICE) {
                Ok(known) => break known,
                Err(RecvTimeoutError::Timeout) if self.stopping() => return Err(EndReason::Stopped),
                Err(RecvTimeoutError::Timeout) => {}
                // Starting anywhere would count records twice or not at all.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(EndReason::Fatal("the positions of the partitions were not answered".to_owned()));
                }
            }
        };
        let unseen = |partition| StartAt { partition, next: None, anchor: None };
        let sane = |start: &StartAt| start.next.is_none_or(|next| next.0 >= 0);
        if !known.iter().all(sane) {
            return Err(EndReason::Fatal("a position is negative".to_owned()));
        }
        let find = |partition: &Partition| known.iter().find(|start| start.partition == *partition).copied();
        Ok(partitions.iter().map(|partition| find(partition).unwrap_or_else(|| unseen(*partition))).collect())
    }

    /// The ends of the partitions as far as the brokers tell in time. An empty log where we have a position is a known
    /// slip of some brokers, and is believed only after several equal answers.
    fn marks(&self, starts: &[StartAt]) -> Result<BTreeMap<Partition, Marks>, EndReason> {
        let mut marks = BTreeMap::new();
        let mut open: Vec<(StartAt, u32)> = starts.iter().map(|start| (*start, 0)).collect();
        let deadline = clock::instant() + self.tuning.marks_patience;
        let mut zeros = false;
        while !open.is_empty() && (zeros || clock::instant() < deadline) {
            let mut again = Vec::new();
            for (start, seen_empty) in open {
                if self.stopping() {
                    return Err(EndReason::Stopped);
                }
                match self.probe.marks(start.partition) {
                    Some(Marks { low: 0, high: 0 }) if start.next > Some(Offset(0)) && seen_empty < 2 => {
                        again.push((start, seen_empty + 1));
                    }
                    Some(found) => drop(marks.insert(start.partition, found)),
                    None if clock::instant() < deadline => again.push((start, seen_empty)),
                    None => {}
                }
            }
            open = again;
            zeros = open.iter().any(|(_, seen_empty)| *seen_empty > 0);
            if !open.is_empty() {
                self.nap(if zeros { self.tuning.confirm_every } else { SLICE })?;
            }
        }
        Ok(marks)
    }

    fn nap(&self, length: Duration) -> Result<(), EndReason> {
        let end = clock::instant() + length;
        while clock::instant() < end {
            if self.stopping() {
                return Err(EndReason::Stopped);
            }
            clock::sleep(SLICE.min(length));
        }
        Ok(())
    }

    /// The anchor differs: this is another log than the one we counted.
    fn recreated(&mut self, partition: Partition) -> Result<(), EndReason> {
        let Some(cursor) = self.state.owned.get(&partition) else { return Ok(()) };
        let from = Offset(cursor.next);
        let start = StartAt { partition, next: None, anchor: None };
        let Some(marks) = self.marks(&[start])?.get(&partition).copied() else {
            // Nobody knows where the new log begins; ask again, and until then deliver nothing of it.
            self.state.owned.remove(&partition);
            self.state.recheck = true;
            return Ok(());
        };
        let plan = self.policy.after_gap(partition, from, marks, GapReason::Recreated);
        self.tell_gap(&plan)?;
        self.flush()?;
        let at = |(partition, cursor): (&Partition, &Cursor)| (*partition, cursor.resume());
        let mut plans: BTreeMap<Partition, Plan> = self.state.owned.iter().map(at).collect();
        plans.insert(partition, plan);
        self.assign(plans.into_iter().collect());
        Ok(())
    }

    fn batch_full(&self) -> bool {
        let batch = &self.state.batch;
        batch.records().len() >= self.tuning.batch_records || batch.bytes() >= self.tuning.batch_bytes
    }

    fn batch_due(&self) -> bool {
        self.batch_full()
            || self.state.batch_since.is_some_and(|since| clock::instant().duration_since(since) >= self.tuning.linger)
    }

    fn flush(&mut self) -> Result<(), EndReason> {
        self.state.batch_since = None;
        if self.state.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.state.batch);
        self.state.looked_at = None;
        self.send(KafkaEvent::Batch(batch, clock::instant()))?;
        self.state.progress.take().map_or(Ok(()), |lag| self.send(KafkaEvent::Progress { lag }))
    }

    fn send(&mut self, event: KafkaEvent) -> Result<(), EndReason> {
        let mut event = event;
        let mut waited = false;
        loop {
            event = match self.out.try_send(event) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(EndReason::Stopped),
                Err(TrySendError::Full(event)) => event,
            };
            if self.stopping() {
                return Err(EndReason::Stopped);
            }
            waited = true;
            clock::sleep(NAP);
        }
        if waited {
            self.state.owned.values_mut().for_each(Cursor::excuse);
        }
        Ok(())
    }

    /// Looks at what the probe found, and begins anew where a partition does not move.
    fn watch(&mut self) -> Result<(), EndReason> {
        let now = clock::instant();
        if let Some(base) = self.notes.damaged() {
            self.state.damaged = Some(base);
            self.state.recheck = true;
        }
        let rested = self.state.rechecked.is_none_or(|at| now.duration_since(at) >= RECHECK_EVERY);
        if self.state.recheck && rested {
            tracing::warn!("the broker refused an offset, or a batch failed its checksum; all partitions are checked");
            self.state.rechecked = Some(now);
            if let Some(base) = self.state.damaged.take() {
                self.leave_out(base)?;
            }
            return self.begin_again();
        }
        let round = match self.rounds.try_recv() {
            Ok(round) => round,
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => return Err(EndReason::Fatal("the probe has ended".to_owned())),
        };
        let mut stalled = None;
        let mut lag = BTreeMap::new();
        for (partition, marks) in round {
            let Some(cursor) = self.state.owned.get_mut(&partition) else { continue };
            if cursor.measure(marks.high, now, self.tuning.stall_after) {
                cursor.strikes += 1;
                let strikes = cursor.strikes;
                stalled = stalled.max(Some((strikes, partition, cursor.lag())));
            }
            lag.insert(partition, cursor.lag());
        }
        // Where no broker answered nothing is known, and nothing is told: agents must not count as silent then. The newest is
        // kept until there is room: to a core that is always behind it goes with the next batch.
        if !lag.is_empty() {
            self.state.progress = match self.out.try_send(KafkaEvent::Progress { lag }) {
                Err(TrySendError::Full(KafkaEvent::Progress { lag })) => Some(lag),
                _ => None,
            };
        }
        match stalled {
            Some((strikes, partition, lag)) => self.stalled(partition, lag, strikes),
            None => Ok(()),
        }
    }

    /// A batch that fails its checksum is fetched for ever. Goes on behind it, in the partitions that gave nothing
    /// although their leaders answer and that it can belong to.
    fn leave_out(&mut self, base: i64) -> Result<(), EndReason> {
        let mut found = Vec::new();
        for (partition, cursor) in &mut self.state.owned {
            found.extend(cursor.damage(base).map(|records| (*partition, cursor.next, records)));
        }
        for (partition, next, records) in found {
            let Some(marks) = self.probe.marks(partition).filter(|marks| marks.high > next) else { continue };
            let to = Offset(next.saturating_add(records).min(marks.high));
            let gap = Gap { partition, from: Offset(next), to, reason: GapReason::Unreadable };
            self.send(KafkaEvent::Gap(gap))?;
            if self.policy.on_gap == OnGap::Stop {
                return Err(EndReason::Gap(gap));
            }
        }
        Ok(())
    }

    fn stalled(&mut self, partition: Partition, lag: u64, strikes: u32) -> Result<(), EndReason> {
        self.report(KafkaProblem::Stalled { partition, lag, strikes })?;
        if strikes >= self.tuning.stall_strikes {
            return Err(EndReason::Stalled(partition));
        }
        self.begin_again()
    }

    fn begin_again(&mut self) -> Result<(), EndReason> {
        let partitions = match self.consumer.assignment() {
            Ok(list) => list.elements().iter().map(|elem| Partition(elem.partition())).collect(),
            Err(_) => self.state.owned.keys().copied().collect(),
        };
        self.begin(partitions)
    }

    /// Tells the group how far we are, for its tools and for a successor without a ledger. Nobody waits for it.
    fn commit_marks(&mut self, now: bool) {
        let time = clock::instant();
        let due = self.state.marked_at.is_none_or(|at| time.duration_since(at) >= self.tuning.mark_every);
        if !now && !due {
            return;
        }
        self.state.marked_at = Some(time);
        let failed = self.notes.marks_failed.load(Ordering::Relaxed);
        if failed > self.state.marks_failed {
            self.state.marks_failed = failed;
            self.state.marked.clear();
        }
        let marks = lock(&self.shared.marks).clone();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in marks {
            let owned = self.state.owned.contains_key(&partition);
            if owned && self.state.marked.insert(partition, offset) != Some(offset) {
                list.add_partition_offset(&self.topic, partition.0, NativeOffset::Offset(offset.0))
                    .expect("marks are not negative, and the topic name came from the client");
            }
        }
        if list.count() == 0 {
            return;
        }
        self.notes.mark_sent();
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "marks were not committed");
            self.notes.mark_failed();
        }
    }
}

/// Puts a record into the batch. Names the partition whose anchor turned out to be another record.
fn arrive(state: &mut State, message: &BorrowedMessage<'_>) -> Option<Partition> {
    let partition = Partition(message.partition());
    // A record of a partition that was just taken away.
    let cursor = state.owned.get_mut(&partition)?;
    match cursor.arrive(message.offset(), || crc(message.payload())) {
        Arrival::Skip => None,
        Arrival::Mismatch => Some(partition),
        Arrival::Deliver => {
            if state.batch.is_empty() {
                state.batch_since = Some(clock::instant());
            }
            let (partition, offset, payload) = (partition, Offset(message.offset()), message.payload());
            let appended = appended(message.timestamp(), &mut state.looked_at, clock::now);
            state.batch.push(&Record { partition, offset, appended, payload });
            None
        }
    }
}

/// When the broker took a record. Where the topic says that producers stamp their records, one may lie ahead: never later than
/// our clock, then. The broker's own time is left as it is, so that our clock changes nothing.
///
/// `looked_at` is what the clock showed last: it is looked at again only for a record that lies after that.
fn appended(
    stamped: rdkafka::Timestamp,
    looked_at: &mut Option<Timestamp>,
    now: impl Fn() -> Timestamp,
) -> Option<Timestamp> {
    match stamped {
        rdkafka::Timestamp::NotAvailable => None,
        rdkafka::Timestamp::CreateTime(millis) => {
            let stamped = Timestamp::from_millis(millis);
            let bound = match *looked_at {
                Some(known) if stamped <= known => known,
                _ => *looked_at.insert(now()),
            };
            Some(stamped.min(bound))
        }
        rdkafka::Timestamp::LogAppendTime(millis) => Some(Timestamp::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_clock_bounds_what_producers_stamp_and_nothing_else() {
        use rdkafka::Timestamp::{CreateTime, LogAppendTime, NotAvailable};
        let looks = std::cell::Cell::new(0);
        let ours = || {
            looks.set(looks.get() + 1);
            Timestamp::from_millis(1_000 + looks.get())
        };
        let mut looked_at = None;
        let mut of = |stamp| appended(stamp, &mut looked_at, ours).map(Timestamp::as_millis);
        assert_eq!((of(NotAvailable), of(LogAppendTime(5_000))), (None, Some(5_000)));
        assert_eq!((of(CreateTime(500)), of(CreateTime(501)), looks.get()), (Some(500), Some(501), 1));
        assert_eq!((of(CreateTime(5_000)), of(CreateTime(1_002)), looks.get()), (Some(1_002), Some(1_002), 2));
    }
}
