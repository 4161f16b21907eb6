//! A one-sided chart of standardised values: what charts of bucket means and of batch counts have in common.
//!
//! **Definition.** z is standard normal in control and turned so that worse is up. CUSUM: S <- max(0, S + z - k), alarm when
//! S >= h (Page 1954). Shewhart: alarm when z >= L (Shewhart 1931). EWMA: E <- lambda z + (1 - lambda) E, alarm when E exceeds
//! its limit (Roberts 1959; Lucas & Saccucci 1990). Whatever alarms, the CUSUM is kept beside it: its last zero dates
//! the change, and after an alarm the reversed CUSUM S' <- max(0, S' + k - z) decides when the level is back.
//!
//! **Classical constants.** k = 0.5 and h = 5, L = 3, lambda = 0.2 with L = 2.86; here k is half the shift that matters and
//! every limit is solved for the promised run length.
//!
//! **Bad at.** Shewhart: shifts below 1.5 standard deviations. EWMA: a change that comes while it is far on the good side.

use serde::{Deserialize, Serialize};

use super::design::DesignCache;
use super::design::interval::normal_quantile;

/// The statistic stops growing here, so that no value makes it infinite.
const SATURATION: f64 = 1e6;
/// Weight of the newest value in the EWMA: tuned to shifts of about half a standard deviation, like the CUSUM's k.
const EWMA_WEIGHT: f64 = 0.1;
/// Reference value of the CUSUM that dates the change where another statistic alarms.
const DATING_K: f64 = 0.25;
/// A Shewhart limit is not taken from further out in the tail than this.
const LEAST_CHANCE: f64 = 1e-12;

/// Which statistic raises the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Scheme {
    /// The CUSUM with this reference value, in standard deviations.
    Cusum(f64),
    /// The exponentially weighted moving average.
    Ewma,
    /// The single value.
    Shewhart,
}

/// What a value did to the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// In control, and the CUSUM is at 0: whatever was, is over.
    Zero,
    /// In control or not, as before.
    Same,
    /// After an alarm, the level is back; the chart began anew.
    Back,
}

/// The chart's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Standard {
    scheme: Scheme,
    k: f64,
    limit: f64,
    /// Limit of the reversed CUSUM: the same promise, as the chart is symmetric.
    back_limit: f64,
    sum: f64,
    average: f64,
    last: f64,
    back: f64,
    latched: bool,
}

impl Standard {
    pub(super) fn new(scheme: Scheme, arl0: f64, cache: &mut DesignCache) -> Self {
        let k = match scheme {
            Scheme::Cusum(k) => k,
            Scheme::Ewma | Scheme::Shewhart => DATING_K,
        };
        let mut chart = Self {
            scheme,
            k,
            limit: f64::INFINITY,
            back_limit: f64::INFINITY,
            sum: 0.0,
            average: 0.0,
            last: 0.0,
            back: 0.0,
            latched: false,
        };
        chart.redesign(arl0, cache);
        chart
    }

    /// Solves the limit for another promise; the statistics stay.
    pub(super) fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        self.back_limit = cache.normal_limit(self.k, arl0);
        self.limit = match self.scheme {
            Scheme::Cusum(_) => self.back_limit,
            Scheme::Ewma => cache.ewma_limit(EWMA_WEIGHT, arl0),
            Scheme::Shewhart => normal_quantile(1.0 - (1.0 / arl0).max(LEAST_CHANCE)),
        };
    }

    /// Half the limit as a head start, for a time at which a change is likely (Lucas & Crosier 1982). CUSUM only.
    pub(super) fn head_start(&mut self) {
        if let (Scheme::Cusum(_), false) = (self.scheme, self.latched) {
            self.sum = self.sum.max(self.limit / 2.0);
        }
    }

    /// Takes one value; one that is no number is taken as 0.
    pub(super) fn update(&mut self, z: f64) -> Step {
        let z = if z.is_nan() { 0.0 } else { z.clamp(-SATURATION, SATURATION) };
        self.last = z;
        self.sum = (self.sum + z - self.k).clamp(0.0, SATURATION);
        self.average = EWMA_WEIGHT.mul_add(z - self.average, self.average);
        if self.latched {
            self.back = (self.back + self.k - z).clamp(0.0, SATURATION);
            if self.back > 0.0 && self.back >= self.back_limit {
                self.restart();
                return Step::Back;
            }
            return Step::Same;
        }
        self.latched = self.statistic() >= self.limit;
        if self.sum <= 0.0 && !self.latched { Step::Zero } else { Step::Same }
    }

    pub(super) const fn restart(&mut self) {
        self.sum = 0.0;
        self.average = 0.0;
        self.last = 0.0;
        self.back = 0.0;
        self.latched = false;
    }

    pub(super) const fn is_out(&self) -> bool {
        self.latched
    }

    /// The statistic that alarms, in standard deviations.
    pub(super) const fn statistic(&self) -> f64 {
        match self.scheme {
            Scheme::Cusum(_) => self.sum,
            Scheme::Ewma => self.average,
            Scheme::Shewhart => self.last,
        }
    }

    pub(super) const fn limit(&self) -> f64 {
        self.limit
    }
}

/// A standardised value of the given skewness brought near to normal: Wilson & Hilferty's cube root for the gamma
/// distribution of that skewness. Growing in z; below the distribution's lower end it stays at that end.
pub(super) fn normalised(z: f64, skewness: f64) -> f64 {
    if skewness.abs() < 1e-3 {
        return z;
    }
    let base = (1.0 + skewness * z / 2.0).max(0.0);
    6.0 / skewness * (base.cbrt() - 1.0) + skewness / 6.0
}
