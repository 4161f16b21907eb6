//! The outbox as the ledger and the deliverers keep it: a model, for the real one is SQL.
//!
//! [`Outbox::due`], [`Outbox::settle`] and `pass_on` follow `edge/ledger/outbox.rs`; [`after`] and `backoff` follow
//! `edge/deliver.rs` and `edge/notify`.

use std::collections::{BTreeMap, BTreeSet};

use shewhart::engine::alert::{Id, State};
use shewhart::engine::route::{Message, Note, Status};
use shewhart::engine::units::{Span, Timestamp};

use crate::store::json;

/// A message that failed so often keeps no other of its group back.
const OUT_OF_TURN: u32 = 30;
/// How long a message is retried.
const RETRY_FOR: Span = Span::DAY;
const RETRIES_MIN: u32 = 30;
/// Who is told what another could not be told.
const SECOND: &str = "second";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Pending,
    Delivered,
    Dead,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// The message as JSON, as the ledger keeps it.
    message: String,
    pub(crate) receiver: String,
    pub(crate) group_key: String,
    worst: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) standing: Standing,
    pub(crate) attempts: u32,
    fallback: bool,
    next_at: Timestamp,
    /// Only a wrong store writes down who has a message.
    leased: bool,
}

impl Row {
    pub(crate) fn message(&self) -> Message {
        serde_json::from_str(&self.message).expect("messages are JSON")
    }
}

/// A message that is due.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) message: Message,
    pub(crate) created_at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) fallback: bool,
}

/// What a receiver answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    NotNow,
    Refused,
}

/// What becomes of a message after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    Retry(Timestamp),
    Fallback,
    Dead,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outbox {
    rows: BTreeMap<Id, Row>,
}

