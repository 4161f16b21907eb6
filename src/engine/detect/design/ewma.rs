//! Run lengths of the two-sided normal EWMA, and its limit from a promised in-control average run length (ARL).
//!
//! **Definition.** Z <- (1 - lambda) Z + lambda z from Z = 0, z ~ N(shift, 1); alarm when |Z| > L s, with s^2 = lambda
//! / (2 - lambda) for fixed limits, and s_n^2 = s^2 (1 - (1 - lambda)^2n), the variance of Z itself, for limits that
//! vary with time (Roberts 1959). One-sided: alarm when Z > L s, without a barrier below. With fixed limits the ARL
//! solves a Fredholm equation, at Gauss-Legendre nodes a small chain (Crowder 1987; the values of Lucas & Saccucci
//! 1990). With varying limits the distribution of Z is carried on exactly, observation by observation, until the limits
//! stand; the fixed chart's run length is the rest. Both agree with R's `spc` to 1e-8.
//!
//! **Classical constants.** lambda 0.1 and L = 2.814, lambda 0.2 and L = 2.962, lambda 0.4 and L = 3.054: ARL0 500.
//!
//! **Bad at.** lambda below 0.001 or so: hundreds of nodes, and the steps until varying limits stand go like 1 /
//! lambda.

use super::interval::normal_quantile;
use super::normal::{density, nodes_for, normal_cdf};
use super::quadrature::{Reduced, State};
use super::search::increasing_root;

/// Share of the variance of Z that its start still takes away when the limits count as standing.
const SETTLED: f64 = 1e-7;
/// Chance of being without an alarm still, below which the rest of a run length is nothing.
const NEGLIGIBLE: f64 = 1e-16;
/// Most steps of varying limits that are carried out.
const MAX_STEPS: i32 = 20_000;
/// Most secants to a width for limits that vary; three are enough.
const MAX_SECANTS: u32 = 40;
/// Depth, in standard deviations of the statistic, to which a one-sided chart follows it.
const DEPTH: f64 = 7.0;
/// Smallest weight of the last observation that is computed with; a smaller one counts as this.
const MIN_LAMBDA: f64 = 1e-4;

/// The limits of an EWMA chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EwmaLimits {
    /// Those of the long run, from the first observation on.
    Fixed,
    /// Those of the statistic's own variance: narrower in the beginning, quick after a start.
    TimeVarying,
}

/// A two-sided EWMA chart of observations in standard deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalEwma {
    /// Weight of the last observation, in (0, 1].
    pub lambda: f64,
    /// Width of the limits, in standard deviations of the statistic.
    pub width: f64,
    /// Whether the limits vary with time.
    pub limits: EwmaLimits,
}

impl NormalEwma {
    /// Average run length from 0 for observations of mean `shift`. For ever where the width is infinite or no number.
    pub fn arl(&self, shift: f64) -> f64 {
        if self.width <= 0.0 {
            return 1.0;
        }
        if !self.width.is_finite() {
            return f64::INFINITY;
        }
        let chart = Scaled::new(self, shift);
        match self.limits {
            EwmaLimits::Fixed => chart.fixed(),
            EwmaLimits::TimeVarying => chart.time_varying(),
        }
    }
}

/// The width L at which the chart has an in-control ARL of `arl0`; 0 where every width has a longer one.
pub fn solve_width(lambda: f64, arl0: f64, limits: EwmaLimits) -> f64 {
    if arl0.is_nan() || arl0 <= 1.0 {
        return 0.0;
    }
    let length = |width: f64, limits: EwmaLimits| NormalEwma { lambda, width, limits }.arl(0.0);
    let weight = lambda.clamp(MIN_LAMBDA, 1.0);
    let solve = |arl0: f64, start: f64| {
        increasing_root(start, start + 1.0 / start, |width| (length(width, EwmaLimits::Fixed) / arl0).ln())
    };
    let fixed = solve(arl0, start_width(weight, 0.5 / arl0));
    if limits == EwmaLimits::Fixed {
        return fixed;
    }
    // What narrow limits in the beginning take away is much the same for neighbouring widths: one correction for it,
    // then secants, as the logarithm of the ARL is nearly straight.
    let excess = |width: f64| (length(width, limits) / arl0).ln();
    let mut before = (fixed, excess(fixed));
    let mut width = solve(arl0 / before.1.exp(), fixed);
    for _ in 0..MAX_SECANTS {
        let now = (width, excess(width));
        let step = now.1 * (now.0 - before.0) / (now.1 - before.1);
        if now.1.abs() < 1e-9 || !step.is_finite() {
            break;
        }
        width = (width - step).max(width / 4.0);
        before = now;
    }
    width
}

