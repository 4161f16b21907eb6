//! The CUSUM of single values whose distribution is known from validation: predicted accuracies, case by case.
//!
//! **Definition.** S <- max(0, S + w), w = (mu* - g) - delta / 2, alarm when S >= h; mu* is the mean of the validated values
//! moved down by the `guarantee` quantile of its own error, sigma / sqrt(n). h is solved from the values themselves
//! (`design::regenerative`). After an alarm the reversed sum of -w decides at the same h when the level is back.
//!
//! **Sources.** Page (1954). For values that are skewed to the left, as accuracies are, the reversed sum has the lighter tail:
//! the same h is on the safe side.
//!
//! **The promise.** ARL0 in values, where they are independent and the mean does not wander from hour to hour.
//!
//! **Classical constants.** None: delta / 2 is half of what matters.
//!
//! **Bad at.** Wander: with half a point between hours the run length falls to a tenth of the promise and less. Charts of
//! hourly means (`mean`) know it.

use serde::{Deserialize, Serialize};

use super::design::DesignCache;
use super::design::interval::normal_quantile;
use super::residual::{Residuals, Since};
use crate::engine::units::{Estimate, Timestamp};

/// Two-sided 95 % of a normal.
const NORMAL_95: f64 = 1.959_963_984_540_054;
/// A change is dated to stretches of at least so many values.
const SHORTEST: f64 = 30.0;

/// What the chart is designed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreDesign<'v> {
    /// Validated values with how often each came.
    pub(super) values: &'v [(f64, u64)],
    /// The fall that matters.
    pub(super) delta: f64,
    /// The promise, in values.
    pub(super) arl0: f64,
    /// The probability, over the mean's own error, that the promise is kept.
    pub(super) guarantee: f64,
}

/// A chart of values, one by one, that looks for a fall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScoreCusum {
    values: Vec<(f64, u64)>,
    delta: f64,
    arl0: f64,
    mu: f64,
    sigma: f64,
    /// Standard error of mu.
    error: f64,
    /// What a value is taken from: mu* - delta / 2.
    reference: f64,
    limit: f64,
    sum: f64,
    back: f64,
    out: bool,
    seen: u64,
    residuals: Residuals,
}

impl ScoreCusum {
    pub(super) fn new(design: &ScoreDesign<'_>, cache: &mut DesignCache) -> Self {
        let n = design.values.iter().map(|(_, n)| *n as f64).sum::<f64>();
        let mean = |of: &dyn Fn(f64) -> f64| design.values.iter().map(|(g, n)| of(*g) * *n as f64).sum::<f64>() / n;
        let mu = mean(&|g| g);
        let sigma = mean(&|g| (g - mu) * (g - mu)).sqrt();
        let error = sigma / n.sqrt();
        let delta = design.delta.max(f64::MIN_POSITIVE);
        let mut chart = Self {
            values: design.values.to_vec(),
            delta,
            arl0: design.arl0,
            mu,
            sigma,
            error,
            reference: mu - normal_quantile(design.guarantee) * error - delta / 2.0,
            limit: f64::INFINITY,
            sum: 0.0,
            back: 0.0,
            out: false,
            seen: 0,
            residuals: Residuals::default(),
        };
        chart.redesign(design.arl0, cache);
        chart
    }

