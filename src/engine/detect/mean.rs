//! The chart of bucket means (hourly by default): a one-sided normal CUSUM.
//!
//! **Definition.** z = (mean - mu*) / sigma, its sign turned so that the direction watched is up; S <- max(0, S + z - k),
//! k = delta / (2 sigma); alarm when S >= h, h solved for ARL0 in buckets. Page (1954). sigma is the standard deviation
//! of *bucket means*, so the wander between hours is part of it: a CUSUM of single events breaks its promise there.
//! After an alarm the reversed chart S' <- max(0, S' + k - z), with the same h by symmetry, decides when the level is back.
//!
//! **Classical constants.** k = 0.5, h = 5. mu* is the baseline's mean moved by the 75 % quantile of its own error.
//!
//! **Bad at.** Buckets that depend on each other (a daily cycle counts as drift); tails far from normal; a single wild
//! bucket, which can alarm alone.

use serde::{Deserialize, Serialize};

use super::design::interval::normal_quantile;
use super::design::{DesignCache, ceil4};
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::Grade;
use crate::engine::units::{Estimate, Timestamp};

/// Buckets below which sigma is too rough an estimate to be taken at its word.
const BUCKETS_WANTED: u64 = 30;
/// What sigma is multiplied by then.
const ROUGH_SIGMA: f64 = 1.2;
/// Least number of buckets that estimate a standard deviation at all.
const BUCKETS_NEEDED: u64 = 2;
/// A baseline without spread has sigma 0; its chart takes sigma as delta / 8.
const SIGMA_FLOOR_K: f64 = 4.0;
/// Largest reference value. A larger one would suit a change of many sigma, but makes the chart signal on one or two
/// buckets: then its run length hangs on the far tail of the bucket means, which is not normal (confidence near 1 is
/// skewed). At 0.5 several buckets must agree, and their sum is near enough to normal.
const MAX_K: f64 = 0.5;
/// Smallest reference value: a change below a tenth of a standard deviation is not told from the baseline's own error.
const MIN_K: f64 = 0.05;
/// Quantile of the baseline's own error by which mu is moved.
const BASELINE_CONFIDENCE: f64 = 0.75;
/// The statistic stops growing here, so that no bucket makes it infinite.
const SATURATION: f64 = 1e6;
/// Two-sided 95 % of a normal.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// What a mean chart is designed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanDesign {
    /// Mean of the baseline's bucket means.
    pub mu: f64,
    /// Standard deviation of the baseline's bucket means, as estimated.
    pub sigma: f64,
    /// Buckets of the baseline.
    pub buckets: u64,
    /// The change that matters, in the measure's unit.
    pub delta: f64,
    /// The direction that matters.
    pub direction: Direction,
    /// The promise: buckets between false alarms.
    pub arl0: f64,
}

impl MeanDesign {
    /// The standard deviation the chart works with.
    pub fn working_sigma(&self) -> f64 {
        let rough = if self.buckets < BUCKETS_WANTED { ROUGH_SIGMA } else { 1.0 };
        let sigma = if self.sigma.is_finite() { self.sigma.max(0.0) * rough } else { 0.0 };
        sigma.max(self.delta / (2.0 * SIGMA_FLOOR_K))
    }

    /// The reference value in standard deviations, rounded so that streams share designs.
    pub fn reference(&self) -> f64 {
        ceil4((self.delta / (2.0 * self.working_sigma())).clamp(MIN_K, MAX_K))
    }

    fn baseline(&self) -> Estimate {
        let half = NORMAL_95 * self.working_sigma() / (self.buckets.max(1) as f64).sqrt();
        Estimate { value: self.mu, low: self.mu - half, high: self.mu + half }
    }
}

/// A chart of the bucket means of one measure of one stream, in one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanChart {
    design: MeanDesign,
    sigma: f64,
    null: f64,
    k: f64,
    h: f64,
    sum: f64,
    back: f64,
    seen: u64,
    since: u64,
    total: f64,
    changed_at: Option<Timestamp>,
    latched: bool,
}