impl Outbox {
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Id, &Row)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    pub(crate) fn pending(&self) -> usize {
        self.rows.values().filter(|row| row.standing == Standing::Pending).count()
    }

    /// Writes a message that was decided; one that is there already stays as it is.
    pub(crate) fn insert(&mut self, message: &Message, now: Timestamp) {
        let critical = |labels: &BTreeMap<String, String>| labels.get("severity").is_some_and(|s| s == "critical");
        let worst = message.status == Status::Firing && message.crossings.iter().any(|c| critical(&c.labels));
        // After all of its group that wait, whatever the clock says.
        let waits = |row: &&Row| row.standing == Standing::Pending && row.group_key == message.group_key;
        let newest = self.rows.values().filter(waits).map(|row| row.created_at.plus(Span::from_millis(1))).max();
        let row = Row {
            message: json(message),
            receiver: message.receiver.clone(),
            group_key: message.group_key.clone(),
            worst,
            created_at: newest.map_or(now, |newest| newest.max(now)),
            standing: Standing::Pending,
            attempts: 0,
            fallback: false,
            next_at: now,
            leased: false,
        };
        self.rows.entry(message.id).or_insert(row);
    }

    /// Takes a message away, which no outbox may do.
    pub(crate) fn lose(&mut self, id: Id) {
        self.rows.remove(&id);
    }

    /// Writes down that somebody has a message, which nobody takes back after a crash.
    pub(crate) fn lease(&mut self, id: Id) {
        self.rows.entry(id).and_modify(|row| row.leased = true);
    }

    /// A receiver's next message: of each group the oldest, and first those with a critical alert that fires.
    pub(crate) fn due(&self, receiver: &str, now: Timestamp) -> Option<Due> {
        let row = self.in_turn(receiver).into_iter().filter(|(_, row)| row.next_at <= now && !row.leased);
        let (_, row) = row.min_by_key(|(id, row)| (!row.worst, order(*id, row)))?;
        let (created_at, attempts, fallback) = (row.created_at, row.attempts, row.fallback);
        Some(Due { message: row.message(), created_at, attempts, fallback })
    }

    /// When a receiver's next message is due.
    pub(crate) fn next_due(&self, receiver: &str) -> Option<Timestamp> {
        self.in_turn(receiver).into_iter().map(|(_, row)| row.next_at).min()
    }

    /// A receiver's pending messages that wait behind no older one of their group.
    fn in_turn(&self, receiver: &str) -> Vec<(Id, &Row)> {
        let pending = self.rows().filter(|(_, row)| row.standing == Standing::Pending && row.receiver == receiver);
        let mut pending: Vec<(Id, &Row)> = pending.collect();
        pending.sort_by_key(|(id, row)| order(*id, row));
        let mut held: BTreeSet<&str> = BTreeSet::new();
        let mut found = Vec::new();
        for (id, row) in pending {
            if !held.contains(row.group_key.as_str()) {
                found.push((id, row));
            }
            if row.attempts < OUT_OF_TURN {
                held.insert(&row.group_key);
            }
        }
        found
    }

    /// Writes down how an attempt ended. What is given up goes to the second receiver.
    pub(crate) fn settle(&mut self, id: Id, outcome: Outcome, now: Timestamp) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.attempts += 1;
        row.leased = false;
        (row.standing, row.next_at) = match outcome {
            Outcome::Delivered => (Standing::Delivered, now),
            Outcome::Retry(at) => (Standing::Pending, at),
            Outcome::Fallback => (Standing::Pending, now),
            Outcome::Dead => (Standing::Dead, now),
        };
        row.fallback |= outcome == Outcome::Fallback;
        self.pass_on(id, outcome, now);
    }

    fn pass_on(&mut self, id: Id, outcome: Outcome, now: Timestamp) {
        if !matches!(outcome, Outcome::Dead | Outcome::Delivered) {
            return;
        }
        let Some(row) = self.rows.get(&id).filter(|row| row.receiver != SECOND) else { return };
        let mut message = row.message();
        let group_key = format!("{SECOND}|undelivered:{}", message.group_key);
        if outcome == Outcome::Dead {
            message.notes.push(Note::Undelivered { receiver: message.receiver, class: "refused".to_owned() });
        } else {
            let told = self.rows.values().any(|row| row.receiver == SECOND && row.group_key == group_key);
            if message.status == Status::Firing || !told {
                return;
            }
        }
        let derived = |of: Id| Id::of(&[b"dead letter", SECOND.as_bytes(), &of.0.to_be_bytes()]);
        (message.id, message.thread) = (derived(message.id), derived(message.thread));
        (message.receiver, message.group_key) = (SECOND.to_owned(), group_key);
        self.insert(&message, now);
    }
}

/// What comes before what in a group.
const fn order(id: Id, row: &Row) -> (i64, u128) {
    (row.created_at.as_millis(), id.0)
}

/// What to do after an answer: again, once more without agents' text, or never.
pub(crate) fn after(answer: Answer, due: &Due, now: Timestamp) -> Outcome {
    match answer {
        Answer::Accepted => Outcome::Delivered,
        Answer::Refused if due.fallback => Outcome::Dead,
        Answer::Refused => Outcome::Fallback,
        Answer::NotNow => {
            let at = now.plus(backoff(due.attempts + 1, due.message.id));
            if at.since(due.created_at) > RETRY_FOR && due.attempts + 1 >= RETRIES_MIN {
                Outcome::Dead
            } else {
                Outcome::Retry(at)
            }
        }
    }
}

fn backoff(attempt: u32, id: Id) -> Span {
    let ceiling = 1_000_u64.checked_shl(attempt.saturating_sub(1).min(20)).unwrap_or(u64::MAX).min(300_000);
    let drawn = Id::of(&[b"backoff", &id.0.to_be_bytes(), &attempt.to_be_bytes()]);
    Span::from_millis(1 + (drawn.0 % u128::from(ceiling)) as i64)
}

/// The alerts that a message tells, each with how far it had come and whether it fires.
pub(crate) fn told(message: &Message) -> impl Iterator<Item = (Id, u32, bool)> {
    message.crossings.iter().map(|c| (c.alert_id, c.transition, c.to == State::Firing))
}
