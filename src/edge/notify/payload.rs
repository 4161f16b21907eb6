//! Alerts in Alertmanager's words: the body of its webhook, format "4", and the signature of Standard Webhooks.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use super::clean::{line, token};
use super::facts::facts;
use super::notes;
use super::page::{FALLBACK_NOTE, about, has_gaps, is_over, severity};
use crate::engine::alert::Crossing;
use crate::engine::route::{Message, Occasion, Status};
use crate::engine::units::Timestamp;

/// Alerts in one body; the rest is counted in `truncatedAlerts`.
pub const ALERTS_SENT: usize = 500;
/// Longest label value or annotation, in characters.
const TEXT_LIMIT: usize = 4_096;
/// How Go prints a time that was never set; Alertmanager's end of an alert that is not over.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// The annotation that carries what a message says besides its alerts.
const NOTES: &str = "message_notes";

/// The body. Field names and order are Alertmanager's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
    status: Status,
    receiver: String,
    group_labels: BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'static str,
    alerts: Vec<Alert>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: Status,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'static str,
    fingerprint: String,
}

/// The message in Alertmanager's format. Its notes are an annotation that all alerts have in common; a message without
/// alerts has that annotation only.
pub fn body(message: &Message, fallback: bool) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&payload(message, fallback))
}

/// What a command gets: the webhook's body, and what a webhook says in headers, with the notes as data.
#[derive(Serialize)]
struct Hook {
    /// The message's id, the same at every attempt: by it a command can tell a second call.
    id: String,
    occasion: Occasion,
    /// Whether text from agents was left out, because the command failed on the whole message.
    fallback: bool,
    notes: Vec<serde_json::Value>,
    #[serde(flatten)]
    payload: Payload,
}

/// The message for a command's standard input.
pub(super) fn hook(message: &Message, fallback: bool) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Hook {
        id: key(message, fallback),
        occasion: message.occasion,
        fallback,
        notes: if fallback { Vec::new() } else { notes::data(message) },
        payload: payload(message, fallback),
    })
}

fn payload(message: &Message, fallback: bool) -> Payload {
    let said = notes::sentences(message, fallback).join(" ");
    let noted = (!said.is_empty()).then(|| (NOTES.to_owned(), said));
    let alerts: Vec<Alert> =
        message.crossings.iter().take(ALERTS_SENT).map(|c| alert(c, fallback, noted.as_ref())).collect();
    Payload {
        version: "4",
        // The group's key may hold label values.
        group_key: if fallback { message.thread.to_string() } else { line(&message.group_key, TEXT_LIMIT) },
        truncated_alerts: about(message).saturating_sub(alerts.len()),
        status: message.status,
        receiver: line(&message.receiver, TEXT_LIMIT),
        group_labels: if fallback { BTreeMap::new() } else { cleaned(&message.group_labels) },
        common_labels: common(alerts.iter().map(|a| &a.labels)),
        common_annotations: if alerts.is_empty() {
            noted.into_iter().collect()
        } else {
            common(alerts.iter().map(|a| &a.annotations))
        },
        external_url: "",
        alerts,
    }
}

fn alert(crossing: &Crossing, fallback: bool, noted: Option<&(String, String)>) -> Alert {
    let mut labels = if fallback { plain_labels(crossing) } else { labels(crossing) };
    if fallback {
        labels.insert("alert_id".to_owned(), crossing.alert_id.to_string());
    }
    let mut annotations = annotations(crossing, fallback);
    annotations.extend(noted.cloned());
    let over = is_over(crossing);
    Alert {
        status: if over { Status::Resolved } else { Status::Firing },
        fingerprint: format!("{:016x}", fingerprint(&labels)),
        labels,
        annotations,
        starts_at: crossing.started_at.to_string(),
        ends_at: if over { crossing.at.to_string() } else { NEVER.to_owned() },
        generator_url: "",
    }
}

