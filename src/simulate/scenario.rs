//! What the synthetic agents are like, and what goes wrong with them and when.

use std::fmt;

use serde::{Serialize, Serializer};

use super::parse::{self, ScenarioError};
use crate::engine::units::{Span, Timestamp};

/// A set of agents with planted changes, checked: every value lies in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Event time of the beginning; every offset counts from here.
    pub start: Timestamp,
    /// How long the agents work; without it they never stop.
    pub length: Option<Span>,
    /// The agents, each with its own name.
    pub agents: Vec<Agent>,
}

/// One agent in control, and its planted changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The agent's name; the Kafka key of its events.
    pub name: String,
    /// Tasks and their shares, which sum to 1; empty when events carry no task.
    pub tasks: Vec<(String, f64)>,
    /// The release that events carry.
    pub version: Option<String>,
    /// Expected outputs per day.
    pub per_day: f64,
    /// Amplitude of the daily cycle as a share of the mean, 0 to 1. The peak is at 14:00 UTC.
    pub diurnal: f64,
    /// Probability that an output is correct.
    pub accuracy: f64,
    /// How the agent reports confidence; without it events carry none.
    pub confidence: Option<Confidence>,
    /// Probability that an output is escalated to a person; without it events do not say.
    pub escalation: Option<f64>,
    /// Confidence below which an output is escalated, in place of a probability.
    pub escalates_below: Option<f64>,
    /// Probability of `flags.overridden`; without it events carry no such flag.
    pub overrides: Option<f64>,
    /// Probability that an attempt ends in `status: error`, without confidence, escalation or label.
    pub errors: f64,
    /// Latency in milliseconds.
    pub latency_ms: Option<Spread>,
    /// The parts of the latency that events tell, and their shares of it.
    pub latency_parts: Vec<(&'static str, f64)>,
    /// Cost in US dollars.
    pub cost_usd: Option<Spread>,
    /// Tokens read and written.
    pub tokens: Option<Tokens>,
    /// Which outputs are judged afterwards, and when.
    pub labels: Option<Labels>,
    /// What happens to the agent, in the order of the file.
    pub changes: Vec<Change>,
    /// Probability that a record is malformed.
    pub malformed: f64,
    /// Whether names, tasks and versions are attack strings instead of the ones above.
    pub hostile: bool,
}

/// Confidence that is calibrated by construction: drawn from a Beta distribution, and then the output is correct with
/// just that probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Share of the variance of correctness that confidence explains: Var(c) / (p (1 - p)), at most 0.9.
    pub r2: f64,
}

/// A log-normal quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median, in the quantity's unit.
    pub median: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
}

/// Tokens of one output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tokens {
    /// Tokens read.
    pub input: Spread,
    /// Tokens written.
    pub output: Spread,
}

/// How outputs come to be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labels {
    /// Share of the outputs that are judged, picked at random.
    pub fraction: f64,
    /// Median delay of the verdict. Zero: the output itself carries `correct`, and no feedback follows.
    pub delay: Span,
    /// The same of verdicts that say wrong, where it is another; not zero, as that of the others is not.
    pub delay_wrong: Option<Span>,
    /// Standard deviation of the delay's logarithm.
    pub delay_sigma: f64,
}

/// One planted change. Several may overlap; factors multiply, percentage points add.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Offset from the scenario's start.
    #[serde(serialize_with = "as_text")]
    pub at: Span,
    /// Offset at which all is as before; never, without it.
    #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// Time over which the change grows linearly from nothing to full.
    #[serde(serialize_with = "as_text", skip_serializing_if = "is_zero")]
    pub ramp: Span,
    /// Change of accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Shift>,
    /// What confidence does meanwhile; said where accuracy changes, and only there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// Change of mean confidence that accuracy has no part in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Shift>,
    /// Change of the escalation rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Shift>,
    /// Change of the override rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Shift>,
    /// Change of the error rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Shift>,
    /// Change of the share of outputs that are judged. Not a fault of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Shift>,
    /// Change of the median latency, a factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Shift>,
    /// Change of the median cost, a factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Shift>,
    /// Change of the median numbers of tokens, a factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Shift>,
    /// Change of the volume, a factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Shift>,
    /// A new release, at once even where there is a ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What confidence does while accuracy changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// The work got harder and the agent knows: confidence moves with accuracy and stays calibrated.
    #[default]
    Harder,
    /// The agent does not notice: confidence stays as it was.
    Silent,
    /// Confidence moves the other way, by half as much.
    Overconfident,
}

