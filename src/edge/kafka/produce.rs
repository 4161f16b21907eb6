//! A producer for the demo and the tests: idempotent, keyed by agent, bounded in time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::property::Properties;
use super::settings::{SettingsError, client_error};
use crate::edge::clock;
use crate::engine::units::{Partition, Timestamp};

/// How to produce.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// How long records wait for company.
    pub linger: Duration,
    /// How long one record is tried for before it counts as failed.
    pub timeout: Duration,
    /// Further properties of the client, e.g. `compression.type`.
    pub properties: Properties,
}

impl ProducerSettings {
    /// Linger of 5 ms, thirty seconds for a record, nothing else.
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            linger: Duration::from_millis(5),
            timeout: Duration::from_secs(30),
            properties: Properties::default(),
        }
    }

    /// The same with one more property.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.properties.0.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// A record on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The agent: records of one agent stay in one partition, in order.
    pub key: &'a str,
    /// The value.
    pub payload: &'a [u8],
    /// A fixed partition instead of the one chosen by the key.
    pub partition: Option<Partition>,
    /// The record's timestamp; the client's clock where there is none.
    pub time: Option<Timestamp>,
    /// Headers.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Outgoing<'a> {
    /// A record with a key and a value and nothing else.
    pub fn new(topic: &'a str, key: &'a str, payload: &'a [u8]) -> Self {
        Self { topic, key, payload, partition: None, time: None, headers: &[] }
    }
}

/// Why a record was not taken, or not all arrived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The queue stayed full for the record's whole time.
    #[error("the producer's queue stayed full: the broker takes nothing")]
    Full,
    /// The client refused the record.
    #[error("the record was refused: {0}")]
    Refused(String),
    /// Some records had not been answered for when the time was up, or failed.
    #[error("{failed} records failed and {pending} were still on their way: {last}")]
    Undelivered {
        /// Records given up.
        failed: u64,
        /// Records without an answer.
        pending: u64,
        /// What the client says.
        last: String,
    },
}

#[derive(Default)]
struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Tally {
    fn log(&self, _level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        tracing::debug!(kind = fac, "producer: {log_message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "producer: {reason}");
    }
}

impl ProducerContext for Tally {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.delivered.fetch_add(1, Ordering::Relaxed),
            Err((error, _)) => {
                tracing::warn!(%error, "a record was not delivered");
                self.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

/// A running producer. Flush it before it is dropped.
pub struct Producer {
    inner: ThreadedProducer<Tally>,
    timeout: Duration,
}

impl Producer {
    /// Connects in the background; an unreachable broker shows when records time out.
    pub fn new(settings: &ProducerSettings) -> Result<Self, SettingsError> {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        // The partitioner of the Java client, so that both put an agent into the same partition.
        config.set("partitioner", "murmur2_random").set("client.id", "shewhart-producer");
        config.set("enable.metrics.push", "false").set("log.connection.close", "false");
        for (key, value) in &settings.properties.0 {
            config.set(key, value);
        }
        config
            .set("bootstrap.servers", &settings.brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", settings.linger.as_millis().to_string())
            .set("message.timeout.ms", settings.timeout.as_millis().to_string());
        let inner = config.create_with_context(Tally::default()).map_err(|error| client_error(&error))?;
        Ok(Self { inner, timeout: settings.timeout })
    }

    /// Hands a record to the client; waits while its queue is full, no longer than the record's time.
    pub fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), ProduceError> {
        let deadline = clock::instant() + self.timeout;
        let mut record = BaseRecord::to(outgoing.topic).key(outgoing.key).payload(outgoing.payload);
        if let Some(Partition(partition)) = outgoing.partition {
            record = record.partition(partition);
        }
        if let Some(time) = outgoing.time {
            record = record.timestamp(time.as_millis());
        }
        if !outgoing.headers.is_empty() {
            let insert =
                |all: OwnedHeaders, (key, value): &(&str, &[u8])| all.insert(Header { key, value: Some(*value) });
            record = record.headers(outgoing.headers.iter().fold(OwnedHeaders::new(), insert));
        }
        loop {
            record = match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, _)) => return Err(ProduceError::Refused(error.to_string())),
            };
            if clock::instant() >= deadline {
                return Err(ProduceError::Full);
            }
            clock::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until every record has been answered for. How many were delivered since the start, when all were.
    pub fn flush(&self, timeout: Duration) -> Result<u64, ProduceError> {
        use rdkafka::producer::Producer as _;
        let flushed = self.inner.flush(timeout);
        let failed = self.inner.context().failed.load(Ordering::Relaxed);
        let pending = self.inner.in_flight_count().max(0) as u64;
        match flushed {
            Ok(()) if failed == 0 && pending == 0 => Ok(self.inner.context().delivered.load(Ordering::Relaxed)),
            Ok(()) => Err(ProduceError::Undelivered { failed, pending, last: "given up".to_owned() }),
            Err(error) => Err(ProduceError::Undelivered { failed, pending, last: error.to_string() }),
        }
    }
}
