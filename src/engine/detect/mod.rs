//! Control charts and change detectors, and their design from promises.
//!
//! Every chart takes samples in order, holds its whole state, and answers with a [`Verdict`]. A chart never looks at a
//! clock and never resets itself without saying so: an alarm stays until the reversed chart says the level is back.

mod adjusted;
mod bank;
mod burn;
mod comparison;
mod cusum;
mod delay;
pub mod design;
mod dispersion;
mod distance;
mod esr;
mod estimate;
mod ewma;
mod history;
mod isotonic;
mod likelihood;
mod mean;
mod mixture_length;
mod multivariate;
mod ppi;
mod proportion;
mod reliability;
mod residual;
mod rhythm;
mod runs;
mod score;
mod shewhart;
mod standard;
mod tabular;
mod volume;

use serde::{Deserialize, Serialize};

pub use self::adjusted::{AdjustedChart, AdjustedDesign};
pub use self::bank::{BankDesign, CusumBank};
pub use self::burn::{BAD_LEAST, BurnChart};
pub use self::comparison::Comparison;
pub use self::cusum::LatticeCusum;
pub use self::delay::{Change, Delay};
pub use self::design::DesignCache;
pub use self::dispersion::{Dispersion, standardised};
pub use self::distance::{DistanceChart, DistanceDesign, Distances, FLOOR};
pub use self::esr::Mixture;
pub use self::estimate::{EstimateChart, EstimateDesign, Form, Validity};
pub use self::ewma::Ewma;
pub use self::history::{ChangePoint, History};
pub use self::isotonic::{Block, CalibrationMap, Rung};
pub use self::likelihood::{ShiryaevRoberts, glr_rise};
pub use self::mean::{MeanChart, MeanDesign};
pub use self::mixture_length::{RunLength, THOROUGH, run_length};
pub use self::multivariate::{PhaseOne, VectorChart};
pub use self::ppi::Powered;
pub use self::proportion::{Alarm, Centre, HIDDEN, Method, ProportionChart, ProportionDesign, Spread, labels_needed};
pub use self::reliability::{Calibration, Decomposition, Reliability};
pub use self::rhythm::in_time;
pub use self::rhythm::{DAYS_MIN, Day, Rhythm};
pub use self::runs::{RuleNumbers, RunRuleSet, RunRules, Sides};
pub use self::shewhart::{
    AttributeChart, AttributeKind, AttributeSample, ControlLimits, IndividualsChart, SpreadKind, SubgroupChart,
};
pub use self::tabular::{Arm, TabularCusum, TabularDesign};
pub use self::volume::{NoVolume, VolumeBaseline, VolumeChart, VolumeDesign};
use super::rule::{Characteristic, Grade};
use super::units::{Estimate, SampleUnit, Timestamp};

/// Which way a level has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// It fell.
    Down,
    /// It rose.
    Up,
}

/// What a chart says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// The baseline does not carry a promise yet.
    Learning {
        /// Cases the baseline has.
        seen: u64,
        /// Cases it needs.
        needed: u64,
    },
    /// Nothing to say.
    InControl,
    /// The level has changed.
    OutOfControl(Evidence),
}

/// What an alarm rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// How sure the chart is about the size. Means and shapes do not grade: they are `Degraded` when they signal.
    pub grade: Grade,
    /// What the chart is, in words.
    pub method: String,
    /// The alarming statistic now.
    pub statistic: f64,
    /// Its limit.
    pub limit: f64,
    /// The promise: samples (labels, buckets, windows) between false alarms.
    pub arl0: f64,
    /// The level since the change with a 95 % interval: of the bad proportion, or of the bucket means.
    pub estimate: Option<Estimate>,
    /// The baseline's level with the 95 % interval of its own error.
    pub baseline: Estimate,
    /// Cases the baseline rests on; 0 where the level is given by the rule.
    pub baseline_n: u64,
    /// Time of the first sample of the change, as far as the chart can tell.
    pub changed_at: Timestamp,
    /// Its 95 % interval.
    pub changed_between: (Timestamp, Timestamp),
    /// Cases, buckets or values since then.
    pub samples: u64,
    /// What the promise counts.
    pub unit: SampleUnit,
    /// Which way the level went; of a bad proportion, so `Up` is worse.
    pub direction: Direction,
    /// What moved, the largest contribution first; empty unless the chart is one of vectors.
    pub parts: Vec<Part>,
}

