//! Incidents at PagerDuty by the Events API, version 2: a group of alerts is one incident there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::address::{self, Policy};
use super::clean::{line, token};
use super::figures::measure_name;
use super::http::{Target, post};
use super::links::{is_link, runbooks};
use super::notes::before;
use super::page::{Block, Page, is_over, severity};
use super::secret::Secret;
use super::settings::{HttpTimeouts, SettingsError, Url};
use super::{Attempt, DeliveryError, FailureClass};
use crate::engine::alert::{Crossing, Id};
use crate::engine::route::{Message, Note, Occasion, Status};

/// Where PagerDuty takes events.
const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";
/// Characters of a summary.
const SUMMARY_MAX: usize = 1_024;
/// Characters of the other short fields.
const FIELD_MAX: usize = 255;
/// Bytes of an event.
const EVENT_MAX: usize = 512 * 1024;

/// A PagerDuty service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerdutySettings {
    /// The file with the integration's routing key.
    pub routing_key_file: Secret,
    /// Where to post.
    #[serde(default = "endpoint")]
    pub url: Url,
    /// What a rule's `severity` is called there, besides the usual words.
    #[serde(default)]
    pub severities: BTreeMap<String, Severity>,
    /// A page for people, linked from the incident.
    #[serde(default)]
    pub client_url: Option<String>,
    /// Whether plain `http` is allowed.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether loopback, link-local and private addresses are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates (PEM) to trust instead of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one attempt may take. Not for operators.
    #[serde(skip, default)]
    pub timeouts: HttpTimeouts,
}

fn endpoint() -> Url {
    Url::new(ENDPOINT)
}

/// PagerDuty's severities, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// `info`
    Info,
    /// `warning`
    Warning,
    /// `error`
    Error,
    /// `critical`
    Critical,
}

impl PagerdutySettings {
    /// Everything wrong with the settings.
    pub(super) fn faults(&self) -> Vec<SettingsError> {
        let mut faults: Vec<SettingsError> =
            address::check(self.url.expose(), self.policy()).err().map(SettingsError::Url).into_iter().collect();
        if self.client_url.as_ref().is_some_and(|url| !is_link(url)) {
            faults.push(SettingsError::ClientUrl);
        }
        faults
    }

    const fn policy(&self) -> Policy {
        Policy { allow_http: self.allow_http, allow_private: self.allow_private }
    }

    /// What a rule's severity is at PagerDuty. A word that nobody explained is an error, as at Alertmanager: an alert
    /// whose weight is unknown had better be seen.
    fn severity(&self, crossing: &Crossing) -> Severity {
        let Some(word) = severity(crossing) else { return Severity::Error };
        if let Some(named) = self.severities.get(word) {
            return *named;
        }
        match word.to_ascii_lowercase().as_str() {
            "critical" | "page" | "fatal" | "emergency" => Severity::Critical,
            "warning" | "warn" | "minor" | "ticket" => Severity::Warning,
            "info" | "notice" | "low" => Severity::Info,
            _ => Severity::Error,
        }
    }
}

/// An event. Field names are PagerDuty's.
#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    #[serde(rename = "event_action")]
    action: &'static str,
    dedup_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Value>,
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<&'a str>,
}

#[derive(Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: Severity,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    custom_details: Map<String, Value>,
}

/// Sends the message's event once, if it is one for PagerDuty. Only 202 is a yes.
pub(super) fn deliver(settings: &PagerdutySettings, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    let Some(action) = action(message) else { return Ok(()) };
    let unusable = |why: String| DeliveryError::retry(FailureClass::AuthError, why);
    let opened = settings.routing_key_file.read().map_err(|e| unusable(e.to_string()))?;
    let body = event(settings, message, attempt, (action, opened.expose().trim()))
        .map_err(|e| DeliveryError::build(e.to_string()))?;
    let target = Target {
        url: &settings.url,
        policy: settings.policy(),
        ca_file: settings.ca_file.as_deref(),
        timeouts: settings.timeouts,
    };
    match post(&target, &[], &body, attempt.now)?.status {
        202 => Ok(()),
        other => {
            let told = format!("{} answered {other} instead of 202; is that PagerDuty's address?", settings.url);
            Err(DeliveryError::retry(FailureClass::ServerError, told))
        }
    }
}

