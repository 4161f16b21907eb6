//! The router: crossings and wall time in, messages for receivers out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert::{Crossing, Id};

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
    /// The newest crossing of every alert of the group, worst first.
    pub crossings: Vec<Crossing>,
}
