//! The life of one alert on one stream: (state, verdict, stream time) -> (state, crossing).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::rule::{Grade, Measure};
use super::units::{Estimate, Offset, Partition, Timestamp};

/// A 128-bit name computed from what it names, so that a replay of a day gives the ids of that day. Prints as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub u128);

impl Id {
    /// The id of a list of parts: BLAKE3 over each part's length and bytes, first 128 bits.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut first = [0; 16];
        hasher.finalize_xof().fill(&mut first);
        Self(u128::from_be_bytes(first))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing to say.
    Inactive,
    /// The verdict is out of control, but not yet for long enough.
    Pending,
    /// People are told.
    Firing,
    /// It was firing and is over.
    Resolved,
}

impl State {
    /// The word used in the database, in JSON and in mails.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Why an alert changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The chart went out of control.
    Signalled,
    /// The verdict lasted for the rule's `for`.
    Held,
    /// The verdict went back before `for` had passed.
    Passed,
    /// The chart says the stream is back at its baseline.
    Recovered,
    /// The rule, or its detector, is no longer in the rule set.
    RuleRemoved,
    /// The stream's baseline was replaced by another.
    BaselineReplaced,
}

impl Reason {
    /// The word used in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signalled => "signalled",
            Self::Held => "held",
            Self::Passed => "passed",
            Self::Recovered => "recovered",
            Self::RuleRemoved => "rule_removed",
            Self::BaselineReplaced => "baseline_replaced",
        }
    }
}

/// What an alert rests on, in the measure's own direction and unit (accuracy as a share of right answers, latency
/// exceedance as a share of slow ones, means in the metric's unit). Everything a message needs to explain itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// What is watched.
    pub measure: Measure,
    /// How sure the chart is about the size of the change.
    pub grade: Grade,
    /// The level since the change began, with a 95 % interval. Nothing for `silence`.
    pub estimate: Option<Estimate>,
    /// The level of the baseline, with the 95 % interval of its own sampling error.
    pub baseline: Option<Estimate>,
    /// How many cases the baseline rests on.
    pub baseline_n: u64,
    /// The baseline's name, `id` of the promoted one or `provisional`.
    pub baseline_id: String,
    /// Whether the baseline was learnt from the stream's own first events.
    pub provisional: bool,
    /// When the change probably began.
    pub changed_at: Option<Timestamp>,
    /// Samples (labelled events, or buckets) since the change began: what the estimate rests on.
    pub samples: u64,
    /// The chart's statistic.
    pub statistic: f64,
    /// The chart's limit.
    pub limit: f64,
    /// The promise behind the limit: samples between false alarms.
    pub arl0: f64,
    /// Outputs of the stream so far.
    pub outputs: u64,
    /// Labelled outputs of the stream so far.
    pub labels: u64,
    /// The version the stream runs on, where events say it.
    pub version: Option<String>,
    /// The version before that.
    pub version_before: Option<String>,
}

/// An alert that changed its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// The incident: rule, stream and the start of the incident.
    pub alert_id: Id,
    /// This change of state: the incident and the number of the transition. The notice's id.
    pub id: Id,
    /// 1 for the first transition of the incident.
    pub transition: u32,
    /// The rule's id, `group/alert`.
    pub rule: String,
    /// The alert's name.
    pub alert: String,
    /// The stream's labels and the rule's; cleaned text, still not encoded for any sink.
    pub labels: BTreeMap<String, String>,
    /// The rule's annotations, rendered to plain text, still not encoded for any sink.
    pub annotations: BTreeMap<String, String>,
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// Stream time of this change.
    pub at: Timestamp,
    /// Stream time at which the incident began (the alert went pending).
    pub started_at: Timestamp,
    /// Where the record that made it lies.
    pub position: (Partition, Offset),
    /// What it rests on; nothing when the rule is gone.
    pub account: Option<Account>,
}
