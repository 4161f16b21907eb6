//! Intervals of a proportion, and the sampling limit of a distance between two histograms.
//!
//! - Clopper & Pearson (1934): exact, conservative; its one-sided 75 % bound is the level charts are designed for.
//! - Wilson (1927): for reports; coverage near nominal from n = 10 on, not conservative. With the continuity correction
//!   (Newcombe 1998) nearly as wide as Clopper-Pearson.
//! - Beta-mixture confidence sequence (Robbins 1970, uniform mixture): holds at every n at once, so it may be read
//!   whenever one likes; about 1.5 times as wide as an interval for one n. Bad at: telling when the level moved.
//! - Garwood (1936): exact, conservative interval of a Poisson mean, for counts of alarms over some time.
//! - Exact sign test, McNemar's (1947) with small counts: of two sets of alarms over the same records, only those that one
//!   set has alone can tell them apart; without a difference each falls to either side with 1/2. Bad at: alarms that
//!   cause each other, which count as independent here.
//! - PSI: under no change PSI n m / (n + m) is chi-square with bins - 1 degrees of freedom, for n current and m
//!   reference cases with 25 or more expected in each bin. The constants 0.1 and 0.25 know nothing of n and m.

use statrs::distribution::{ChiSquared, ContinuousCDF as _};
use statrs::function::beta::ln_beta;
use statrs::function::erf::erfc_inv;
use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};

use super::beta::beta_quantile;
use crate::engine::units::{Counts, Estimate};

/// Halvings of an interval in [0, 1]; more change nothing in double precision.
const HALVINGS: u32 = 60;

/// The standard normal quantile.
pub fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// The one-sided upper Clopper-Pearson bound at the given confidence; 1 where nothing was counted.
pub fn clopper_pearson_upper(counts: Counts, confidence: f64) -> f64 {
    let (hits, misses) = split(counts);
    if misses <= 0.0 {
        1.0
    } else if hits <= 0.0 {
        -((-confidence).ln_1p() / misses).exp_m1()
    } else {
        beta_quantile(hits + 1.0, misses, confidence)
    }
}

/// The one-sided lower Clopper-Pearson bound at the given confidence; 0 where nothing was counted.
pub fn clopper_pearson_lower(counts: Counts, confidence: f64) -> f64 {
    1.0 - clopper_pearson_upper(Counts { hits: counts.n.saturating_sub(counts.hits), n: counts.n }, confidence)
}

/// The share with its two-sided Clopper-Pearson interval.
pub fn clopper_pearson(counts: Counts, confidence: f64) -> Estimate {
    let one_sided = 1.0 - (1.0 - confidence) / 2.0;
    Estimate {
        value: counts.share().unwrap_or(0.5),
        low: clopper_pearson_lower(counts, one_sided),
        high: clopper_pearson_upper(counts, one_sided),
    }
}

/// The share with Wilson's score interval.
pub fn wilson(counts: Counts, confidence: f64) -> Estimate {
    wilson_of(counts.share().unwrap_or(0.5), counts.n as f64, confidence)
}

/// A share in [0, 1] with Wilson's interval for that many cases, which need not be a whole number: what an estimate is worth
/// whose variance is that of a share of so many cases.
pub fn wilson_of(value: f64, n: f64, confidence: f64) -> Estimate {
    if n <= 0.0 {
        return Estimate { value, low: 0.0, high: 1.0 };
    }
    let z = normal_quantile(1.0 - (1.0 - confidence) / 2.0);
    let centre = (value + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (value * (1.0 - value) / n + z * z / (4.0 * n * n)).sqrt();
    // At 0 and 1 the ends are exactly that; the formula leaves rounding dust.
    let low = if value <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if value >= 1.0 { 1.0 } else { (centre + half).min(1.0) };
    Estimate { value, low, high }
}

/// The share with Wilson's interval for counts, which come in steps: with the continuity correction (Newcombe 1998).
pub fn wilson_corrected(counts: Counts, confidence: f64) -> Estimate {
    let Some(value) = counts.share() else { return Estimate { value: 0.5, low: 0.0, high: 1.0 } };
    let n = counts.n as f64;
    let z = normal_quantile(1.0 - (1.0 - confidence) / 2.0);
    let middle = 2.0 * n * value + z * z;
    let half = |skew: f64| {
        let spread = z * z - 1.0 / n + 4.0 * n * value * (1.0 - value) + skew * (4.0 * value - 2.0);
        1.0 + z * spread.max(0.0).sqrt()
    };
    let end = |x: f64| (x / (2.0 * (n + z * z))).clamp(0.0, 1.0);
    let low = if counts.hits == 0 { 0.0 } else { end(middle - half(1.0)) };
    let high = if counts.hits >= counts.n { 1.0 } else { end(middle + half(-1.0)) };
    Estimate { value, low, high }
}

/// The share with the beta-mixture confidence sequence at level 1 - `alpha`.
pub fn confidence_sequence(counts: Counts, alpha: f64) -> Estimate {
    beta_mixture(counts, alpha, (1.0, 1.0))
}

/// The same with another mixture than the uniform one: Beta(a, b), both above 0, which is narrower near its mean.
pub fn beta_mixture(counts: Counts, alpha: f64, (a, b): (f64, f64)) -> Estimate {
    let Some(value) = counts.share() else { return Estimate { value: 0.5, low: 0.0, high: 1.0 } };
    let (hits, misses) = split(counts);
    let mixture = ln_beta(a + hits, b + misses) - ln_beta(a, b) + alpha.ln();
    // Outside the sequence: the mixture is 1 / alpha times likelier than p.
    let outside = |p: f64| mixture - term(hits, p) - term(misses, 1.0 - p) > 0.0;
    let search = |out: f64, inside: f64| bracket(out, inside, outside).0;
    Estimate {
        value,
        low: if counts.hits == 0 { 0.0 } else { search(0.0, value) },
        high: if misses <= 0.0 { 1.0 } else { search(1.0, value) },
    }
}

/// Where the edge of a set lies between a value outside and one inside, as the nearest of either.
pub(super) fn bracket(mut out: f64, mut inside: f64, outside: impl Fn(f64) -> bool) -> (f64, f64) {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(out, inside);
        if outside(middle) {
            out = middle;
        } else {
            inside = middle;
        }
    }
    (out, inside)
}

