//! Run lengths of the MEWMA chart, its limit from a promised in-control average run length (ARL), and the limits that
//! carry the error of an estimated mean and covariance.
//!
//! **Definition.** Z <- r x + (1 - r) Z, x ~ N(0, I) in p dimensions after whitening; alarm when T2 = Z'Z (2 - r) / r > h
//! (Lowry, Woodall, Champ & Rigdon 1992, fixed limits). |Z| / r is a Markov chain: given u before, it is noncentral chi
//! with p degrees of freedom around (1 - r) u. So the ARL from 0 solves an integral equation in one dimension (Rigdon
//! 1995), here by Gauss-Legendre nodes (Nystroem's method), whatever p is. It agrees with R's `spc` to all digits that are
//! published (Knoth 2017).
//!
//! **Estimated parameters.** With mean and covariance from m buckets, Z errs by the mean's own error besides its own
//! spread: its covariance is r / (2 - r) + 1 / m instead of r / (2 - r), and T2 with an estimated covariance is no
//! chi-square but p v / (v - p + 1) F(p, v - p + 1), v = m - 1 (Hotelling 1931). [`estimated`] turns a limit for known
//! parameters into the one that T2 exceeds as rarely under both errors.
//!
//! **Classical constants.** r = 0.1; at ARL0 200 h = 8.64 for p = 2 and 12.73 for p = 4 (Prabhu & Runger 1997).
//!
//! **Bad at.** r below 0.01 (nodes grow with 1 / sqrt(r)). The correction holds for the chance at one time averaged over
//! baselines; what it does to run lengths is measured beside `multivariate`.

use statrs::function::gamma::{gamma_ur, ln_gamma};

use super::beta::beta_quantile;
use super::quadrature::{Reduced, State, legendre_nodes};
use super::search::increasing_root;

/// Nodes of the quadrature: this many, and `NODES_PER_UNIT` for every unit of the chain's range.
const NODES: f64 = 12.0;
/// See [`NODES`].
const NODES_PER_UNIT: f64 = 2.0;
/// Most nodes ever used.
const MAX_NODES: f64 = 240.0;
/// A term of the series this much smaller than its largest adds nothing.
const NEGLIGIBLE: f64 = 1e-17;

/// A MEWMA chart of known parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mewma {
    /// Characteristics; at least 1.
    pub p: usize,
    /// Weight of the newest vector, in (0, 1].
    pub r: f64,
    /// Alarm above.
    pub h: f64,
}

impl Mewma {
    /// In-control average run length from 0.
    pub fn arl(&self) -> f64 {
        if self.h.is_nan() || self.h <= 0.0 {
            return 1.0;
        }
        let range = (self.h / (self.r * (2.0 - self.r))).sqrt();
        let count = NODES_PER_UNIT.mul_add(range, NODES).ceil().min(MAX_NODES) as u32;
        let nodes: Vec<(f64, f64)> = legendre_nodes(count).into_iter().map(|(y, w)| (range * y, range * w)).collect();
        let density = Transition { half: self.p as f64 / 2.0, ln_gamma_half: ln_gamma(self.p as f64 / 2.0) };
        let row = |from: f64| -> State {
            let centre = (1.0 - self.r) * from;
            let to: Vec<f64> = nodes.iter().map(|(to, weight)| weight * density.of(centre, *to)).collect();
            State { alarm: (1.0 - to.iter().sum::<f64>()).max(0.0), to }
        };
        let lengths = Reduced::new(nodes.iter().map(|(from, _)| row(*from)).collect()).mean_steps();
        1.0 + row(0.0).to.iter().zip(lengths).map(|(p, length)| p * length).sum::<f64>()
    }
}

/// The density of a noncentral chi distribution.
struct Transition {
    /// Half of its degrees of freedom.
    half: f64,
    ln_gamma_half: f64,
}