/// The part of one characteristic in a joint change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    pub characteristic: Characteristic,
    /// Its mean over the buckets since the change: a share, or a logarithm of milliseconds or dollars.
    pub level: f64,
    /// Its mean in the baseline with the 95 % interval of its own error, in the same unit.
    pub baseline: Estimate,
    /// How far the level lies from the baseline, in standard deviations of single buckets; above is positive.
    pub deviations: f64,
    /// How far it lies from where the others imply, in standard deviations of single buckets given them.
    pub given: f64,
    /// Its contribution given the others, as a share of the sum of all such, in [0, 1].
    pub share: f64,
}

/// Any chart. Boxed, whichever it is: some are several times as large as others, and charts that wait have none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Detector {
    /// Of a Bernoulli measure, case by case or batch by batch.
    Proportion(Box<ProportionChart>),
    /// Of bucket means.
    Mean(Box<MeanChart>),
    /// Of the shape of a distribution.
    Distance(Box<DistanceChart>),
    /// Of vectors of bucket means.
    Vector(Box<VectorChart>),
    /// Of a fixed bound over two windows.
    Burn(Box<BurnChart>),
    /// Of outputs in blocks of hours.
    Volume(Box<VolumeChart>),
    /// Of predicted accuracy.
    Estimate(Box<EstimateChart>),
    /// Of labels given what confidence says of them.
    Adjusted(Box<AdjustedChart>),
}