/// The labels of an alert, with its name among them.
pub(super) fn labels(crossing: &Crossing) -> BTreeMap<String, String> {
    let mut labels = cleaned(&crossing.labels);
    labels.insert("alertname".to_owned(), line(&crossing.alert, TEXT_LIMIT));
    labels
}

/// The labels of an alert without text from agents.
pub(super) fn plain_labels(crossing: &Crossing) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("alertname".to_owned(), token(&crossing.alert, 80)),
        ("rule".to_owned(), token(&crossing.rule, 160)),
    ]);
    labels.extend(severity(crossing).map(|s| ("severity".to_owned(), s.to_owned())));
    labels
}

/// The annotations of an alert; where text from agents is left out, a summary that says so and nothing else.
pub(super) fn annotations(crossing: &Crossing, fallback: bool) -> BTreeMap<String, String> {
    if fallback {
        return BTreeMap::from([("summary".to_owned(), FALLBACK_NOTE.to_owned())]);
    }
    let mut annotations = cleaned(&crossing.annotations);
    annotations.retain(|name, _| !has_gaps(crossing, name));
    // The numbers travel in annotations only; without them the receiver would learn that something is wrong but not what.
    let told = if annotations.contains_key("summary") { "told" } else { "summary" };
    for (name, text) in facts(crossing) {
        let name = if name == "told" { told } else { name };
        annotations.entry(name.to_owned()).or_insert_with(|| line(&text, TEXT_LIMIT));
    }
    annotations
}

fn cleaned(texts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    texts.iter().map(|(name, text)| (line(name, 200), line(text, TEXT_LIMIT))).collect()
}

/// What all have, with the same value.
fn common<'a>(mut all: impl Iterator<Item = &'a BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut shared = all.next().cloned().unwrap_or_default();
    for one in all {
        shared.retain(|name, value| one.get(name) == Some(value));
    }
    shared
}

/// The name of a label set, as Prometheus computes it: FNV-1a over sorted `name 0xFF value 0xFF`.
pub fn fingerprint(labels: &BTreeMap<String, String>) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    labels
        .iter()
        .flat_map(|(name, value)| [name, value])
        .fold(BASIS, |hash, text| add(text.bytes().fold(hash, add), 0xff))
}

/// The `webhook-signature` of a body: `v1,` and the HMAC-SHA256 of `id.timestamp.body`. A key that starts with `whsec_`
/// is base64 after it, as Standard Webhooks writes keys; any other is taken as it is. Nothing when the base64 is broken.
pub fn signature(key: &str, id: &str, now: Timestamp, body: &[u8]) -> Option<String> {
    let mut bytes = match key.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => key.as_bytes().to_vec(),
    };
    let mac = Hmac::<Sha256>::new_from_slice(&bytes).ok();
    bytes.fill(0);
    let mut mac = mac?;
    mac.update(format!("{id}.{}.", seconds(now)).as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Seconds since the epoch, as `webhook-timestamp` wants them.
pub fn seconds(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(1_000)
}

/// The value of `webhook-id` and `Idempotency-Key`. A fallback is another body, which receivers that remember keys must
/// not take for the one they refused.
pub fn key(message: &Message, fallback: bool) -> String {
    if fallback { format!("{}-fallback", message.id) } else { message.id.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_prometheus() {
        for (job, severity, expected) in [
            ("foo", "warning", 0x9266_ef3d_a838_ad95_u64),
            ("foo", "critical", 0x3b15_fd16_3d36_582e),
            ("bar", "critical", 0xc7e6_8cb0_8e3e_67f9),
        ] {
            let labels = [("job", job), ("severity", severity)].map(|(n, v)| (n.to_owned(), v.to_owned()));
            assert_eq!(fingerprint(&BTreeMap::from(labels)), expected, "{job} {severity}");
        }
    }

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // The example of the specification's reference libraries.
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp::from_millis(1_614_265_330_999),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(signature("whsec_???", "id", Timestamp::from_millis(0), b""), None);
        assert!(signature("plain text", "id", Timestamp::from_millis(0), b"").is_some());
    }
}
