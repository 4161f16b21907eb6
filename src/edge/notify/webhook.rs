//! Messages posted to a web address in Alertmanager's format, signed.

use super::address::Policy;
use super::http::{Target, post};
use super::payload::{body, key, seconds, signature};
use super::settings::WebhookSettings;
use super::{Attempt, DeliveryError, FailureClass};
use crate::engine::route::Message;

/// Posts the message once.
pub(super) fn deliver(settings: &WebhookSettings, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    let target = Target {
        url: &settings.url,
        policy: Policy { allow_http: settings.allow_http, allow_private: settings.allow_private },
        ca_file: settings.ca_file.as_deref(),
        timeouts: settings.timeouts,
    };
    let body = body(message, attempt.fallback).map_err(|e| DeliveryError::build(e.to_string()))?;
    let id = key(message, attempt.fallback);
    let mut headers = vec![
        ("Idempotency-Key", id.clone()),
        ("webhook-id", id.clone()),
        ("webhook-timestamp", seconds(attempt.now).to_string()),
    ];
    if let Some(secret) = &settings.secret_file {
        let unsigned = |why: String| DeliveryError::retry(FailureClass::AuthError, why);
        let opened = secret.read().map_err(|e| unsigned(e.to_string()))?;
        let signed = signature(opened.expose(), &id, attempt.now, &body).ok_or_else(|| {
            let path = secret.path().display();
            unsigned(format!("the key in {path} starts with whsec_ but is not base64 after it"))
        })?;
        headers.push(("webhook-signature", signed));
    }
    post(&target, &headers, &body, attempt.now).map(drop)
}
