//! Confidence sequences of a proportion besides the beta mixture: what other programs compute, for comparison with ours.
//!
//! **Definition.** Sub-Bernoulli mixture (Howard, Ramdas, McAuliffe & Sekhon 2021): the mixture martingale of a beta
//! distribution about p itself, B(r/p + n - x, r/(1-p) + x) / B(r/p, r/(1-p)) / (p^x (1-p)^(n-x)), at most 1 / alpha
//! inside; r makes it tightest after about `tuned_to` cases. Betting (Waudby-Smith & Ramdas 2024): the wealth of a gambler
//! who bets on the next case with stakes that only look back, for each candidate mean; candidates whose gambler has more
//! than 1 / alpha are outside.
//!
//! **Classical constants.** Tuned to 1,000 cases at alpha 0.05; a grid of 1,000 candidates; half of the largest stake that
//! cannot ruin, on either side of the candidate in equal parts.
//!
//! **Bad at.** Sub-Bernoulli: n far from what it was tuned to. Betting: it needs the order of the cases, costs n times the
//! grid, and is no finer than the grid. The charts use the beta mixture of `interval`, which needs two counters.

use statrs::function::beta::ln_beta;

use super::interval::{bracket, split, term};
use crate::engine::units::{Counts, Estimate};

/// Least part of p (1 - p) that the mixture's precision is given.
const LEAST_PRECISION: f64 = 1e-3;
/// What of the stake that could ruin is risked at most, and what part of the wealth bets on either side.
const HALF: f64 = 0.5;

/// What a sub-Bernoulli mixture is tuned to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Number of cases at which it is to be tightest.
    pub cases: f64,
    /// The alpha for which.
    pub alpha: f64,
}

impl Tuning {
    /// The precision r of the mixture about `p`.
    fn precision(self, p: f64) -> f64 {
        let (variance, ln) = (p * (1.0 - p), (1.0 / self.alpha).ln());
        let best = variance * self.cases / (2.0 * ln + (2.0 * ln).ln_1p());
        (best - variance).max(LEAST_PRECISION * variance)
    }
}

/// The share with the sub-Bernoulli mixture's confidence sequence at level 1 - `alpha`.
pub fn sub_bernoulli(counts: Counts, alpha: f64, tuning: Tuning) -> Estimate {
    let Some(value) = counts.share() else { return Estimate { value: 0.5, low: 0.0, high: 1.0 } };
    let (hits, misses) = split(counts);
    let outside = |p: f64| {
        if p <= 0.0 || p >= 1.0 {
            return true;
        }
        let r = tuning.precision(p);
        let (a, b) = (r / p, r / (1.0 - p));
        let mixture = ln_beta(a + misses, b + hits) - ln_beta(a, b);
        mixture - term(hits, p) - term(misses, 1.0 - p) > (1.0 / alpha).ln()
    };
    let search = |out: f64, inside: f64| {
        let (out, inside) = bracket(out, inside, outside);
        f64::midpoint(out, inside)
    };
    Estimate {
        value,
        low: if counts.hits == 0 { 0.0 } else { search(0.0, value) },
        high: if misses <= 0.0 { 1.0 } else { search(1.0, value) },
    }
}

/// The mean of values in [0, 1], in the order they came, with the betting confidence sequence at level 1 - `alpha` on a
/// grid of `steps` candidates; a step wider on either side than the candidates that are inside.
pub fn betting(values: &[f64], alpha: f64, steps: u32) -> Estimate {
    let n = values.len() as f64;
    let value = if values.is_empty() { 0.5 } else { values.iter().sum::<f64>() / n };
    let stakes = stakes(values, alpha);
    let step = 1.0 / f64::from(steps.max(1));
    let candidates = (0..=steps.max(1)).map(|i| f64::from(i) * step);
    let mut inside = candidates.filter(|m| wealth(values, &stakes, *m) <= 1.0 / alpha);
    let (mut low, mut high) = (0.0, 1.0);
    if let Some(first) = inside.next() {
        low = (first - step).max(0.0);
        high = (inside.next_back().unwrap_or(first) + step).min(1.0);
    }
    Estimate { value, low, high }
}

