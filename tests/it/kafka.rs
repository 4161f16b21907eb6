//! Reading from Kafka: the mock broker for what it can do, a real one for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::edge::kafka::{
    Anchor, EndReason, Gap, GapReason, KafkaEvent, KafkaHandle, KafkaProblem, KafkaSettings, OnGap, SettingsError,
    StartAt, crc, start,
};
use shewhart::edge::mock::MockBroker;
use shewhart::engine::units::{Offset, Partition};

use crate::broker::mock_process;
use crate::daemon::{PATIENCE, STOP_WITHIN};
use crate::world::real::Broker;

mod pressure;

const TOPIC: &str = "events";
const P0: Partition = Partition(0);
const CALM: &str = "no test thread panicked";

/// What the ledger would hold, and what was heard.
#[derive(Default)]
struct Ledger {
    next: BTreeMap<Partition, (Offset, Option<Anchor>)>,
    seen: BTreeSet<(Partition, Offset)>,
    payloads: BTreeSet<Vec<u8>>,
    twice: Vec<(Partition, Offset)>,
    gaps: Vec<Gap>,
    problems: Vec<KafkaProblem>,
    assigned: u32,
    revoked: u32,
    first_record: Option<Instant>,
    lag: BTreeMap<Partition, u64>,
    progress: u32,
    ended: Option<EndReason>,
}

impl Ledger {
    fn take(&mut self, event: KafkaEvent) {
        match event {
            KafkaEvent::Assigned { partitions, reply, .. } => {
                self.assigned += 1;
                let at = |partition: Partition| {
                    let known = self.next.get(&partition);
                    StartAt { partition, next: known.map(|k| k.0), anchor: known.and_then(|k| k.1) }
                };
                reply.send(partitions.into_iter().map(at).collect()).expect("a reader that waits");
            }
            KafkaEvent::Revoked { done, .. } => {
                self.revoked += 1;
                done.send(()).expect("a reader that waits");
            }
            KafkaEvent::Batch(batch, _) => {
                self.first_record.get_or_insert(clock::instant());
                for record in batch.records() {
                    let key = (record.partition, record.offset);
                    if !self.seen.insert(key) {
                        self.twice.push(key);
                    }
                    self.payloads.insert(record.payload.expect("a value").to_vec());
                    let anchor = Anchor { offset: record.offset, crc: crc(record.payload) };
                    self.next.insert(record.partition, (Offset(record.offset.0 + 1), Some(anchor)));
                }
            }
            KafkaEvent::Gap(gap) => {
                self.next.insert(gap.partition, (gap.to, None));
                self.gaps.push(gap);
            }
            KafkaEvent::Problem(problem) => self.problems.push(problem),
            KafkaEvent::Progress { lag } => {
                self.lag = lag;
                self.progress += 1;
            }
            KafkaEvent::Ended(reason) => self.ended = Some(reason),
        }
    }
}

