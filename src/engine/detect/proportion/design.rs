//! What a chart of a proportion is designed from, and the levels that follow.

use serde::{Deserialize, Serialize};

use super::super::design::ceil4;
use super::super::design::interval::{clopper_pearson, clopper_pearson_upper};
use super::super::standard::Scheme;
use super::{CAP, CONFIDENCE, FLOOR};
use crate::engine::units::{Counts, Estimate};

/// Largest reference value of a chart of batches, in standard deviations: several batches must agree, as the far tail
/// of one is not normal.
const MAX_K: f64 = 0.5;
/// Smallest: a change below a tenth of a standard deviation is not told from the baseline's own error.
const MIN_K: f64 = 0.05;
/// A shift below so many standard deviations of batches is hidden by their wander ...
pub const HIDDEN: f64 = 0.2;
/// ... and the chart is tuned to one of half a standard deviation instead.
const HIDDEN_K: f64 = 0.25;
/// A spread estimated from fewer batches is too rough to be taken at its word ...
const BATCHES_WANTED: u64 = 30;
/// ... and is multiplied by this.
const ROUGH_SPREAD: f64 = 1.2;

/// Where the in-control level comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Centre {
    /// Estimated: bad outcomes of all, in the baseline.
    Counted(Counts),
    /// Given by the rule (a target or a limit): no sampling error.
    Known(f64),
}

/// How much the baseline's batches differed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Variance of the batches' shares in units of the binomial one; 1 and above.
    pub phi: f64,
    /// Batches that it rests on; 0 where it was not estimated.
    pub batches: u64,
}

impl Spread {
    /// No more than chance.
    pub const BINOMIAL: Self = Self { phi: 1.0, batches: 0 };

    /// The standard deviation of z that charts of batches work with.
    pub fn sigma(self) -> f64 {
        let rough = (1..BATCHES_WANTED).contains(&self.batches);
        self.phi.max(1.0).sqrt() * if rough { ROUGH_SPREAD } else { 1.0 }
    }
}

/// What raises the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Alarm {
    /// The mixture e-detector, case by case: the default.
    Mixture,
    /// The Bernoulli CUSUM, case by case, with head starts.
    Cusum,
    /// A bank of Bernoulli CUSUMs for several sizes of change, case by case, with head starts.
    Bank,
    /// A chart of Laney's z of batches.
    Batches(Method),
}

/// Which statistic of standardised values alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The CUSUM.
    Cusum,
    /// The exponentially weighted moving average.
    Ewma,
    /// The single value.
    Shewhart,
}

impl Method {
    /// The scheme of charts tuned to a shift of 2 `k` standard deviations.
    pub(in super::super) const fn scheme(self, k: f64) -> Scheme {
        match self {
            Self::Cusum => Scheme::Cusum(k),
            Self::Ewma => Scheme::Ewma,
            Self::Shewhart => Scheme::Shewhart,
        }
    }

    /// What the chart is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cusum => "CUSUM",
            Self::Ewma => "EWMA",
            Self::Shewhart => "Shewhart chart",
        }
    }
}

/// What a proportion chart is designed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProportionDesign {
    /// The in-control level of the bad outcome.
    pub centre: Centre,
    /// The rise of the bad outcome's probability that matters.
    pub delta: f64,
    /// The promise: samples (cases, or batches) between false alarms.
    pub arl0: f64,
    /// The probability, over the baseline's own error, that the promise is kept; in (0, 1).
    pub guarantee: f64,
    /// How much batches differ.
    pub spread: Spread,
    /// What raises the alarm.
    pub alarm: Alarm,
    /// Cases in a typical batch; 1 where cases come one by one.
    pub batch: f64,
}

impl ProportionDesign {
    /// The default guarantee.
    pub const GUARANTEE: f64 = 0.75;

