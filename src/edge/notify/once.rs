//! JSON posted once to an address that somebody gave on the command line.

use super::DeliveryError;
use super::address::Policy;
use super::http::{Target, post};
use super::settings::{HttpTimeouts, Url};
use crate::engine::units::Timestamp;

/// Posts JSON once, by the rules of webhooks: no redirects, half a minute; plain http and addresses that are not public only
/// where they are allowed.
///
/// # Errors
/// Whatever is no definite yes.
pub fn post_once(
    url: &Url,
    (allow_http, allow_private): (bool, bool),
    body: &[u8],
    now: Timestamp,
) -> Result<(), DeliveryError> {
    let policy = Policy { allow_http, allow_private };
    let target = Target { url, policy, ca_file: None, timeouts: HttpTimeouts::default() };
    post(&target, &[], body, now).map(drop)
}