/// A core: a ledger fed by a reader.
struct Core {
    ledger: Arc<Mutex<Ledger>>,
    handle: Option<KafkaHandle>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Core {
    fn start(settings: &KafkaSettings, ledger: &Arc<Mutex<Ledger>>) -> Self {
        let (send, receive) = sync_channel(2);
        let over = Arc::new(AtomicBool::new(false));
        let handle = start(settings, send).expect("a reader");
        let (heard, done) = (Arc::clone(ledger), Arc::clone(&over));
        let thread = std::thread::spawn(move || listen(&receive, &heard, &done));
        Self { ledger: Arc::clone(ledger), handle: Some(handle), over, thread: Some(thread) }
    }

    fn wait(&self, what: &str, reached: impl Fn(&Ledger) -> bool) {
        let deadline = clock::instant() + PATIENCE;
        while !reached(&self.ledger.lock().expect(CALM)) {
            let ledger = self.ledger.lock().expect(CALM);
            assert!(
                clock::instant() < deadline,
                "{what}: {} records, next {:?}, gaps {:?}, problems {:?}, ended {:?}",
                ledger.seen.len(),
                ledger.next,
                ledger.gaps,
                ledger.problems,
                ledger.ended
            );
            drop(ledger);
            clock::sleep(Duration::from_millis(10));
        }
    }

    /// How long the stop took, if it was in time.
    fn stop(mut self, deadline: Duration) -> Option<Duration> {
        let begun = clock::instant();
        let closed = self.handle.take().expect("a running reader").stop(deadline);
        let took = begun.elapsed();
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().expect("a listener").join().expect("a calm listener");
        closed.then_some(took)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn listen(events: &Receiver<KafkaEvent>, ledger: &Mutex<Ledger>, over: &AtomicBool) {
    loop {
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(event) => ledger.lock().expect(CALM).take(event),
            Err(RecvTimeoutError::Timeout) if !over.load(Ordering::SeqCst) => {}
            Err(_) => return,
        }
    }
}

fn ledger() -> Arc<Mutex<Ledger>> {
    Arc::default()
}

fn settings(brokers: &str) -> KafkaSettings {
    let text = format!(
        "{{\"brokers\": \"{brokers}\", \"topic\": \"{TOPIC}\", \"group\": \"shewhart\", \"properties\": {{
            \"session.timeout.ms\": 4000, \"heartbeat.interval.ms\": 300, \"fetch.wait.max.ms\": 10,
            \"reconnect.backoff.max.ms\": 500}}}}"
    );
    let mut settings: KafkaSettings = serde_json::from_str(&text).expect("settings");
    settings.tuning.linger = Duration::from_millis(50);
    settings.tuning.marks_every = Duration::from_millis(200);
    settings.tuning.mark_every = Duration::from_millis(200);
    settings
}

fn produce(brokers: &str, numbers: std::ops::Range<u32>) {
    send(&ProducerSettings::new(brokers), TOPIC, numbers, "");
}

fn send(settings: &ProducerSettings, topic: &str, numbers: std::ops::Range<u32>, filler: &str) {
    let producer = Producer::new(settings).expect("a producer");
    for number in numbers.clone() {
        let payload = format!("{number} of {}{filler}", settings.brokers);
        let agent = format!("agent-{}", number % 50);
        producer.send(&Outgoing::new(topic, &agent, payload.as_bytes())).expect("a record taken");
    }
    let delivered = producer.flush(PATIENCE).expect("all delivered");
    assert_eq!(delivered, u64::from(numbers.end - numbers.start));
}

#[expect(clippy::print_stdout, reason = "seen with --nocapture; the README quotes it")]
fn measured(what: &str) {
    println!("measured: {what}");
}

fn all_once(ledger: &Mutex<Ledger>, count: usize) {
    let ledger = ledger.lock().expect(CALM);
    assert_eq!(ledger.twice, []);
    assert_eq!(ledger.seen.len(), count);
    assert_eq!(ledger.payloads.len(), count);
    assert_eq!(ledger.gaps, []);
}

#[test]
fn every_record_counts_once_over_restarts_and_rebalances() {
    let broker = MockBroker::start(TOPIC, 4).unwrap();
    let (settings, ledger) = (settings(broker.bootstrap()), ledger());
    produce(broker.bootstrap(), 0..3_000);
    let begun = clock::instant();
    let first = Core::start(&settings, &ledger);
    first.wait("the first member reads", |ledger| ledger.seen.len() == 3_000);
    let joined = ledger.lock().expect(CALM).first_record.expect("a record").duration_since(begun);
    measured(&format!("first record on the mock broker after {joined:?}"));
    let second = Core::start(&settings, &ledger);
    produce(broker.bootstrap(), 3_000..6_000);
    first.wait("two members", |ledger| ledger.seen.len() == 6_000 && ledger.assigned >= 3);
    assert!(first.stop(STOP_WITHIN).is_some());
    produce(broker.bootstrap(), 6_000..9_000);
    second.wait("one is left", |ledger| ledger.seen.len() == 9_000 && ledger.assigned >= 4);
    let third = Core::start(&settings, &ledger);
    produce(broker.bootstrap(), 9_000..12_000);
    third.wait("a restart", |ledger| ledger.seen.len() == 12_000 && ledger.assigned >= 6);
    all_once(&ledger, 12_000);
}

#[test]
fn records_deleted_before_we_read_them_are_a_gap() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    // The mock keeps 5 MiB of a partition.
    send(&ProducerSettings::new(broker.bootstrap()), TOPIC, 0..10_000, &"x".repeat(1_000));
    let ledger = ledger();
    ledger.lock().expect(CALM).next.insert(P0, (Offset(5), None));
    let core = Core::start(&settings(broker.bootstrap()), &ledger);
    core.wait("the end", |ledger| ledger.next.get(&P0).is_some_and(|next| next.0 == Offset(10_000)));
    let ledger = ledger.lock().expect(CALM);
    let [Gap { partition: P0, from: Offset(5), to, reason: GapReason::Retention }] = ledger.gaps[..] else {
        panic!("{:?}", ledger.gaps);
    };
    assert!(to.0 > 1_000);
    assert_eq!(ledger.seen.len() as i64, 10_000 - to.0);
}

#[test]
fn another_topic_of_the_same_name_is_noticed_by_its_last_record() {
    let (old, new) = (MockBroker::start(TOPIC, 1).unwrap(), MockBroker::start(TOPIC, 1).unwrap());
    let ledger = ledger();
    produce(old.bootstrap(), 0..100);
    produce(new.bootstrap(), 0..500);
    let core = Core::start(&settings(old.bootstrap()), &ledger);
    core.wait("the old topic", |ledger| ledger.seen.len() == 100);
    core.stop(STOP_WITHIN).expect("closed");
    ledger.lock().expect(CALM).seen.clear();
    let core = Core::start(&settings(new.bootstrap()), &ledger);
    core.wait("the new topic", |ledger| ledger.seen.len() == 500);
    let ledger = ledger.lock().expect(CALM);
    assert_eq!(ledger.gaps, [Gap { partition: P0, from: Offset(100), to: Offset(0), reason: GapReason::Recreated }]);
    assert_eq!(ledger.twice, []);
}

#[test]
fn a_log_shorter_than_our_position_stops_where_the_policy_says_so() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    produce(broker.bootstrap(), 0..10);
    let ledger = ledger();
    ledger.lock().expect(CALM).next.insert(P0, (Offset(1_000), None));
    let settings = KafkaSettings { on_gap: OnGap::Stop, ..settings(broker.bootstrap()) };
    let core = Core::start(&settings, &ledger);
    core.wait("an end", |ledger| ledger.ended.is_some());
    let ledger = ledger.lock().expect(CALM);
    let gap = Gap { partition: P0, from: Offset(1_000), to: Offset(0), reason: GapReason::Truncated };
    assert_eq!(ledger.gaps, [gap]);
    assert_eq!(ledger.ended, Some(EndReason::Gap(gap)));
    assert!(ledger.seen.is_empty());
}

