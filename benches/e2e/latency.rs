//! From an event to the decision that its alert fires: records at a steady rate, and among them agents that begin to fail.
//!
//! A failing agent's tenth error makes its burn rate fire; the alert's change of state names the record. Measured is from the time
//! at which that record was produced to the time at which the daemon says in its log that the alert is about to fire, and to the
//! time at which it says that it does: when that is written down. Before the first agent fails, what the daemon takes of a core is measured,
//! and how long records wait in it until they are judged, by its own metric. Beside that: how long after its time a consumer that does
//! nothing has a record in hand, at the same rate from the same broker, when the daemon has ended.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::message::Message as _;
use serde::Deserialize;
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer};
use shewhart::edge::ledger::open_read_only;

use super::broker::{Broker, TOPIC};
use super::measure::written;
use super::world::daemon::{Place, spent};

/// Agents that fail.
const FAILING: usize = 100;
/// Agents that work.
const WORKING: usize = 1_000;
/// Outputs of a failing agent that go well, and those that do not.
const WELL: usize = 10;
const ERRORS: usize = 12;
/// Seconds in which all goes well, of which the first are for the caches; and those in which one agent after the other fails.
const CALM: usize = 20;
const WARM: usize = 5;
const TROUBLED: usize = 50;

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
    place.join_outputs = 200_000;
    place.log_filter = "info,shewhart::edge::core=debug";
    let mut daemon = place.start();
    place.wait_ready(&mut daemon);
    let producer = broker.producer(Duration::from_millis(5));
    send(&producer, rate, 0..WARM);
    let process = daemon.pid().to_string();
    let (spent_before, written_before, waits_before) = (spent(daemon.pid()), written(&process), Waits::of(&place));
    send(&producer, rate, WARM..CALM);
    let waits = Waits::of(&place).after(&waits_before);
    let share = (spent(daemon.pid()) - spent_before) as f64 / (CALM - WARM) as f64;
    let bytes = (written(&process) - written_before) as f64 / (CALM - WARM) as f64 / 1e6;
    send(&producer, rate, CALM..CALM + TROUBLED);
    producer.flush(Duration::from_mins(1)).unwrap();
    let fired = "SELECT count(*) FROM alert_events WHERE to_state = 'firing' AND alert_id IN \
                 (SELECT id FROM alerts WHERE alert = 'Failing')";
    place.wait("the alerts", &mut daemon, |place| place.ask(fired) >= Some(FAILING as i64));
    place.stop(daemon);
    println!(
        "{rate} events a second from {}: {share:.1} % of a core and {bytes:.1} MB a second written while all goes well",
        broker.name()
    );
    println!(
        "  a record waits in the daemon until it is judged: p50 {}, p90 {}, p99 {}",
        waits.at(0.5),
        waits.at(0.9),
        waits.at(0.99)
    );
    for (what, message) in [("decided", "an alert is about to change"), ("written down", "an alert changed")] {
        let delays = delays(&broker, &place, message);
        println!("  {} alerts, from the record until it is {what}: {}", delays.len(), quantiles(delays));
    }
    println!("  a consumer that does nothing has a record: {}", quantiles(bare(&broker, &producer, rate)));
}

fn quantiles(mut millis: Vec<f64>) -> String {
    assert!(!millis.is_empty(), "nothing to tell");
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() as f64 * share).ceil() as usize).clamp(1, millis.len()) - 1];
    format!("p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms, most {:.0} ms", at(0.5), at(0.9), at(0.99), at(1.0))
}

/// The daemon's histogram of how long records wait in it.
struct Waits(Vec<(String, f64)>);

impl Waits {
    /// As the page of metrics has it: cases by bounds in seconds.
    fn of(place: &Place) -> Self {
        let (_, page) = place.page("/metrics").unwrap();
        let bucket = |line: &str| {
            let (bound, cases) = line.strip_prefix("shewhart_decision_seconds_bucket{le=\"")?.split_once("\"} ")?;
            Some((bound.to_owned(), cases.parse().ok()?))
        };
        Self(page.lines().filter_map(bucket).collect())
    }