impl Transition {
    /// The density at x > 0 around `centre` >= 0: x^(p-1) e^-(x^2+c^2)/2 2^(1-p/2) sum of (x c / 2)^2j / (j! G(j + p/2)).
    fn of(&self, centre: f64, x: f64) -> f64 {
        let front = (2.0 * self.half - 1.0) * x.ln() - 0.5 * (x * x + centre * centre)
            + (1.0 - self.half) * std::f64::consts::LN_2;
        let y = 0.25 * x * x * centre * centre;
        // From the largest term outward, so that nothing overflows: (j + 1) (j + p/2) = y there.
        let lag = self.half - 1.0;
        let peak = (0.5 * ((lag * lag + 4.0 * y).sqrt() - lag - 2.0)).ceil().max(0.0);
        let largest = if peak > 0.0 {
            peak * y.ln() - ln_gamma(peak + 1.0) - ln_gamma(peak + self.half)
        } else {
            -self.ln_gamma_half
        };
        let mut sum = 1.0;
        let (mut term, mut j) = (1.0, peak);
        while term > NEGLIGIBLE * sum {
            term *= y / ((j + 1.0) * (j + self.half));
            j += 1.0;
            sum += term;
        }
        let (mut term, mut j) = (1.0, peak);
        while j > 0.0 && term > NEGLIGIBLE * sum {
            term *= j * (j - 1.0 + self.half) / y;
            j -= 1.0;
            sum += term;
        }
        (front + largest).exp() * sum
    }
}

/// The limit h at which the chart of `p` known characteristics with weight `r` has an in-control ARL of `arl0`.
pub fn solve_limit(p: usize, r: f64, arl0: f64) -> f64 {
    let (p, r) = (p.max(1), r.clamp(0.01, 1.0));
    let target = if arl0.is_finite() { arl0.max(1.0) } else { 1e12 };
    // Single points at chance 1 / ARL0, roughly.
    increasing_root(p as f64 + 2.0 * target.ln(), 0.5, |h| (Mewma { p, r, h }.arl() / target).ln())
}

/// The value that F with `d1` and `d2` degrees of freedom exceeds with this chance; infinite where d2 is not positive.
pub fn f_upper(d1: f64, d2: f64, chance: f64) -> f64 {
    if !(d1 > 0.0 && d2 > 0.0 && chance > 0.0) {
        return f64::INFINITY;
    }
    // By the lower tail of the beta distribution turned around: small chances keep their digits.
    let x = beta_quantile(d2 / 2.0, d1 / 2.0, chance.min(1.0));
    d2 * (1.0 - x) / (d1 * x)
}

/// The limit of Hotelling's T2 of a new vector, mean and covariance from `m` vectors of `p` characteristics, exceeded with
/// this chance in control: p (m + 1) (m - 1) / (m^2 - m p) F(p, m - p). Infinite with m <= p.
pub fn t2_limit(p: usize, m: u64, chance: f64) -> f64 {
    let (p, m) = (p as f64, m as f64);
    p * (m + 1.0) * (m - 1.0) / (m * m - m * p) * f_upper(p, m - p, chance)
}