/// x ln p with 0 ln 0 = 0.
pub(super) fn term(x: f64, p: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x * p.ln() }
}

pub(super) fn split(counts: Counts) -> (f64, f64) {
    (counts.hits as f64, counts.n.saturating_sub(counts.hits) as f64)
}

/// A count with Garwood's interval of its mean; `confidence` in (0, 1).
pub fn poisson(count: u64, confidence: f64) -> Estimate {
    let tail = (1.0 - confidence) / 2.0;
    let n = count as f64;
    // Ten standard deviations and ten counts beyond: outside for any tail above 1e-4 / n!.
    let far = n + 10.0 * n.sqrt() + 30.0;
    let low = if count == 0 { 0.0 } else { bracket(0.0, n, |mean| mean <= 0.0 || gamma_lr(n, mean) < tail).0 };
    let high = bracket(far, n, |mean| mean > 0.0 && gamma_ur(n + 1.0, mean) < tail).0;
    Estimate { value: n, low, high }
}

/// The two-sided chance that `a` and `b` cases, each as likely on either side, fall apart at least as far as they do; 1
/// where there are none.
pub fn sign_test(a: u64, b: u64) -> f64 {
    let (few, n) = (a.min(b), (a + b) as f64);
    let choose = |k: f64| ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    let tail: f64 = (0..=few).map(|k| (choose(k as f64) - n * std::f64::consts::LN_2).exp()).sum();
    (2.0 * tail).min(1.0)
}

/// The chance that PSI comes out this large without a change; 1 with fewer than two bins.
pub fn psi_p_value(psi: f64, bins: usize, n: u64, m: u64) -> f64 {
    if bins < 2 || n == 0 || m == 0 || psi <= 0.0 {
        return 1.0;
    }
    let scaled = psi * (n as f64) * (m as f64) / (n as f64 + m as f64);
    chi_squared_tail(scaled, bins - 1)
}

/// The chance that a chi-squared number with so many degrees of freedom exceeds `x`; 1 without any.
pub fn chi_squared_tail(x: f64, freedom: usize) -> f64 {
    if freedom == 0 || x <= 0.0 { 1.0 } else { gamma_ur(freedom as f64 / 2.0, x / 2.0) }
}