    /// Solves the limit for another promise; the statistic stays.
    pub(super) fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        self.arl0 = arl0.max(1.0);
        self.limit = cache.values_limit(&self.values, self.delta, self.arl0);
    }

    pub(super) fn head_start(&mut self) {
        if !self.out && self.limit.is_finite() {
            self.sum = self.sum.max(self.limit / 2.0);
        }
    }

    /// Takes one value.
    pub(super) fn update(&mut self, g: f64, at: Timestamp) {
        if !(g.is_finite() && self.mu.is_finite()) {
            return;
        }
        self.seen += 1;
        let r = g - self.mu;
        self.residuals.add(1, [r, r * r, self.sigma * self.sigma], at);
        let w = self.reference - g;
        self.sum = (self.sum + w).max(0.0);
        if self.out {
            self.back = (self.back - w).max(0.0);
            if self.back >= self.limit {
                self.sum = 0.0;
                self.back = 0.0;
                self.out = false;
                self.residuals.clear();
            }
        } else {
            self.out = self.sum >= self.limit;
        }
    }

    pub(super) const fn is_out(&self) -> bool {
        self.out
    }

    /// The values since the likeliest fall, their mean, and that of the baseline with its own error.
    pub(super) fn change(&self) -> Option<(Since, Estimate)> {
        let since = self.residuals.change(-1.0, SHORTEST)?;
        let Estimate { value, low, high } = since.mean();
        Some((since, Estimate { value: self.mu + value, low: self.mu + low, high: self.mu + high }))
    }

    /// The baseline's mean with its 95 % interval.
    pub(super) fn baseline(&self) -> Estimate {
        let half = NORMAL_95 * self.error;
        Estimate { value: self.mu, low: self.mu - half, high: self.mu + half }
    }

    pub(super) const fn arl0(&self) -> f64 {
        self.arl0
    }

    pub(super) const fn statistic(&self) -> f64 {
        self.sum
    }

    pub(super) const fn limit(&self) -> f64 {
        self.limit
    }

    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Xorshift, second};
    use super::*;

    const VALUES: [(f64, u64); 4] = [(0.6, 5_000), (0.8, 15_000), (0.93, 30_000), (0.984, 50_000)];

    fn chart(guarantee: f64, arl0: f64) -> ScoreCusum {
        ScoreCusum::new(&ScoreDesign { values: &VALUES, delta: 0.02, arl0, guarantee }, &mut DesignCache::new())
    }

    /// A value; `more` is the share of the easiest that became the hardest.
    fn value(more: f64, random: &mut Xorshift) -> f64 {
        let u = random.uniform();
        match u {
            _ if u < 0.05 + more => 0.6,
            _ if u < 0.2 + more => 0.8,
            _ if u < 0.5 + more => 0.93,
            _ => 0.984,
        }
    }

    #[test]
    fn keeps_its_promise_and_finds_a_fall() {
        let (fresh, mut random) = (chart(0.5, 2_000.0), Xorshift::new(12));
        let mut mean = |more: f64| {
            let mut total = 0;
            for _ in 0..600 {
                let mut chart = fresh.clone();
                while !chart.is_out() {
                    chart.update(value(more, &mut random), second(chart.seen));
                }
                total += chart.seen;
            }
            total as f64 / 600.0
        };
        let control = mean(0.0);
        assert!((1_800.0..2_250.0).contains(&control), "{control}");
        // 0.05 of them 0.384 worse: 2 points.
        let fallen = mean(0.052);
        assert!(fallen < 260.0, "{fallen}");
    }

    #[test]
    fn dates_sizes_and_comes_back() {
        let (mut chart, mut random) = (chart(0.75, 100_000.0), Xorshift::new(13));
        for n in 0..9_000 {
            chart.update(value(if (3_000..5_000).contains(&n) { 0.052 } else { 0.0 }, &mut random), second(n));
            if n == 2_999 {
                assert!(!chart.is_out());
            }
            if n == 4_999 {
                assert!(chart.is_out());
                let (since, level) = chart.change().unwrap();
                assert!((second(2_500)..=second(3_300)).contains(&since.at), "{}", since.at);
                let wanted = chart.baseline().value - 0.02;
                assert!(level.low < wanted && wanted < level.high && level.high < chart.baseline().low, "{level:?}");
            }
        }
        assert!(!chart.is_out());
    }

    #[test]
    fn values_that_never_vary_have_a_limit_all_the_same() {
        for values in [&[(0.92, 5_000)][..], &[]] {
            let design = ScoreDesign { values, delta: 0.02, arl0: 1_000.0, guarantee: 0.75 };
            let mut chart = ScoreCusum::new(&design, &mut DesignCache::new());
            (0..100).for_each(|n| chart.update(0.92, second(n)));
            chart.update(f64::NAN, second(100));
            assert!(!chart.is_out() && chart.statistic() == 0.0);
            (0..100).for_each(|n| chart.update(0.87, second(n)));
            assert_eq!(chart.is_out(), !values.is_empty());
        }
    }
}
