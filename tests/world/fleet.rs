//! Agents whose alerts begin and end when a test says so.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::time::Duration;

use serde_json::json;
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};

use super::workload::TOPIC;

/// Outputs that fail in a row until an agent's alert fires: the tenth is enough.
pub(crate) const FAILURES: usize = 12;

/// Agents whose names begin with `c` page, those with `w` warn, all after ten failures and without any baseline.
pub(crate) const RULES: &str = r#"groups:
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

/// Names of so many agents.
pub(crate) fn agents(initial: char, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{initial}{at:03}")).collect()
}

/// Agents at work: event time goes on by a second with every round of outputs.
pub(crate) struct Fleet {
    producer: Producer,
    second: i64,
    pub(crate) sent: u64,
}

impl Fleet {
    pub(crate) fn new(brokers: &str) -> Self {
        // Compressed, for the mock broker keeps 5 MiB of a partition.
        let settings = ProducerSettings::new(brokers).with("compression.type", "gzip");
        Self { producer: Producer::new(&settings).unwrap(), second: 0, sent: 0 }
    }

    /// Every agent gives so many outputs with this status, in turns.
    pub(crate) fn work(&mut self, agents: &[String], rounds: usize, status: &str) {
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
    pub(crate) fn fail(&mut self, agents: &[String]) {
        self.work(agents, FAILURES, "error");
    }

    /// Their alerts end: their failures are out of the short window.
    pub(crate) fn recover(&mut self, agents: &[String]) {
        self.second += 600;
        self.work(agents, 2, "ok");
    }
}