#[test]
fn an_empty_log_is_believed_only_after_it_was_seen_three_times() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let ledger = ledger();
    ledger.lock().expect(CALM).next.insert(P0, (Offset(5), None));
    let mut settings = settings(broker.bootstrap());
    // The records come after the first look and, on a slow machine too, before the third.
    settings.tuning.confirm_every = Duration::from_secs(5);
    let core = Core::start(&settings, &ledger);
    core.wait("an assignment", |ledger| ledger.assigned > 0);
    clock::sleep(Duration::from_millis(300));
    produce(broker.bootstrap(), 0..10);
    core.wait("the records", |ledger| ledger.seen.len() == 5);
    assert_eq!(ledger.lock().expect(CALM).gaps, []);
    core.stop(STOP_WITHIN).expect("closed");

    let empty = MockBroker::start(TOPIC, 1).unwrap();
    settings.brokers = empty.bootstrap().to_owned();
    settings.tuning.confirm_every = Duration::from_millis(100);
    let core = Core::start(&settings, &ledger);
    core.wait("a gap", |ledger| !ledger.gaps.is_empty());
    assert_eq!(ledger.lock().expect(CALM).gaps[0].reason, GapReason::Truncated);
}

#[test]
fn a_partition_whose_offset_was_refused_goes_on() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let (settings, ledger) = (settings(broker.bootstrap()), ledger());
    produce(broker.bootstrap(), 0..1_000);
    let core = Core::start(&settings, &ledger);
    core.wait("a beginning", |ledger| ledger.seen.len() == 1_000);
    broker.fail(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE]).unwrap();
    clock::sleep(Duration::from_millis(300));
    let begun = clock::instant();
    produce(broker.bootstrap(), 1_000..2_000);
    core.wait("the rest", |ledger| ledger.seen.len() == 2_000);
    measured(&format!("going on {:?} after a refused offset", begun.elapsed()));
    assert!(ledger.lock().expect(CALM).assigned >= 2, "begun anew");
    all_once(&ledger, 2_000);
}

