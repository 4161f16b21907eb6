//! A core that is slower than the brokers, and how much is handed to it at a time.

use super::*;

/// A core that looks at everything that it is told, and takes its time over it.
struct SlowCore {
    handle: KafkaHandle,
    events: Receiver<KafkaEvent>,
    ledger: Ledger,
    deadline: Instant,
}

impl SlowCore {
    /// With room for so many things that it has not looked at.
    fn start(settings: &KafkaSettings, room: usize) -> Self {
        let (send, events) = sync_channel(room);
        let handle = start(settings, send).expect("the mock answers");
        Self { handle, events, ledger: Ledger::default(), deadline: clock::instant() + PATIENCE }
    }

    /// Takes what comes until it has so many records; `look` sees each thing before it is taken.
    fn read(&mut self, records: usize, look: impl Fn(&KafkaEvent)) {
        while self.ledger.seen.len() < records {
            assert!(clock::instant() < self.deadline, "{} records, {:?}", self.ledger.seen.len(), self.handle.marks());
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(100)) {
                look(&event);
                self.ledger.take(event);
                self.handle.mark(self.ledger.next.iter().map(|(partition, (next, _))| (*partition, *next)));
            }
        }
    }
}

#[test]
fn a_core_that_takes_its_time_gets_everything_and_its_marks_are_committed() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut settings = settings(broker.bootstrap());
    settings.tuning.batch_records = 100;
    produce(broker.bootstrap(), 0..3_000);
    let mut core = SlowCore::start(&settings, 1);
    core.read(3_000, |event| {
        if let KafkaEvent::Batch(batch, _) = event {
            assert!(batch.records().len() <= 100);
            clock::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(core.ledger.twice, []);
    while committed(broker.bootstrap()) < 3_000 {
        assert!(clock::instant() < core.deadline, "{:?}", core.handle.marks());
        clock::sleep(Duration::from_millis(100));
    }
    assert_eq!(core.handle.marks().failed, 0);
    assert!(core.handle.stop(STOP_WITHIN));
}

#[test]
fn large_records_make_batches_of_few() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut settings = settings(broker.bootstrap());
    settings.tuning.batch_bytes = 10_000;
    settings.tuning.linger = Duration::from_secs(5);
    send(&ProducerSettings::new(broker.bootstrap()), TOPIC, 0..200, &"x".repeat(1_000));
    let mut core = SlowCore::start(&settings, 1);
    core.read(180, |event| {
        if let KafkaEvent::Batch(batch, _) = event {
            assert_eq!((batch.records().len(), batch.bytes() / 1_000), (10, 10));
        }
    });
    assert!(core.handle.stop(STOP_WITHIN));
}

#[test]
fn a_core_that_is_always_behind_hears_how_far_behind_it_is() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut settings = settings(broker.bootstrap());
    settings.tuning.batch_records = 50;
    produce(broker.bootstrap(), 0..3_000);
    let mut core = SlowCore::start(&settings, 2);
    core.read(2_000, |event| {
        if matches!(event, KafkaEvent::Batch(..)) {
            clock::sleep(Duration::from_millis(100));
        }
    });
    assert!(core.ledger.progress >= 5, "told {} times", core.ledger.progress);
    assert!(core.ledger.lag.values().sum::<u64>() > 0);
    assert!(core.handle.stop(STOP_WITHIN));
}
