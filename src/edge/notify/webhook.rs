//! Messages posted to a web address.

use std::io::Read as _;
use std::time::Duration;

use ureq::http::{Response, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error};

use super::address::{GuardedResolver, Policy, RefusedAddress, check};
use super::payload::{body, key, seconds, signature};
use super::settings::WebhookSettings;
use super::{Attempt, DeliveryError, FailureClass, FailureKind};
use crate::engine::route::Message;
use crate::engine::units::Timestamp;

/// How much of a reply is read.
const REPLY_LIMIT: u64 = 64 * 1024;
/// How long a reply's body may take: the status has said everything, the rest is courtesy.
const REPLY_TIME: Duration = Duration::from_secs(1);
/// Longest pause a receiver can ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Posts the message once, over a connection of its own.
pub(super) fn deliver(settings: &WebhookSettings, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    let policy = Policy { allow_http: settings.allow_http, allow_private: settings.allow_private };
    let uri = check(settings.url.expose(), policy)
        .map_err(|e| DeliveryError::permanent(FailureClass::RefusedAddress, e.to_string()))?;
    let body = body(message, attempt.fallback).map_err(|e| DeliveryError::build(e.to_string()))?;
    let agent = agent(settings, policy)?;
    let mut reply = post(&agent, settings, uri, (&key(message, attempt.fallback), attempt.now, &body))?;
    let outcome = judge(&reply, attempt.now, settings);
    drain(&mut reply);
    outcome
}

fn agent(settings: &WebhookSettings, policy: Policy) -> Result<Agent, DeliveryError> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = &settings.ca_file {
        let broken = |why: &str| {
            DeliveryError::retry(FailureClass::Tls, format!("cannot use the certificates in {}: {why}", path.display()))
        };
        let pem = std::fs::read(path).map_err(|e| broken(&e.to_string()))?;
        let mut roots = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(root) = item.map_err(|e| broken(&e.to_string()))? {
                roots.push(root);
            }
        }
        if roots.is_empty() {
            return Err(broken("there are none"));
        }
        tls = tls.root_certs(RootCerts::from(roots));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_idle_connections(0)
        .user_agent("shewhart")
        .accept_encoding("identity")
        .tls_config(tls.build())
        .timeout_global(Some(settings.timeouts.total))
        .timeout_resolve(Some(settings.timeouts.connect))
        .timeout_connect(Some(settings.timeouts.connect))
        .timeout_recv_body(Some(REPLY_TIME))
        .build();
    Ok(Agent::with_parts(config, DefaultConnector::default(), GuardedResolver::new(policy)))
}

fn post(
    agent: &Agent,
    settings: &WebhookSettings,
    uri: Uri,
    (id, now, body): (&str, Timestamp, &[u8]),
) -> Result<Response<Body>, DeliveryError> {
    let mut request = agent
        .post(uri)
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", id)
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds(now).to_string());
    if let Some(secret) = &settings.secret_file {
        let unsigned = |why: String| DeliveryError::retry(FailureClass::AuthError, why);
        let opened = secret.read().map_err(|e| unsigned(e.to_string()))?;
        let signed = signature(opened.expose(), id, now, body).ok_or_else(|| {
            let path = secret.path().display();
            unsigned(format!("the key in {path} starts with whsec_ but is not base64 after it"))
        })?;
        request = request.header("webhook-signature", signed);
    }
    request.send(body).map_err(|e| failed(&e, settings))
}

/// A transport failure in words. ureq's own texts are not used: some hold the address.
fn failed(error: &Error, settings: &WebhookSettings) -> DeliveryError {
    let url = &settings.url;
    match error {
        Error::Timeout(which) => {
            DeliveryError::retry(FailureClass::Timeout, format!("{url}: no answer in time ({which})"))
        }
        Error::HostNotFound => DeliveryError::retry(FailureClass::Connect, format!("{url}: the name does not resolve")),
        Error::Other(other) => match other.downcast_ref::<RefusedAddress>() {
            Some(refusal) => DeliveryError::permanent(FailureClass::RefusedAddress, format!("{url}: {refusal}")),
            None => DeliveryError::retry(FailureClass::Connect, format!("{url}: the connection failed")),
        },
        Error::Tls(_) | Error::Rustls(_) | Error::TlsRequired | Error::Pem(_) => DeliveryError::retry(
            FailureClass::Tls,
            format!("{url}: no secure connection ({error}); is the clock right?"),
        ),
        Error::Io(io) if is_tls(io) => {
            DeliveryError::retry(FailureClass::Tls, format!("{url}: no secure connection ({io}); is the clock right?"))
        }
        Error::Io(io) => DeliveryError::retry(FailureClass::Connect, format!("{url}: {}", io.kind())),
        _ => {
            DeliveryError::retry(FailureClass::Connect, format!("{url}: the connection broke or the reply is not HTTP"))
        }
    }
}

/// rustls reports a bad certificate through the stream, as an I/O error of this kind.
fn is_tls(io: &std::io::Error) -> bool {
    io.kind() == std::io::ErrorKind::InvalidData
}

fn judge(reply: &Response<Body>, now: Timestamp, settings: &WebhookSettings) -> Result<(), DeliveryError> {
    let status = reply.status();
    let detail = format!("{} answered {}", settings.url, status.as_u16());
    let class = match status.as_u16() {
        200..=299 => return Ok(()),
        300..=399 => {
            let told = format!("{detail}; redirects are not followed, give the final address");
            return Err(DeliveryError::permanent(FailureClass::ClientError, told));
        }
        401 | 403 | 407 => FailureClass::AuthError,
        429 => FailureClass::RateLimited,
        408 => FailureClass::Timeout,
        400..=499 => FailureClass::ClientError,
        _ => FailureClass::ServerError,
    };
    let may_work_later = matches!(status.as_u16(), 408 | 425 | 429) || !status.is_client_error();
    if may_work_later {
        let after = pause(reply, status, now);
        Err(DeliveryError { kind: FailureKind::Retry { after }, ..DeliveryError::retry(class, detail) })
    } else {
        Err(DeliveryError::permanent(class, detail))
    }
}

/// `Retry-After` in seconds or as a date, where RFC 9110 and usage give it a meaning.
fn pause(reply: &Response<Body>, status: StatusCode, now: Timestamp) -> Option<Duration> {
    if !matches!(status.as_u16(), 425 | 429 | 503) {
        return None;
    }
    let text = reply.headers().get("retry-after")?.to_str().ok()?.trim();
    let asked = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
        Duration::from_millis(u64::try_from(until.saturating_sub(now.as_millis())).unwrap_or(0))
    };
    Some(asked.min(LONGEST_PAUSE))
}

/// Reads what little of the reply may be read, so that closing does not reset a connection whose server is still
/// writing. What it says, and whether it ends, is of no interest.
fn drain(reply: &mut Response<Body>) {
    let mut reader = reply.body_mut().as_reader().take(REPLY_LIMIT);
    let read = std::io::copy(&mut reader, &mut std::io::sink());
    drop(read);
}