/// What the message is to PagerDuty. Nothing where it has no event for it: what is only said of a silence, and an
/// acknowledgement of some alerts of a group, because there it would quieten the others too.
fn action(message: &Message) -> Option<&'static str> {
    if message.crossings.is_empty() {
        return None;
    }
    match (message.status, message.occasion) {
        (Status::Resolved, _) => Some("resolve"),
        (Status::Firing, Occasion::SilenceLong) => None,
        (Status::Firing, occasion) => {
            let wholly =
                |note: &Note| matches!(note, Note::Acknowledged { of: (theirs, firing), .. } if theirs == firing);
            if message.notes.iter().any(wholly) {
                Some("acknowledge")
            } else {
                (occasion != Occasion::Acknowledged).then_some("trigger")
            }
        }
    }
}

/// The event as bytes: with as many alerts as fit.
fn event(
    settings: &PagerdutySettings,
    message: &Message,
    attempt: Attempt,
    (action, key): (&'static str, &str),
) -> Result<Vec<u8>, serde_json::Error> {
    let page = if attempt.fallback { Page::fallback(message, attempt.now) } else { Page::of(message) };
    let links = if attempt.fallback { Vec::new() } else { runbooks(message) };
    for shown in [page.blocks.len(), 5, 1, 0] {
        let bytes = serde_json::to_vec(&Event {
            routing_key: key,
            action,
            dedup_key: dedup_key(message),
            // The others need none, and what is not there cannot be refused.
            payload: (action == "trigger").then(|| payload(settings, message, (&page, shown), attempt)),
            links: links.iter().map(|href| json!({"href": href, "text": "Runbook"})).collect(),
            client: "shewhart",
            client_url: settings.client_url.as_deref(),
        })?;
        if bytes.len() <= EVENT_MAX || shown == 0 {
            return Ok(bytes);
        }
    }
    Ok(Vec::new())
}

/// The incident's name there: the same for every message of a group.
pub fn dedup_key(message: &Message) -> String {
    // The incident's first message, which stays the same when routes change meanwhile; the group's key does not.
    Id::of(&[b"incident", message.receiver.as_bytes(), &message.thread.0.to_be_bytes()]).to_string()
}

fn payload(
    settings: &PagerdutySettings,
    message: &Message,
    (page, shown): (&Page, usize),
    attempt: Attempt,
) -> Payload {
    let firing = || message.crossings.iter().filter(|crossing| !is_over(crossing));
    let first = firing().next();
    let withheld = attempt.fallback;
    let agent = first
        .and_then(|c| c.labels.get("agent"))
        .filter(|agent| !withheld && !agent.is_empty() && firing().all(|c| c.labels.get("agent") == Some(*agent)));
    let agent = agent.map(|agent| line(agent, FIELD_MAX)).filter(|agent| !agent.is_empty());
    let class = first.and_then(|c| c.account.as_ref()).filter(|_| !withheld);
    let began = firing().map(|crossing| crossing.started_at).min().unwrap_or(attempt.now);
    Payload {
        summary: line(&page.subject, SUMMARY_MAX),
        source: agent.clone().unwrap_or_else(|| "shewhart".to_owned()),
        severity: firing().map(|crossing| settings.severity(crossing)).max().unwrap_or(Severity::Error),
        timestamp: began.to_string(),
        component: agent,
        group: first.map_or_else(|| "shewhart".to_owned(), |crossing| token(&crossing.rule, FIELD_MAX)),
        class: class.map(|account| line(&measure_name(&account.measure), FIELD_MAX)),
        custom_details: details(message, (page, shown), withheld),
    }
}

fn details(message: &Message, (page, shown): (&Page, usize), withheld: bool) -> Map<String, Value> {
    let firing = message.crossings.iter().filter(|crossing| !is_over(crossing)).count();
    let noted = before(page, message, withheld);
    let mut details = Map::new();
    let mut tell = |name: &str, value: Value| details.insert(name.to_owned(), value);
    tell("firing", json!(firing.to_string()));
    tell("resolved", json!((message.crossings.len() - firing).to_string()));
    if !noted.is_empty() {
        tell("notes", json!(noted.join(" ")));
    }
    tell("message", json!(message.id.to_string()));
    let blocks: Vec<Value> = page.blocks.iter().take(shown).map(block).collect();
    let left = message.crossings.len().saturating_sub(blocks.len());
    tell("alerts", json!(blocks));
    if left > 0 {
        tell("more_alerts", json!(left.to_string()));
    }
    details
}

fn block(block: &Block) -> Value {
    let mut told = Map::new();
    if let Some(title) = &block.title {
        told.insert("alert".to_owned(), json!(title));
    }
    told.insert("what".to_owned(), json!(block.lead));
    for row in block.facts.iter().chain(&block.advice).chain(&block.ids) {
        // The first of a name is the fact; an annotation of the same name is the rule's.
        let name = row.name.to_lowercase();
        told.entry(name).or_insert_with(|| json!(row.value));
    }
    Value::Object(told)
}
