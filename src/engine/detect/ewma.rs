//! The EWMA chart: an exponentially weighted mean of the observations, with fixed or time-varying limits.
//!
//! **Definition.** Z <- (1 - lambda) Z + lambda x from the target; out of control when Z lies more than L sigma
//! sqrt(lambda / (2 - lambda)) from the target, or, with time-varying limits, L sigma sqrt(lambda / (2 - lambda) (1 -
//! (1 - lambda)^2n)) after n observations (Roberts 1959; run lengths: `design::ewma`).
//!
//! **Classical constants.** lambda = 0.2 with L = 2.7 or 2.962 (ARL0 500); lambda = 0.1 with L = 2.814.
//!
//! **Bad at.** Rare binary events, unless lambda is small (0.002); then a level on the far side of the target has to be
//! forgotten first (inertia).

use serde::{Deserialize, Serialize};

use super::design::ewma::EwmaLimits;
use super::shewhart::ControlLimits;

/// An EWMA chart: its design and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ewma {
    lambda: f64,
    target: f64,
    sigma: f64,
    width: f64,
    kind: EwmaLimits,
    statistic: f64,
    seen: u64,
}

impl Ewma {
    /// A chart at its target. `lambda` is the weight of the last observation, taken as 1 where it lies outside (0, 1];
    /// `width` is L, in standard deviations of the statistic.
    pub fn new(lambda: f64, width: f64, kind: EwmaLimits) -> Self {
        let lambda = if lambda > 0.0 && lambda <= 1.0 { lambda } else { 1.0 };
        Self { lambda, target: 0.0, sigma: 1.0, width, kind, statistic: 0.0, seen: 0 }
    }

    /// For observations of mean `target` and standard deviation `sigma`, in the measure's unit; starts over.
    #[must_use]
    pub const fn about(self, target: f64, sigma: f64) -> Self {
        Self { target, sigma, statistic: target, seen: 0, ..self }
    }

    /// With a statistic that starts elsewhere than at the target.
    #[must_use]
    pub const fn starting_at(self, statistic: f64) -> Self {
        Self { statistic, ..self }
    }

    /// Takes an observation and returns the statistic. What is no finite number says nothing.
    pub fn update(&mut self, x: f64) -> f64 {
        if x.is_finite() {
            self.statistic += self.lambda * (x - self.statistic);
            self.seen = self.seen.saturating_add(1);
        }
        self.statistic
    }

    /// The limits of the statistic after `n` observations.
    pub fn limits(&self, n: u64) -> ControlLimits {
        let settled = match self.kind {
            EwmaLimits::Fixed => 1.0,
            EwmaLimits::TimeVarying => 1.0 - (1.0 - self.lambda).powf(2.0 * n as f64),
        };
        let half = self.width * self.sigma * (settled * self.lambda / (2.0 - self.lambda)).sqrt();
        ControlLimits { lower: self.target - half, centre: self.target, upper: self.target + half }
    }

    /// Whether the statistic lies beyond its present limits.
    pub fn is_beyond(&self) -> bool {
        self.seen > 0 && self.limits(self.seen).is_beyond(self.statistic)
    }

    /// The statistic, in the measure's unit.
    pub const fn statistic(&self) -> f64 {
        self.statistic
    }

    /// Observations taken.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Back to the target, with nothing seen.
    pub const fn reset(&mut self) {
        self.statistic = self.target;
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::design::ewma::NormalEwma;
    use super::super::testing::Xorshift;
    use super::*;

    #[test]
    fn follows_the_table_of_nist() {
        // NIST/SEMATECH e-Handbook 6.3.2.4: lambda 0.3, target 50, s 2.0539, L 3; limits 47.4115 and 52.5884.
        let x = [
            52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5, 49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4,
            53.6, 52.1,
        ];
        let wanted = [
            50.6, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33, 50.11, 49.36, 49.52, 50.05, 49.38,
            49.92, 50.73, 51.23, 51.94, 51.99,
        ];
        let mut chart = Ewma::new(0.3, 3.0, EwmaLimits::Fixed).about(50.0, 2.0539);
        for (x, wanted) in x.iter().zip(wanted) {
            assert!((chart.update(*x) - wanted).abs() < 0.005_01);
            assert!(!chart.is_beyond());
        }
        let limits = chart.limits(1);
        assert!((limits.lower - 47.4115).abs() < 1e-4 && (limits.upper - 52.5884).abs() < 1e-4);
        assert_eq!(limits.centre, 50.0);
        chart.reset();
        assert_eq!((chart.statistic(), chart.seen(), chart.is_beyond()), (50.0, 0, false));
    }

    #[test]
    fn runs_as_long_as_it_is_designed_for() {
        let mut random = Xorshift::new(31);
        for kind in [EwmaLimits::Fixed, EwmaLimits::TimeVarying] {
            let (lambda, width, shift) = (0.2, 2.6, 0.5);
            let mut total = 0;
            for _ in 0..4_000 {
                let mut chart = Ewma::new(lambda, width, kind);
                while !chart.is_beyond() {
                    chart.update(shift + random.normal());
                }
                total += chart.seen();
            }
            let wanted = NormalEwma { lambda, width, limits: kind }.arl(shift);
            assert!((total as f64 / 4_000.0 / wanted - 1.0).abs() < 0.04, "{total} {wanted}");
        }
    }

    #[test]
    fn what_was_rounded_is_forgotten() {
        // The weight of an old error falls by 1 - lambda with every value, so a billion updates err by at most 1 / lambda of one.
        let (mut chart, mut off) = (Ewma::new(0.01, 3.0, EwmaLimits::Fixed), Ewma::new(0.01, 3.0, EwmaLimits::Fixed));
        off.update(1e-3);
        chart.update(0.0);
        let mut random = Xorshift::new(78);
        for _ in 0..10_000 {
            let x = random.normal();
            chart.update(x);
            off.update(x);
        }
        assert!((chart.statistic() - off.statistic()).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let mut chart = Ewma::new(f64::NAN, 3.0, EwmaLimits::TimeVarying);
        chart.update(f64::NAN);
        chart.update(f64::INFINITY);
        assert_eq!((chart.statistic(), chart.seen()), (0.0, 0));
        chart.update(4.0);
        assert_eq!((chart.statistic(), chart.is_beyond()), (4.0, true));
    }
}
