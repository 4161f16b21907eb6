//! From a promise (samples between false alarms) to the limit of a chart, by computation instead of folklore.
//!
//! Everything here is a function of its arguments. Exact designs cost milliseconds, so [`DesignCache`] keeps them.

pub mod bernoulli;
mod beta;
pub mod binomial;
pub mod constants;
pub(super) mod draws;
pub mod ewma;
pub mod interval;
pub mod mewma;
pub mod normal;
mod quadrature;
mod rare;
pub mod regenerative;
pub mod runs;
mod search;
pub mod sequences;
pub mod sr;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Designs kept before the cache starts over: every error rate in steps of its fourth digit, with room to spare.
const CAPACITY: usize = 65_536;
/// The same of designs from whole distributions, which hardly any two streams share.
const DISTRIBUTIONS: usize = 1_024;
/// Reference values of a chart of values that do not vary: as if their deviation were an eighth of what matters.
const STEADY: (f64, f64) = (0.5, 8.0);

/// Designs already solved. Error levels, and reference values of means, come rounded to four digits (see [`ceil4`]),
/// so that a fleet shares a few thousand designs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DesignCache {
    bernoulli: BTreeMap<[u64; 3], i64>,
    normal: BTreeMap<[u64; 2], f64>,
    ewma: BTreeMap<[u64; 2], f64>,
    mewma: BTreeMap<[u64; 3], f64>,
    mixture: BTreeMap<[u64; 4], f64>,
    octaves: rare::Octaves,
    values: BTreeMap<Vec<u64>, f64>,
}

impl DesignCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The limit, in lattice units, of the Bernoulli CUSUM p0 -> p1 with an in-control ARL of `arl0`: exact for binomial
    /// cases (`phi` up to 1), in the closed form for counts that vary `phi` times as much (STATISTICS-DETAIL, section 5).
    pub fn bernoulli_limit(&mut self, p0: f64, p1: f64, arl0: f64, phi: f64) -> i64 {
        if phi > 1.0 && p1 > p0 {
            let (up, _) = bernoulli::lattice_weights(p0, p1);
            return ((bernoulli::scaled_limit(p0, p1, arl0, phi) * bernoulli::LATTICE).ceil() as i64).max(up);
        }
        if self.bernoulli.len() >= CAPACITY {
            self.bernoulli.clear();
        }
        let key = [p0.to_bits(), p1.to_bits(), arl0.to_bits()];
        *self.bernoulli.entry(key).or_insert_with(|| bernoulli::solve_limit(p0, p1, arl0))
    }

    /// The limit h of the normal CUSUM with reference value `k` and an in-control ARL of `arl0`.
    pub fn normal_limit(&mut self, k: f64, arl0: f64) -> f64 {
        if self.normal.len() >= CAPACITY {
            self.normal.clear();
        }
        let key = [k.to_bits(), arl0.to_bits()];
        *self.normal.entry(key).or_insert_with(|| normal::solve_h(k, arl0))
    }

    /// The limit, in standard deviations of a value, of the one-sided EWMA with weight `lambda` and an in-control ARL
    /// of `arl0`.
    pub fn ewma_limit(&mut self, lambda: f64, arl0: f64) -> f64 {
        if self.ewma.len() >= CAPACITY {
            self.ewma.clear();
        }
        let key = [lambda.to_bits(), arl0.to_bits()];
        *self.ewma.entry(key).or_insert_with(|| ewma::solve_upper_limit(lambda, arl0))
    }

    /// The limit of the MEWMA of `p` known characteristics with weight `r` and an in-control ARL of `arl0`.
    pub fn mewma_limit(&mut self, p: usize, r: f64, arl0: f64) -> f64 {
        if self.mewma.len() >= CAPACITY {
            self.mewma.clear();
        }
        let key = [p as u64, r.to_bits(), arl0.to_bits()];
        *self.mewma.entry(key).or_insert_with(|| mewma::solve_limit(p, r, arl0))
    }

    /// The limit of the mixture of Shiryaev-Roberts statistics.
    pub fn mixture_limit(&mut self, design: &sr::MixtureDesign) -> f64 {
        if self.mixture.len() >= CAPACITY {
            self.mixture.clear();
        }
        let key = [design.p0, design.delta, design.phi, design.arl0].map(f64::to_bits);
        *self.mixture.entry(key).or_insert_with(|| design.limit(&mut self.octaves))
    }

    /// The limit of the CUSUM that looks for a fall of `delta` in values of this distribution, pairs of a value and how often
    /// it came, with an in-control ARL of `arl0` values: S <- max(0, S + mean - value - delta / 2). Where values do not vary
    /// any limit keeps the promise; it is that of a normal chart whose deviation is an eighth of delta.
    pub fn values_limit(&mut self, values: &[(f64, u64)], delta: f64, arl0: f64) -> f64 {
        if self.values.len() >= DISTRIBUTIONS {
            self.values.clear();
        }
        let mut key: Vec<u64> = values.iter().flat_map(|(value, n)| [value.to_bits(), *n]).collect();
        key.extend([delta.to_bits(), arl0.to_bits()]);
        if let Some(limit) = self.values.get(&key) {
            return *limit;
        }
        let n: f64 = values.iter().map(|(_, n)| *n as f64).sum();
        let reference = values.iter().map(|(value, n)| value * *n as f64).sum::<f64>() / n - delta / 2.0;
        let steps: Vec<(f64, f64)> = values.iter().map(|(value, n)| (reference - value, *n as f64)).collect();
        let limit = match regenerative::Steps::new(&steps) {
            Some(steps) => steps.limit(arl0),
            None => self.normal_limit(STEADY.0, arl0) * delta / STEADY.1,
        };
        self.values.insert(key, limit);
        limit
    }

    /// Designs held.
    pub fn len(&self) -> usize {
        let univariate = self.bernoulli.len() + self.normal.len() + self.ewma.len() + self.mixture.len();
        univariate + self.octaves.len() + self.mewma.len() + self.values.len()
    }

    /// Whether nothing was designed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rounds a positive number up to four significant digits. Up, because a chart designed for a higher error rate
