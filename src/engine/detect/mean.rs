//! The chart of bucket means (hourly by default): a one-sided chart of standardised values.
//!
//! **Definition.** z = (mean - mu*) / sigma, its sign turned so that the direction watched is up; by default the CUSUM with
//! k = delta / (2 sigma), see `standard`. sigma is the standard deviation of *bucket means*, so the wander between hours
//! is part of it: a CUSUM of single events breaks its promise there. The change is dated by maximum likelihood over the
//! last buckets: the start of the stretch up to now whose sum of z, squared and divided by its length, is largest.
//!
//! **Sources.** Page (1954); Roberts (1959) and Shewhart (1931) for the other schemes; the interval of the change point as
//! in `history`.
//!
//! **Classical constants.** k = 0.5, h = 5. mu* is the baseline's mean moved by the quantile of its own error that the
//! rule's `guarantee` asks for, 75 % by default.
//!
//! **Bad at.** Buckets that depend on each other (a daily cycle counts as drift); tails far from normal; a single wild
//! bucket, which can alarm alone.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::design::interval::normal_quantile;
use super::design::{DesignCache, ceil4};
use super::proportion::Method;
use super::standard::{Standard, Step, normalised};
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::Grade;
use crate::engine::units::{Estimate, SampleUnit, Timestamp};

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
/// Two-sided 95 % of a normal.
const NORMAL_95: f64 = 1.959_963_984_540_054;
/// Buckets that are remembered to date a change.
const REMEMBERED: usize = 64;
/// Log-likelihood below the maximum that still lies in the 95 % interval of the change point; see `history`.
const INTERVAL: f64 = 3.676;

/// What a mean chart is designed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanDesign {
    /// Mean of the baseline's bucket means, or the rule's target.
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
    /// The probability, over the baseline's own error, that the promise is kept; in (0, 1).
    pub guarantee: f64,
    /// Which statistic alarms.
    pub method: Method,
    /// Whether mu is given by the rule (a target) and has no error of its own.
    pub known: bool,
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

    /// How far mu is moved for the baseline's own error, in standard deviations. By Siegmund's form of the ARL an error of sigma
    /// counts 2.4 k times as much as one of mu, for h of 4 to 10; their standard errors are 1 / sqrt(2 m) and 1 / sqrt(m), so
    /// both together are as one of mu that is sqrt(1 + 3 k^2) times as large. A target has no error, sigma still has.
    pub fn margin(&self) -> f64 {
        let k = self.reference();
        let of_mu = if self.known { 0.0 } else { 1.0 };
        normal_quantile(self.guarantee) * ((of_mu + 3.0 * k * k) / self.buckets.max(1) as f64).sqrt()
    }

    /// The level with the 95 % interval of its own error.
    pub fn baseline(&self) -> Estimate {
        let error = self.working_sigma() / (self.buckets.max(1) as f64).sqrt();
        let half = if self.known { 0.0 } else { NORMAL_95 * error };
        Estimate { value: self.mu, low: self.mu - half, high: self.mu + half }
    }
}

/// One bucket as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    at: Timestamp,
    z: f64,
    mean: f64,
}

/// A chart of the bucket means of one measure of one stream, in one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanChart {
    design: MeanDesign,
    sigma: f64,
    chart: Standard,
    seen: u64,
    past: VecDeque<Remembered>,
}

