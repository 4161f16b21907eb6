//! From an event to the decision that its alert fires: records at a steady rate, and among them agents that begin to fail.
//!
//! A failing agent's tenth error makes its burn rate fire; the alert names the record. Measured is from the time at which that
//! record was produced to the time at which the daemon had made a message of it, both by the clock of this machine, in
//! milliseconds.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rdkafka::message::Message as _;
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer};
use shewhart::edge::ledger::open_read_only;

use super::broker::{Broker, TOPIC};
use super::measure::measure;
use super::world::daemon::{Daemon, Place, spent};

/// Agents that fail.
const FAILING: usize = 200;
/// Agents that work.
const WORKING: usize = 1_000;
/// Outputs of a failing agent that go well, and those that do not.
const WELL: usize = 40;
const ERRORS: usize = 12;
/// How long the records come.
const SECONDS: usize = 20;

const RULE: &str = "groups:
  - name: bench
    rules:
      - alert: Failing
        detect: { measure: availability, target: 99.5%, burn_rate: default }
";

pub(crate) fn run(rate: usize) {
    let broker = Broker::start();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let rules = place.path().join("bench.yaml");
    fs::write(&rules, RULE).unwrap();
    place.rules = format!("[ {}/rules, {} ]", env!("CARGO_MANIFEST_DIR"), rules.display());
    "receivers: [ { name: mail, folder: { path: mail } } ]\n\
     route: { receiver: mail, group_by: [ alertname, agent ], group_wait: 0s, group_interval: 0s }\n"
        .clone_into(&mut place.more);
    let mut cpu = 0.0;
    let cost = measure(|| {
        let mut daemon = place.start();
        place.wait_ready(&mut daemon);
        let before = spent(daemon.pid());
        let (sent, seconds) = produce(&broker.producer("5"), rate);
        cpu = (spent(daemon.pid()) - before) as f64 / 100.0 / seconds;
        place.wait("all records", &mut daemon, |place| place.committed() == sent);
        decided(&place, &mut daemon);
        place.stop(daemon);
    });
    let mut delays = delays(&broker, &place);
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() as f64 * share).ceil() as usize - 1).min(delays.len() - 1)];
    println!(
        "{rate} events a second from {}: {} alerts, from record to decision p50 {} ms, p99 {} ms, most {} ms; \
         {:.1} % of a core; {:.1} MB written",
        broker.name(),
        delays.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        cpu * 100.0,
        cost.written as f64 / 1e6,
    );
}

fn decided(place: &Place, daemon: &mut Daemon) {
    let fired = "SELECT count(*) FROM alert_events WHERE to_state = 'firing' AND alert_id IN \
                 (SELECT id FROM alerts WHERE alert = 'Failing')";
    place.wait("the alerts", daemon, |place| place.ask(fired) >= Some(FAILING as i64));
}

/// Sends records at that rate: how many, and in how many seconds.
fn produce(producer: &Producer, rate: usize) -> (u64, f64) {
    let events = rate * SECONDS;
    // Each failing agent's outputs in a row of its own, so that no two begin to fail together.
    let every = events / (FAILING * (WELL + ERRORS));
    assert!(every > 1, "more events a second, please");
    let (begun, mut sent) = (Instant::now(), 0);
    for nth in 0..events {
        if nth % (rate / 200).max(1) == 0 {
            let due = Duration::from_secs_f64(nth as f64 / rate as f64);
            clock::sleep(due.saturating_sub(begun.elapsed()));
        }
        let (agent, status) = match (nth % every, nth / every) {
            (0, of) if of < FAILING * (WELL + ERRORS) => {
                let nth = of % (WELL + ERRORS);
                (format!("failing-{}", of / (WELL + ERRORS)), if nth < WELL { "ok" } else { "error" })
            }
            _ => (format!("working-{}", nth % WORKING), "ok"),
        };
        let now = clock::now().as_millis();
        let json = format!(
            r#"{{"type":"output","event_id":"e{nth}","agent":"{agent}","ts":{now},"version":"2026-01-04-p118","task":"invoices","status":"{status}","confidence":0.{},"escalated":false,"latency_ms":{},"latency":{{"llm":700,"retrieval":150,"tool":100,"orchestration":50}},"tokens_in":1800,"tokens_out":220,"cost_usd":0.0123}}"#,
            9_000 + nth * 7_919 % 1_000,
            800 + nth * 104_729 % 400,
        );
        producer.send(&Outgoing::new(TOPIC, &agent, json.as_bytes())).unwrap();
        sent += 1;
    }
    producer.flush(Duration::from_mins(1)).unwrap();
    (sent, begun.elapsed().as_secs_f64())
}

/// Milliseconds from each record that made an alert fire to its message.
fn delays(broker: &Broker, place: &Place) -> Vec<i64> {
    let db = open_read_only(&place.database()).unwrap();
    let fired = "SELECT e.partition, e.offset, min(o.created_at_ms) FROM alert_events e
                 JOIN alerts a ON a.id = e.alert_id JOIN outbox_alerts n ON n.notice = e.id JOIN outbox o ON o.id = n.message
                 WHERE a.alert = 'Failing' AND e.to_state = 'firing' GROUP BY e.id";
    let mut statement = db.prepare(fired).unwrap();
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).unwrap();
    let decided: BTreeMap<(i32, i64), i64> = rows.map(Result::unwrap).collect();
    let mut delays = Vec::new();
    broker.consumer().each(|message| {
        if let Some(at) = decided.get(&(message.partition(), message.offset())) {
            delays.push(at - message.timestamp().to_millis().unwrap());
        }
    });
    delays
}
