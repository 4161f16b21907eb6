//! What the client calls back: rebalances, errors, commit results, log lines. Everything is only noted here; the reader
//! acts on it between two polls, where it may wait and may call the client.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::event::KafkaProblem;
use crate::edge::clock;
use crate::engine::units::Partition;

/// What the group decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Assigned(Vec<Partition>),
    Revoked { partitions: Vec<Partition>, lost: bool },
}

/// The notes of the callbacks.
#[derive(Debug, Default)]
pub(super) struct Notes {
    turns: Mutex<VecDeque<Turn>>,
    problems: Mutex<VecDeque<KafkaProblem>>,
    throttle: Mutex<Throttle>,
    /// Where the batch begins that failed its checksum last; the client does not say in which partition.
    damaged: Mutex<Option<i64>>,
    closing: AtomicBool,
    pub(super) marks_sent: AtomicU64,
    pub(super) marks_failed: AtomicU64,
}

/// A poisoned note is still a note: the data are plain values, whole after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    pub(super) fn turn(&self) -> Option<Turn> {
        lock(&self.turns).pop_front()
    }

    /// Whether there is one.
    pub(super) fn has_turn(&self) -> bool {
        !lock(&self.turns).is_empty()
    }

    pub(super) fn problem(&self) -> Option<KafkaProblem> {
        lock(&self.problems).pop_front()
    }

    /// The first offset of a batch that failed its checksum since this was asked last.
    pub(super) fn damaged(&self) -> Option<i64> {
        lock(&self.damaged).take()
    }

    /// A commit of marks is on its way.
    pub(super) fn mark_sent(&self) {
        self.marks_sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A commit of marks has failed.
    pub(super) fn mark_failed(&self) {
        self.marks_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on the callbacks answer the group by themselves: nobody reads the notes any more.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

/// The context of the consumer and, without its group half, of the probe.
#[derive(Clone, Debug, Default)]
pub(super) struct Context(pub(super) std::sync::Arc<Notes>);

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, tpl: &mut TopicPartitionList) {
        if self.0.closing.load(Ordering::SeqCst) {
            release(consumer);
            return;
        }
        let partitions = tpl.elements().iter().map(|elem| Partition(elem.partition())).collect();
        match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                lock(&self.0.turns).push_back(Turn::Assigned(partitions));
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let lost = consumer.assignment_lost();
                lock(&self.0.turns).push_back(Turn::Revoked { partitions, lost });
            }
            // Whatever it was: the group waits for an answer, and owning nothing is always a true one.
            _ => release(consumer),
        }
    }
}

