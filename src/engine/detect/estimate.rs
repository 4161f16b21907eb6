//! The chart of predicted accuracy: what confidence says of cases that nobody judged, as long as labels do not contradict it.
//!
//! **Definition.** g is the accuracy that the calibration map says of a case. Hourly: the CUSUM of standardised bucket means of g
//! (`mean`), sigma that of the baseline's buckets; g is skewed, so z is brought near to normal with the third moment of a mean of n of
//! them, as wander has none. Cases: the CUSUM of single g (`score`). Either looks for a fall against the
//! validation mean of g, not against accuracy: a constant fault of the map cancels. Beside it the risk-adjusted chart of
//! `adjusted` runs over the labels: while it is out, confidence does not mean what it meant, the estimate is invalid, and
//! the chart raises no suspicion. It goes on all the same, and speaks again when the labels are back.
//!
//! **Sources.** Mean calibrated confidence as accuracy: CBPE (NannyML); Guillory et al. (2021). The tripwire: see `adjusted`.
//!
//! **The promise.** That of `mean` in buckets or of `score` in cases: suspicions while predicted accuracy is in control. Below
//! 5,000 validated confidences none is made, and the method says "uncalibrated". That of the tripwire in labels.
//!
//! **Classical constants.** A tenth of a stream's false alarms for this chart, nine tenths for its chart of labels.
//!
//! **Bad at.** Confident failures: it is blind to them, and labels alone find them. A fall of confidence for a benign reason is
//! as good a suspicion as any.

use serde::{Deserialize, Serialize};

use super::adjusted::{AdjustedChart, AdjustedDesign};
use super::design::DesignCache;
use super::mean::{MeanChart, MeanDesign};
use super::score::{ScoreCusum, ScoreDesign};
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::Grade;
use crate::engine::units::{Estimate, SampleUnit, Timestamp};

/// Validated confidences below which no promise is made.
const CONFIDENCES_NEEDED: u64 = 5_000;

/// Skewness that a bucket mean is taken to have at most: buckets of a handful of cases are not what sigma is of.
const MOST_SKEWED: f64 = 1.0;

/// What the chart takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Means of buckets of at least an hour: the default, since confidence wanders from hour to hour.
    Hourly,
    /// Single cases, sooner, where nothing wanders.
    Cases,
}

/// What a chart of predicted accuracy is designed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimateDesign {
    /// What the chart takes.
    pub form: Form,
    /// The chart of bucket means of g; of its numbers `Cases` uses delta, the promise (in cases then) and the guarantee.
    pub mean: MeanDesign,
    /// Values of g in validation with how often each was said: the steps of `Cases`, the skewness of `Hourly`.
    pub values: Vec<(f64, u64)>,
    /// Validated confidences.
    pub confidences: u64,
    /// The chart of labels given confidence, and the map.
    pub tripwire: AdjustedDesign,
}

impl EstimateDesign {
    /// Whether there are confidences enough for a promise.
    pub const fn is_calibrated(&self) -> bool {
        self.confidences >= CONFIDENCES_NEEDED
    }
}

/// Whether the estimate may be read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Validity {
    /// Labels do not contradict confidence.
    Valid,
    /// They do.
    Invalid {
        /// Since when, as far as labels can tell.
        since: Timestamp,
        /// Labels since then.
        labels: u64,
        /// Accuracy said less accuracy found over them, with a 95 % interval: above 0 confidence says too much.
        shortfall: Estimate,
        /// `Down` where labels fall short of what confidence says.
        side: Direction,
    },
}

/// The chart inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Inner {
    Hourly {
        chart: MeanChart,
        /// The third central moment of g.
        third: f64,
    },
    Cases(ScoreCusum),
}

/// A chart of predicted accuracy with its tripwire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimateChart {
    inner: Inner,
    confidences: u64,
    tripwire: AdjustedChart,
}

impl EstimateChart {
    /// A chart that has seen nothing.
    pub fn new(design: &EstimateDesign, cache: &mut DesignCache) -> Self {
        let mean = MeanDesign { direction: Direction::Down, ..design.mean };
        let inner = match design.form {
            Form::Hourly => Inner::Hourly { chart: MeanChart::new(&mean, cache), third: third_moment(&design.values) },
            Form::Cases => {
                let MeanDesign { delta, arl0, guarantee, .. } = mean;
                let design = ScoreDesign { values: &design.values, delta, arl0, guarantee };
                Inner::Cases(ScoreCusum::new(&design, cache))
            }
        };
        Self { inner, confidences: design.confidences, tripwire: AdjustedChart::new(&design.tripwire) }
    }

    /// What the chart takes.
    pub const fn form(&self) -> Form {
        match self.inner {
            Inner::Hourly { .. } => Form::Hourly,
            Inner::Cases(_) => Form::Cases,
        }
    }

    /// The accuracy that a confidence stands for, in (0, 1).
    pub fn predict(&self, confidence: f64) -> f64 {
        self.tripwire.design().map.accuracy(confidence)
    }

    /// Takes the mean of g over one closed bucket of `n` cases; a chart of cases takes none.
    pub fn update(&mut self, mean: f64, n: u64, at: Timestamp) {
        if let Inner::Hourly { chart, third } = &mut self.inner {
            let skewness = *third / ((n as f64).powi(2) * chart.sigma().powi(3));
            chart.update_skewed(mean, n, skewness.clamp(-MOST_SKEWED, MOST_SKEWED), at);
        }
    }

    /// Takes the confidence of one case; a chart of buckets takes none, nor does any what is no number.
    pub fn case(&mut self, confidence: f64, at: Timestamp) {
        let g = self.predict(confidence);
        match &mut self.inner {
            Inner::Cases(chart) if !confidence.is_nan() => chart.update(g, at),
            Inner::Cases(_) | Inner::Hourly { .. } => {}
        }
    }

