//! What receivers are told: the unit of delivery, of retry and of the outbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::alert::{Crossing, Id};
use super::super::units::Timestamp;

/// Why a message goes out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The first message of the group.
    First,
    /// An alert of the group fired or resolved since the last message.
    Changed,
    /// Nothing changed, but the repeat interval is over.
    Repeat,
    /// Somebody took the group's alerts on: see [`Note::Acknowledged`].
    Acknowledged,
    /// Nobody took them on in time, so this receiver is told too: see [`Note::Escalated`].
    Escalated,
    /// A silence ended: see [`Note::SilenceEnded`].
    SilenceEnded,
    /// A silence is long and perhaps forgotten: see [`Note::SilenceLong`].
    SilenceLong,
}

/// Something about a message that no crossing of it says. Texts by people are cleaned, and not yet encoded for any sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Note {
    /// Somebody took alerts of the group on.
    Acknowledged {
        /// Who.
        by: String,
        /// What they said; may be empty.
        note: String,
        /// When.
        at: Timestamp,
        /// How many alerts of the group that firing are theirs now, and how many fire.
        of: (u64, u64),
    },
    /// Nobody took them on.
    Escalated {
        /// Since when the group fires unacknowledged.
        since: Timestamp,
        /// Who was told first.
        told: String,
    },
    /// A silence ended, and this is what it kept quiet.
    SilenceEnded {
        /// The silence.
        silence: SilenceSummary,
        /// Alerts that fired under it.
        fired: u64,
        /// Alerts that ended under it.
        resolved: u64,
        /// Alerts that it kept quiet and that fire still.
        firing: u64,
    },
    /// A silence has lasted long and goes on.
    SilenceLong {
        /// The silence.
        silence: SilenceSummary,
        /// Alerts that it keeps quiet now.
        quiet: u64,
    },
    /// Another receiver could not be told this, so this one is.
    Undelivered {
        /// Who could not.
        receiver: String,
        /// The class of the failure.
        class: String,
    },
    /// The group holds more alerts than are told one by one: the message's crossings are the worst of them.
    Digest {
        /// How many fire.
        firing: u64,
        /// How many ended since the last message.
        resolved: u64,
        /// How many of both, by the name of the alert.
        by_alert: BTreeMap<String, u64>,
    },
}

/// What a message says of a silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SilenceSummary {
    /// Its id.
    pub id: String,
    /// Who made it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// What it silences, as matchers: `agent="invoice-triage"`.
    pub matchers: Vec<String>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

/// Whether anything in a message is still wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// At least one alert of the message fires.
    Firing,
    /// All are over.
    Resolved,
}

/// What one receiver is told at one time: the unit of delivery, of retry and of the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Computed from the receiver, the group and the crossings (and the count of repeats): the key by which receivers
    /// can tell a second copy.
    pub id: Id,
    /// The id of the first message of this group's incident, for threading mails; equal to `id` in the first.
    pub thread: Id,
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// The group's key, as text, stable over restarts.
    pub group_key: String,
    /// The labels that the group has in common by construction.
    pub group_labels: BTreeMap<String, String>,
    /// Firing or resolved.
    pub status: Status,
    /// Why now.
    pub occasion: Occasion,
    /// The newest crossing of every alert of the group, worst first; the worst of them where [`Note::Digest`] says so.
    pub crossings: Vec<Crossing>,
    /// What no crossing says.
    #[serde(default)]
    pub notes: Vec<Note>,
}