/// The PSI exceeded with chance `alpha` without a change; infinite with fewer than two bins.
pub fn psi_limit(alpha: f64, bins: usize, n: u64, m: u64) -> f64 {
    if bins < 2 || n == 0 || m == 0 {
        return f64::INFINITY;
    }
    ChiSquared::new((bins - 1) as f64)
        .map_or(f64::INFINITY, |chi| chi.inverse_cdf(1.0 - alpha.clamp(1e-12, 1.0)) * (1.0 / n as f64 + 1.0 / m as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Estimate, low: f64, high: f64) {
        assert!((found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9, "{found:?}: {low}, {high}");
    }

    #[test]
    fn intervals_equal_scipy() {
        let counts = |hits, n| Counts { hits, n };
        near(wilson(counts(40, 500), 0.95), 0.059_298_129_409_852_59, 0.107_106_316_577_851_29);
        near(wilson(counts(0, 50), 0.9), 0.0, 0.051_333_185_786_270_12);
        near(wilson(counts(50, 50), 0.9), 0.948_666_814_213_729_9, 1.0);
        near(clopper_pearson(counts(40, 500), 0.95), 0.057_766_119_928_834_31, 0.107_345_464_356_349_98);
        near(clopper_pearson(counts(1, 30), 0.99), 0.000_167_070_769_559_222_9, 0.222_751_065_024_433_7);
        near(clopper_pearson(counts(50, 50), 0.95), 0.928_878_263_535_795_4, 1.0);
        near(clopper_pearson(counts(1_600, 20_000), 0.9), 0.076_864_899_095_288_99, 0.083_225_749_464_214_4);
    }

    #[test]
    fn corrected_intervals_equal_scipy_and_are_wider() {
        let counts = |hits, n| Counts { hits, n };
        for n in [1, 30, 500] {
            for hits in [0, 1, n / 2, n] {
                let (plain, wide) = (wilson(counts(hits, n), 0.95), wilson_corrected(counts(hits, n), 0.95));
                assert!(wide.low <= plain.low && wide.high >= plain.high, "{hits} of {n}: {plain:?} {wide:?}");
            }
        }
        near(wilson_corrected(counts(40, 500), 0.95), 0.058_439_224_550_051_426, 0.108_231_107_138_894_92);
        near(wilson_corrected(counts(0, 0), 0.95), 0.0, 1.0);
    }

    #[test]
    fn one_sided_bound_equals_the_design_reference() {
        let bound = clopper_pearson_upper(Counts { hits: 160, n: 2_000 }, 0.75);
        assert!((bound - 0.084_481_700_118_797_28).abs() < 1e-12, "{bound}");
        let bound = clopper_pearson_upper(Counts { hits: 25, n: 500 }, 0.9);
        assert!((bound - 0.064_914_659_422_722_58).abs() < 1e-12, "{bound}");
    }

    #[test]
    fn the_bound_is_good_for_millions_of_cases() {
        for n in [1_000_000_u64, 10_000_000, 100_000_000] {
            let bound = clopper_pearson_upper(Counts { hits: n / 12, n }, 0.75);
            let share = (n / 12) as f64 / n as f64;
            let normal = share + normal_quantile(0.75) * (share * (1.0 - share) / n as f64).sqrt();
            assert!((bound - normal).abs() < 2.0 / n as f64, "{n}: {bound} {normal}");
            let rare = clopper_pearson_upper(Counts { hits: 1, n }, 0.75);
            assert!((rare * n as f64 - 2.692_635).abs() < 1e-4, "{n}: {rare}");
        }
    }

    #[test]
    fn confidence_sequence_equals_its_definition() {
        near(
            confidence_sequence(Counts { hits: 8, n: 100 }, 0.05),
            0.018_730_582_344_544_496,
            0.202_065_293_100_658_16,
        );
        near(confidence_sequence(Counts { hits: 0, n: 50 }, 0.05), 0.0, 0.129_381_289_091_507_73);
        near(
            confidence_sequence(Counts { hits: 1_600, n: 20_000 }, 0.01),
            0.071_723_783_321_231_89,
            0.088_832_773_264_401_03,
        );
        near(confidence_sequence(Counts { hits: 0, n: 0 }, 0.05), 0.0, 1.0);
    }

    #[test]
    fn poisson_equals_garwoods_table() {
        // Garwood (1936), table 1, as printed in textbooks to the last digit; and R's poisson.test(10).
        for (count, low, high) in
            [(0, 0.0, 3.689), (1, 0.0253, 5.572), (2, 0.242, 7.225), (5, 1.623, 11.668), (10, 4.795, 18.390)]
        {
            let found = poisson(count, 0.95);
            assert!((found.low - low).abs() < 6e-4 && (found.high - high).abs() < 6e-4, "{count}: {found:?}");
        }
        let found = poisson(10, 0.95);
        assert!((found.low - 4.795_389).abs() < 1e-6 && (found.high - 18.390_356).abs() < 1e-6, "{found:?}");
        let found = poisson(100, 0.95);
        assert!((found.low - 81.364).abs() < 6e-4 && (found.high - 121.627).abs() < 6e-4, "{found:?}");
    }

    #[test]
    fn the_sign_test_equals_the_binomial_one() {
        // R: binom.test(c(1, 9)), binom.test(c(3, 12)), binom.test(c(0, 5)).
        for (a, b, p) in [(1, 9, 0.021_484_375), (12, 3, 0.035_156_25), (0, 5, 0.0625), (4, 4, 1.0), (0, 0, 1.0)] {
            assert!((sign_test(a, b) - p).abs() < 1e-12, "{a} {b}: {}", sign_test(a, b));
        }
    }

    #[test]
    fn psi_limit_and_p_value_invert_each_other() {
        for (alpha, bins) in [(0.05, 10), (1.0 / 2_160.0, 10), (1e-6, 4)] {
            let limit = psi_limit(alpha, bins, 500, 5_000);
            assert!((psi_p_value(limit, bins, 500, 5_000) / alpha - 1.0).abs() < 1e-6);
        }
        // chi-square 95 % with 9 degrees of freedom is 16.919 in every table.
        assert!((psi_limit(0.05, 10, 1_000, 1_000) - 16.919 * 0.002).abs() < 1e-6);
        assert_eq!(psi_p_value(1.0, 1, 500, 500), 1.0);
    }
}