    /// Takes one label into the tripwire.
    pub fn label(&mut self, confidence: f64, right: bool, at: Timestamp) {
        self.tripwire.update(confidence, right, at);
    }

    /// Takes labels that belong together into the tripwire: confidences, how many labels each, how many of them right.
    pub fn update_cell(&mut self, cell: &[(f64, u64, u64)], at: Timestamp) {
        self.tripwire.update_cell(cell, at);
    }

    /// Whether the estimate may be read, and what labels say where it may not.
    pub fn validity(&self) -> Validity {
        let Verdict::OutOfControl(found) = self.tripwire.verdict() else { return Validity::Valid };
        let gap = found.estimate.unwrap_or(found.baseline);
        let shortfall = Estimate { value: -gap.value, low: -gap.high, high: -gap.low };
        Validity::Invalid { since: found.changed_at, labels: found.samples, shortfall, side: found.direction }
    }

    /// Whether there is a suspicion; never while labels contradict confidence.
    pub const fn is_out(&self) -> bool {
        let out = match &self.inner {
            Inner::Hourly { chart, .. } => chart.is_out(),
            Inner::Cases(chart) => chart.is_out(),
        };
        out && !self.tripwire.is_out()
    }

    /// How sure the chart is while there is a suspicion: it says nothing about size, so a signal passes every bar.
    pub fn grade(&self) -> Option<Grade> {
        self.is_out().then_some(Grade::Confirmed)
    }

    /// What the chart says now, in terms of predicted accuracy; in control while labels contradict confidence.
    pub fn verdict(&self) -> Verdict {
        let verdict = match &self.inner {
            Inner::Hourly { chart, .. } => chart.verdict(),
            Inner::Cases(chart) => self.of_cases(chart),
        };
        match verdict {
            Verdict::OutOfControl(_) if self.tripwire.is_out() => Verdict::InControl,
            Verdict::OutOfControl(evidence) => Verdict::OutOfControl(Evidence { method: self.method(), ..evidence }),
            Verdict::InControl | Verdict::Learning { .. } => verdict,
        }
    }

    fn of_cases(&self, chart: &ScoreCusum) -> Verdict {
        let (true, Some((since, level))) = (chart.is_out(), chart.change()) else { return Verdict::InControl };
        Verdict::OutOfControl(Evidence {
            grade: Grade::Degraded,
            method: String::new(),
            statistic: chart.statistic(),
            limit: chart.limit(),
            arl0: chart.arl0(),
            estimate: Some(level),
            baseline: chart.baseline(),
            baseline_n: self.confidences,
            changed_at: since.at,
            changed_between: since.between,
            samples: since.n,
            unit: SampleUnit::Case,
            direction: Direction::Down,
            parts: Vec::new(),
        })
    }

    /// Whether there are confidences enough for a promise.
    pub const fn is_calibrated(&self) -> bool {
        self.confidences >= CONFIDENCES_NEEDED
    }

    /// What the chart is, in words.
    pub fn method(&self) -> String {
        let name = match &self.inner {
            Inner::Hourly { chart, .. } => format!("{} of predicted accuracy", chart.method()),
            Inner::Cases(_) => "CUSUM of predicted accuracy, case by case".to_owned(),
        };
        if self.is_calibrated() {
            return name;
        }
        let [found, needed] = [self.confidences, CONFIDENCES_NEEDED].map(thousands);
        format!("{name}, uncalibrated: {found} of {needed} confidences")
    }

    /// Changes the promise, in buckets or cases; the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        match &mut self.inner {
            Inner::Hourly { chart, .. } => chart.redesign(arl0, cache),
            Inner::Cases(chart) => chart.redesign(arl0, cache),
        }
    }

    /// Gives the chart a head start of half its limit: a new version is a likely time for a change.
    pub fn head_start(&mut self) {
        match &mut self.inner {
            Inner::Hourly { chart, .. } => chart.head_start(),
            Inner::Cases(chart) => chart.head_start(),
        }
    }

    /// The chart of labels given confidence.
    pub const fn tripwire(&self) -> &AdjustedChart {
        &self.tripwire
    }

    /// The statistic: in standard deviations of buckets, or in accuracy.
    pub const fn statistic(&self) -> f64 {
        match &self.inner {
            Inner::Hourly { chart, .. } => chart.statistic(),
            Inner::Cases(chart) => chart.statistic(),
        }
    }

    /// Its limit.
    pub const fn limit(&self) -> f64 {
        match &self.inner {
            Inner::Hourly { chart, .. } => chart.limit(),
            Inner::Cases(chart) => chart.limit(),
        }
    }

    /// The validation mean of g.
    pub fn centre(&self) -> f64 {
        match &self.inner {
            Inner::Hourly { chart, .. } => chart.centre(),
            Inner::Cases(chart) => chart.baseline().value,
        }
    }

    /// Buckets or cases taken.
    pub const fn samples_seen(&self) -> u64 {
        match &self.inner {
            Inner::Hourly { chart, .. } => chart.samples_seen(),
            Inner::Cases(chart) => chart.seen(),
        }
    }
}

/// The mean cubed distance from the mean; 0 of nothing.
fn third_moment(values: &[(f64, u64)]) -> f64 {
    let n = values.iter().map(|(_, n)| *n as f64).sum::<f64>().max(1.0);
    let mean = values.iter().map(|(g, n)| g * *n as f64).sum::<f64>() / n;
    values.iter().map(|(g, n)| (g - mean).powi(3) * *n as f64).sum::<f64>() / n
}

/// A number with its thousands apart.
fn thousands(n: u64) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", thousands(n / 1_000), n % 1_000) }
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
