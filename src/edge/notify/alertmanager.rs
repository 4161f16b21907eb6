//! Alerts posted to an Alertmanager, API version 2.
//!
//! An Alertmanager forgets an alert that is not told again: it takes `endsAt` for the end unless a later one comes. So
//! there are two ways here: `deliver` for the changes that come through the outbox, and `refresh`, which tells what
//! fires again and again. Labels are the alert's name there: they must be the same when it fires and when it is over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::address::{self, Policy};
use super::http::{Target, post, printable};
use super::page::is_over;
use super::secret::Secret;
use super::settings::{HttpTimeouts, SettingsError, Url};
use super::{Attempt, DeliveryError, FailureClass, FailureKind, notes, payload};
use crate::engine::alert::{Crossing, Id};
use crate::engine::route::Message;
use crate::engine::units::{Span, Timestamp};

/// Alerts in one request.
pub const ALERTS_POSTED: usize = 500;
/// Labels that one alert may have.
const LABELS_MAX: usize = 30;
/// How long an Alertmanager believes that an alert fires without hearing of it again: four refreshes.
const BELIEVED: Span = Span::from_millis(4 * 60_000);

/// An Alertmanager, or something that speaks its API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerSettings {
    /// Its address, without `/api/v2/alerts`. Shown in errors as scheme and host.
    pub url: Url,
    /// The file with the bearer token, where it wants one.
    #[serde(default)]
    pub secret_file: Option<Secret>,
    /// The user, where it wants basic authentication instead.
    #[serde(default)]
    pub username: Option<String>,
    /// The file with the user's password.
    #[serde(default)]
    pub password_file: Option<Secret>,
    /// Whether plain `http` is allowed.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether loopback, link-local and private addresses are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates (PEM) to trust instead of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one request may take. Not for operators.
    #[serde(skip, default)]
    pub timeouts: HttpTimeouts,
}

impl AlertmanagerSettings {
    /// Everything wrong with the settings.
    pub(super) fn faults(&self) -> Vec<SettingsError> {
        let refused = address::check(self.url.expose(), self.policy()).err();
        // The path of the API is put behind it.
        let open_ended = self.url.expose().contains(['?', '#']).then_some(address::UrlError::Syntax);
        let mut faults: Vec<SettingsError> = refused.or(open_ended).map(SettingsError::Url).into_iter().collect();
        if self.username.is_some() != self.password_file.is_some() {
            faults.push(SettingsError::HalfLogin);
        }
        if self.username.is_some() && self.secret_file.is_some() {
            faults.push(SettingsError::TwoLogins);
        }
        if self.username.as_ref().is_some_and(|user| user.contains(':') || user.chars().any(char::is_control)) {
            faults.push(SettingsError::User);
        }
        faults
    }

    const fn policy(&self) -> Policy {
        Policy { allow_http: self.allow_http, allow_private: self.allow_private }
    }

    /// The login, read anew.
    fn authorization(&self) -> Result<Option<(&'static str, String)>, DeliveryError> {
        let value = match (&self.secret_file, &self.username, &self.password_file) {
            (Some(token), _, _) => format!("Bearer {}", printable(token)?),
            (None, Some(user), Some(password)) => {
                let unusable = |why: String| DeliveryError::retry(FailureClass::AuthError, why);
                let password = password.read().map_err(|e| unusable(e.to_string()))?;
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
            }
            _ => return Ok(None),
        };
        Ok(Some(("Authorization", value)))
    }
}

/// One alert as the API takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'static str,
}

/// Posts the alerts of a message once. A message without alerts is nothing to an Alertmanager, and delivered.
pub(super) fn deliver(
    settings: &AlertmanagerSettings,
    message: &Message,
    attempt: Attempt,
) -> Result<(), DeliveryError> {
    let said = notes::sentences(message, attempt.fallback).join(" ");
    for chunk in message.crossings.chunks(ALERTS_POSTED) {
        send(settings, chunk, attempt, &said)?;
    }
    Ok(())
}