/// Where a search for a width starts: neighbouring statistics are alike, so alarms on one side that are as rare as
/// `chance` need a chance of the single statistic that is larger, by the square root of lambda or so.
fn start_width(lambda: f64, chance: f64) -> f64 {
    normal_quantile(1.0 - (chance / lambda.sqrt()).min(0.4))
}

/// A one-sided EWMA chart with a fixed upper limit, of observations in standard deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpperEwma {
    /// Weight of the last observation, in (0, 1].
    pub lambda: f64,
    /// Distance of the limit, in standard deviations of the statistic in the long run.
    pub width: f64,
}

impl UpperEwma {
    /// Average run length from 0 for observations of mean `shift`.
    pub fn arl(&self, shift: f64) -> f64 {
        if !self.width.is_finite() {
            return f64::INFINITY;
        }
        let memory = 1.0 - self.lambda.clamp(MIN_LAMBDA, 1.0);
        let lambda = 1.0 - memory;
        let deviation = 1.0 / (lambda * (2.0 - lambda)).sqrt();
        let limit = self.width * deviation;
        // Far below its mean the statistic is not met; a step beyond this end counts as none.
        let lowest = (shift / lambda).min(limit).min(0.0) - DEPTH * deviation;
        let nodes: Vec<(f64, f64)> = nodes_for(limit - lowest).into_iter().map(|(y, w)| (lowest + y, w)).collect();
        let onward = |from: f64| {
            let mean = memory * from + shift;
            nodes.iter().map(move |(y, w)| w * density(y - mean))
        };
        let states = nodes
            .iter()
            .map(|(from, _)| State { alarm: normal_cdf(memory * from + shift - limit), to: onward(*from).collect() });
        let lengths = Reduced::new(states.collect()).mean_steps();
        1.0 + onward(0.0).zip(lengths).map(|(p, length)| p * length).sum::<f64>()
    }
}

/// The limit of the one-sided chart with an in-control ARL of `arl0`, in standard deviations of an *observation*: what
/// the statistic is compared with.
pub fn solve_upper_limit(lambda: f64, arl0: f64) -> f64 {
    if arl0.is_nan() || arl0 <= 2.0 {
        // Half of all statistics lie above 0; a chart that alarms there at once has an ARL near 2.
        return 0.0;
    }
    let weight = lambda.clamp(MIN_LAMBDA, 1.0);
    let start = start_width(weight, 1.0 / arl0);
    let excess = |width: f64| (UpperEwma { lambda: weight, width }.arl(0.0) / arl0).ln();
    let width = increasing_root(start, start + 1.0 / start, excess);
    width * (weight / (2.0 - weight)).sqrt()
}

/// The chart in units of lambda: y = Z / lambda moves by (1 - lambda) and a standard normal step around `shift`.
struct Scaled {
    memory: f64,
    shift: f64,
    /// Half the distance of the limits in the long run.
    half: f64,
    /// Nodes and weights on [-1, 1].
    nodes: Vec<(f64, f64)>,
}

impl Scaled {
    fn new(chart: &NormalEwma, shift: f64) -> Self {
        let lambda = chart.lambda.clamp(MIN_LAMBDA, 1.0);
        let half = chart.width / (lambda * (2.0 - lambda)).sqrt();
        let nodes = nodes_for(2.0 * half).into_iter().map(|(y, w)| (y / half - 1.0, w / half)).collect();
        Self { memory: 1.0 - lambda, shift, half, nodes }
    }

