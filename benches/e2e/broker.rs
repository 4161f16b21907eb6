//! The same events behind a broker: a real Kafka where there is one, else librdkafka's imitation.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::edge::mock::MockBroker;

use super::events::Load;
use super::parsed::Parsed;
use super::world::daemon::Place;
use super::world::real;

pub(crate) const TOPIC: &str = "events";
/// Of the topic. The imitation keeps 5 MiB of each, compressed.
const PARTITIONS: i32 = 32;
const PATIENCE: Duration = Duration::from_mins(5);

/// A running broker.
pub(crate) enum Broker {
    Real(real::Broker),
    Mock(MockBroker),
}

impl Broker {
    /// With the topic, and nothing in it.
    pub(crate) fn start() -> Self {
        match real::Broker::start() {
            Some(broker) => {
                broker.create_topic(TOPIC, PARTITIONS);
                Self::Real(broker)
            }
            None => Self::Mock(MockBroker::start(TOPIC, PARTITIONS).unwrap()),
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Real(_) => "Apache Kafka",
            Self::Mock(_) => "librdkafka's mock cluster",
        }
    }

    pub(crate) fn bootstrap(&self) -> &str {
        match self {
            Self::Real(broker) => broker.bootstrap(),
            Self::Mock(broker) => broker.bootstrap(),
        }
    }

    pub(crate) fn producer(&self, linger: Duration) -> Producer {
        let settings = ProducerSettings::new(self.bootstrap()).with("compression.codec", "lz4");
        Producer::new(&ProducerSettings { linger, ..settings }).unwrap()
    }

    /// Produces the events, and sees to it that the broker holds them all.
    pub(crate) fn fill(&self, load: &Load) {
        let producer = self.producer(Duration::from_millis(100));
        for event in load.generator().take(load.events) {
            producer.send(&Outgoing::new(TOPIC, &event.agent, event.json.as_bytes())).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let held: i64 = self.consumer().marks().into_iter().map(|(_, low, high)| high - low).sum();
        assert_eq!(held, load.events as i64, "the broker dropped some; ask for fewer");
    }

    pub(crate) fn consumer(&self) -> Bare {
        Bare::new(self.bootstrap())
    }
}

/// The least that anybody has to do with a topic.
pub(crate) struct Bare(BaseConsumer);

impl Bare {
    fn new(brokers: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", "bare").set("enable.auto.commit", "false");
        // As the daemon has it: by default a partition waits for a second whenever its queue is full.
        Self(config.set("fetch.queue.backoff.ms", "5").set("fetch.wait.max.ms", "10").create().unwrap())
    }

    /// The partitions with their first and their next offset.
    fn marks(&self) -> Vec<(i32, i64, i64)> {
        let ends = |partition| self.0.fetch_watermarks(TOPIC, partition, PATIENCE).unwrap();
        (0..PARTITIONS).map(|partition| (partition, ends(partition))).map(|(of, (low, high))| (of, low, high)).collect()
    }

    /// Begins each partition at an offset between its first and its next one. How many records there are from there on.
    fn begin(&self, from: impl Fn(i64, i64) -> i64) -> i64 {
        let (mut list, mut left) = (TopicPartitionList::new(), 0);
        for (partition, low, high) in self.marks() {
            let from = from(low, high);
            list.add_partition_offset(TOPIC, partition, Offset::Offset(from)).unwrap();
            left += high - from;
        }
        self.0.assign(&list).unwrap();
        left
    }

    /// Reads on from the end of the topic, as it is now.
    pub(crate) fn begin_at_the_end(&self) {
        self.begin(|_, high| high);
    }

    /// The next record; nothing where none comes for long.
    pub(crate) fn next(&self) -> Option<rdkafka::message::BorrowedMessage<'_>> {
        self.0.poll(PATIENCE).map(Result::unwrap)
    }

    /// Hands each record of the topic to `take`.
    pub(crate) fn each(&self, mut take: impl FnMut(&rdkafka::message::BorrowedMessage<'_>)) {
        let mut left = self.begin(|low, _| low);
        while left > 0 {
            if let Some(message) = self.next() {
                take(&message);
                left -= 1;
            }
        }
    }
}

/// Does a part; a number that depends on all that it read.
pub(crate) fn run(part: &str, brokers: &str) -> f64 {
    let mut sum = 0.0;
    Bare::new(brokers).each(|message| {
        let payload = message.payload().unwrap();
        sum += match part {
            "consume" => payload.len() as f64,
            _ => serde_json::from_slice::<Parsed<'_>>(payload).unwrap().weight(),
        };
    });
    sum
}

pub(crate) fn is_part(name: &str) -> bool {
    matches!(name, "consume" | "consume and parse")
}

/// The daemon from a new database to the last record. Seconds of reading: from the first commit to the last, of the records
/// that lie between.
pub(crate) fn daemon(brokers: &str, events: u64) -> f64 {
    let mut place = Place::new(brokers, TOPIC);
    place.join_outputs = 200_000;
    "baseline: { provisional_outputs: 500 }\n".clone_into(&mut place.more);
    let mut running = place.start();
    place.wait("the first commit", &mut running, |place| place.committed() > 0);
    let (begun, before) = (Instant::now(), place.committed());
    place.wait("the last record", &mut running, |place| place.committed() == events);
    let seconds = begun.elapsed().as_secs_f64();
    place.stop(running);
    seconds * events as f64 / (events - before).max(1) as f64
}

/// Removes a database with what lies beside it.
pub(crate) fn forget(db: &Path) {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        drop(std::fs::remove_file(format!("{}{suffix}", db.display())));
    }
}
