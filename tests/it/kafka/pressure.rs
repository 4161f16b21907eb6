//! A core that is slower than the brokers, and how much is handed to it at a time.

use super::*;

#[test]
fn a_core_that_takes_its_time_gets_everything_and_its_marks_are_committed() {
    let broker = MockBroker::start(TOPIC, 2).unwrap();
    let mut settings = settings(broker.bootstrap());
    settings.tuning.batch_records = 100;
    produce(broker.bootstrap(), 0..3_000);
    let (send, events) = sync_channel(1);
    let handle = start(&settings, send).unwrap();
    let mut ledger = Ledger::default();
    let deadline = clock::instant() + PATIENCE;
    while ledger.seen.len() < 3_000 {
        assert!(clock::instant() < deadline, "{} records, {:?}", ledger.seen.len(), handle.marks());
        if let Ok(event) = events.recv_timeout(Duration::from_millis(100)) {
            if let KafkaEvent::Batch(batch) = &event {
                assert!(batch.records().len() <= 100);
                clock::sleep(Duration::from_millis(20));
            }
            ledger.take(event);
            handle.mark(ledger.next.iter().map(|(partition, (next, _))| (*partition, *next)));
        }
    }
    assert_eq!(ledger.twice, []);
    while committed(broker.bootstrap()) < 3_000 {
        assert!(clock::instant() < deadline, "{:?}", handle.marks());
        clock::sleep(Duration::from_millis(100));
    }
    assert_eq!(handle.marks().failed, 0);
    assert!(handle.stop(STOP_WITHIN));
}

#[test]
fn large_records_make_batches_of_few() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut settings = settings(broker.bootstrap());
    settings.tuning.batch_bytes = 10_000;
    settings.tuning.linger = Duration::from_secs(5);
    send(&ProducerSettings::new(broker.bootstrap()), TOPIC, 0..200, &"x".repeat(1_000));
    let (send, events) = sync_channel(1);
    let handle = start(&settings, send).unwrap();
    let mut ledger = Ledger::default();
    let deadline = clock::instant() + PATIENCE;
    while ledger.seen.len() < 180 {
        assert!(clock::instant() < deadline, "{} records", ledger.seen.len());
        if let Ok(event) = events.recv_timeout(Duration::from_millis(100)) {
            if let KafkaEvent::Batch(batch) = &event {
                assert_eq!((batch.records().len(), batch.bytes() / 1_000), (10, 10));
            }
            ledger.take(event);
        }
    }
    assert!(handle.stop(STOP_WITHIN));
}

#[test]
fn a_core_that_is_always_behind_hears_how_far_behind_it_is() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut settings = settings(broker.bootstrap());
    settings.tuning.batch_records = 50;
    produce(broker.bootstrap(), 0..3_000);
    let (send, events) = sync_channel(2);
    let handle = start(&settings, send).unwrap();
    let mut ledger = Ledger::default();
    let begun = clock::instant();
    while ledger.seen.len() < 2_000 {
        assert!(begun.elapsed() < PATIENCE, "{} records", ledger.seen.len());
        if let Ok(event) = events.recv_timeout(Duration::from_millis(100)) {
            if matches!(event, KafkaEvent::Batch(_)) {
                clock::sleep(Duration::from_millis(100));
            }
            ledger.take(event);
        }
    }
    assert!(ledger.progress >= 5, "told {} times in {:?}", ledger.progress, begun.elapsed());
    assert!(ledger.lag.values().sum::<u64>() > 0);
    assert!(handle.stop(STOP_WITHIN));
}
