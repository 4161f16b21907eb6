//! What the reader and the core say to each other.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use crate::engine::units::{Offset, Partition, Timestamp};

/// Everything the reader tells the core, in the order in which it happened.
///
/// The order is the contract: an answer to [`KafkaEvent::Assigned`] must reflect every batch received before it.
#[derive(Debug)]
pub enum KafkaEvent {
    /// These partitions are ours; reply with where to start. Comes again for partitions already owned when the reader
    /// has to begin anew (a stalled partition, an offset that the broker refused).
    Assigned {
        /// All partitions owned from now on.
        partitions: Vec<Partition>,
        /// The id of the cluster that they are in, where the brokers told it.
        cluster: Option<String>,
        /// Where the positions go. A partition left out counts as never seen.
        reply: SyncSender<Vec<StartAt>>,
    },
    /// These partitions are no longer ours. Commit what is finished, mark it, then say so on `done`.
    Revoked {
        /// The partitions taken away: always all of them (eager protocol).
        partitions: Vec<Partition>,
        /// True where the group gave them to somebody already. A hint: it can be missing.
        lost: bool,
        /// Answered when the core is ready to let go; the reader waits a bounded time.
        done: SyncSender<()>,
    },
    /// Records in the order of their offsets, partition by partition, and when the reader handed them over.
    Batch(Batch, Instant),
    /// Records are missing between what we know and what the broker holds.
    Gap(Gap),
    /// Something is wrong that a person should hear about.
    Problem(KafkaProblem),
    /// The brokers have told the ends of these owned partitions, and we are so far behind. Those of which they told nothing are
    /// missing.
    Progress {
        /// Records between our position and the end of the partition.
        lag: BTreeMap<Partition, u64>,
    },
    /// The reader has ended and will say nothing more.
    Ended(EndReason),
}

/// The last record counted in a partition: proof that the log is still the one we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its offset.
    pub offset: Offset,
    /// [`crc`] of its payload.
    pub crc: u32,
}

/// Where the core wants a partition to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartAt {
    /// The partition.
    pub partition: Partition,
    /// The first offset not yet counted; nothing where the partition was never seen.
    pub next: Option<Offset>,
    /// The record before it.
    pub anchor: Option<Anchor>,
}

/// The checksum anchors are made of: CRC-32 of the payload, of nothing where there is no payload.
pub fn crc(payload: Option<&[u8]>) -> u32 {
    crc32fast::hash(payload.unwrap_or_default())
}

/// One record of a batch. Keys and headers say nothing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'b> {
    /// The partition it was read from.
    pub partition: Partition,
    /// Its position there.
    pub offset: Offset,
    /// When the broker appended it; where the topic has producers stamp their records, that time, never later than our clock.
    pub appended: Option<Timestamp>,
    /// The value; nothing in a tombstone.
    pub payload: Option<&'b [u8]>,
}

/// Records delivered together, their values one behind the other in one piece of memory: pieces of their own would be asked for
/// and given back by the thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    places: Vec<Place>,
    values: Vec<u8>,
}

/// A record without its value, and where that is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    partition: Partition,
    offset: Offset,
    appended: Option<Timestamp>,
    value: Option<Range<usize>>,
}

impl Batch {
    /// A batch of one record.
    pub fn of(record: &Record<'_>) -> Self {
        let mut batch = Self::default();
        batch.push(record);
        batch
    }

    /// Puts a record behind the others. Offsets must ascend within a partition.
    pub fn push(&mut self, record: &Record<'_>) {
        let Record { partition, offset, appended, payload } = *record;
        let value = payload.map(|payload| {
            let from = self.values.len();
            self.values.extend_from_slice(payload);
            from..self.values.len()
        });
        self.places.push(Place { partition, offset, appended, value });
    }

    /// Puts others behind these.
    pub fn append(&mut self, others: &Self) {
        others.records().for_each(|record| self.push(&record));
    }

    /// The records, in the order in which they came.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.places.iter().map(|place| self.of_place(place))
    }

    /// The n-th of them, from 0.
    pub fn record(&self, nth: usize) -> Option<Record<'_>> {
        self.places.get(nth).map(|place| self.of_place(place))
    }

    fn of_place(&self, place: &Place) -> Record<'_> {
        let Place { partition, offset, appended, value } = place;
        let payload = value.clone().and_then(|range| self.values.get(range));
        Record { partition: *partition, offset: *offset, appended: *appended, payload }
    }

    /// Bytes of all values.
    pub const fn bytes(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no record.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// A hole in the log, or another log under the same name. The core moves its position to `to` and forgets the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The partition.
    pub partition: Partition,
    /// The first offset we wanted.
    pub from: Offset,
    /// The offset we go on from; before `from` where the log was truncated or made anew.
    pub to: Offset,
    /// What happened.
    pub reason: GapReason,
}

/// Why records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The broker deleted them before we read them.
    Retention,
    /// The partition ends before our position: it lost its tail, or was made anew and is still short.
    Truncated,
    /// The record before our position is another one than we counted: the topic was made anew.
    Recreated,
    /// The broker's batch is damaged, and fails its checksum however often it is fetched.
    Unreadable,
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retention => "retention",
            Self::Truncated => "truncated",
            Self::Recreated => "recreated",
            Self::Unreadable => "unreadable",
        })
    }
}

/// What is wrong with Kafka. The reader goes on, except where it ends right after.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaProblem {
    /// The broker, or we, refused the other's credentials or certificate, or the topic or group is not allowed to us.
    #[error("Kafka refused us: {0}; check the credentials, the certificates and the ACLs of topic and group")]
    Auth(String),
    /// No broker can be reached.
    #[error("no Kafka broker can be reached: {0}")]
    AllBrokersDown(String),
    /// The topic does not exist (yet).
    #[error("the topic is missing: {0}; waiting for it")]
    TopicMissing(String),
    /// The core took batches so slowly that the group took the partitions away.
    #[error("records were taken so slowly that the group removed us: {0}; rejoining")]
    TooSlow(String),
    /// A partition does not move although there are records in it.
    #[error("partition {} has {lag} records and gives none, {strikes} times in a row", partition.0)]
    Stalled {
        /// The partition.
        partition: Partition,
        /// Records waiting there.
        lag: u64,
        /// How many times it was begun anew.
        strikes: u32,
    },
    /// The client cannot go on.
    #[error("the Kafka client gave up: {0}")]
    Fatal(String),
}

/// Why the reader ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// It was told to stop, or nobody listens any more.
    Stopped,
    /// A gap was found and the policy is to stop.
    Gap(Gap),
    /// A partition stayed stalled; a restart may heal it.
    Stalled(Partition),
    /// The client is beyond repair, e.g. another process uses our instance id.
    Fatal(String),
}
