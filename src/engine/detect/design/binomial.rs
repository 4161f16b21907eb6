//! The binomial distribution: chances and quantiles of a number of hits.
//!
//! **Definition.** P(X = k) by the saddle point of Loader (2000), which keeps all digits for large n; P(X <= k) and
//! P(X > k) each as a sum of such terms from k outward, of the smaller of the two, so that small chances keep their digits.
//! Quantile: the least k with P(X <= k) >= q.
//!
//! **Classical constants.** np charts by chances instead of sigmas: the quantiles 0.00135 and 0.99865.
//!
//! **Bad at.** Speed with variances beyond a million million: the sum has some ten standard deviations of terms.

use std::f64::consts::PI;

/// A term this much smaller than the sum adds nothing.
const NEGLIGIBLE: f64 = 1e-18;

/// The number of hits among `n` cases that are independent and hit with probability `p`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binomial {
    /// Cases.
    pub n: u64,
    /// Probability of a hit; taken as 0 or 1 where it lies outside.
    pub p: f64,
}

impl Binomial {
    /// P(X = k).
    pub fn pmf(&self, k: u64) -> f64 {
        let p = self.chance();
        if k > self.n {
            return 0.0;
        }
        let (n, x, rest) = (self.n as f64, k as f64, (self.n - k) as f64);
        if p <= 0.0 || p >= 1.0 {
            return f64::from(u8::from(x == n * p));
        }
        if k == 0 {
            return (n * (-p).ln_1p()).exp();
        }
        if k == self.n {
            return (n * p.ln()).exp();
        }
        let log = stirling_error(n)
            - stirling_error(x)
            - stirling_error(rest)
            - deviance(x, n * p)
            - deviance(rest, n * (1.0 - p));
        log.exp() * (n / (2.0 * PI * x * rest)).sqrt()
    }

    /// P(X <= k).
    pub fn cdf(&self, k: u64) -> f64 {
        self.tails(k).0
    }

    /// P(X > k).
    pub fn sf(&self, k: u64) -> f64 {
        self.tails(k).1
    }

    fn tails(&self, k: u64) -> (f64, f64) {
        if k >= self.n {
            return (1.0, 0.0);
        }
        let p = self.chance();
        if p <= 0.0 || p >= 1.0 {
            return if p <= 0.0 { (1.0, 0.0) } else { (0.0, 1.0) };
        }
        let odds = p / (1.0 - p);
        let n = self.n as f64;
        if (k as f64) < n * p {
            // Downward from k: each term is the one above times k (1 - p) / ((n - k + 1) p).
            let lower = sum(self.pmf(k), (1..=k).rev(), |x| x as f64 / ((n - x as f64 + 1.0) * odds));
            (lower, 1.0 - lower)
        } else {
            let upper = sum(self.pmf(k + 1), k + 1..self.n, |x| (n - x as f64) / (x as f64 + 1.0) * odds);
            (1.0 - upper, upper)
        }
    }

    /// The least k with P(X <= k) >= q; n where q is 1 and above or no number.
    pub fn quantile(&self, q: f64) -> u64 {
        if q.is_nan() || q >= 1.0 {
            return self.n;
        }
        let (mut low, mut high) = (0, self.n);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.cdf(middle) >= q {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        high
    }

    fn chance(&self) -> f64 {
        if self.p.is_nan() { 0.0 } else { self.p.clamp(0.0, 1.0) }
    }
}

/// A first term and those after it, each the one before times its ratio.
fn sum(first: f64, ks: impl Iterator<Item = u64>, ratio: impl Fn(u64) -> f64) -> f64 {
    let (mut term, mut total) = (first, first);
    for k in ks {
        term *= ratio(k);
        total += term;
        if term <= NEGLIGIBLE * total {
            break;
        }
    }
    total.min(1.0)
}

/// ln n! less Stirling's formula for it.
fn stirling_error(n: f64) -> f64 {
    const SERIES_FROM: f64 = 16.0;
    if n < SERIES_FROM {
        let factorial: f64 = (1..=n as u32).map(f64::from).product();
        return factorial.ln() - ((n + 0.5) * n.ln() - n + 0.5 * (2.0 * PI).ln());
    }
    let square = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1_260.0 - (1.0 / 1_680.0 - 1.0 / (1_188.0 * square)) / square) / square) / square)
        / n
}

/// x ln(x / m) + m - x, without cancellation where x and m are alike.
fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() < 0.1 * (x + m) {
        let v = (x - m) / (x + m);
        let mut total = (x - m) * v;
        let mut term = 2.0 * x * v;
        for j in 1..1_000 {
            term *= v * v;
            let next = total + term / f64::from(2 * j + 1);
            if next == total {
                break;
            }
            total = next;
        }
        return total;
    }
    x * (x / m).ln() + m - x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!((found / wanted - 1.0).abs() < 1e-12, "found {found}, wanted {wanted}");
    }

    #[test]
    fn chances_equal_scipy() {
        let one = Binomial { n: 500, p: 0.08 };
        close(one.cdf(43), 0.723_176_622_456_417_7);
        close(one.sf(43), 0.276_823_377_543_582_3);
        close(one.pmf(43), 0.056_352_861_350_263_84);
        assert_eq!([one.quantile(0.001), one.quantile(1.0)], [23, 500]);
    }

    #[test]
    fn sums_are_closed_forms() {
        // All chances together, and the ends.
        for (n, p) in [(1, 0.3), (30, 0.5), (2_000, 0.92), (50, 1e-9)] {
            let all = Binomial { n, p };
            close((0..=n).map(|k| all.pmf(k)).sum::<f64>(), 1.0);
            for (found, wanted) in [(all.cdf(0), (1.0 - p).powi(n as i32)), (all.sf(n - 1), p.powi(n as i32))] {
                assert!((found - wanted).abs() <= 1e-12 * wanted, "{n} {p}: {found}, {wanted}");
            }
        }
        // Far out, by the first terms: 1e6 cases of chance 1e-6 are nearly a Poisson of mean 1.
        let rare = Binomial { n: 1_000_000, p: 1e-6 };
        assert!((rare.sf(9) / 1.114_254_78e-7 - 1.0).abs() < 1e-4, "{}", rare.sf(9));
    }

    #[test]
    fn quantiles_invert_the_chances() {
        for (n, p) in [(1, 0.5), (100, 0.01), (2_000, 0.92), (100_000, 0.08)] {
            let one = Binomial { n, p };
            for q in [1e-6, 0.025, 0.5, 0.975, 0.999_999] {
                let k = one.quantile(q);
                assert!(one.cdf(k) >= q && (k == 0 || one.cdf(k - 1) < q), "{n} {p} {q}: {k}");
            }
        }
    }

    #[test]
    fn certain_and_impossible_hits() {
        let (never, always) = (Binomial { n: 10, p: 0.0 }, Binomial { n: 10, p: 1.0 });
        assert_eq!([never.pmf(0), never.cdf(0), never.sf(0), always.pmf(10), always.cdf(9)], [1.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!([never.quantile(0.5), always.quantile(0.5)], [0, 10]);
        let nothing = Binomial { n: 0, p: 0.4 };
        assert_eq!((nothing.pmf(0), nothing.cdf(0), nothing.quantile(0.3)), (1.0, 1.0, 0));
        assert_eq!(Binomial { n: 10, p: f64::NAN }.cdf(0), 1.0);
    }
}