#[test]
fn a_partition_that_gives_nothing_ends_the_reader_after_three_tries() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let (mut settings, ledger) = (settings(broker.bootstrap()), ledger());
    settings.tuning.stall_after = Duration::from_millis(400);
    produce(broker.bootstrap(), 0..10);
    broker.fail(RDKafkaApiKey::Fetch, &vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 5_000]).unwrap();
    let core = Core::start(&settings, &ledger);
    core.wait("an end", |ledger| ledger.ended.is_some());
    let ledger = ledger.lock().expect(CALM);
    assert_eq!(ledger.ended, Some(EndReason::Stalled(P0)));
    let stalls: Vec<_> = ledger
        .problems
        .iter()
        .filter_map(|problem| match problem {
            KafkaProblem::Stalled { strikes, lag, .. } => Some((*strikes, *lag)),
            _ => None,
        })
        .collect();
    assert_eq!(stalls, [(1, 10), (2, 10), (3, 10)]);
}

#[test]
fn brokers_go_and_come_back() {
    let mut broker = mock_process(TOPIC, 2);
    let (mut settings, ledger) = (settings(broker.bootstrap()), ledger());
    settings.tuning.marks_timeout = Duration::from_millis(500);
    produce(broker.bootstrap(), 0..1_000);
    let core = Core::start(&settings, &ledger);
    core.wait("a beginning", |ledger| ledger.seen.len() == 1_000);
    broker.order("down");
    let down = |problem: &KafkaProblem| matches!(problem, KafkaProblem::AllBrokersDown(_));
    core.wait("a report", |ledger| ledger.problems.iter().any(down));
    clock::sleep(Duration::from_secs(2));
    assert_eq!(ledger.lock().expect(CALM).problems.iter().filter(|problem| down(problem)).count(), 1);
    // Nobody knows how far behind we are now, so nothing is told: agents would count as silent.
    clock::sleep(settings.tuning.marks_timeout * 2);
    let told = || ledger.lock().expect(CALM).progress;
    let before = told();
    clock::sleep(settings.tuning.marks_timeout * 3);
    assert_eq!(told(), before);
    broker.order("up");
    core.wait("word from them", |ledger| ledger.progress > before);
    let begun = clock::instant();
    produce(broker.bootstrap(), 1_000..2_000);
    core.wait("the rest", |ledger| ledger.seen.len() == 2_000);
    measured(&format!("going on {:?} after the brokers came back", begun.elapsed()));
    all_once(&ledger, 2_000);
    core.wait("no lag", |ledger| ledger.lag.len() == 2 && ledger.lag.values().all(|lag| *lag == 0));
    assert_eq!(ledger.lock().expect(CALM).ended, None);
}

