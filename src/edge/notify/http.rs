//! One HTTP request to a receiver, and what its answer means. Every receiver that is posted to goes through here.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error};

use super::address::{GuardedResolver, Policy, RefusedAddress, check};
use super::secret::Secret;
use super::settings::{HttpTimeouts, Url};
use super::{DeliveryError, FailureClass, FailureKind};
use crate::engine::units::Timestamp;

/// How much of a reply is read.
const REPLY_LIMIT: u64 = 64 * 1024;
/// How long a reply's body may take: the status has said everything, the rest is courtesy.
const REPLY_TIME: Duration = Duration::from_secs(1);
/// Longest pause a receiver can ask for.
pub(in crate::edge) const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Where to post, and how.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The address. Shown as scheme and host only.
    pub(super) url: &'a Url,
    /// What the operator allows.
    pub(super) policy: Policy,
    /// Certificates (PEM) to trust instead of the public ones.
    pub(super) ca_file: Option<&'a Path>,
    /// How long it may take.
    pub(super) timeouts: HttpTimeouts,
}

/// A yes of the receiver.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status, 200 to 299.
    pub(super) status: u16,
    /// What of the body came in time, at most 64 KiB.
    pub(super) body: Vec<u8>,
}

/// Posts JSON once, over a connection of its own. Anything but a status of 200 to 299 is an error.
pub(super) fn post(
    target: &Target<'_>,
    headers: &[(&str, String)],
    body: &[u8],
    now: Timestamp,
) -> Result<Answer, DeliveryError> {
    let uri = check(target.url.expose(), target.policy)
        .map_err(|e| DeliveryError::permanent(FailureClass::RefusedAddress, e.to_string()))?;
    let mut request = agent(target)?.post(uri).header("Content-Type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut reply = request.send(body).map_err(|e| failed(&e, target.url))?;
    judge(&reply, now, target.url)?;
    Ok(Answer { status: reply.status().as_u16(), body: drain(&mut reply) })
}

fn agent(target: &Target<'_>) -> Result<Agent, DeliveryError> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = target.ca_file {
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
        .timeout_global(Some(target.timeouts.total))
        .timeout_resolve(Some(target.timeouts.connect))
        .timeout_connect(Some(target.timeouts.connect))
        .timeout_recv_body(Some(REPLY_TIME))
        .build();
    Ok(Agent::with_parts(config, DefaultConnector::default(), GuardedResolver::new(target.policy)))
}

/// A transport failure in words. ureq's own texts are not used: some hold the address.
fn failed(error: &Error, url: &Url) -> DeliveryError {
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

fn judge(reply: &Response<Body>, now: Timestamp, url: &Url) -> Result<(), DeliveryError> {
    let status = reply.status();
    let detail = format!("{url} answered {}", status.as_u16());
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
/// writing. Whether it ends is of no interest.
fn drain(reply: &mut Response<Body>) -> Vec<u8> {
    let mut read = Vec::new();
    let ended = reply.body_mut().as_reader().take(REPLY_LIMIT).read_to_end(&mut read);
    drop(ended);
    read
}

/// The content of a secret file as part of a header, or of an address: one line of printable ASCII.
pub(super) fn printable(secret: &Secret) -> Result<String, DeliveryError> {
    let unusable = |why: String| DeliveryError::retry(FailureClass::AuthError, why);
    let opened = secret.read().map_err(|e| unusable(e.to_string()))?;
    let text = opened.expose().trim();
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        Ok(text.to_owned())
    } else {
        let path = secret.path().display();
        Err(unusable(format!("the secret in {path} must be one line of printable ASCII")))
    }
}
