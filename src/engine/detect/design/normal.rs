//! Run lengths of the normal CUSUM, and its limit from a promised in-control average run length (ARL).
//!
//! **Definition.** S <- max(0, S + z - k), z ~ N(shift, 1); alarm when S >= h (Page 1954). The ARL as a function of the
//! start value solves a Fredholm equation of the second kind with an atom at 0; Gauss-Legendre nodes turn it into a
//! small chain (Nystroem's method, for CUSUMs Vance 1986). It agrees with R's `spc` to 1e-9. Two-sided: a second sum of
//! -z; 1 / L = 1 / L+ + 1 / L- from 0 and, with a head start s of both sums, L = (L+(s) L-(0) + L-(s) L+(0) - L+(0)
//! L-(0)) / (L+(0) + L-(0)) (Lucas & Crosier 1982), exact where both sums cannot be near h at once: s <= h / 2 + k.
//! Steady state: the mean of the ARL over the distribution of S after a long time in control without an alarm.
//!
//! **Classical constants.** k = 0.5, h = 4 has ARL0 335.37, h = 5 has 930.9 one-sided, 465.4 two-sided. The start value
//! is Siegmund's (1985): ARL = (e^{2kb} - 2kb - 1) / 2k^2 with b = h + 1.166.
//!
//! **Bad at.** k near 0 with a long promise: h grows like 1 / k and the system with it. The charts keep k >= 0.05.

use statrs::function::erf::erfc;

use super::exponential_root;
use super::quadrature::{Reduced, State, legendre_nodes};
use super::search::increasing_root;

/// Nodes of the quadrature: this many, and `NODES_PER_UNIT` for every unit of h, to an accuracy of 1e-9.
const NODES: f64 = 16.0;
/// See [`NODES`].
const NODES_PER_UNIT: f64 = 3.0;
/// Where an interval is wide, the digits need fewer: this many, and `WIDE_NODES_PER_UNIT`.
const WIDE_NODES: f64 = 256.0;
/// See [`WIDE_NODES`].
const WIDE_NODES_PER_UNIT: f64 = 1.6;
/// Most nodes ever used, a sixth of a second's worth: enough for 590 standard deviations.
const MAX_NODES: f64 = 1_200.0;

/// The standard normal distribution function.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// The standard normal density.
pub(super) fn density(x: f64) -> f64 {
    const SCALE: f64 = 0.398_942_280_401_432_7;
    SCALE * (-0.5 * x * x).exp()
}

/// Nodes and weights on an interval of `width` standard deviations, from 0.
pub(super) fn nodes_for(width: f64) -> Vec<(f64, f64)> {
    let (few, wide) = (NODES_PER_UNIT.mul_add(width, NODES), WIDE_NODES_PER_UNIT.mul_add(width, WIDE_NODES));
    let count = few.min(wide).min(MAX_NODES).ceil() as u32;
    legendre_nodes(count).into_iter().map(|(y, w)| (width * y, width * w)).collect()
}

/// A one-sided normal CUSUM in standard deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalCusum {
    /// Reference value: half the shift it is tuned to.
    pub k: f64,
    /// Alarm at or above.
    pub h: f64,
}

/// Run lengths for one shift: at 0, and at the nodes.
struct RunLengths {
    drift: f64,
    zero: f64,
    nodes: Vec<(f64, f64)>,
    inside: Vec<f64>,
}

impl RunLengths {
    fn from(&self, start: f64) -> f64 {
        if start <= 0.0 {
            return self.zero;
        }
        let nodes = self.nodes.iter().zip(&self.inside);
        let inside: f64 = nodes.map(|((y, w), length)| w * density(y + self.drift - start) * length).sum();
        1.0 + normal_cdf(self.drift - start) * self.zero + inside
    }
}

impl NormalCusum {
    /// Average run length from 0 for observations of mean `shift`.
    pub fn arl(&self, shift: f64) -> f64 {
        self.arl_from(shift, 0.0)
    }

    /// Average run length from a head start between 0 and h. For ever where h is infinite or no number.
    pub fn arl_from(&self, shift: f64, start: f64) -> f64 {
        if self.h <= 0.0 {
            return 1.0 / normal_cdf(shift - self.k);
        }
        if !self.h.is_finite() {
            return f64::INFINITY;
        }
        self.run_lengths(shift).from(start)
    }