#[test]
fn stopping_is_quick_while_the_brokers_are_down() {
    let mut broker = mock_process(TOPIC, 2);
    let (settings, ledger) = (settings(broker.bootstrap()), ledger());
    produce(broker.bootstrap(), 0..100);
    let core = Core::start(&settings, &ledger);
    core.wait("a beginning", |ledger| ledger.seen.len() == 100);
    broker.order("down");
    clock::sleep(Duration::from_millis(500));
    let took = core.stop(STOP_WITHIN).expect("closed in time");
    measured(&format!("stopped in {took:?} while the brokers were down"));
}

/// The sum of the group's committed offsets.
fn committed(brokers: &str) -> i64 {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "shewhart").create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_range(TOPIC, 0, 1);
    let offsets = consumer.committed_offsets(list, PATIENCE).expect("offsets");
    offsets.elements().iter().map(|elem| elem.offset().to_raw().unwrap_or(0).max(0)).sum()
}

#[test]
fn properties_that_would_break_a_promise_are_refused_by_name() {
    let refused = |key: &str| {
        let mut settings = settings("localhost:9092");
        settings.properties.0.insert(key.to_owned(), "canary-7h3x".to_owned());
        let error = settings.check().expect_err(key);
        let text = error.to_string();
        assert!(text.contains(key) && !text.contains("canary-7h3x"), "{text}");
        error
    };
    for key in [
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
        "ssl.engine.location",
        "ssl.providers",
        "enable.auto.commit",
        "auto.offset.reset",
        "group.protocol",
        "interceptors",
        "enable.metrics.push",
        "bootstrap.servers",
        "group.id",
        "group.instance.id",
        "isolation.level",
        "partition.assignment.strategy",
        "test.mock.num.brokers",
        "rebalance_cb",
    ] {
        assert!(matches!(refused(key), SettingsError::Denied { .. }), "{key}");
    }
    for key in
        ["sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.client.secret"]
    {
        assert!(matches!(refused(key), SettingsError::InlineSecret { .. }), "{key}");
    }
    assert!(matches!(refused("no.such.property"), SettingsError::Refused { .. }));
    assert!(matches!(refused("fetch.wait.max.ms"), SettingsError::Refused { .. }));
}

#[test]
fn secrets_come_from_files_and_stay_out_of_messages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    crate::world::secrets::write_secret(&path, "canary-7h3x\n");
    let mut settings = settings("localhost:9092");
    settings.properties_files.insert("sasl.password".to_owned(), path.clone());
    assert_eq!(settings.check(), Ok(()));
    for mode in [0o644, 0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let text = settings.check().unwrap_err().to_string();
        assert!(text.contains("sasl.password") && text.contains("chmod 600"), "{mode:o}: {text}");
    }
    crate::world::secrets::write_secret(&path, "canary-7h3x\n");
    settings.properties_files.insert("no.such.property".to_owned(), path.clone());
    let text = settings.check().unwrap_err().to_string();
    assert!(text.contains("no.such.property") && !text.contains("canary-7h3x"), "{text}");
    settings.properties_files.insert("no.such.property".to_owned(), dir.path().join("missing"));
    assert!(matches!(settings.check(), Err(SettingsError::File { .. })));
    settings.properties_files = BTreeMap::from([("plugin.library.paths".to_owned(), path)]);
    assert!(matches!(settings.check(), Err(SettingsError::Denied { .. })));
}

/// One broker for all of it: starting is the expensive part.
#[test]
fn a_real_broker() {
    let Some(broker) = Broker::start() else { return };
    measured(&format!("the real broker answered after {:?}", broker.startup));
    every_compression_is_readable(&broker);
    deleted_records_are_a_gap(&broker);
    a_recreated_topic_is_noticed(&broker);
    another_process_with_our_name_ends_us(&broker);
}

fn real(broker: &Broker, topic: &str) -> KafkaSettings {
    let mut settings = settings(broker.bootstrap());
    topic.clone_into(&mut settings.topic);
    settings.group = format!("group-of-{topic}");
    settings
}