/// Owns nothing any more.
pub(super) fn release(consumer: &BaseConsumer<Context>) {
    if let Err(error) = consumer.unassign() {
        tracing::warn!(%error, "Kafka partitions could not be released");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        // The bindings deliver no results of asynchronous commits; this line is all there is of a failure.
        if fac == "COMMITFAIL" {
            self.0.mark_failed();
        }
        let Some(suppressed) = lock(&self.0.throttle).admit(fac, clock::instant()) else { return };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(kind = fac, suppressed, "librdkafka: {log_message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(kind = fac, suppressed, "librdkafka: {log_message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(kind = fac, suppressed, "librdkafka: {log_message}"),
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        if code == RDKafkaErrorCode::BadMessage
            && let Some(base) = damaged_at(reason)
        {
            *lock(&self.0.damaged) = Some(base);
        }
        let Some(problem) = classify(code, reason) else {
            if code != RDKafkaErrorCode::PartitionEOF
                && let Some(suppressed) = lock(&self.0.throttle).admit("error", clock::instant())
            {
                tracing::info!(suppressed, "Kafka: {reason}");
            }
            return;
        };
        let now = clock::instant();
        let mut throttle = lock(&self.0.throttle);
        // Brokers that refuse us count as down too; that they refuse says more.
        if matches!(problem, KafkaProblem::AllBrokersDown(_)) && throttle.was_lately(REFUSED, REFUSED_FOR, now) {
            return;
        }
        let kind = match &problem {
            KafkaProblem::Auth(_) => REFUSED.to_owned(),
            other => format!("problem {:?}", std::mem::discriminant(other)),
        };
        let admitted = throttle.admit_once(&kind, Duration::from_secs(10), now);
        drop(throttle);
        if admitted || matches!(problem, KafkaProblem::Fatal(_)) {
            lock(&self.0.problems).push_back(problem);
        }
    }
}

/// Where the batch begins that the client complains about: after it has failed a checksum the client goes astray and
/// complains of other offsets too, which are none.
fn damaged_at(reason: &str) -> Option<i64> {
    let (_, rest) = reason.split_once("MessageSet at offset ")?;
    let (offset, rest) = rest.split_once(' ')?;
    rest.contains("failed CRC").then(|| offset.parse().ok()).flatten()
}

/// The problem behind an error code, where it is one for a person. The rest the client heals by itself.
fn classify(code: RDKafkaErrorCode, reason: &str) -> Option<KafkaProblem> {
    let reason = reason.to_owned();
    match code {
        RDKafkaErrorCode::AllBrokersDown => Some(KafkaProblem::AllBrokersDown(reason)),
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SSL
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => Some(KafkaProblem::Auth(reason)),
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition => Some(KafkaProblem::TopicMissing(reason)),
        RDKafkaErrorCode::PollExceeded => Some(KafkaProblem::TooSlow(reason)),
        RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId => Some(KafkaProblem::Fatal(reason)),
        _ => None,
    }
}

/// The kind of [`KafkaProblem::Auth`], and how long it explains everything.
const REFUSED: &str = "refused";
const REFUSED_FOR: Duration = Duration::from_mins(1);

/// Lines of one kind admitted per second.
const LINES_PER_SECOND: u32 = 10;
/// Kinds remembered; the client has about forty.
const KINDS: usize = 128;

#[derive(Debug)]
struct Window {
    since: Instant,
    admitted: u32,
    suppressed: u64,
}

/// Lets through so many lines of a kind and counts the others: a broker that is down costs dozens of lines a second.
#[derive(Debug, Default)]
struct Throttle {
    kinds: BTreeMap<String, Window>,
}

impl Throttle {
    /// Whether a line may pass; then also how many were held back before it.
    fn admit(&mut self, kind: &str, now: Instant) -> Option<u64> {
        let window = self.window(kind, now)?;
        let mut suppressed = 0;
        if now.duration_since(window.since) >= Duration::from_secs(1) {
            suppressed = std::mem::take(&mut window.suppressed);
            *window = Window { since: now, admitted: 0, suppressed: 0 };
        }
        if window.admitted < LINES_PER_SECOND {
            window.admitted += 1;
            return Some(suppressed);
        }
        window.suppressed += 1;
        None
    }

    /// Whether this is the first of its kind within `period`.
    fn admit_once(&mut self, kind: &str, period: Duration, now: Instant) -> bool {
        let Some(window) = self.window(kind, now) else { return false };
        let first = window.admitted == 0 || now.duration_since(window.since) >= period;
        if first {
            *window = Window { since: now, admitted: 1, suppressed: 0 };
        }
        first
    }

    /// Whether there was one of the kind within `period`.
    fn was_lately(&self, kind: &str, period: Duration, now: Instant) -> bool {
        self.kinds.get(kind).is_some_and(|window| now.duration_since(window.since) < period)
    }

    fn window(&mut self, kind: &str, now: Instant) -> Option<&mut Window> {
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(kind) {
            return None;
        }
        Some(self.kinds.entry(kind.to_owned()).or_insert(Window { since: now, admitted: 0, suppressed: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_of_a_kind_pass_in_a_second_and_the_rest_is_counted() {
        let mut throttle = Throttle::default();
        let start = clock::instant();
        let passed = (0..50).filter(|_| throttle.admit("FAIL", start).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(throttle.admit("ERROR", start), Some(0));
        assert_eq!(throttle.admit("FAIL", start + Duration::from_secs(1)), Some(40));
    }

    #[test]
    fn a_batch_that_fails_its_checksum_is_told_by_its_first_offset() {
        let words = "MessageSet at offset 2436 (54759 bytes) failed CRC32C check (original 0x5dfdb306 != calculated 0xafc4c821)";
        assert_eq!(damaged_at(words), Some(2_436));
        assert_eq!(damaged_at("Unsupported Message(Set) MagicByte 44 at offset 7955161671715939173"), None);
        assert_eq!(damaged_at("MessageSet at offset x (1 bytes) failed CRC32C check"), None);
    }

    #[test]
    fn a_problem_is_told_once_in_its_period() {
        let mut throttle = Throttle::default();
        let start = clock::instant();
        let period = Duration::from_secs(10);
        let told: Vec<u64> =
            (0..30).filter(|s| throttle.admit_once("down", period, start + Duration::from_secs(*s))).collect();
        assert_eq!(told, [0, 10, 20]);
        assert!(throttle.was_lately("down", period, start + Duration::from_secs(29)));
        assert!(!throttle.was_lately("down", period, start + Duration::from_secs(30)));
        assert!(!throttle.was_lately("up", period, start));
    }
}
