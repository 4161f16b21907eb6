//! Readers of what receivers get, written from the receivers' own documents and from nothing of the sender: an unknown
//! field, a wrong type, a value beyond a limit ends the test.

#![expect(dead_code, reason = "some fields are there to be read, not to be used")]
#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Alertmanager's `postableAlert` (api/v2/openapi.yaml of 0.25), with the rules of its validation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PostableAlert {
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) starts_at: String,
    pub(crate) ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
}

/// Milliseconds since the epoch of a time in RFC 3339.
pub(crate) fn millis(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap_or_else(|e| panic!("{time}: {e}")).as_millisecond()
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(crate) fn alertmanager(body: &[u8]) -> Vec<PostableAlert> {
    let alerts: Vec<PostableAlert> = serde_json::from_slice(body).unwrap();
    assert!(alerts.len() <= 500, "{} alerts", alerts.len());
    for alert in &alerts {
        assert!(!alert.labels.is_empty() && alert.labels.len() <= 30, "{:?}", alert.labels);
        assert!(alert.labels.contains_key("alertname"), "{:?}", alert.labels);
        for (name, value) in alert.labels.iter().chain(&alert.annotations) {
            assert!(is_label_name(name) && !value.is_empty(), "{name}={value}");
        }
        assert!(millis(&alert.starts_at) > 0 && millis(&alert.starts_at) <= millis(&alert.ends_at), "{alert:?}");
    }
    alerts
}

/// Alertmanager's webhook, version 4.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Webhook {
    version: String,
    pub(crate) group_key: String,
    pub(crate) truncated_alerts: u64,
    pub(crate) status: Status,
    pub(crate) receiver: String,
    pub(crate) group_labels: BTreeMap<String, String>,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    pub(crate) alerts: Vec<WebhookAlert>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Firing,
    Resolved,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct WebhookAlert {
    pub(crate) status: Status,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) starts_at: String,
    pub(crate) ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    pub(crate) fingerprint: String,
}

pub(crate) fn webhook(body: &[u8]) -> Webhook {
    let webhook: Webhook = serde_json::from_slice(body).unwrap();
    assert_eq!(webhook.version, "4");
    for alert in &webhook.alerts {
        let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        assert!(alert.fingerprint.len() == 16 && hex(&alert.fingerprint), "{}", alert.fingerprint);
        assert!(millis(&alert.starts_at) > 0);
        assert_eq!(alert.status == Status::Firing, alert.ends_at == "0001-01-01T00:00:00Z", "{alert:?}");
        for (name, value) in &webhook.common_labels {
            assert_eq!(alert.labels.get(name), Some(value));
        }
        for (name, value) in &webhook.common_annotations {
            assert_eq!(alert.annotations.get(name), Some(value));
        }
    }
    webhook
}

/// What a command reads: the webhook's body and four fields more.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) id: String,
    pub(crate) occasion: String,
    pub(crate) fallback: bool,
    pub(crate) notes: Vec<Value>,
    pub(crate) webhook: Webhook,
}

pub(crate) fn hook(body: &[u8]) -> Hook {
    let mut fields: BTreeMap<String, Value> = serde_json::from_slice(body).unwrap();
    let mut take = |name: &str| fields.remove(name).unwrap_or_else(|| panic!("no {name}"));
    let (id, occasion) = (take("id"), take("occasion"));
    let (fallback, notes) = (take("fallback"), take("notes"));
    Hook {
        id: id.as_str().unwrap().to_owned(),
        occasion: occasion.as_str().unwrap().to_owned(),
        fallback: fallback.as_bool().unwrap(),
        notes: notes.as_array().unwrap().clone(),
        webhook: webhook(serde_json::to_string(&fields).unwrap().as_bytes()),
    }
}

/// A message to a Slack incoming webhook, as far as the sender may use what Slack offers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlack {
    text: String,
    mrkdwn: bool,
    unfurl_links: bool,
    unfurl_media: bool,
    attachments: Vec<RawAttachment>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAttachment {
    color: String,
    fallback: String,
    blocks: Vec<RawBlock>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "type")]
enum RawBlock {
    Section { text: RawText },
    Context { elements: Vec<RawText> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "type")]
enum RawText {
    PlainText { text: String, emoji: bool },
    Mrkdwn { text: String, verbatim: bool },
}

/// What people see of a Slack message.
#[derive(Debug)]
pub(crate) struct Slack {
    pub(crate) text: String,
    pub(crate) colour: String,
    /// The plain sections, as read.
    pub(crate) sections: Vec<String>,
    /// Addresses of links.
    pub(crate) links: Vec<String>,
}

