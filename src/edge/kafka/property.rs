//! Which client properties a user may set, and how they are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// Client properties by name. Numbers and booleans may be written without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, Scalar>::deserialize(deserializer)?;
        let text = |scalar| match scalar {
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Whole(number) => number.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
        };
        Ok(Self(raw.into_iter().map(|(key, scalar)| (key, text(scalar))).collect()))
    }
}

/// What becomes of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is handed to the client.
    Fine,
    /// It is refused.
    Denied(&'static str),
    /// It must come from a file.
    Secret,
}

const CODE: &str = "it loads code into this process";
const FIELD: &str = "it has a field of its own in the kafka section";
const OURS: &str = "exactly-once counting depends on our value";
const CALLBACK: &str = "it is a callback of the client library, not a setting";

const DENIED: [(&str, &str); 31] = [
    ("plugin.library.paths", CODE),
    ("ssl.engine.location", CODE),
    ("ssl.engine.id", CODE),
    ("ssl.providers", CODE),
    ("interceptors", CODE),
    ("sasl.kerberos.kinit.cmd", "it runs a command"),
    ("test.mock.num.brokers", "it replaces the brokers by imitations"),
    ("test.mock.broker.rtt", "it belongs to imitated brokers"),
    ("enable.metrics.push", "it sends measurements of this process to the broker"),
    ("bootstrap.servers", FIELD),
    ("metadata.broker.list", FIELD),
    ("group.id", FIELD),
    ("group.instance.id", FIELD),
    ("enable.auto.commit", OURS),
    ("auto.commit.enable", OURS),
    ("auto.commit.interval.ms", OURS),
    ("enable.auto.offset.store", OURS),
    ("auto.offset.reset", OURS),
    ("offset.store.method", OURS),
    ("isolation.level", OURS),
    ("enable.partition.eof", OURS),
    ("group.protocol", "the reader is built for the classic protocol"),
    ("group.protocol.type", "the reader is built for the classic protocol"),
    ("group.remote.assignor", "the reader is built for the classic protocol"),
    ("partition.assignment.strategy", "the reader is built for the range strategy"),
    ("allow.auto.create.topics", "a mistyped topic must be reported, not created"),
    ("enabled_events", CALLBACK),
    ("opaque", CALLBACK),
    ("default_topic_conf", CALLBACK),
    ("ssl_engine_callback_data", CALLBACK),
    ("log.queue", CALLBACK),
];

/// Parts of names that mark a secret, in whatever version of the client.
const SECRET: [&str; 5] = ["password", "passphrase", "secret", "key.pem", "oauthbearer.config"];

/// Judges a property by its name.
pub(super) fn judge(key: &str) -> Verdict {
    let name = key.trim().to_ascii_lowercase();
    if let Some((_, reason)) = DENIED.iter().find(|(denied, _)| *denied == name) {
        return Verdict::Denied(reason);
    }
    if name.ends_with("_cb") {
        return Verdict::Denied(CALLBACK);
    }
    if SECRET.iter().any(|part| name.contains(part)) {
        return Verdict::Secret;
    }
    Verdict::Fine
}