    /// Average number of observations from a change of the mean from 0 to `shift` to its alarm, where the change comes
    /// after a long time without an alarm: the conditional steady state (in R's `spc`: `xcusum.ad`).
    pub fn steady_state_arl(&self, shift: f64) -> f64 {
        if self.h <= 0.0 || !self.h.is_finite() {
            return self.arl(shift);
        }
        let after = self.run_lengths(shift);
        let before = Reduced::new(self.chain(0.0, &after.nodes)).quasi_stationary();
        // The weights of the nodes are part of the probabilities of the chain.
        let lengths = std::iter::once(&after.zero).chain(&after.inside);
        before.iter().zip(lengths).map(|(p, length)| p * length).sum()
    }

    fn run_lengths(&self, shift: f64) -> RunLengths {
        let nodes = nodes_for(self.h);
        let mut lengths = Reduced::new(self.chain(shift, &nodes)).mean_steps().into_iter();
        let zero = lengths.next().unwrap_or(f64::INFINITY);
        RunLengths { drift: self.k - shift, zero, nodes, inside: lengths.collect() }
    }

    /// The chart as a chain: the sum at 0, then at every node.
    fn chain(&self, shift: f64, nodes: &[(f64, f64)]) -> Vec<State> {
        let drift = self.k - shift;
        std::iter::once(0.0)
            .chain(nodes.iter().map(|(y, _)| *y))
            .map(|from| {
                let mut to = Vec::with_capacity(nodes.len() + 1);
                to.push(normal_cdf(drift - from));
                to.extend(nodes.iter().map(|(y, w)| w * density(y + drift - from)));
                State { alarm: normal_cdf(from - drift - self.h), to }
            })
            .collect()
    }
}

/// A two-sided normal CUSUM in standard deviations: one sum for each direction, with the same k and h.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoSidedCusum {
    /// Reference value: half the shift it is tuned to.
    pub k: f64,
    /// Alarm when either sum is at or above.
    pub h: f64,
}

impl TwoSidedCusum {
    /// Average run length from 0 for observations of mean `shift`.
    pub fn arl(&self, shift: f64) -> f64 {
        self.arl_from(shift, 0.0)
    }

    /// Average run length from a head start of both sums, between 0 and h / 2 + k.
    pub fn arl_from(&self, shift: f64, start: f64) -> f64 {
        let Self { k, h } = *self;
        if h <= 0.0 {
            return 1.0 / (normal_cdf(shift - k) + normal_cdf(-shift - k)).min(1.0);
        }
        if !h.is_finite() {
            return f64::INFINITY;
        }
        let one = NormalCusum { k, h };
        let up = one.run_lengths(shift);
        let other = if shift == 0.0 { None } else { Some(one.run_lengths(-shift)) };
        let down = other.as_ref().unwrap_or(&up);
        // With rates instead of lengths: nothing overflows where one side never alarms, from whatever start.
        let rate = 1.0 / up.zero + 1.0 / down.zero;
        let share = |side: &RunLengths| if side.zero.is_finite() { side.from(start) / side.zero } else { 1.0 };
        (share(&up) + share(down) - 1.0) / rate
    }
}

/// The limit h at which the one-sided chart with reference value `k` has an in-control ARL of `arl0`; 0 where already
/// the chart that alarms on every z >= k keeps it.
pub fn solve_h(k: f64, arl0: f64) -> f64 {
    let excess = |h: f64| (NormalCusum { k, h }.arl(0.0) / arl0).ln();
    if excess(0.0) >= 0.0 {
        return 0.0;
    }
    let start = (exponential_root(2.0 * k * k * arl0) / (2.0 * k) - 1.166).max(0.1);
    // The ARL grows like e^{2kh}.
    increasing_root(start, 2.0 * k + 0.1, excess)
}