fn every_compression_is_readable(broker: &Broker) {
    broker.create_topic("compressed", 3);
    let ledger = ledger();
    for (nth, codec) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        let producer = ProducerSettings::new(broker.bootstrap()).with("compression.type", codec);
        send(&producer, "compressed", nth * 1_000..(nth + 1) * 1_000, "");
    }
    let begun = clock::instant();
    let core = Core::start(&real(broker, "compressed"), &ledger);
    core.wait("all codecs", |ledger| ledger.seen.len() == 5_000);
    let joined = ledger.lock().expect(CALM).first_record.expect("a record").duration_since(begun);
    measured(&format!("first record on the real broker after {joined:?}"));
    all_once(&ledger, 5_000);
    measured(&format!("stopped in {:?}", core.stop(STOP_WITHIN).expect("closed")));
}

fn deleted_records_are_a_gap(broker: &Broker) {
    broker.create_topic("shortened", 1);
    let (settings, ledger) = (real(broker, "shortened"), ledger());
    let producer = ProducerSettings::new(broker.bootstrap());
    send(&producer, "shortened", 0..100, "");
    let begun = clock::instant();
    let core = Core::start(&settings, &ledger);
    core.wait("a beginning", |ledger| ledger.seen.len() == 100);
    measured(&format!("first record of the broker's second group after {:?}", begun.elapsed()));
    core.stop(STOP_WITHIN).expect("closed");
    send(&producer, "shortened", 100..1_000, "");
    broker.delete_records("shortened", 0, 400);
    let core = Core::start(&settings, &ledger);
    core.wait("the rest", |ledger| ledger.seen.len() == 700);
    let gap = Gap { partition: P0, from: Offset(100), to: Offset(400), reason: GapReason::Retention };
    assert_eq!(ledger.lock().expect(CALM).gaps, [gap]);
    core.stop(STOP_WITHIN).expect("closed");
}

fn a_recreated_topic_is_noticed(broker: &Broker) {
    broker.create_topic("again", 1);
    let (settings, ledger) = (real(broker, "again"), ledger());
    let producer = ProducerSettings::new(broker.bootstrap());
    send(&producer, "again", 0..100, "");
    let core = Core::start(&settings, &ledger);
    core.wait("a beginning", |ledger| ledger.seen.len() == 100);
    core.stop(STOP_WITHIN).expect("closed");
    broker.delete_topic("again");
    broker.create_topic("again", 1);
    send(&producer, "again", 1_000..1_300, "");
    ledger.lock().expect(CALM).seen.clear();
    let core = Core::start(&settings, &ledger);
    core.wait("the new topic", |ledger| ledger.seen.len() == 300);
    let gap = Gap { partition: P0, from: Offset(100), to: Offset(0), reason: GapReason::Recreated };
    assert_eq!(ledger.lock().expect(CALM).gaps, [gap]);
    core.stop(STOP_WITHIN).expect("closed");
}

fn another_process_with_our_name_ends_us(broker: &Broker) {
    broker.create_topic("named", 1);
    let mut settings = real(broker, "named");
    settings.instance_id = Some("watcher-1".to_owned());
    let (older, younger) = (ledger(), ledger());
    send(&ProducerSettings::new(broker.bootstrap()), "named", 0..100, "");
    let first = Core::start(&settings, &older);
    first.wait("the older process", |ledger| ledger.seen.len() == 100);
    let second = Core::start(&settings, &younger);
    first.wait("being fenced", |ledger| ledger.ended.is_some());
    let Some(EndReason::Fatal(why)) = older.lock().expect(CALM).ended.clone() else { panic!("not fatal") };
    assert!(why.to_lowercase().contains("instance"), "{why}");
    second.wait("the younger process", |ledger| ledger.seen.len() == 100);
    first.stop(STOP_WITHIN).expect("closed");
    second.stop(STOP_WITHIN).expect("closed");
}
