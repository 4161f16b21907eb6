//! The `kafka` section of the configuration, and the client configuration made from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::super::notify::{Secret, SecretError};
use super::property::{Properties, Verdict, judge};

/// Where the records come from. Keys follow the client's own names wherever the client has one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The topic that agents write to.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// A name for this process that survives restarts: a restart within the session timeout then moves nothing.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// Further properties of the client, e.g. `security.protocol`. Some are refused, see [`SettingsError`].
    #[serde(default)]
    pub properties: Properties,
    /// Properties whose value is the content of a file: passwords and keys.
    #[serde(default)]
    pub properties_files: BTreeMap<String, PathBuf>,
    /// What to do when records are missing.
    #[serde(default)]
    pub on_gap: OnGap,
    /// Where a partition that was never seen starts.
    #[serde(default)]
    pub start: Start,
    /// Times and sizes that users have no reason to change and tests have.
    #[serde(skip)]
    pub tuning: Tuning,
}

/// What to do when records are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnGap {
    /// Go on with the first record there is.
    #[default]
    Earliest,
    /// Go on with new records only.
    Latest,
    /// End, and let a person decide.
    Stop,
}

/// Where a partition that was never seen starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the first record there is.
    #[default]
    Earliest,
    /// With new records only.
    Latest,
}

/// Records in a batch at most, as shipped.
pub const BATCH_RECORDS: usize = 5_000;

/// Times and sizes of the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Records in a batch at most.
    pub batch_records: usize,
    /// Bytes of values after which a batch takes no more: what it holds must not hang on how large records are.
    pub batch_bytes: usize,
    /// Age of the oldest record in a batch at most.
    pub linger: Duration,
    /// How often the ends of the partitions are asked for.
    pub marks_every: Duration,
    /// How long a partition may have records and give none.
    pub stall_after: Duration,
    /// How often a partition is begun anew before the reader gives up.
    pub stall_strikes: u32,
    /// Time for the broker to answer one question about the ends of a partition.
    pub marks_timeout: Duration,
    /// How long an assignment waits for such answers before it goes on without.
    pub marks_patience: Duration,
    /// An empty log where we have a position is believed after three equal answers this far apart.
    pub confirm_every: Duration,
    /// How long a revocation waits for the core.
    pub revoke_patience: Duration,
    /// How often marks are committed to the group.
    pub mark_every: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            batch_records: BATCH_RECORDS,
            batch_bytes: 8 << 20,
            // Long enough that a batch is worth a turn of the core, short enough that nobody sees it.
            linger: Duration::from_millis(5),
            marks_every: Duration::from_secs(15),
            stall_after: Duration::from_mins(1),
            stall_strikes: 3,
            marks_timeout: Duration::from_secs(3),
            marks_patience: Duration::from_secs(15),
            confirm_every: Duration::from_secs(5),
            revoke_patience: Duration::from_secs(6),
            mark_every: Duration::from_secs(5),
        }
    }
}

/// Why the settings cannot be used. None of the messages holds the value of a property.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A required field is empty.
    #[error("kafka.{field} is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// The property is dangerous, or correctness hangs on our own value of it.
    #[error("kafka.properties: `{key}` cannot be set: {reason}")]
    Denied {
        /// The property.
        key: String,
        /// Why.
        reason: &'static str,
    },
    /// A secret in the configuration file.
    #[error(
        "kafka.properties: `{key}` is a secret; put it into a file of its own and name that file in kafka.properties_files"
    )]
    InlineSecret {
        /// The property.
        key: String,
    },
    /// The same property twice.
    #[error("`{key}` is set in kafka.properties and again in kafka.properties_files; keep one")]
    Twice {
        /// The property.
        key: String,
    },
    /// A file of `properties_files` cannot be read.
    #[error("kafka.properties_files: `{key}`: cannot read {path}: {problem}")]
    File {
        /// The property.
        key: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// A file of `properties_files` that holds a secret cannot be used.
    #[error("kafka.properties_files: `{key}`: {source}")]
    Secret {
        /// The property.
        key: String,
        /// What is wrong with the file.
        source: SecretError,
    },
    /// The client does not know the property or refuses the value.
    #[error("kafka.properties: `{key}`: {problem}")]
    Refused {
        /// The property.
        key: String,
        /// What the client says.
        problem: String,
    },
    /// The client cannot be made of these properties.
    #[error("the Kafka client cannot be created: {0}")]
    Client(String),
}

