//! Receivers as they stand in the configuration, and the messages that they got.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::fake_http::Request;
use super::fake_smtp::Letter;

/// A line of the configuration: a receiver that is posted to at an address of this machine.
pub(crate) fn webhook(name: &str, address: SocketAddr) -> String {
    format!(
        "  - {{ name: {name}, webhook: {{ url: \"http://{address}/\", allow_http: true, allow_private: true }} }}\n"
    )
}

/// The same for mails.
pub(crate) fn email(name: &str, address: SocketAddr) -> String {
    format!(
        "  - {{ name: {name}, email: {{ smtp: \"{address}\", security: none, from: a@example.org, to: [ b@example.org ] }} }}\n"
    )
}

/// One message as its receiver got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// The message's id, as the receiver reads it.
    pub(crate) id: String,
    /// What must be the same in every copy.
    pub(crate) content: String,
}

impl Copy {
    pub(crate) fn of_mail(mail: &[u8]) -> Self {
        let letter = Letter::read(mail);
        let id = letter.header("Message-ID").trim_matches(['<', '>']).split('@').next().unwrap().to_owned();
        Self { id, content: format!("{}\n{:?}", letter.subject(), letter.parts) }
    }

    pub(crate) fn of_request(request: &Request) -> Self {
        assert_eq!(request.header("idempotency-key"), request.header("webhook-id"));
        let id = request.header("webhook-id").unwrap().to_owned();
        Self { id, content: String::from_utf8(request.body.clone()).unwrap() }
    }
}

/// How many copies of each message came, by its id. All copies of one say the same.
pub(crate) fn copies(all: &[Copy]) -> BTreeMap<String, usize> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for copy in all {
        assert_eq!(*first.entry(&copy.id).or_insert(&copy.content), copy.content, "{}", copy.id);
        *counts.entry(copy.id.clone()).or_default() += 1;
    }
    counts
}