    /// The default chart of a baseline: `hits` bad outcomes of `n`.
    pub const fn new(baseline: Counts, delta: f64, arl0: f64) -> Self {
        Self::around(Centre::Counted(baseline), delta, arl0)
    }

    /// The default chart of a known level.
    pub const fn fixed(p0: f64, delta: f64, arl0: f64) -> Self {
        Self::around(Centre::Known(p0), delta, arl0)
    }

    const fn around(centre: Centre, delta: f64, arl0: f64) -> Self {
        let (spread, alarm) = (Spread::BINOMIAL, Alarm::Mixture);
        Self { centre, delta, arl0, guarantee: Self::GUARANTEE, spread, alarm, batch: 1.0 }
    }

    /// The level with its 95 % interval.
    pub fn baseline(&self) -> Estimate {
        match self.centre {
            Centre::Counted(counts) => {
                let interval = clopper_pearson(thinned(counts, self.spread.phi), CONFIDENCE);
                Estimate { value: counts.share().unwrap_or(interval.value), ..interval }
            }
            Centre::Known(p0) => Estimate { value: p0, low: p0, high: p0 },
        }
    }

    /// p0*: the level the chart is designed for.
    pub fn null(&self) -> f64 {
        let level = match self.centre {
            Centre::Counted(counts) => clopper_pearson_upper(thinned(counts, self.spread.phi), self.guarantee),
            Centre::Known(p0) => p0,
        };
        ceil4(level.max(FLOOR)).min(CAP)
    }

    /// p0* + delta: the level that matters.
    pub fn shifted(&self) -> f64 {
        (self.null() + self.delta).min(CAP)
    }

    /// The best guess of the level, never exactly 0.
    pub fn plug_in(&self) -> f64 {
        match self.centre {
            Centre::Counted(Counts { hits: 0, n }) => 0.5 / (n as f64 + 1.0),
            Centre::Counted(counts) => counts.share().unwrap_or(0.5),
            Centre::Known(p0) => p0.max(FLOOR),
        }
        .min(CAP)
    }

    /// Cases that the level rests on; 0 where it is given.
    pub const fn baseline_n(&self) -> u64 {
        match self.centre {
            Centre::Counted(counts) => counts.n,
            Centre::Known(_) => 0,
        }
    }

    /// Half the shift that matters, in standard deviations of batches: the reference value of their charts, rounded so
    /// that streams share designs, and kept within what a chart of batches can do.
    pub fn reference(&self) -> f64 {
        let shift = self.shift();
        // A shift that batches hide is not found either way; larger ones are, sooner.
        let k = if shift < HIDDEN { HIDDEN_K } else { shift / 2.0 };
        ceil4(k.clamp(MIN_K, MAX_K))
    }

    /// The shift that matters, in standard deviations of batches.
    pub fn shift(&self) -> f64 {
        let p = self.null();
        self.delta / (self.spread.sigma() * (p * (1.0 - p) / self.batch.max(1.0)).sqrt())
    }
}

/// As many cases as these are worth when batches differ by `phi` times the binomial variance.
pub(super) fn thinned(counts: Counts, phi: f64) -> Counts {
    if phi <= 1.0 || !phi.is_finite() || counts.n == 0 {
        return counts;
    }
    let n = ((counts.n as f64 / phi).round() as u64).max(1);
    let hits = (counts.share().unwrap_or(0.0) * n as f64).round() as u64;
    // What was seen at all stays seen.
    Counts { hits: hits.clamp(u64::from(counts.hits > 0), n - u64::from(counts.hits < counts.n && n > 1)), n }
}

/// Baseline cases below which a change of `delta` from `p` cannot honestly be promised: its standard error would exceed
/// delta / 3, or, where hardly anything bad was seen, the 95 % bound of none at all (3 / n) would exceed delta.
pub fn labels_needed(p: f64, delta: f64) -> u64 {
    (9.0 * p * (1.0 - p) / (delta * delta)).max(3.0 / delta).ceil().max(1.0) as u64
}