/// The stakes: sqrt(2 ln(1 / alpha) / (t ln(1 + t) s^2)), s^2 the variance so far with one imagined case of mean 1/2 and
/// variance 1/4.
fn stakes(values: &[f64], alpha: f64) -> Vec<f64> {
    let ln = (1.0 / alpha).ln();
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut variance = 0.25;
    let mut t = 0.0;
    let mut stakes = Vec::with_capacity(values.len());
    for x in values {
        t += 1.0;
        stakes.push((2.0 * ln / (t * (1.0_f64 + t).ln() * variance)).sqrt());
        sum += x;
        let mean: f64 = (0.5 + sum) / (t + 1.0);
        squares += (x - mean) * (x - mean);
        variance = (0.25 + squares) / (t + 1.0);
    }
    stakes
}

/// The larger of the two gamblers' wealth in the end: the one who bets that the mean is above `m`, and the other.
fn wealth(values: &[f64], stakes: &[f64], m: f64) -> f64 {
    let (mut above, mut below) = (HALF, HALF);
    for (x, stake) in values.iter().zip(stakes) {
        let gain = x - m;
        // At the ends a stake has no bound; no gain times any stake is none.
        let times = |stake: f64| if gain == 0.0 { 0.0 } else { stake * gain };
        above *= 1.0 + times(stake.min(HALF / m));
        below *= 1.0 - times(stake.min(HALF / (1.0 - m)));
    }
    above.max(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Estimate, low: f64, high: f64, tolerance: f64) {
        assert!(
            (found.low - low).abs() < tolerance && (found.high - high).abs() < tolerance,
            "{found:?}: {low}, {high}"
        );
    }

    #[test]
    fn equal_the_authors_program() {
        let tuning = Tuning { cases: 1_000.0, alpha: 0.05 };
        let of = |hits, n, alpha| sub_bernoulli(Counts { hits, n }, alpha, tuning);
        near(of(8, 100, 0.05), 0.016_373_729_885_754_078, 0.233_403_629_099_675_55, 1e-9);
        near(of(1_600, 20_000, 0.01), 0.072_902_308_637_676_47, 0.087_459_240_062_223_64, 1e-9);
        near(of(0, 50, 0.05), 0.0, 0.285_314_904_356_482_66, 1e-9);
        let values: Vec<f64> = (1..=500_u32).map(|i| f64::from(u8::from((i * 7_919) % 1_000 < 80))).collect();
        near(betting(&values, 0.05, 1_000), 0.04, 0.121, 1e-9);
    }

    #[test]
    fn cover_the_share_and_narrow_with_n() {
        for n in [10_u64, 100, 1_000, 10_000] {
            let counts = Counts { hits: n / 10, n };
            let found = sub_bernoulli(counts, 0.05, Tuning { cases: 1_000.0, alpha: 0.05 });
            assert!(found.low < 0.1 && found.high > 0.1, "{found:?}");
            assert!(found.high - found.low < 3.0 / (n as f64).sqrt(), "{found:?}");
        }
    }

    #[test]
    fn nothing_counted_is_everything_possible() {
        let tuning = Tuning { cases: 1_000.0, alpha: 0.05 };
        near(sub_bernoulli(Counts { hits: 0, n: 0 }, 0.05, tuning), 0.0, 1.0, 1e-12);
        near(betting(&[], 0.05, 1_000), 0.0, 1.0, 1e-12);
        assert!(betting(&[1.0; 200], 0.05, 1_000).high >= 1.0);
        assert!(betting(&[0.0; 200], 0.05, 1_000).low <= 0.0);
        // A level of 0 excludes nothing.
        near(sub_bernoulli(Counts { hits: 5, n: 10 }, 0.0, tuning), 0.0, 1.0, 1e-12);
    }
}
