//! Three weeks of ten agents that fail in ways known in advance, produced while daemons come and go.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::simulate::{Generator, Kind, Scenario, SimulatedEvent};

pub(crate) const TOPIC: &str = "agent-events";

/// About 60,000 records.
const AGENTS: &str = "
start: 2026-01-05T00:00:00Z
length: 21d
agents:
  - name: triage
    tasks: { invoices: 0.7, notes: 0.3 }
    version: r1
    per_day: 500
    diurnal: 0.4
    accuracy: 0.93
    confidence: { r2: 0.2 }
    overrides: 0.02
    latency_ms: { median: 850, sigma: 0.45 }
    cost_usd: { median: 0.012, sigma: 0.3 }
    tokens: { in: { median: 1800, sigma: 0.4 }, out: { median: 220, sigma: 0.5 } }
    labels: { fraction: 0.6, delay: 2h, delay_sigma: 0.5 }
    changes:
      - { at: 9d, until: 14d, accuracy: -25pp, mechanism: silent, version: r2 }
  - name: review
    per_day: 350
    accuracy: 0.9
    latency_ms: { median: 900, sigma: 0.4 }
    changes:
      - { at: 9d, until: 12d, latency: x3 }
  - name: replies
    per_day: 350
    accuracy: 0.9
    escalation: 0.06
    labels: { fraction: 0.3, delay: 5d, delay_sigma: 0.7 }
    changes:
      - { at: 9d, until: 12d, escalation: +30pp }
  - name: intake
    per_day: 300
    accuracy: 0.9
    errors: 0.01
    malformed: 0.004
    changes:
      - { at: 10d, until: 13d, errors: +20pp }
  - name: search
    per_day: 300
    accuracy: 0.85
    confidence: { r2: 0.3 }
    changes:
      - { at: 11d, until: 15d, confidence: -15pp }
  - name: matching
    per_day: 300
    accuracy: 0.9
    cost_usd: { median: 0.004, sigma: 0.4 }
    changes:
      - { at: 10d, until: 12d, cost: x2.5 }
      - { at: 16d, until: 18d, rate: x0.01 }
  - name: steady
    copies: 4
    per_day: 130
    diurnal: 0.5
    accuracy: 0.9
    confidence: { r2: 0.2 }
    labels: { fraction: 0.2, delay: 0s }
";

/// The same in a week, with baselines of 500 outputs: about 15,000 records.
const BRIEFLY: &str = "
start: 2026-01-05T00:00:00Z
length: 7d
agents:
  - name: triage
    tasks: { invoices: 0.7, notes: 0.3 }
    version: r1
    per_day: 500
    diurnal: 0.4
    accuracy: 0.93
    confidence: { r2: 0.2 }
    latency_ms: { median: 850, sigma: 0.45 }
    cost_usd: { median: 0.012, sigma: 0.3 }
    tokens: { in: { median: 1800, sigma: 0.4 }, out: { median: 220, sigma: 0.5 } }
    labels: { fraction: 0.6, delay: 2h, delay_sigma: 0.5 }
    changes:
      - { at: 3d, until: 5d, accuracy: -25pp, mechanism: silent, version: r2 }
  - name: review
    per_day: 350
    accuracy: 0.9
    latency_ms: { median: 900, sigma: 0.4 }
    changes:
      - { at: 3d, until: 5d, latency: x3 }
  - name: intake
    per_day: 350
    accuracy: 0.9
    errors: 0.01
    malformed: 0.004
    changes:
      - { at: 3d, until: 4d, errors: +20pp }
      - { at: 5d, until: 6d, errors: +30pp }
  - name: replies
    per_day: 300
    accuracy: 0.9
    escalation: 0.06
    changes:
      - { at: 4d, until: 6d, escalation: +30pp }
";

/// Records of the workload: not quite in order, and some of them twice.
pub(crate) fn events(seed: u64) -> Vec<SimulatedEvent> {
    disordered(AGENTS, seed)
}

/// The same of a shorter workload, for what is tried many times.
pub(crate) fn brief(seed: u64) -> Vec<SimulatedEvent> {
    disordered(BRIEFLY, seed)
}

fn disordered(scenario: &str, seed: u64) -> Vec<SimulatedEvent> {
    let scenario = Scenario::parse(scenario).unwrap();
    let mut placed = Vec::new();
    for (at, event) in Generator::new(&scenario, seed).enumerate() {
        let output = event.kind == Kind::Output;
        // Some are late, by minutes up to two days: within the minutes in memory, within the hours, and beyond both.
        let late = if output && at % 61 == 0 { at / 61 % 40 * 150 } else { 0 };
        if output && at % 503 == 0 {
            placed.push((at + 40, event.clone()));
        }
        placed.push((at + late, event));
    }
    placed.sort_by_key(|(at, _)| *at);
    placed.into_iter().map(|(_, event)| event).collect()
}

/// A producer that sends as far as it is let.
pub(crate) struct Feeder {
    limit: Arc<AtomicUsize>,
    thread: JoinHandle<u64>,
}

/// Records a second, once they are let: so that batches are cut by time too, not only by size.
const PACE: usize = 4_000;
/// How long a record is tried for: outages are what is tested, and on a machine under load their end is seen late.
const PATIENCE: Duration = Duration::from_mins(2);

impl Feeder {
    /// Begins with nothing let. Each of the settings sends an equal part of the events.
    pub(crate) fn start(settings: Vec<ProducerSettings>, events: Vec<SimulatedEvent>) -> Self {
        let limit = Arc::new(AtomicUsize::new(0));
        let let_through = Arc::clone(&limit);
        let thread = std::thread::spawn(move || {
            let part = events.len().div_ceil(settings.len());
            let mut sent = 0;
            let mut delivered = 0;
            for (settings, part) in settings.iter().zip(events.chunks(part)) {
                let settings = ProducerSettings { timeout: PATIENCE, ..settings.clone() };
                let producer = Producer::new(&settings.with("reconnect.backoff.max.ms", "500")).unwrap();
                for event in part {
                    while sent >= let_through.load(Ordering::SeqCst) {
                        clock::sleep(Duration::from_millis(5));
                    }
                    producer.send(&Outgoing::new(TOPIC, &event.agent, event.json.as_bytes())).unwrap();
                    sent += 1;
                    if sent % (PACE / 50) == 0 {
                        clock::sleep(Duration::from_millis(20));
                    }
                }
                delivered += producer.flush(PATIENCE).unwrap();
            }
            delivered
        });
        Self { limit, thread }
    }

    /// Lets it send up to so many records in all.
    pub(crate) fn allow(&self, records: usize) {
        self.limit.store(records, Ordering::SeqCst);
    }

    /// Waits until everything is sent. How many records.
    pub(crate) fn finish(self) -> u64 {
        self.allow(usize::MAX);
        self.thread.join().unwrap()
    }
}
