//! Rule files: what to watch, how much matters, what an alarm may cost.
//!
//! [`compile()`] turns rule files into a [`RuleSet`] or into every [`Diagnostic`] at once; [`render`] draws those.
//! [`Rule::matches`] says which streams a rule watches, [`Rule::annotate`] writes its prose.

mod amount;
mod burn;
mod check;
mod compile;
mod diagnostic;
pub mod edit;
mod measure;
mod parse;
pub mod schema;
mod selector;
mod show;
mod template;
mod yaml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::units::Span;

pub use amount::{Quantity, QuantityError, Unit, quantity};
pub use burn::{Burn, BurnRate};
pub use compile::{Compiled, Listed, RuleSet, Source, compile};
pub use diagnostic::{Diagnostic, Severity, render};
pub use selector::{compiled as compiled_glob, is_word, matches};
pub use template::{MAX_OUTPUT, VARIABLES};
pub use yaml::MAX_BYTES;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// Share of labelled outputs that were right.
    Accuracy,
    /// Accuracy as calibrated confidence predicts it.
    EstimatedAccuracy,
    /// Share of right outputs among the labelled of those that the agent was surest of, as many as it answered in the baseline.
    AccuracyAtCoverage,
    /// Share of right outputs among the labelled, less what their calibrated confidence says.
    Calibration,
    /// Mean of the confidence that agents state.
    Confidence,
    /// Shape of the distribution of confidence.
    ConfidenceDistribution,
    /// Share of outputs handed to a person.
    EscalationRate,
    /// Share of outputs that a person overrode.
    OverrideRate,
    /// Share of outputs whose status is not `ok` (and is known).
    ErrorRate,
    /// Share of outputs whose status is neither `error` nor `timeout`.
    Availability,
    /// Exceedance of a quantile of the baseline's latency.
    Latency {
        /// The quantile of the baseline that is the bar: 0.5, 0.95 or 0.99, in per mille (500, 950, 990).
        per_mille: u16,
        /// A component of the latency (`llm`, `retrieval`, `tool`, `orchestration`), or the whole.
        component: Option<Component>,
    },
    /// Cost of an output in USD, on a log scale.
    Cost,
    /// Tokens in and out of an output, on a log scale.
    Tokens,
    /// No output for some time.
    Silence,
    /// A number of the output's `metrics`.
    Metric(String),
    /// A truth value of the output's `flags`.
    Flag(String),
    /// Joint behaviour of an hour's confidence, escalation, latency and cost.
    Profile,
    /// Number of outputs, against the hours and weekdays of the baseline.
    Volume,
}

/// One of the means that the profile of an hour is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Characteristic {
    /// Mean stated confidence.
    Confidence,
    /// Share of right outputs, by the verdicts that came with them; where no confidence is stated.
    Accuracy,
    /// Share of outputs handed to a person.
    Escalation,
    /// Mean logarithm of latency in milliseconds.
    Latency,
    /// Mean logarithm of cost in USD.
    Cost,
}

/// A part of an output's latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Component {
    /// The model.
    Llm,
    /// Retrieval of documents.
    Retrieval,
    /// Tools called.
    Tool,
    /// Everything between them.
    Orchestration,
}

/// What matters, in the user's terms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Bound {
    /// Worse by falling this far below the baseline.
    Drop(Amount),
    /// Worse by rising this far above the baseline.
    Rise(Amount),
    /// The value must stay at or above this, whatever the baseline (proportions in [0, 1]).
    Target(f64),
    /// The value must stay at or below this, whatever the baseline (proportions in [0, 1]).
    Limit(f64),
    /// Nothing may be missing for longer than this (measure `silence`).
    Absence(Span),
    /// It must stay like the baseline's as a whole (measures `confidence_distribution` and `profile`).
    Shape,
    /// A fixed bound that must not be used up faster than this.
    Burn(Burn),
}

/// A size of change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Amount {
    /// Percentage points of a proportion: 2pp is 0.02.
    Points(f64),
    /// Share of the baseline: 10% is 0.1.
    Relative(f64),
    /// In the measure's own unit (milliseconds for latency, USD for cost, the metric's own for metrics).
    Absolute(f64),
    /// Standard deviations of the baseline.
    Deviations(f64),
}

/// What an alarm may cost on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Promise {
    /// At most `count` false alarms per `per`.
    Rate {
        /// How many.
        count: f64,
        /// In which time.
        per: Span,
    },
    /// One false alarm per this many samples (labelled events, or buckets), the in-control average run length.
    Arl0(f64),
    /// A tenth of what the stream's rule on accuracy promises, which keeps the rest.
    Shared,
}

/// How sure the engine must be about the size of a change before the alert counts as active. Proportions only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grade {
    /// The chart signalled: the level has changed.
    Drifting,
    /// It signalled, and the data say that the change exceeds the bound.
    #[default]
    Degraded,
    /// The severity chart signalled: beyond the bound at its own promise.
    Confirmed,
}

/// A chart that a rule asks for by name, where the one that follows from measure and baseline is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChartKind {
    /// The mixture e-detector, case by case. Shares only.
    Esr,
    /// The CUSUM: case by case for shares, of bucket means for means.
    Cusum,
    /// CUSUMs for several sizes of change at once, case by case. Shares only.
    Bank,
    /// The CUSUM of Laney's z of hourly or longer batches. Shares only.
    Laney,
    /// The exponentially weighted moving average of batches or buckets.
    Ewma,
    /// Single batches or buckets.
    Shewhart,
    /// The CUSUM of single outputs, for what is usually judged by the hour.
    Cases,
}

/// What a rule asks a chart to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detect {
    /// What is watched.
    pub measure: Measure,
    /// What matters.
    pub bound: Bound,
    /// What an alarm may cost.
    pub promise: Promise,
    /// How sure.
    pub grade: Grade,
    /// The chart, where the rule names one.
    pub chart: Option<ChartKind>,
    /// The probability that the promise is kept although the baseline is an estimate, in [0.5, 0.999].
    pub guarantee: f64,
}

/// One alert rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `group/alert`, unique in a set: the rule's identity for alert state.
    pub id: String,
    /// The rule's group.
    pub group: String,
    /// The alert's name.
    pub alert: String,
    /// Globs over stream labels; every entry must match. Empty matches every stream.
    pub selector: BTreeMap<String, String>,
    /// The chart.
    pub detect: Detect,
    /// How long the verdict must last before the alert fires.
    pub hold: Span,
    /// How long the alert stays firing after the verdict went back.
    pub keep_firing_for: Span,
    /// Labels added to the stream's labels.
    pub labels: BTreeMap<String, String>,
    /// Templates for people.
    pub annotations: BTreeMap<String, String>,
}