/// Where a mean most likely changed.
struct Change {
    at: Timestamp,
    between: (Timestamp, Timestamp),
    buckets: u64,
    mean: f64,
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
        let chart = Standard::new(design.method.scheme(design.reference()), design.arl0, cache);
        Self { sigma: design.working_sigma(), design, chart, seen: 0, past: VecDeque::new() }
    }

    /// Changes the promise; the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        self.design.arl0 = arl0.max(1.0);
        self.chart.redesign(self.design.arl0, cache);
    }

    /// Gives the chart a head start of half its limit: a new version is a likely time for a change.
    pub fn head_start(&mut self) {
        self.chart.head_start();
    }

    /// Takes the mean of one bucket of `n` events. An empty bucket, or a mean that is no number, says nothing.
    pub fn update(&mut self, mean: f64, n: u64, at: Timestamp) {
        self.update_skewed(mean, n, 0.0, at);
    }

    /// The same of a mean whose distribution in control has this skewness: z is brought near to normal, as `standard` does it.
    /// What is worse is up in z, so a skewness below 0 is one to the bad side where the chart looks downwards.
    pub(super) fn update_skewed(&mut self, mean: f64, n: u64, skewness: f64, at: Timestamp) {
        if n == 0 || !mean.is_finite() || !self.design.mu.is_finite() {
            return;
        }
        self.seen += 1;
        let sign = match self.design.direction {
            Direction::Up => 1.0,
            Direction::Down => -1.0,
        };
        let z = normalised(sign * (mean - self.design.mu) / self.sigma, sign * skewness);
        if self.past.len() >= REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(Remembered { at, z, mean });
        if self.chart.update(z - self.design.margin()) == Step::Back {
            self.past.clear();
        }
    }

    /// Takes a bucket that lies so many standard deviations from the baseline in the direction watched; for simulations.
    pub(super) fn update_standardised(&mut self, z: f64, at: Timestamp) {
        let sign = if self.design.direction == Direction::Up { 1.0 } else { -1.0 };
        self.update(self.design.mu + sign * z * self.sigma, 1, at);
    }

    /// Whether the chart is out of control.
    pub const fn is_out(&self) -> bool {
        self.chart.is_out()
    }

    /// The likeliest change in the direction watched.
    fn change(&self) -> Option<Change> {
        let (mut n, mut sum, mut total) = (0.0_f64, 0.0_f64, 0.0_f64);
        let mut best: Option<(f64, Change)> = None;
        let mut likelihoods = Vec::with_capacity(self.past.len());
        for bucket in self.past.iter().rev() {
            n += 1.0;
            sum += bucket.z;
            total += bucket.mean;
            let value = if sum > 0.0 { sum * sum / (2.0 * n) } else { 0.0 };
            likelihoods.push((bucket.at, value));
            if value > best.as_ref().map_or(0.0, |(most, _)| *most) {
                let between = (bucket.at, bucket.at);
                best = Some((value, Change { at: bucket.at, between, buckets: n as u64, mean: total / n }));
            }
        }
        let (most, change) = best?;
        let mut inside = likelihoods.iter().filter(|(_, value)| *value > 0.0 && *value >= most - INTERVAL);
        // From the newest to the oldest.
        let latest = inside.next().map_or(change.at, |(at, _)| *at);
        let earliest = inside.next_back().map_or(change.at, |(at, _)| *at).min(change.at);
        Some(Change { between: (earliest, latest.max(change.at)), ..change })
    }

    /// What the chart says now.
    pub fn verdict(&self) -> Verdict {
        let buckets = if self.design.mu.is_finite() { self.design.buckets } else { 0 };
        if buckets < BUCKETS_NEEDED {
            return Verdict::Learning { seen: buckets, needed: BUCKETS_NEEDED };
        }
        let (true, Some(change)) = (self.chart.is_out(), self.change()) else { return Verdict::InControl };
        let half = NORMAL_95 * self.sigma / (change.buckets as f64).sqrt();
        Verdict::OutOfControl(Evidence {
            grade: Grade::Degraded,
            method: self.method(),
            statistic: self.chart.statistic(),
            limit: self.chart.limit(),
            arl0: self.design.arl0,
            estimate: Some(Estimate { value: change.mean, low: change.mean - half, high: change.mean + half }),
            baseline: self.design.baseline(),
            baseline_n: if self.design.known { 0 } else { self.design.buckets },
            changed_at: change.at,
            changed_between: change.between,
            samples: change.buckets,
            unit: SampleUnit::Bucket,
            direction: self.design.direction,
            parts: Vec::new(),
        })
    }

    /// What the chart is, in words.
    pub fn method(&self) -> String {
        format!("{} of bucket means", self.design.method.as_str())
    }

    /// The design in force.
    pub const fn design(&self) -> &MeanDesign {
        &self.design
    }

    /// The standard deviation of bucket means that the chart works with.
    pub(super) const fn sigma(&self) -> f64 {
        self.sigma
    }

    /// The statistic in standard deviations of bucket means.
    pub const fn statistic(&self) -> f64 {
        self.chart.statistic()
    }

    /// Its limit.
    pub const fn limit(&self) -> f64 {
        self.chart.limit()
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
        MeanDesign {
            mu: 0.85,
            sigma,
            buckets,
            delta: 0.02,
            direction: Direction::Down,
            arl0: 500.0,
            guarantee: 0.75,
            method: Method::Cusum,
            known: false,
        }
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
                if chart.is_out() {
                    alarms += 1;
                    chart.chart.restart();
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
        let design = MeanDesign {
            mu: 10.0,
            sigma: 1.0,
            buckets: u64::MAX,
            delta: 1.0,
            direction: Direction::Up,
            arl0,
            guarantee: 0.75,
            method: Method::Cusum,
            known: false,
        };
        let mut chart = MeanChart::new(&design, &mut DesignCache::new());
        for (i, (x, wanted)) in x.iter().zip(upper).enumerate() {
            chart.update(*x, 5, second(i as u64 + 1));
            assert!((chart.statistic() - wanted).abs() < 1e-6, "{i}");
            assert_eq!(chart.is_out(), i + 1 >= 29);
        }
        let Verdict::OutOfControl(found) = chart.verdict() else { panic!("{:?}", chart.verdict()) };
        // Montgomery's last zero is period 22; the likeliest change is where the published data were changed, or near.
        assert!((second(21)..=second(24)).contains(&found.changed_at), "{}", found.changed_at);
        assert!(found.changed_between.0 <= second(21) && second(21) <= found.changed_between.1);
    }
}