    /// The cases since then.
    fn after(self, before: &Self) -> Self {
        Self(self.0.into_iter().zip(&before.0).map(|((bound, cases), (_, old))| (bound, cases - old)).collect())
    }

    /// Between which bounds a quantile lies.
    fn at(&self, q: f64) -> String {
        let all = self.0.last().map_or(0.0, |(_, all)| *all);
        assert!(all > 0.0, "the daemon's page has no records, or not this metric");
        let at = self.0.partition_point(|(_, cases)| *cases < q * all);
        let millis = |at: usize| self.0.get(at).and_then(|(bound, _)| bound.parse().ok()).map_or(0.0, |s: f64| s * 1e3);
        let low = at.checked_sub(1).map_or(0.0, millis);
        format!("{low} to {} ms", millis(at))
    }
}

/// Milliseconds from each record's time until a consumer that does nothing has it in hand.
fn bare(broker: &Broker, producer: &Producer, rate: usize) -> Vec<f64> {
    let consumer = broker.consumer();
    consumer.begin_at_the_end();
    let (records, seconds) = (rate * CALM, CALM + TROUBLED..CALM + TROUBLED + CALM);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut delays = Vec::with_capacity(records);
            while delays.len() < records {
                let message = consumer.next().unwrap();
                delays.push(clock::now().as_millis() as f64 - message.timestamp().to_millis().unwrap() as f64);
            }
            delays.split_off(rate * WARM)
        });
        send(producer, rate, seconds);
        producer.flush(Duration::from_mins(1)).unwrap();
        reader.join().unwrap()
    })
}

/// Sends the records of some seconds, at that rate.
fn send(producer: &Producer, rate: usize, seconds: Range<usize>) {
    let troubled = rate * CALM;
    // Failing agents come one after the other, so that no two begin to fail together.
    let every = rate * TROUBLED / (FAILING * (WELL + ERRORS));
    assert!(every > 1, "more events a second, please");
    let (begun, first) = (Instant::now(), seconds.start * rate);
    for nth in first..seconds.end * rate {
        if nth % (rate / 200).max(1) == 0 {
            let due = Duration::from_secs_f64((nth - first) as f64 / rate as f64);
            clock::sleep(due.saturating_sub(begun.elapsed()));
        }
        let of_failing = nth.checked_sub(troubled).filter(|nth| nth % every == 0).map(|nth| nth / every);
        let (agent, status) = match of_failing {
            Some(of) if of < FAILING * (WELL + ERRORS) => {
                let status = if of % (WELL + ERRORS) < WELL { "ok" } else { "error" };
                (format!("failing-{}", of / (WELL + ERRORS)), status)
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
    }
}

/// One line of the log.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    message: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    id: String,
}

/// Milliseconds from each record that made an alert fire to the line that says so.
fn delays(broker: &Broker, place: &Place, message: &str) -> Vec<f64> {
    let mut told = BTreeMap::new();
    for line in place.log().lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        if line.message == message && line.to == "firing" {
            let at: jiff::Timestamp = line.timestamp.parse().unwrap();
            told.insert(line.id, at.as_microsecond() as f64 / 1e3);
        }
    }
    let db = open_read_only(&place.database()).unwrap();
    let fired = "SELECT e.partition, e.offset, e.alert_id FROM alert_events e JOIN alerts a ON a.id = e.alert_id
                 WHERE a.alert = 'Failing' AND e.to_state = 'firing'";
    let mut statement = db.prepare(fired).unwrap();
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, String>(2)?))).unwrap();
    let by: BTreeMap<(i32, i64), String> = rows.map(Result::unwrap).collect();
    let mut delays = Vec::new();
    broker.consumer().each(|message| {
        let alert = by.get(&(message.partition(), message.offset()));
        if let Some(at) = alert.and_then(|alert| told.get(alert)) {
            delays.push(at - message.timestamp().to_millis().unwrap() as f64);
        }
    });
    delays
}
