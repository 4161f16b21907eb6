//! Messages on their way from the real daemon to receivers that fail, stop, come back or never do.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

mod refused;
mod standing;
mod steps;
mod storm;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::edge::mock::MockBroker;

use crate::daemon::{Daemon, Place};
use crate::fake_http::Request;
use crate::fake_smtp::{FakeSmtp, Letter};
use crate::workload::TOPIC;

/// Outputs that fail in a row until an agent's alert fires: the tenth is enough.
const FAILURES: usize = 12;

/// Agents whose names begin with `c` page, those with `w` warn, all after ten failures and without any baseline.
const RULES: &str = r#"groups:
  - name: g
    rules:
      - alert: Outage
        where: { agent: "c*" }
        detect: { measure: availability, target: 99%, burn_rate: 14.4 }
        labels: { severity: critical }
      - alert: Trouble
        where: { agent: "w*" }
        detect: { measure: availability, target: 99%, burn_rate: 14.4 }
        labels: { severity: warning }
"#;

/// A place whose daemon reads one partition under [`RULES`]; `more` is the rest of its configuration.
fn place(broker: &MockBroker, more: &str) -> Place {
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let rules = place.path().join("rules.yaml");
    fs::write(&rules, RULES).unwrap();
    place.rules = format!("[ {} ]", rules.display());
    more.clone_into(&mut place.more);
    place
}

/// A line of the configuration: a receiver that is posted to at an address of this machine.
fn webhook(name: &str, address: SocketAddr) -> String {
    format!(
        "  - {{ name: {name}, webhook: {{ url: \"http://{address}/\", allow_http: true, allow_private: true }} }}\n"
    )
}

/// The same for mails.
fn email(name: &str, server: &FakeSmtp) -> String {
    let server = server.server();
    format!(
        "  - {{ name: {name}, email: {{ smtp: \"{server}\", security: none, from: a@example.org, to: [ b@example.org ] }} }}\n"
    )
}

/// Names of so many agents.
fn agents(initial: char, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{initial}{at:03}")).collect()
}

/// Agents at work: event time goes on by a second with every round of outputs.
struct Fleet {
    producer: Producer,
    second: i64,
    sent: u64,
}

impl Fleet {
    fn new(broker: &MockBroker) -> Self {
        // Compressed, for the mock broker keeps 5 MiB of a partition.
        let settings = ProducerSettings::new(broker.bootstrap()).with("compression.type", "gzip");
        Self { producer: Producer::new(&settings).unwrap(), second: 0, sent: 0 }
    }

    /// Every agent gives so many outputs with this status, in turns.
    fn work(&mut self, agents: &[String], rounds: usize, status: &str) {
        let begin: jiff::Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        for _ in 0..rounds {
            self.second += 1;
            let ts = (begin + jiff::SignedDuration::from_secs(self.second)).to_string();
            for agent in agents {
                let id = self.sent.to_string();
                let event = json!({ "event_id": id, "agent": agent, "ts": ts, "status": status }).to_string();
                self.producer.send(&Outgoing::new(TOPIC, agent, event.as_bytes())).unwrap();
                self.sent += 1;
            }
        }
        assert_eq!(self.producer.flush(Duration::from_secs(30)).unwrap(), self.sent);
    }

    /// Their alerts begin.
    fn fail(&mut self, agents: &[String]) {
        self.work(agents, FAILURES, "error");
    }

    /// Their alerts end: their failures are out of the short window.
    fn recover(&mut self, agents: &[String]) {
        self.second += 600;
        self.work(agents, 2, "ok");
    }
}

/// Waits until so many messages of a receiver were decided.
fn wait_decided(place: &Place, daemon: &mut Daemon, receiver: &str, messages: i64) {
    let sql = format!("SELECT count(*) FROM outbox WHERE receiver = '{receiver}'");
    place.wait("decided messages", daemon, |place| place.ask(&sql) == Some(messages));
}

/// How many messages of a receiver are in this state: pending, delivered, dead.
fn count(place: &Place, receiver: &str, state: &str) -> i64 {
    place.ask(&format!("SELECT count(*) FROM outbox WHERE receiver = '{receiver}' AND state = '{state}'")).unwrap_or(-1)
}

/// Waits until nothing waits for any receiver.
fn wait_empty(place: &Place, daemon: &mut Daemon) {
    let pending = "SELECT count(*) FROM outbox WHERE state = 'pending'";
    place.wait("an empty outbox", daemon, |place| place.ask(pending) == Some(0));
}

/// Waits, while no daemon runs, until the time of everything that waits has come.
fn wait_due(place: &Place) {
    let latest = "SELECT coalesce(max(next_at_ms), 0) FROM outbox WHERE state = 'pending'";
    while place.ask(latest).unwrap() > clock::now().as_millis() {
        clock::sleep(Duration::from_millis(20));
    }
}

/// One message as its receiver got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Copy {
    /// The message's id, as the receiver reads it.
    id: String,
    /// What must be the same in every copy.
    content: String,
}

impl Copy {
    fn of_mail(mail: &[u8]) -> Self {
        let letter = Letter::read(mail);
        let id = letter.header("Message-ID").trim_matches(['<', '>']).split('@').next().unwrap().to_owned();
        Self { id, content: format!("{}\n{:?}", letter.subject(), letter.parts) }
    }

    fn of_request(request: &Request) -> Self {
        assert_eq!(request.header("idempotency-key"), request.header("webhook-id"));
        let id = request.header("webhook-id").unwrap().to_owned();
        Self { id, content: String::from_utf8(request.body.clone()).unwrap() }
    }
}

/// How many copies of each message came, by its id. All copies of one say the same.
fn copies(all: &[Copy]) -> BTreeMap<String, usize> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for copy in all {
        assert_eq!(*first.entry(&copy.id).or_insert(&copy.content), copy.content, "{}", copy.id);
        *counts.entry(copy.id.clone()).or_default() += 1;
    }
    counts
}

/// The body of a webhook.
fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}