/// keeps its promise at a lower one.
pub fn ceil4(x: f64) -> f64 {
    ceil_digits(x, 4)
}

/// Rounds a positive number up to so many significant digits.
fn ceil_digits(x: f64, digits: i32) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return x;
    }
    let digits = digits - 1 - x.log10().floor() as i32;
    // Dividing by an exact power of ten gives the double nearest to the decimal number.
    let scale = 10_f64.powi(digits.abs());
    if digits >= 0 { (x * scale - 1e-9).ceil() / scale } else { (x / scale - 1e-9).ceil() * scale }
}

/// x >= 0 with e^x - x - 1 = c, by Newton's method: the form that all diffusion approximations of a CUSUM's ARL share.
fn exponential_root(c: f64) -> f64 {
    if c <= 0.0 {
        return 0.0;
    }
    let mut x = c.ln_1p().max(c.sqrt().min(1.0));
    for _ in 0..100 {
        let step = (x.exp_m1() - x - c) / x.exp_m1();
        x -= step;
        if step.abs() <= 1e-14 * x {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_up_and_is_stable() {
        for (x, wanted) in [(0.084_481_7, 0.084_49), (0.08, 0.08), (0.5, 0.5), (1e-6, 1e-6), (12_345.0, 12_350.0)] {
            assert_eq!(ceil4(x), wanted, "{x}");
            assert_eq!(ceil4(ceil4(x)), wanted, "{x}");
        }
    }

    #[test]
    fn a_cached_design_is_the_design() {
        let mut cache = DesignCache::new();
        let first = cache.bernoulli_limit(0.08, 0.1, 20_000.0, 1.0);
        assert_eq!(first, bernoulli::solve_limit(0.08, 0.1, 20_000.0));
        assert_eq!(cache.bernoulli_limit(0.08, 0.1, 20_000.0, 1.0), first);
        let h = cache.normal_limit(0.5, 930.887);
        assert_eq!(cache.normal_limit(0.5, 930.887), h);
        let limit = cache.ewma_limit(0.1, 500.0);
        assert_eq!(cache.ewma_limit(0.1, 500.0), limit);
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn the_root_solves_its_equation() {
        for c in [1e-6, 0.01, 1.0, 50.66, 1e9] {
            let x = exponential_root(c);
            assert!(((x.exp_m1() - x) / c - 1.0).abs() < 1e-6, "{c}: {x}");
        }
    }
}