/// Text as Slack shows it. A control sequence, or an ampersand that begins none of the three escapes, ends the test.
fn shown(text: &str, limit: usize) -> String {
    assert!(!text.is_empty() && text.chars().count() <= limit, "{} characters", text.chars().count());
    assert!(!text.contains(['<', '>']), "a control sequence: {text}");
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out += before;
        let (name, next) = after.split_once(';').unwrap_or_else(|| panic!("a lone ampersand: {text}"));
        out += match name {
            "amp" => "&",
            "lt" => "<",
            "gt" => ">",
            other => panic!("`&{other};` is no escape of Slack's: {text}"),
        };
        rest = next;
    }
    out + rest
}

pub(crate) fn slack(body: &[u8]) -> Slack {
    let raw: RawSlack = serde_json::from_slice(body).unwrap();
    assert!(!raw.mrkdwn && !raw.unfurl_links && !raw.unfurl_media, "formatting and previews are off");
    assert_eq!(raw.attachments.len(), 1);
    let attachment = raw.attachments.into_iter().next().unwrap();
    assert!(attachment.color.starts_with('#') && attachment.color.len() == 7, "{}", attachment.color);
    assert_eq!(shown(&attachment.fallback, 3_000), shown(&raw.text, 3_000));
    assert!((1..=50).contains(&attachment.blocks.len()), "{} blocks", attachment.blocks.len());
    let (mut sections, mut links) = (Vec::new(), Vec::new());
    for block in attachment.blocks {
        match block {
            RawBlock::Section { text: RawText::PlainText { text, emoji } } => {
                assert!(!emoji);
                sections.push(shown(&text, 3_000));
            }
            RawBlock::Section { text: RawText::Mrkdwn { text, verbatim } } => {
                assert!(verbatim && text.chars().count() <= 3_000);
                for link in text.split(' ') {
                    let (address, name) = link.trim_matches(['<', '>']).split_once('|').unwrap();
                    assert_eq!(link, format!("<{address}|{name}>"));
                    links.push(shown(address, 3_000));
                    assert_eq!(name, "Runbook");
                }
            }
            RawBlock::Context { elements } => {
                assert!((1..=10).contains(&elements.len()));
                for element in elements {
                    let RawText::PlainText { text, emoji: false } = element else { panic!("{element:?}") };
                    shown(&text, 3_000);
                }
            }
        }
    }
    Slack { text: shown(&raw.text, 3_000), colour: attachment.color, sections, links }
}

/// An event of PagerDuty's Events API v2.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) routing_key: String,
    #[serde(rename = "event_action")]
    pub(crate) action: Action,
    pub(crate) dedup_key: String,
    #[serde(default)]
    pub(crate) payload: Option<EventPayload>,
    #[serde(default)]
    pub(crate) links: Vec<EventLink>,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    pub(crate) client_url: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventPayload {
    pub(crate) summary: String,
    pub(crate) source: String,
    pub(crate) severity: EventSeverity,
    pub(crate) timestamp: String,
    #[serde(default)]
    pub(crate) component: Option<String>,
    #[serde(default)]
    pub(crate) group: Option<String>,
    #[serde(default)]
    pub(crate) class: Option<String>,
    pub(crate) custom_details: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventSeverity {
    Critical,
    Error,
    Warning,
    Info,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventLink {
    pub(crate) href: String,
    text: String,
}

pub(crate) fn pagerduty(body: &[u8]) -> Event {
    assert!(body.len() <= 512 * 1024, "{} bytes", body.len());
    let event: Event = serde_json::from_slice(body).unwrap();
    assert_eq!(event.routing_key.len(), 32);
    assert!((1..=255).contains(&event.dedup_key.chars().count()), "{}", event.dedup_key);
    assert_eq!(event.action == Action::Trigger, event.payload.is_some());
    if let Some(payload) = &event.payload {
        assert!((1..=1_024).contains(&payload.summary.chars().count()), "{}", payload.summary);
        assert!(!payload.source.is_empty());
        assert!(millis(&payload.timestamp) > 0);
        for field in [&payload.component, &payload.group, &payload.class].into_iter().flatten() {
            assert!((1..=255).contains(&field.chars().count()), "{field}");
        }
    }
    for link in &event.links {
        assert!(link.href.starts_with("https://"), "{}", link.href);
    }
    event
}
