//! The mock broker as a process of its own: this program again, told by its environment, steered by lines.
//!
//! So the daemon and the tests can be killed without it, and it can be frozen without them. Whoever takes brokers down
//! needs one: the library then closes its socket and binds the port anew, which fails, and ends the process, where
//! another thread starts a program at that moment and so holds a copy of the socket. It ends with its standard input,
//! that is, with the process that started it.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::io::{BufRead as _, BufReader, Lines, Write as _, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use shewhart::edge::mock::{MockBroker, MockError};

use super::workload::TOPIC;

/// The variable that makes this program a broker: how many brokers, how many partitions, the topic.
const HIDDEN: &str = "SHEWHART_TEST_BROKER";

/// What stands before its address. A test runner may have written on that line before.
const HELLO: &str = "listens on ";

/// Kinds of requests that can be made to fail.
const REQUESTS: [(&str, RDKafkaApiKey); 6] = [
    ("fetch", RDKafkaApiKey::Fetch),
    ("heartbeat", RDKafkaApiKey::Heartbeat),
    ("join", RDKafkaApiKey::JoinGroup),
    ("sync", RDKafkaApiKey::SyncGroup),
    ("coordinator", RDKafkaApiKey::FindCoordinator),
    ("commit", RDKafkaApiKey::OffsetCommit),
];

/// How they can fail.
const ERRORS: [(&str, RDKafkaRespErr); 10] = [
    ("rebalance-in-progress", RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS),
    ("unknown-member", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
    ("illegal-generation", RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
    ("coordinator-not-available", RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
    ("not-coordinator", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
    ("out-of-range", RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE),
    ("not-leader", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
    ("storage", RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR),
    ("unauthorized", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
    ("unknown-topic", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART),
];

/// The process. It ends when this is dropped.
pub(crate) struct BrokerProcess {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    bootstrap: String,
}

impl BrokerProcess {
    /// So many brokers with one topic. The arguments lead this program to [`serve_if_told`].
    pub(crate) fn start(brokers: i32, topic: &str, partitions: i32, arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .env(HIDDEN, format!("{brokers} {partitions} {topic}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = |line: String| line.split_once(HELLO).map(|(_, address)| address.to_owned());
        let bootstrap = answers.by_ref().map_while(Result::ok).find_map(address).expect("a broker");
        Self { child, orders, answers, bootstrap }
    }

    /// `host:port`, several separated by commas.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Gives one of the orders that [`obey`] knows, and waits until it is done.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        let answer = self.answers.next().expect("a broker that lives").unwrap();
        assert_eq!(answer, "ok", "{order}");
    }

    /// Stops (`STOP`) or continues (`CONT`) the process.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.orders.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the process does: its address, then an answer to each line. Any other process goes on at once.
///
/// # Returns
/// Whether this was the process of a broker, which has done its work now.
pub(crate) fn serve_if_told() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test runner takes no argument of ours")]
    let Ok(told) = std::env::var(HIDDEN) else { return false };
    let (brokers, rest) = told.split_once(' ').unwrap();
    let (partitions, topic) = rest.split_once(' ').unwrap();
    serve(&MockBroker::start_many(brokers.parse().unwrap(), topic, partitions.parse().unwrap()).unwrap());
    true
}

fn serve(broker: &MockBroker) {
    let mut out = stdout();
    writeln!(out, "{HELLO}{}", broker.bootstrap()).unwrap();
    for line in stdin().lines() {
        let answer = match obey(broker, &line.unwrap()) {
            Some(Ok(())) => "ok".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "no such order".to_owned(),
        };
        writeln!(out, "{answer}").unwrap();
    }
}

fn obey(broker: &MockBroker, order: &str) -> Option<Result<(), MockError>> {
    let words: Vec<&str> = order.split(' ').collect();
    let number = |text: &&str| text.parse::<i32>().ok();
    Some(match words.as_slice() {
        ["down"] => broker.down(),
        ["up"] => broker.up(),
        ["down", id] => broker.down_one(number(id)?),
        ["up", id] => broker.up_one(number(id)?),
        ["slow", id, millis] => broker.slow(number(id)?, Duration::from_millis(millis.parse().ok()?)),
        ["lead", partition, id] => broker.lead(TOPIC, number(partition)?, number(id)?),
        ["fail", request, error, times] => {
            let request = REQUESTS.iter().find(|(name, _)| name == request)?.1;
            let error = ERRORS.iter().find(|(name, _)| name == error)?.1;
            broker.fail(request, &vec![error; times.parse().ok()?])
        }
        _ => return None,
    })
}