/// Posts these alerts, whatever they are, in chunks. A chunk that is refused for good goes out once more without text
/// from agents. Ends at the first failure: the next refresh comes soon.
pub(super) fn refresh(
    settings: &AlertmanagerSettings,
    crossings: &[Crossing],
    now: Timestamp,
) -> Result<(), DeliveryError> {
    for chunk in crossings.chunks(ALERTS_POSTED) {
        match send(settings, chunk, Attempt { fallback: false, now }, "") {
            Err(DeliveryError { kind: FailureKind::Permanent, class: FailureClass::ClientError, .. }) => {
                send(settings, chunk, Attempt { fallback: true, now }, "")?;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn send(
    settings: &AlertmanagerSettings,
    crossings: &[Crossing],
    attempt: Attempt,
    said: &str,
) -> Result<(), DeliveryError> {
    let alerts: Vec<Posted> = crossings.iter().map(|crossing| posted(crossing, attempt, said)).collect();
    let body = serde_json::to_vec(&alerts).map_err(|e| DeliveryError::build(e.to_string()))?;
    let url = Url::new(format!("{}/api/v2/alerts", settings.url.expose().trim_end_matches('/')));
    let target = Target {
        url: &url,
        policy: settings.policy(),
        ca_file: settings.ca_file.as_deref(),
        timeouts: settings.timeouts,
    };
    let headers: Vec<_> = settings.authorization()?.into_iter().collect();
    post(&target, &headers, &body, attempt.now).map(drop)
}

fn posted(crossing: &Crossing, attempt: Attempt, said: &str) -> Posted {
    let labels = if attempt.fallback {
        let mut labels = payload::plain_labels(crossing);
        // Without the stream's own labels all streams of a rule would be one alert.
        labels.insert("stream".to_owned(), stream_id(crossing));
        labels
    } else {
        bounded(valid(payload::labels(crossing)))
    };
    let mut annotations = valid(payload::annotations(crossing, attempt.fallback));
    annotations.insert("alert_id".to_owned(), crossing.alert_id.to_string());
    if !said.is_empty() {
        annotations.insert("message_notes".to_owned(), said.to_owned());
    }
    // Stream time may be ahead of the wall clock, and an end in the future is none.
    let ends = if is_over(crossing) { crossing.at.min(attempt.now) } else { attempt.now.plus(BELIEVED) };
    Posted {
        labels,
        annotations,
        starts_at: crossing.started_at.min(attempt.now).min(ends).to_string(),
        ends_at: ends.to_string(),
        generator_url: "",
    }
}

/// A name for the stream that holds none of its text.
fn stream_id(crossing: &Crossing) -> String {
    let parts: Vec<&[u8]> =
        crossing.labels.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect();
    Id::of(&parts).to_string()
}

/// Label or annotation names as every Alertmanager takes them (UTF-8 names came with 0.27 only), and no empty values,
/// which mean the same as none. A name that had to be changed to one that is there already gets a hash of what it was.
fn valid(texts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let texts = texts.into_iter().filter(|(_, value)| !value.is_empty());
    let (mut valid, odd): (BTreeMap<_, _>, BTreeMap<_, _>) = texts.partition(|(name, _)| name_of(name) == *name);
    for (name, value) in odd {
        let mut mapped = name_of(&name);
        if valid.contains_key(&mapped) {
            let hash = Id::of(&[name.as_bytes()]).to_string();
            mapped = format!("{mapped}_{}", hash.get(..8).unwrap_or_default());
        }
        valid.insert(mapped, value);
    }
    valid
}

/// As many labels as an alert may have, its name and severity among them.
fn bounded(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    while labels.len() > LABELS_MAX {
        let last = labels.keys().rfind(|name| !matches!(name.as_str(), "alertname" | "severity")).cloned();
        labels.remove(&last.unwrap_or_default());
    }
    labels
}

/// The name with everything else than `[a-zA-Z0-9_]` as `_`, and not beginning with a digit.
fn name_of(name: &str) -> String {
    let mapped: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if mapped.starts_with(|c: char| c.is_ascii_digit()) || mapped.is_empty() { format!("_{mapped}") } else { mapped }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[(&str, &str)]) -> Vec<String> {
        let given = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        valid(given).into_keys().collect()
    }

    #[test]
    fn names_are_made_valid_and_stay_apart() {
        assert_eq!(names(&[("agent", "x"), ("_a1", "y"), ("empty", "")]), ["_a1", "agent"]);
        assert_eq!(names(&[("a-b", "x"), ("1st", "y"), ("", "z")]), ["_", "_1st", "a_b"]);
        let apart = names(&[("a-b", "x"), ("a.b", "y"), ("a_b", "z"), ("größe", "w")]);
        assert_eq!(apart.len(), 4, "{apart:?}");
        assert!(apart.contains(&"a_b".to_owned()) && apart.contains(&"gr__e".to_owned()), "{apart:?}");
    }

    #[test]
    fn an_alert_has_at_most_thirty_labels_and_its_name_among_them() {
        let many: BTreeMap<String, String> = (0..50)
            .map(|i| (format!("a{i:02}"), "x".to_owned()))
            .chain([("alertname".to_owned(), "A".to_owned())])
            .collect();
        let kept = bounded(valid(many));
        assert!(kept.len() == LABELS_MAX && kept.contains_key("alertname"), "{kept:?}");
    }
}