/// How a quantity changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// Percentage points added: `-3pp`.
    Points(f64),
    /// A factor: `x1.5`.
    Factor(f64),
}

impl Shift {
    /// The value after the shift has grown to `weight` of its size.
    pub fn apply(self, value: f64, weight: f64) -> f64 {
        match self {
            Self::Points(points) => value + weight * points / 100.0,
            Self::Factor(factor) => value * (1.0 + weight * (factor - 1.0)),
        }
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Points(points) => write!(f, "{points:+}pp"),
            Self::Factor(factor) => write!(f, "x{factor}"),
        }
    }
}

impl Serialize for Shift {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One planted change as it stands on the calendar: what a detector is judged against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planted {
    /// The agent.
    pub agent: String,
    /// First moment of the change, in RFC 3339 when serialised.
    #[serde(serialize_with = "as_text")]
    pub from: Timestamp,
    /// The moment at which it is full; equal to `from` without a ramp.
    #[serde(serialize_with = "as_text")]
    pub full: Timestamp,
    /// The moment at which it is over.
    #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What changes.
    pub change: Change,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(span: &Span) -> bool {
    *span == Span::ZERO
}

fn as_text<T: fmt::Display, S: Serializer>(time: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn as_optional_text<T: fmt::Display, S: Serializer>(time: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

impl Change {
    /// Whether anything but the sampling of labels changes.
    fn touches_the_agent(&self) -> bool {
        self.version.is_some() || self.shifts().iter().any(|(name, shift)| *name != "labels" && shift.is_some())
    }

    /// Every shift with the name it has in the file.
    pub(super) fn shifts(&self) -> [(&'static str, Option<Shift>); 10] {
        [
            ("accuracy", self.accuracy),
            ("confidence", self.confidence),
            ("escalation", self.escalation),
            ("overrides", self.overrides),
            ("errors", self.errors),
            ("labels", self.labels),
            ("latency", self.latency),
            ("cost", self.cost),
            ("tokens", self.tokens),
            ("rate", self.rate),
        ]
    }
}

impl Scenario {
    /// Reads a scenario file. All faults are reported at once.
    pub fn parse(yaml: &str) -> Result<Self, ScenarioError> {
        parse::scenario(yaml)
    }

    /// Six agents over 26 days: ten of validation, then production. `invoice-triage` loses confidence with a release, a
    /// day later accuracy, and is rolled back; the others stay in control.
    pub fn demo() -> Self {
        Self::parse(include_str!("../../fixtures/scenarios/demo.yaml")).expect("a test reads the embedded file")
    }

    /// 200 agents in control without end, one million events a day, nine outputs to one feedback.
    pub fn bench() -> Self {
        Self::parse(include_str!("../../fixtures/scenarios/bench.yaml")).expect("a test reads the embedded file")
    }

    /// The same scenario, begun at another time.
    #[must_use]
    pub fn starting(self, start: Timestamp) -> Self {
        Self { start, ..self }
    }

    /// The end of the agents' work.
    pub fn end(&self) -> Option<Timestamp> {
        self.length.map(|length| self.start.plus(length))
    }

    /// The planted changes in order of time. Changes that concern nothing but the sampling of labels are not listed:
    /// nobody should be alarmed by them.
    pub fn truth(&self) -> Vec<Planted> {
        let mut planted: Vec<Planted> = self
            .agents
            .iter()
            .flat_map(|agent| agent.changes.iter().map(move |change| (agent, change)))
            .filter(|(_, change)| change.touches_the_agent())
            .map(|(agent, change)| Planted {
                agent: agent.name.clone(),
                from: self.start.plus(change.at),
                full: self.start.plus(change.at).plus(change.ramp),
                until: change.until.map(|until| self.start.plus(until)),
                change: change.clone(),
            })
            .collect();
        planted.sort_by_key(|one| one.from);
        planted
    }
}