/// The limit h at which the two-sided chart with reference value `k` has an in-control ARL of `arl0`. Each side alone
/// has twice that.
pub fn solve_two_sided_h(k: f64, arl0: f64) -> f64 {
    solve_h(k, 2.0 * arl0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_lengths_equal_those_of_r_spc() {
        for (k, h, shift, start, wanted) in [
            (0.25, 3.0, 0.0, 0.0, 39.471_610_210_701_3),
            (0.25, 3.0, 0.0, 1.5, 33.387_755_469_606_9),
            (0.5, 4.0, 0.0, 0.0, 335.368),
            // Two-sided 465.4435 and 10.37597 (textbook: 465, 10.4): 1/L = 1/L+ + 1/L-.
            (0.5, 5.0, 0.0, 0.0, 2.0 * 465.4435),
        ] {
            let found = NormalCusum { k, h }.arl_from(shift, start);
            assert!((found / wanted - 1.0).abs() < 2e-6, "{k} {h}: found {found}, wanted {wanted}");
        }
    }

    #[test]
    fn two_sided_run_lengths_equal_those_of_r_spc() {
        // From R's xcusum.arl(sided = "two"), the first four as in Montgomery, chapter 9: 465, 38.0, 10.4, 4.01.
        for (h, shift, start, wanted) in [
            (5.0, 0.0, 0.0, 465.4435),
            (5.0, 0.5, 0.0, 37.996_14),
            (5.0, 1.0, 0.0, 10.375_97),
            (5.0, 2.0, 0.0, 4.008_871),
            (4.0, 0.25, 0.0, 74.224_03),
            // Lucas & Crosier 1982, table 1: 149 and 5.29, with half of h for a head start.
            (4.0, 0.0, 2.0, 148.695_65),
            (4.0, 1.0, 2.0, 5.286_886),
            (5.0, 1.0, 2.5, 6.346_85),
        ] {
            let found = TwoSidedCusum { k: 0.5, h }.arl_from(shift, start);
            assert!((found / wanted - 1.0).abs() < 2e-6, "{h} {shift} {start}: found {found}, wanted {wanted}");
        }
    }

    #[test]
    fn the_limit_and_the_run_length_invert_each_other() {
        for (k, arl0) in [(0.05, 2_160.0), (0.25, 500.0), (0.5, 930.887), (1.0, 2_160.0), (2.0, 1e6)] {
            let h = solve_h(k, arl0);
            let arl = NormalCusum { k, h }.arl(0.0);
            assert!((arl / arl0 - 1.0).abs() < 1e-7, "{k} {arl0}: h {h}, arl {arl}");
        }
        assert_eq!(solve_h(4.0, 2_160.0), 0.0);
        let two_sided = TwoSidedCusum { k: 0.5, h: solve_two_sided_h(0.5, 465.4435) };
        assert!((two_sided.h - 5.0).abs() < 1e-6 && (two_sided.arl(0.0) / 465.4435 - 1.0).abs() < 1e-7);
    }

    #[test]
    fn a_change_after_long_control_is_found_a_little_sooner() {
        for shift in [0.5, 1.0, 2.0] {
            let chart = NormalCusum { k: 0.5, h: 4.0 };
            let (zero, steady) = (chart.arl(shift), chart.steady_state_arl(shift));
            assert!(steady < zero && steady > 0.8 * zero, "{shift}: {zero} {steady}");
        }
    }

    #[test]
    fn limits_of_nothing_alarm_on_what_passes_k() {
        assert_eq!(NormalCusum { k: 0.0, h: 0.0 }.arl(0.0), 2.0);
        assert_eq!(TwoSidedCusum { k: 0.0, h: 0.0 }.arl(0.0), 1.0);
        assert!((TwoSidedCusum { k: 3.0, h: 0.0 }.arl(0.0) - 370.398_347_344_956).abs() < 1e-6);
        assert!(NormalCusum { k: 60.0, h: 60.0 }.arl(0.0).is_infinite());
        for h in [f64::INFINITY, f64::NAN] {
            let one = NormalCusum { k: 0.5, h };
            assert_eq!([one.arl_from(0.0, 1.0), one.steady_state_arl(1.0)], [f64::INFINITY; 2]);
            assert_eq!(TwoSidedCusum { k: 0.5, h }.arl(0.0), f64::INFINITY);
        }
    }
}
