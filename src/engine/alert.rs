//! The life of one alert on one stream: (state, verdict, stream time) -> (state, crossing).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::around::Around;
use super::rule::{Characteristic, Grade, Measure};
use super::units::{Estimate, Offset, Partition, SampleUnit, Span, Timestamp};

/// A 128-bit name computed from what it names, so that a replay of a day gives the ids of that day. Prints as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub u128);

/// Bytes on the stack, one part behind the other.
struct Piece {
    bytes: [u8; 256],
    length: usize,
}

impl Default for Piece {
    fn default() -> Self {
        Self { bytes: [0; 256], length: 0 }
    }
}

impl Piece {
    /// Puts bytes behind the others. Returns whether they have room.
    fn put(&mut self, part: &[u8]) -> bool {
        let Some(place) = self.bytes.get_mut(self.length..self.length + part.len()) else { return false };
        place.copy_from_slice(part);
        self.length += part.len();
        true
    }
}

impl Id {
    /// The id of a list of parts: BLAKE3 over each part's length and bytes, first 128 bits.
    pub fn of(parts: &[&[u8]]) -> Self {
        // In one piece, where it fits: every output has such an id, and a hasher that could take more costs more.
        let mut piece = Piece::default();
        if parts.iter().all(|part| piece.put(&(part.len() as u64).to_le_bytes()) && piece.put(part)) {
            return Self::first(blake3::hash(piece.bytes.get(..piece.length).unwrap_or_default()));
        }
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::first(hasher.finalize())
    }

    fn first(hash: blake3::Hash) -> Self {
        let (first, _) = hash.as_bytes().split_at(16);
        Self(first.iter().fold(0, |id, byte| id << 8 | u128::from(*byte)))
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
    /// The rule is no longer in the rule set.
    RuleRemoved,
    /// The rule asks for another chart than the one that signalled.
    RuleChanged,
    /// The stream's baseline was replaced by another.
    BaselineReplaced,
    /// Labels contradict the confidence that the alert rests on.
    Contradicted,
    /// What was written down of the stream could not be read, so it began anew.
    StateLost,
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
            Self::RuleChanged => "rule_changed",
            Self::BaselineReplaced => "baseline_replaced",
            Self::Contradicted => "contradicted",
            Self::StateLost => "state_lost",
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
    /// The change from the baseline to the level since, with a 95 % interval from both their errors: in the measure's unit,
    /// for cost and tokens as a share of the baseline. Falls are negative.
    pub change: Option<Estimate>,
    /// When the change probably began.
    pub changed_at: Option<Timestamp>,
    /// The 95 % interval of that.
    pub changed_between: Option<(Timestamp, Timestamp)>,
    /// Samples (labelled events, or buckets) since the change began: what the estimate rests on.
    pub samples: u64,
    /// The chart's statistic.
    pub statistic: f64,
    /// The chart's limit.
    pub limit: f64,
    /// The promise behind the limit: samples between false alarms; 0 where none is made.
    pub arl0: f64,
    /// The same in time: false alarms a week at the stream's present traffic; 0 where that is not known.
    #[serde(default)]
    pub false_alarms_per_week: f64,
    /// What those samples are; nothing for `silence`.
    pub unit: Option<SampleUnit>,
    /// What the chart is, in words; empty for `silence`.
    pub method: String,
    /// Outputs of the stream so far.
    pub outputs: u64,
    /// Labelled outputs of the stream so far.
    pub labels: u64,
    /// The version the stream runs on, where events say it.
    pub version: Option<String>,
    /// The version before that.
    pub version_before: Option<String>,
    /// For a profile: what moved, the largest contribution first.
    #[serde(default)]
    pub moved: Vec<Moved>,
    /// What stands around it.
    #[serde(default)]
    pub around: Around,
}

/// The part of one characteristic in the change of a profile: shares in [0, 1], latency in milliseconds, cost in USD.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Which.
    pub characteristic: Characteristic,
    /// Its level since the change.
    pub level: f64,
    /// Its level in the baseline, with the 95 % interval of its own sampling error.
    pub baseline: Estimate,
    /// How far the one lies from the other, in standard deviations from hour to hour; above is positive.
    pub deviations: f64,
    /// How far it lies from where the others imply, in standard deviations given them.
    pub given: f64,
    /// Its contribution given the others, as a share of the sum of all such, in [0, 1].
    pub share: f64,
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

/// How a rule times its alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `for`: how long the verdict must last.
    pub hold: Span,
    /// `keep_firing_for`: how long the alert goes on after the verdict went back.
    pub keep: Span,
}

/// The chart of an alert whose chart is lost.
const NO_CHART: Id = Id(0);

/// The memory of one alert on one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Where it stands; never `Resolved`, which is a moment and not a place.
    pub state: State,
    /// When the incident began.
    pub started_at: Timestamp,
    /// The incident's id.
    pub incident: Id,
    /// How many transitions the incident has had.
    pub transition: u32,
    /// The chart that it stands on.
    pub definition: Id,
    /// What it rested on when it last changed its state: what the message of its end tells again.
    pub account: Option<Box<Account>>,
    /// Since when the verdict is back while the alert goes on.
    clear_since: Option<Timestamp>,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            state: State::Inactive,
            started_at: Timestamp::from_millis(0),
            incident: Id(0),
            transition: 0,
            definition: NO_CHART,
            account: None,
            clear_since: None,
        }
    }
}