impl MeanChart {
    /// A chart that has seen nothing.
    pub fn new(design: &MeanDesign, cache: &mut DesignCache) -> Self {
        let design = MeanDesign {
            // A change of nothing, or no number at all, is not a design; the rule compiler lets neither through.
            delta: design.delta.max(f64::MIN_POSITIVE),
            arl0: design.arl0.max(1.0),
            ..*design
        };
        let sigma = design.working_sigma();
        let k = design.reference();
        let error = normal_quantile(BASELINE_CONFIDENCE) / (design.buckets.max(1) as f64).sqrt();
        Self {
            sigma,
            null: error,
            k,
            h: cache.normal_limit(k, design.arl0),
            design,
            sum: 0.0,
            back: 0.0,
            seen: 0,
            since: 0,
            total: 0.0,
            changed_at: None,
            latched: false,
        }
    }

    /// Changes the promise; the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        self.design.arl0 = arl0.max(1.0);
        self.h = cache.normal_limit(self.k, self.design.arl0);
    }

    /// Takes the mean of one bucket of `n` events. An empty bucket, or a mean that is no number, says nothing.
    pub fn update(&mut self, mean: f64, n: u64, at: Timestamp) {
        if n == 0 || !mean.is_finite() || !self.design.mu.is_finite() {
            return;
        }
        self.seen += 1;
        let sign = match self.design.direction {
            Direction::Up => 1.0,
            Direction::Down => -1.0,
        };
        let z = (sign * (mean - self.design.mu) / self.sigma - self.null).clamp(-SATURATION, SATURATION);
        self.sum = (self.sum + z - self.k).clamp(0.0, SATURATION);
        if self.sum <= 0.0 && !self.latched {
            self.since = 0;
            self.total = 0.0;
            self.changed_at = None;
            return;
        }
        self.changed_at.get_or_insert(at);
        self.since += 1;
        self.total += mean;
        if self.latched {
            self.back = (self.back + self.k - z).clamp(0.0, SATURATION);
            if self.back > 0.0 && self.back >= self.h {
                self.restart();
            }
        } else {
            self.latched = self.sum >= self.h;
        }
    }

    const fn restart(&mut self) {
        self.sum = 0.0;
        self.back = 0.0;
        self.since = 0;
        self.total = 0.0;
        self.changed_at = None;
        self.latched = false;
    }

    /// What the chart says now.
    pub fn verdict(&self) -> Verdict {
        let buckets = if self.design.mu.is_finite() { self.design.buckets } else { 0 };
        if buckets < BUCKETS_NEEDED {
            return Verdict::Learning { seen: buckets, needed: BUCKETS_NEEDED };
        }
        let (true, Some(changed_at)) = (self.latched, self.changed_at) else { return Verdict::InControl };
        let estimate = (self.since > 0).then(|| {
            let value = self.total / self.since as f64;
            let half = NORMAL_95 * self.sigma / (self.since as f64).sqrt();
            Estimate { value, low: value - half, high: value + half }
        });
        Verdict::OutOfControl(Evidence {
            grade: Grade::Degraded,
            statistic: self.sum,
            limit: self.h,
            arl0: self.design.arl0,
            estimate,
            baseline: self.design.baseline(),
            baseline_n: self.design.buckets,
            changed_at,
            samples: self.since,
            direction: self.design.direction,
        })
    }

    /// The CUSUM in standard deviations of bucket means.
    pub const fn statistic(&self) -> f64 {
        self.sum
    }

    /// Its limit.
    pub const fn limit(&self) -> f64 {
        self.h
    }

    /// The baseline's mean.
    pub const fn centre(&self) -> f64 {
        self.design.mu
    }

    /// Buckets taken.
    pub const fn samples_seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Xorshift, second};
    use super::*;

    fn design(sigma: f64, buckets: u64) -> MeanDesign {
        MeanDesign { mu: 0.85, sigma, buckets, delta: 0.02, direction: Direction::Down, arl0: 500.0 }
    }

    #[test]
    fn false_alarms_are_no_more_often_than_promised() {
        // Half of all baselines of 60 buckets come out too high; the moved mean keeps the rate over all of them.
        let mut random = Xorshift::new(21);
        let mut cache = DesignCache::new();
        let (mut alarms, mut total) = (0_u64, 0_u64);
        for _ in 0..200 {
            let sample: Vec<f64> = (0..60).map(|_| 0.85 + 0.01 * random.normal()).collect();
            let mu = sample.iter().sum::<f64>() / 60.0;
            let mut chart = MeanChart::new(&MeanDesign { mu, ..design(0.01, 60) }, &mut cache);
            for n in 0..5_000 {
                chart.update(0.85 + 0.01 * random.normal(), 200, second(n));
                total += 1;
                if chart.latched {
                    alarms += 1;
                    chart.restart();
                }
            }
        }
        let rate = alarms as f64 * 500.0 / total as f64;
        assert!((0.4..1.1).contains(&rate), "{rate} false alarms where 1 was promised");
    }

    #[test]
    fn a_known_fall_is_found_dated_and_resolved() {
        let mut random = Xorshift::new(22);
        let mut chart = MeanChart::new(&design(0.01, 336), &mut DesignCache::new());
        for n in 0..60 {
            let level = if (20..50).contains(&n) { 0.82 } else { 0.85 };
            chart.update(level + 0.01 * random.normal(), 200, second(n));
            if n == 49 {
                let Verdict::OutOfControl(found) = chart.verdict() else { panic!("{:?}", chart.verdict()) };
                assert!((second(18)..=second(22)).contains(&found.changed_at));
                let estimate = found.estimate.unwrap();
                assert!(estimate.low < 0.82 && 0.82 < estimate.high, "{estimate:?}");
            }
        }
        assert_eq!(chart.verdict(), Verdict::InControl);
    }

    #[test]
    fn a_baseline_without_spread_alarms_on_half_the_change() {
        let mut chart = MeanChart::new(&design(0.0, 100), &mut DesignCache::new());
        for n in 0..100 {
            chart.update(0.849, 200, second(n));
        }
        assert_eq!(chart.verdict(), Verdict::InControl);
        chart.update(0.835, 200, second(100));
        assert!(matches!(chart.verdict(), Verdict::OutOfControl(_)));
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let mut chart = MeanChart::new(&design(0.01, 100), &mut DesignCache::new());
        chart.update(f64::NAN, 200, second(0));
        chart.update(f64::INFINITY, 200, second(1));
        chart.update(0.1, 0, second(2));
        assert_eq!((chart.samples_seen(), chart.verdict()), (0, Verdict::InControl));
        let mut chart = MeanChart::new(&MeanDesign { mu: f64::NAN, ..design(0.01, 100) }, &mut DesignCache::new());
        chart.update(0.85, 200, second(0));
        assert_eq!(chart.verdict(), Verdict::Learning { seen: 0, needed: 2 });
        let mut chart =
            MeanChart::new(&MeanDesign { delta: f64::NAN, ..design(f64::NAN, 100) }, &mut DesignCache::new());
        chart.update(1e300, 200, second(0));
        chart.update(-1e300, 200, second(1));
        assert!(chart.statistic().is_finite());
    }

    #[test]
    fn follows_nist_and_montgomery_tables() {
        // Montgomery, example 9.1: target 10, sigma 1, k 0.5; the published upper CUSUM, first signal 29, change at 23.
        let x = [
            9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.2, 10.34, 9.03, 11.47, 10.51, 9.4, 10.08, 9.37,
            10.62, 10.31, 8.52, 10.84, 10.9, 9.33, 12.29, 11.5, 10.6, 11.08, 10.38, 11.62, 11.31, 10.52,
        ];
        let upper = [
            0.0, 0.0, 0.0, 1.16, 2.82, 2.5, 0.04, 1.0, 0.0, 0.0, 0.0, 0.97, 0.98, 0.0, 0.0, 0.0, 0.12, 0.0, 0.0, 0.34,
            0.74, 0.0, 1.79, 2.79, 2.89, 3.47, 3.35, 4.47, 5.28,
        ];
        let arl0 = super::super::design::normal::NormalCusum { k: 0.5, h: 5.0 }.arl(0.0);
        let design = MeanDesign { mu: 10.0, sigma: 1.0, buckets: u64::MAX, delta: 1.0, direction: Direction::Up, arl0 };
        let mut chart = MeanChart::new(&design, &mut DesignCache::new());
        for (i, (x, wanted)) in x.iter().zip(upper).enumerate() {
            chart.update(*x, 5, second(i as u64 + 1));
            assert!((chart.statistic() - wanted).abs() < 1e-6, "{i}");
            assert_eq!(chart.latched, i + 1 == 29);
        }
        assert_eq!(chart.changed_at, Some(second(23)));
    }
}