    /// Where the next value lies in the mean, after `from`.
    fn mean(&self, from: f64) -> f64 {
        self.memory * from + self.shift
    }

    /// Chance that the next value lies outside limits at `half`.
    fn outside(&self, from: f64, half: f64) -> f64 {
        normal_cdf(-half - self.mean(from)) + normal_cdf(self.mean(from) - half)
    }

    /// Densities of going from `from` to every node, times its weight.
    fn onward(&self, from: f64) -> impl Iterator<Item = f64> {
        let mean = self.mean(from);
        self.nodes.iter().map(move |(x, w)| self.half * w * density(self.half * x - mean))
    }

    /// Mean run lengths of fixed limits from every node.
    fn at_nodes(&self) -> Vec<f64> {
        let states = self.nodes.iter().map(|(x, _)| {
            let from = self.half * x;
            State { alarm: self.outside(from, self.half), to: self.onward(from).collect() }
        });
        Reduced::new(states.collect()).mean_steps()
    }

    fn fixed(&self) -> f64 {
        1.0 + self.onward(0.0).zip(self.at_nodes()).map(|(p, length)| p * length).sum::<f64>()
    }

    /// Half the distance of the limits of the n-th observation.
    fn half_at(&self, n: i32) -> f64 {
        self.half * (1.0 - self.memory.powi(2 * n)).max(0.0).sqrt()
    }