impl Alert {
    /// Takes the verdict at stream time `now`. `start` names a new incident; it is asked only when one begins.
    pub fn step(
        &mut self,
        active: bool,
        now: Timestamp,
        timing: Timing,
        start: impl FnOnce(Timestamp) -> Id,
    ) -> Option<Change> {
        match (self.state, active) {
            (State::Inactive | State::Resolved, false) => None,
            (State::Inactive | State::Resolved, true) => {
                *self = Self { started_at: now, incident: start(now), ..Self::default() };
                let to = if timing.hold <= Span::ZERO { State::Firing } else { State::Pending };
                Some(self.go(to, Reason::Signalled))
            }
            (State::Pending, true) => {
                (now.since(self.started_at) >= timing.hold).then(|| self.go(State::Firing, Reason::Held))
            }
            (State::Pending, false) => Some(self.go(State::Inactive, Reason::Passed)),
            (State::Firing, true) => {
                self.clear_since = None;
                None
            }
            (State::Firing, false) => {
                let clear_since = *self.clear_since.get_or_insert(now);
                (now.since(clear_since) >= timing.keep).then(|| self.go(State::Resolved, Reason::Recovered))
            }
        }
    }

    /// Ends the alert because what it watched is gone.
    pub fn end(&mut self, reason: Reason) -> Option<Change> {
        match self.state {
            State::Inactive | State::Resolved => None,
            State::Pending => Some(self.go(State::Inactive, reason)),
            State::Firing => Some(self.go(State::Resolved, reason)),
        }
    }

    /// The alert of which nothing is left but its last change of state. It stands on no chart, so it ends where charts are
    /// compared.
    pub fn left_by(last: &Crossing) -> Self {
        Self {
            state: last.to,
            started_at: last.started_at,
            incident: last.alert_id,
            transition: last.transition,
            definition: NO_CHART,
            account: last.account.clone().map(Box::new),
            clear_since: None,
        }
    }

    /// Why an alert whose chart is not its rule's ends.
    pub fn parted(&self) -> Reason {
        if self.definition == NO_CHART { Reason::StateLost } else { Reason::RuleChanged }
    }

    /// The stream time at which the alert changes even if nothing else happens.
    pub fn deadline(&self, timing: Timing) -> Option<Timestamp> {
        match self.state {
            State::Pending => Some(self.started_at.plus(timing.hold)),
            State::Firing => self.clear_since.map(|since| since.plus(timing.keep)),
            State::Inactive | State::Resolved => None,
        }
    }

    /// The id of the last transition.
    pub fn crossing_id(&self) -> Id {
        Id::of(&[&self.incident.0.to_be_bytes(), &self.transition.to_be_bytes()])
    }

    fn go(&mut self, to: State, reason: Reason) -> Change {
        let from = self.state;
        self.state = if to == State::Resolved { State::Inactive } else { to };
        self.transition += 1;
        self.clear_since = None;
        Change { from, to, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// Steps (second, active) through the machine and writes down what changed.
    fn story(hold: i64, keep: i64, steps: &[(i64, bool)]) -> Vec<(i64, State, Reason, u32)> {
        let mut alert = Alert::default();
        let timing = Timing { hold: Span::from_secs(hold), keep: Span::from_secs(keep) };
        let mut seen = Vec::new();
        for (second, active) in steps {
            if let Some(change) = alert.step(*active, at(*second), timing, |t| Id::of(&[&t.as_millis().to_be_bytes()]))
            {
                seen.push((*second, change.to, change.reason, alert.transition));
            }
        }
        seen
    }

    #[test]
    fn ids_are_of_lengths_and_bytes_however_long_the_parts_are() {
        for length in [0, 1, 100, 231, 232, 233, 400] {
            let (short, long) = (b"ab".as_slice(), vec![7; length]);
            let bytes = [&2_u64.to_le_bytes()[..], short, &(length as u64).to_le_bytes(), &long].concat();
            let hash = blake3::hash(&bytes).to_hex();
            assert_eq!(Some(Id::of(&[short, &long]).to_string().as_str()), hash.get(..32), "{length}");
        }
    }

    #[test]
    fn without_for_an_alert_fires_at_once_and_resolves_at_once() {
        assert_eq!(
            story(0, 0, &[(1, false), (2, true), (3, true), (4, false), (5, true)]),
            [
                (2, State::Firing, Reason::Signalled, 1),
                (4, State::Resolved, Reason::Recovered, 2),
                (5, State::Firing, Reason::Signalled, 1),
            ]
        );
    }

    #[test]
    fn for_holds_an_alert_back_and_a_passing_verdict_fires_nothing() {
        assert_eq!(
            story(10, 0, &[(0, true), (5, false), (20, true), (29, true), (30, true)]),
            [
                (0, State::Pending, Reason::Signalled, 1),
                (5, State::Inactive, Reason::Passed, 2),
                (20, State::Pending, Reason::Signalled, 1),
                (30, State::Firing, Reason::Held, 2),
            ]
        );
    }

    #[test]
    fn keep_firing_for_bridges_a_gap_and_starts_anew_after_each() {
        assert_eq!(
            story(0, 10, &[(0, true), (1, false), (9, false), (10, true), (20, false), (29, false), (30, false)]),
            [(0, State::Firing, Reason::Signalled, 1), (30, State::Resolved, Reason::Recovered, 2)]
        );
    }

    #[test]
    fn ids_depend_on_the_incident_and_the_transition_and_on_nothing_else() {
        let first = Id::of(&[b"ab", b"c"]);
        assert_eq!(first, Id::of(&[b"ab", b"c"]));
        assert_ne!(first, Id::of(&[b"a", b"bc"]));
        assert_eq!(first.to_string().len(), 32);
    }
}
