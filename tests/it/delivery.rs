//! Messages on their way from the real daemon to receivers that fail, stop, come back or never do.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

mod refused;
mod standing;
mod steps;
mod storm;

use std::time::Duration;

use serde_json::Value;
use shewhart::edge::clock;
use shewhart::edge::mock::MockBroker;

use crate::daemon::{Daemon, Place};
use crate::fake_http::Request;
use crate::workload::TOPIC;
use crate::world::copies::{Copy, copies, email, webhook};
use crate::world::fleet::{Fleet, RULES, agents};
use crate::world::rules::one_file;

/// A place whose daemon reads one partition under [`RULES`]; `more` is the rest of its configuration.
fn place(broker: &MockBroker, more: &str) -> Place {
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    one_file(&mut place, RULES);
    more.clone_into(&mut place.more);
    place
}

/// Waits until so many messages of a receiver were decided.
fn wait_decided(place: &Place, daemon: &mut Daemon, receiver: &str, messages: i64) {
    let sql = format!("SELECT count(*) FROM outbox WHERE receiver = '{receiver}'");
    place.wait("decided messages", daemon, |place| place.ask(&sql) == Some(messages));
}

/// How many messages of a receiver are in this state: pending, delivered, dead.
fn count(place: &Place, receiver: &str, state: &str) -> i64 {
    place.ask(&format!("SELECT count(*) FROM outbox WHERE receiver = '{receiver}' AND state = '{state}'")).unwrap_or(-1)
}

/// Waits until nothing waits for any receiver.
fn wait_empty(place: &Place, daemon: &mut Daemon) {
    let pending = "SELECT count(*) FROM outbox WHERE state = 'pending'";
    place.wait("an empty outbox", daemon, |place| place.ask(pending) == Some(0));
}

/// Waits, while no daemon runs, until the time of everything that waits has come.
fn wait_due(place: &Place) {
    let latest = "SELECT coalesce(max(next_at_ms), 0) FROM outbox WHERE state = 'pending'";
    while place.ask(latest).unwrap() > clock::now().as_millis() {
        clock::sleep(Duration::from_millis(20));
    }
}

/// The body of a webhook.
fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}