/// What the reader starts from. All may be overridden by `properties`, none is needed for correctness.
const DEFAULTS: [(&str, &str); 17] = [
    ("session.timeout.ms", "45000"),
    ("heartbeat.interval.ms", "3000"),
    ("max.poll.interval.ms", "120000"),
    ("check.crcs", "true"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "16777216"),
    ("receive.message.max.bytes", "33554432"),
    // A partition that is left out of a request waits for the answer to it.
    ("fetch.wait.max.ms", "100"),
    // The default of a second makes every partition sleep once processing is slower than fetching.
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "16384"),
    // While the reader has so many to take, more gather at the broker: the next request brings them all, and costs the same.
    ("queued.min.messages", "20"),
    ("topic.metadata.refresh.interval.ms", "60000"),
    ("reconnect.backoff.max.ms", "10000"),
    ("socket.keepalive.enable", "true"),
    ("statistics.interval.ms", "0"),
    ("log.connection.close", "false"),
    ("client.id", "shewhart"),
];

/// What correctness hangs on. `property::judge` refuses every key of this list.
const FIXED: [(&str, &str); 9] = [
    // The other protocol has fatal paths in this version of the client.
    ("group.protocol", "classic"),
    // Eager: all partitions go, then all come, with one assignment each.
    ("partition.assignment.strategy", "range"),
    // The ledger's offsets are the truth.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
    // The end of a partition tells waiting apart from being stuck.
    ("enable.partition.eof", "true"),
    ("enable.metrics.push", "false"),
];

/// Properties that only clients without a group may be given.
const GROUP_ONLY: [&str; 3] = ["session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms"];

impl KafkaSettings {
    /// Checks everything that can be known without a broker, secret files included.
    pub fn check(&self) -> Result<(), SettingsError> {
        let native = self.consumer()?.create_native_config();
        native.map(drop).map_err(|error| client_error(&error))
    }

    /// The configuration of the consumer.
    pub(super) fn consumer(&self) -> Result<ClientConfig, SettingsError> {
        let mut config = self.base()?;
        config.set("group.id", &self.group);
        if let Some(id) = &self.instance_id {
            config.set("group.instance.id", id);
        }
        Ok(config)
    }

    /// The configuration of the client that asks for the ends of partitions: the same, outside the group.
    pub(super) fn probe(&self) -> Result<ClientConfig, SettingsError> {
        let mut config = self.base()?;
        for key in GROUP_ONLY {
            config.remove(key);
        }
        Ok(config)
    }

    fn base(&self) -> Result<ClientConfig, SettingsError> {
        for (field, text) in [("brokers", &self.brokers), ("topic", &self.topic), ("group", &self.group)] {
            if text.trim().is_empty() {
                return Err(SettingsError::Empty { field });
            }
        }
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        for (key, value) in DEFAULTS {
            config.set(key, value);
        }
        for (key, value) in &self.properties.0 {
            match judge(key) {
                Verdict::Denied(reason) => return Err(SettingsError::Denied { key: key.clone(), reason }),
                Verdict::Secret => return Err(SettingsError::InlineSecret { key: key.clone() }),
                Verdict::Fine => config.set(key, value),
            };
        }
        for (key, path) in &self.properties_files {
            config.set(key, self.content(key, path)?);
        }
        for (key, value) in FIXED {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        Ok(config)
    }

    fn content(&self, key: &str, path: &PathBuf) -> Result<String, SettingsError> {
        let key = key.to_owned();
        let verdict = judge(&key);
        if let Verdict::Denied(reason) = verdict {
            return Err(SettingsError::Denied { key, reason });
        }
        if self.properties.0.contains_key(&key) {
            return Err(SettingsError::Twice { key });
        }
        if verdict == Verdict::Secret {
            let opened = Secret::in_file(path).read().map_err(|source| SettingsError::Secret { key, source })?;
            return Ok(opened.expose().to_owned());
        }
        let problem =
            |error: std::io::Error| SettingsError::File { key, path: path.clone(), problem: error.to_string() };
        let text = fs::read_to_string(path).map_err(problem)?;
        // Editors and `echo` end files with a newline, and no certificate needs it.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// The client's error without the value it complains about, which may be a secret.
pub(super) fn client_error(error: &KafkaError) -> SettingsError {
    match error {
        KafkaError::ClientConfig(_, problem, key, value) => {
            let problem = if value.is_empty() { problem.clone() } else { problem.replace(value.as_str(), "…") };
            SettingsError::Refused { key: key.clone(), problem }
        }
        other => SettingsError::Client(other.to_string()),
    }
}