impl Detector {
    /// What the chart says now.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Proportion(chart) => chart.verdict(),
            Self::Mean(chart) => chart.verdict(),
            Self::Distance(chart) => chart.verdict(),
            Self::Vector(chart) => chart.verdict(),
            Self::Burn(chart) => chart.verdict(),
            Self::Volume(chart) => chart.verdict(),
            Self::Estimate(chart) => chart.verdict(),
            Self::Adjusted(chart) => chart.verdict(),
        }
    }

    /// How sure the chart is while it is out of control, nothing while it is in control: what a rule asks after every
    /// sample, without the estimates that [`Detector::verdict`] computes.
    pub fn grade(&self) -> Option<Grade> {
        match self {
            Self::Proportion(chart) => chart.grade(),
            // Means and shapes say nothing about size: a signal of theirs passes every bar.
            Self::Mean(chart) => chart.is_out().then_some(Grade::Confirmed),
            Self::Distance(chart) => matches!(chart.verdict(), Verdict::OutOfControl(_)).then_some(Grade::Confirmed),
            Self::Vector(chart) => chart.is_out().then_some(Grade::Confirmed),
            Self::Burn(chart) => chart.is_out().then_some(Grade::Confirmed),
            Self::Volume(chart) => chart.is_out().then_some(Grade::Confirmed),
            Self::Estimate(chart) => chart.grade(),
            Self::Adjusted(chart) => chart.grade(),
        }
    }

    /// The alarming statistic, for drawing.
    pub fn statistic(&self) -> f64 {
        match self {
            Self::Proportion(chart) => chart.statistic(),
            Self::Mean(chart) => chart.statistic(),
            Self::Distance(chart) => chart.statistic(),
            Self::Vector(chart) => chart.statistic(),
            Self::Burn(chart) => chart.statistic(),
            Self::Volume(chart) => chart.mean().statistic(),
            Self::Estimate(chart) => chart.statistic(),
            Self::Adjusted(chart) => chart.statistic(),
        }
    }

    /// Its limit, for drawing.
    pub fn limit(&self) -> f64 {
        match self {
            Self::Proportion(chart) => chart.limit(),
            Self::Mean(chart) => chart.limit(),
            Self::Distance(chart) => chart.limit(),
            Self::Vector(chart) => chart.limit(),
            Self::Burn(chart) => chart.limit(),
            Self::Volume(chart) => chart.mean().limit(),
            Self::Estimate(chart) => chart.limit(),
            Self::Adjusted(chart) => chart.limit(),
        }
    }

    /// The baseline's level: bad proportion, mean, distance 0, or the usual volume, 1.
    pub fn centre(&self) -> f64 {
        match self {
            Self::Proportion(chart) => chart.centre(),
            Self::Mean(chart) => chart.centre(),
            Self::Distance(_) | Self::Vector(_) | Self::Adjusted(_) => 0.0,
            Self::Burn(chart) => chart.centre(),
            Self::Volume(_) => 1.0,
            Self::Estimate(chart) => chart.centre(),
        }
    }

    /// A second statistic that is drawn beside and never alarms: what it is, its value and its limit.
    pub fn beside(&self) -> Option<(&'static str, f64, f64)> {
        match self {
            Self::Vector(chart) => {
                let (statistic, limit) = chart.single();
                Some(("T2 of single buckets", statistic, limit))
            }
            Self::Proportion(chart) => Some(("Bernoulli CUSUM", chart.cusum(), chart.cusum_limit())),
            Self::Estimate(chart) => {
                let labels = chart.tripwire();
                Some(("labels given confidence", labels.statistic(), labels.limit()))
            }
            Self::Mean(_) | Self::Distance(_) | Self::Burn(_) | Self::Volume(_) | Self::Adjusted(_) => None,
        }
    }

    /// Changes the promise; the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        match self {
            Self::Proportion(chart) => chart.redesign(arl0, cache),
            Self::Mean(chart) => chart.redesign(arl0, cache),
            Self::Distance(chart) => chart.redesign(arl0),
            Self::Vector(chart) => chart.redesign(arl0, cache),
            // It makes no promise.
            Self::Burn(_) => {}
            Self::Volume(chart) => chart.redesign(arl0, cache),
            Self::Estimate(chart) => chart.redesign(arl0, cache),
            Self::Adjusted(chart) => chart.redesign(arl0),
        }
    }

    /// What to do when a new version begins: a likely time for a change.
    pub fn head_start(&mut self) {
        match self {
            Self::Proportion(chart) => chart.head_start(),
            Self::Mean(chart) => chart.head_start(),
            Self::Estimate(chart) => chart.head_start(),
            // How much work there is does not hang on the version.
            Self::Distance(_) | Self::Vector(_) | Self::Burn(_) | Self::Volume(_) | Self::Adjusted(_) => {}
        }
    }

    /// Whether the limit stands for a promise: not that of burn rates, nor that of predictions from few confidences.
    pub fn promises(&self) -> bool {
        match self {
            Self::Burn(_) => false,
            Self::Estimate(chart) => chart.is_calibrated(),
            _ => true,
        }
    }

    /// What the chart is, in words.
    pub fn method(&self) -> String {
        match self {
            Self::Proportion(chart) => chart.method(),
            Self::Mean(chart) => chart.method(),
            Self::Distance(_) => "PSI of windows".to_owned(),
            Self::Vector(_) => multivariate::METHOD.to_owned(),
            Self::Burn(chart) => chart.method(),
            Self::Volume(chart) => chart.method(),
            Self::Estimate(chart) => chart.method(),
            Self::Adjusted(_) => AdjustedChart::METHOD.to_owned(),
        }
    }

    /// Samples taken: labels, batches, buckets, or binned values.
    pub fn samples_seen(&self) -> u64 {
        match self {
            Self::Proportion(chart) => chart.samples_seen(),
            Self::Mean(chart) => chart.samples_seen(),
            Self::Distance(chart) => chart.samples_seen(),
            Self::Vector(chart) => chart.samples_seen(),
            Self::Burn(chart) => chart.samples_seen(),
            Self::Volume(chart) => chart.mean().samples_seen(),
            Self::Estimate(chart) => chart.samples_seen(),
            Self::Adjusted(chart) => chart.samples_seen(),
        }
    }
}

#[cfg(test)]
pub(super) mod testing;

#[cfg(test)]
mod proportion_tests;
#[cfg(test)]
mod reference_spc_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod volume_tests;