/// The limit for T2 with mean and covariance from `m` vectors, from the limit `h` for known ones, at the same chance of one
/// T2 averaged over baselines. Infinite with m <= p.
pub fn estimated(h: f64, p: usize, r: f64, m: u64) -> f64 {
    let (p, freedom) = (p as f64, m as f64 - 1.0);
    if !(h > 0.0 && h.is_finite()) {
        return h;
    }
    let mean = 1.0 + (2.0 - r) / (r * m as f64);
    let chance = gamma_ur(p / 2.0, h / 2.0);
    mean * p * freedom / (freedom - p + 1.0) * f_upper(p, freedom - p + 1.0, chance)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Xorshift;
    use super::*;

    #[test]
    fn run_lengths_are_the_published_ones() {
        // Rigdon (1995), p = 2: limits to two decimals, so the ARL is known to 0.3 %. One value of the table is not here:
        // 12.37 for 1,000 at r = 0.1 does not fit its neighbours (the ARL is 1,015).
        for (r, limits) in
            [(0.25, [8.37, 9.90, 11.89, 13.36, 14.82, 16.72]), (0.1, [6.98, 8.63, 10.77, f64::NAN, 13.88, 15.88])]
        {
            for (h, wanted) in limits.into_iter().zip([100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0_f64]) {
                let found = Mewma { p: 2, r, h }.arl();
                assert!(h.is_nan() || (found / wanted - 1.0).abs() < 0.003, "{r} {h}: {found}");
            }
        }
        // Prabhu & Runger (1997), ARL0 200.
        for (p, r, h) in
            [(2, 0.1, 8.64), (4, 0.1, 12.73), (2, 0.05, 7.35), (4, 0.2, 13.87), (10, 0.1, 22.67), (20, 0.1, 37.01)]
        {
            let found = Mewma { p, r, h }.arl();
            assert!((found / 200.0 - 1.0_f64).abs() < 0.006, "{p} {r}: {found}");
        }
    }

    #[test]
    fn limits_are_the_published_ones() {
        assert!((solve_limit(4, 0.25, 500.0) - 16.38).abs() < 0.006);
        for (r, h) in [(0.25, 15.82), (0.2, 15.62), (0.15, 15.31), (0.1, 14.76), (0.05, 13.60)] {
            let found = solve_limit(3, r, 1_000.0);
            assert!((found - h).abs() < 0.006, "{r}: {found}");
        }
        // r = 1 is the chart of single points: chi-square with 2 degrees of freedom in closed form.
        assert!((solve_limit(2, 1.0, 1_000.0) - 2.0 * 1_000_f64.ln()).abs() < 1e-8);
    }

    #[test]
    fn limits_keep_their_promise_to_the_last_digits_and_degenerate_ones_are_decided() {
        for (p, r, arl0) in [(1, 0.1, 2_160.0), (4, 0.1, 2_160.0), (3, 0.02, 500.0), (4, 0.1, 1e9), (5, 0.5, 100.0)] {
            let h = solve_limit(p, r, arl0);
            let arl = Mewma { p, r, h }.arl();
            assert!((arl / arl0 - 1.0).abs() < 1e-6, "{p} {r}: {h} {arl}");
        }
        assert_eq!(Mewma { p: 2, r: 0.1, h: 0.0 }.arl(), 1.0);
        assert_eq!(Mewma { p: 2, r: 0.1, h: f64::NAN }.arl(), 1.0);
        assert!(solve_limit(0, f64::INFINITY, f64::NAN).is_finite() && solve_limit(2, 0.1, f64::INFINITY).is_finite());
    }

    #[test]
    fn simulated_run_lengths_are_those_of_the_equation() {
        let mut random = Xorshift::new(51);
        let chart = Mewma { p: 3, r: 0.1, h: 9.0 };
        let runs = 3_000;
        let mut total = 0_u32;
        for _ in 0..runs {
            let mut z = [0.0; 3];
            while z.iter().map(|z| z * z).sum::<f64>() * 19.0 <= chart.h {
                z = z.map(|z| 0.9 * z + 0.1 * random.normal());
                total += 1;
            }
        }
        // The standard error is 1.8 %.
        let found = f64::from(total) / f64::from(runs);
        assert!((found / chart.arl() - 1.0).abs() < 0.06, "{found} {}", chart.arl());
    }

    #[test]
    fn quantiles_of_f_are_those_of_tables() {
        for (d1, d2, chance, wanted) in [
            (4.0, 20.0, 0.05, 2.866_1),
            (2.0, 10.0, 0.01, 7.559_4),
            (1.0, 5.0, 0.05, 6.607_9),
            (3.0, 60.0, 0.001, 6.171_2),
        ] {
            let found = f_upper(d1, d2, chance);
            assert!((found / wanted - 1.0_f64).abs() < 2e-4, "{d1} {d2}: {found}");
        }
        // F(2, d) in closed form: d / 2 (chance^(-2/d) - 1), far out in the tail.
        let wanted = 20.0 * (1e-9_f64.powf(-2.0 / 40.0) - 1.0);
        assert!((f_upper(2.0, 40.0, 1e-9) / wanted - 1.0).abs() < 1e-9);
        assert_eq!([f_upper(2.0, 0.0, 0.1), f_upper(2.0, f64::NAN, 0.1), t2_limit(4, 4, 0.01)], [f64::INFINITY; 3]);
    }

    #[test]
    fn the_error_of_a_baseline_widens_limits_and_vanishes_with_it() {
        let h = solve_limit(4, 0.1, 2_160.0);
        let widened = [30, 50, 168, 1_000, 1_000_000_000].map(|m| estimated(h, 4, 0.1, m));
        assert!(widened.is_sorted_by(|a, b| a > b) && (widened[4] / h - 1.0).abs() < 1e-6, "{widened:?}");
        // The chance is kept: T2 / (1 + 19 / 50) (v - p + 1) / (p v) is F(4, 46).
        let f = widened[1] / (1.0 + 19.0 / 50.0) * 46.0 / (4.0 * 49.0);
        assert!((f_upper(4.0, 46.0, gamma_ur(2.0, h / 2.0)) / f - 1.0).abs() < 1e-9);
        assert_eq!(estimated(h, 4, 0.1, 4), f64::INFINITY);
        // Chi-square in the limit: the 99 % quantile of 4 degrees of freedom is 13.277.
        assert!((t2_limit(4, 10_000_000, 0.01) - 13.277).abs() < 1e-3);
    }
}