    /// Sum of the chances to be without an alarm after 0, 1, 2 ... observations, until the limits stand; then what the
    /// fixed chart takes from where the statistic is.
    fn time_varying(&self) -> f64 {
        // The distribution of the statistic that has not alarmed: densities at the nodes, scaled to the present limits.
        let mut half = self.half_at(1);
        let mut now: Vec<f64> = self.nodes.iter().map(|(x, _)| density(half * x - self.shift)).collect();
        let mut length = 1.0;
        for n in 1..MAX_STEPS {
            let masses: Vec<f64> = now.iter().zip(&self.nodes).map(|(f, (_, w))| f * w * half).collect();
            let left: f64 = masses.iter().sum();
            if left < NEGLIGIBLE {
                return length;
            }
            if self.memory.powi(2 * n) < SETTLED {
                // The nodes lie where those of the fixed limits lie, but for a distance that does not matter.
                return length + masses.iter().zip(self.at_nodes()).map(|(p, rest)| p * rest).sum::<f64>();
            }
            length += left;
            let before = half;
            half = self.half_at(n + 1);
            let means: Vec<f64> = self.nodes.iter().map(|(x, _)| self.mean(before * x)).collect();
            let density_at = |y: f64| means.iter().zip(&masses).map(|(mean, p)| p * density(y - mean)).sum();
            now = self.nodes.iter().map(|(x, _)| density_at(half * x)).collect();
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Xorshift;
    use super::*;

    fn arl(lambda: f64, width: f64, limits: EwmaLimits, shift: f64) -> f64 {
        NormalEwma { lambda, width, limits }.arl(shift)
    }

    #[test]
    fn run_lengths_equal_those_of_lucas_and_saccucci() {
        // Their table 3: 500, 106, 31.3, 10.3 at shifts of 0, 0.25, 0.5 and 1; the digits are R's.
        for (lambda, width, shift, wanted) in [
            (0.1, 2.814, 0.0, 499.5796),
            (0.1, 2.814, 0.25, 106.321_9),
            (0.1, 2.814, 0.5, 31.297_44),
            (0.1, 2.814, 1.0, 10.330_67),
            (0.4, 3.054, 0.0, 499.9513),
            (0.4, 3.054, 4.0, 1.439_896),
            (0.05, 2.615, 0.0, 499.933),
        ] {
            let found = arl(lambda, width, EwmaLimits::Fixed, shift);
            assert!((found / wanted - 1.0).abs() < 1e-6, "{lambda} {width} {shift}: found {found}, wanted {wanted}");
        }
    }

    #[test]
    fn varying_limits_equal_those_of_r_spc() {
        for (lambda, width, shift, wanted) in [
            (0.05, 2.6, 0.0, 451.528_328_290_918),
            (0.05, 2.6, 2.0, 2.377_739_656_174_25),
            (0.1, 2.814, 0.5, 28.512_404_024_087_3),
            (0.2, 3.0, 0.0, 554.487_538_531_28),
        ] {
            let found = arl(lambda, width, EwmaLimits::TimeVarying, shift);
            assert!((found / wanted - 1.0).abs() < 1e-7, "{lambda} {width} {shift}: found {found}, wanted {wanted}");
        }
    }

    #[test]
    fn one_side_of_two_that_hardly_meet() {
        // Two one-sided charts make a two-sided one; alarms of both at once do not happen, but they depend.
        for (lambda, width) in [(0.1, 2.814), (0.2, 2.962), (0.4, 3.054)] {
            let one = UpperEwma { lambda, width };
            assert!((one.arl(0.0) / 2.0 / arl(lambda, width, EwmaLimits::Fixed, 0.0) - 1.0).abs() < 0.02);
            // With a shift the other side does not matter.
            let two = arl(lambda, width, EwmaLimits::Fixed, 1.0);
            assert!((one.arl(1.0) / two - 1.0).abs() < 1e-4, "{} {two}", one.arl(1.0));
        }
        assert!((UpperEwma { lambda: 1.0, width: 3.0 }.arl(0.0) - 740.796_695).abs() < 1e-5);
    }

    #[test]
    fn the_one_sided_limit_keeps_its_promise_when_simulated() {
        for (lambda, arl0) in [(0.1, 200.0), (0.02, 1e4), (0.1, 1e7), (1.0, 1e3), (0.5, 3.0)] {
            let limit = solve_upper_limit(lambda, arl0);
            let width = limit / (lambda / (2.0 - lambda)).sqrt();
            let found = UpperEwma { lambda, width }.arl(0.0);
            assert!((found / arl0 - 1.0).abs() < 1e-7, "{lambda} {arl0}: {limit}, {found}");
        }
        let limit = solve_upper_limit(0.1, 200.0);
        let mut random = Xorshift::new(33);
        let mut total = 0_u32;
        for _ in 0..4_000 {
            let mut z = 0.0;
            while z <= limit {
                z += 0.1 * (random.normal() - z);
                total += 1;
            }
        }
        assert!((f64::from(total) / 4_000.0 / 200.0 - 1.0).abs() < 0.05, "{total}");
        assert_eq!(solve_upper_limit(0.1, f64::NAN), 0.0);
    }

    #[test]
    fn all_weight_on_the_last_observation_is_a_shewhart_chart() {
        for limits in [EwmaLimits::Fixed, EwmaLimits::TimeVarying] {
            assert!((arl(1.0, 3.0, limits, 0.0) - 370.398_347_344_956).abs() < 1e-7);
            assert!((arl(1.0, 3.0, limits, 1.0) - 43.894_681_718_539_5).abs() < 1e-8);
            assert_eq!(arl(0.1, 0.0, limits, 0.0), 1.0);
            assert_eq!(arl(0.1, f64::NAN, limits, 0.0), f64::INFINITY);
        }
    }

    #[test]
    fn the_width_and_the_run_length_invert_each_other() {
        for limits in [EwmaLimits::Fixed, EwmaLimits::TimeVarying] {
            for (lambda, arl0) in [(0.05, 500.0), (0.1, 2_160.0), (0.4, 20.0), (1.0, 370.398_347), (0.2, 1e6)] {
                let width = solve_width(lambda, arl0, limits);
                let found = arl(lambda, width, limits, 0.0);
                assert!((found / arl0 - 1.0).abs() < 1e-7, "{lambda} {arl0}: {width}, {found}");
            }
            assert_eq!(solve_width(0.1, 1.0, limits), 0.0);
            assert_eq!(solve_width(0.1, f64::NAN, limits), 0.0);
        }
        assert!((solve_width(1.0, 370.398_347_344_956, EwmaLimits::Fixed) - 3.0).abs() < 1e-8);
    }
}
