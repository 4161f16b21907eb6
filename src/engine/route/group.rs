//! The alerts that share their messages, and what their receiver knows of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::alert::{Crossing, Id, State};
use super::super::units::Timestamp;
use super::message::{Message, Note, Occasion, Status};
use super::policy::Route;

/// Alerts in one message; what is beyond is counted in [`Note::Digest`].
pub const ALERTS_MAX: usize = 500;

/// What a receiver knows of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    /// The state that it was last told.
    pub(super) told: Option<State>,
    /// When it was first told that the alert fires.
    pub(super) told_at: Option<Timestamp>,
    /// Whether somebody else was told because nobody acknowledged.
    pub(super) escalated: bool,
    /// When the alert ended, for receivers that are told so for a while.
    pub(super) ended_at: Option<Timestamp>,
}

/// What makes a group other than alerts that agree in their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Nothing.
    Ordinary,
    /// Alerts that nobody acknowledged in time.
    Escalation,
    /// More alerts of a route at once than can be told one by one.
    Digest,
    /// All alerts of a receiver that groups by itself.
    Level,
}

/// Alerts of one route that share their messages to one receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) receiver: String,
    /// The key of its route.
    pub(super) route: String,
    /// What its alerts have in common.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) members: BTreeMap<Id, Member>,
    /// When it is to be looked at next.
    pub(super) flush_at: Timestamp,
    /// When somebody else is to be told next, if nobody acknowledges.
    pub(super) escalate_at: Option<Timestamp>,
    pub(super) sent_at: Option<Timestamp>,
    /// Messages sent.
    pub(super) sent: u64,
    /// The first message of the incident.
    pub(super) thread: Option<Id>,
    /// What the next message says besides its alerts.
    pub(super) notes: Vec<Written>,
}

/// A note as it waits in a group. Written down in a form that keeps its place in binary states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Written(String);

impl Written {
    pub(super) fn new(note: &Note) -> Self {
        Self(serde_json::to_string(note).unwrap_or_default())
    }

    pub(super) fn note(&self) -> Option<Note> {
        serde_json::from_str(&self.0).ok()
    }
}

/// What a group has to say.
#[derive(Debug)]
pub(super) struct Content {
    /// The alerts that the message tells, in no order.
    pub(super) told: Vec<Id>,
    /// Whether any is news.
    pub(super) changed: bool,
}

impl Group {
    pub(super) fn new(
        kind: Kind,
        receiver: &str,
        route: &Route,
        labels: BTreeMap<String, String>,
        at: Timestamp,
    ) -> Self {
        Self {
            kind,
            receiver: receiver.to_owned(),
            route: route.key.clone(),
            labels,
            members: BTreeMap::new(),
            flush_at: at,
            escalate_at: None,
            sent_at: None,
            sent: 0,
            thread: None,
            notes: Vec::new(),
        }
    }

    /// What it is known by: who is told, by which route, and what the alerts have in common.
    pub(super) fn key(kind: Kind, receiver: &str, route: &Route, labels: &BTreeMap<String, String>) -> String {
        let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let mark = match kind {
            Kind::Ordinary => "",
            Kind::Escalation => "!",
            Kind::Digest => "*",
            Kind::Level => "=",
        };
        format!("{receiver}|{}{mark}:{{{}}}", route.key, pairs.join(","))
    }

    /// The message, with the alerts of `content` taken from `crossings`.
    pub(super) fn message(
        &mut self,
        key: &str,
        content: &Content,
        mut crossings: Vec<Crossing>,
        most: usize,
    ) -> Message {
        crossings.sort_by_key(|crossing| (crossing.to != State::Firing, severity_rank(crossing), crossing.alert_id));
        let firing = crossings.iter().filter(|crossing| crossing.to == State::Firing).count();
        let mut notes: Vec<Note> = self.notes.drain(..).filter_map(|note| note.note()).collect();
        let occasion = self.occasion(content, &notes);
        if crossings.len() > most {
            let mut by_alert: BTreeMap<String, u64> = BTreeMap::new();
            for crossing in &crossings {
                *by_alert.entry(crossing.alert.clone()).or_default() += 1;
            }
            notes.push(Note::Digest { firing: firing as u64, resolved: (crossings.len() - firing) as u64, by_alert });
        }
        let repeats = if content.changed { 0 } else { self.sent };
        let mut parts: Vec<Vec<u8>> = vec![self.receiver.as_bytes().to_vec(), key.as_bytes().to_vec()];
        parts.extend(crossings.iter().map(|crossing| crossing.id.0.to_be_bytes().to_vec()));
        parts.push(repeats.to_be_bytes().to_vec());
        parts.extend(notes.iter().map(|note| Written::new(note).0.into_bytes()));
        let id = Id::of(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        crossings.truncate(most);
        Message {
            id,
            thread: *self.thread.get_or_insert(id),
            receiver: self.receiver.clone(),
            group_key: key.to_owned(),
            group_labels: self.labels.clone(),
            status: if firing > 0 { Status::Firing } else { Status::Resolved },
            occasion,
            crossings,
            notes,
        }
    }

    fn occasion(&self, content: &Content, notes: &[Note]) -> Occasion {
        let has = |wanted: fn(&Note) -> bool| notes.iter().any(wanted);
        if has(|note| matches!(note, Note::Escalated { .. })) {
            Occasion::Escalated
        } else if has(|note| matches!(note, Note::SilenceEnded { .. })) {
            Occasion::SilenceEnded
        } else if !content.changed && has(|note| matches!(note, Note::Acknowledged { .. })) {
            Occasion::Acknowledged
        } else if self.sent == 0 {
            Occasion::First
        } else if content.changed {
            Occasion::Changed
        } else {
            Occasion::Repeat
        }
    }
}

fn severity_rank(crossing: &Crossing) -> usize {
    let severity = crossing.labels.get("severity").map_or("", String::as_str);
    ["critical", "error", "warning", "info"].iter().position(|known| *known == severity).unwrap_or(4)
}
