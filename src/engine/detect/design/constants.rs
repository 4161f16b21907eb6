//! The constants of Shewhart charts for subgroups of n normal values: d2, d3 and c4.
//!
//! **Definition.** d2 and d3 are mean and standard deviation of the range of n standard normal values, c4 the mean of
//! their standard deviation: d2 = int 1 - Phi^n - (1 - Phi)^n, P(range <= r) = n int phi(x) (Phi(x+r) - Phi(x))^(n-1)
//! dx (Tippett 1925), c4 = sqrt(2 / (n-1)) Gamma(n/2) / Gamma((n-1)/2).
//!
//! **Classical constants.** d2(2) = 1.128, d2(5) = 2.326, d3(5) = 0.864, c4(5) = 0.9400. Published limits rest on d2
//! with three decimals ([`d2_printed`]): the exact one moves the sigma of five by 3e-5 of itself.
//!
//! **Bad at.** Values that are not normal: the range feels the tails first.

use statrs::function::gamma::ln_gamma;

use super::normal::{density, normal_cdf};
use super::quadrature::legendre_nodes;

/// Beyond this a normal value is not expected; sums over the line go from minus to plus this.
const END: f64 = 9.0;
/// Steps of the trapezoidal rule over the line, which is exact to all digits for smooth functions that vanish.
const STEPS: u32 = 180;
/// Nodes of the integral over the range.
const RANGE_NODES: u32 = 48;
/// Longest range expected.
const LONGEST: f64 = 16.0;

/// Integral over the line of a function that vanishes at its ends.
fn line(f: impl Fn(f64) -> f64) -> f64 {
    let step = 2.0 * END / f64::from(STEPS);
    step * (0..=STEPS).map(|i| f(f64::from(i).mul_add(step, -END))).sum::<f64>()
}

/// Mean range of n standard normal values; 0 for fewer than two.
pub fn d2(n: u32) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let n = f64::from(n);
    line(|x| 1.0 - normal_cdf(x).powf(n) - normal_cdf(-x).powf(n))
}

/// [`d2`] with three decimals, as textbooks print it.
pub fn d2_printed(n: u32) -> f64 {
    (d2(n) * 1_000.0).round() / 1_000.0
}

/// Standard deviation of the range of n standard normal values; 0 for fewer than two.
pub fn d3(n: u32) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let (count, mean) = (f64::from(n), d2(n));
    let longer = |r: f64| 1.0 - count * line(|x| density(x) * (normal_cdf(x + r) - normal_cdf(x)).powf(count - 1.0));
    let nodes = legendre_nodes(RANGE_NODES);
    let square: f64 = nodes.iter().map(|(y, w)| 2.0 * LONGEST * LONGEST * w * y * longer(LONGEST * y)).sum();
    (square - mean * mean).max(0.0).sqrt()
}

/// Mean standard deviation (with n - 1) of n standard normal values; 0 for fewer than two.
pub fn c4(n: u32) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let n = f64::from(n);
    (2.0 / (n - 1.0)).sqrt() * (ln_gamma(n / 2.0) - ln_gamma((n - 1.0) / 2.0)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_the_tables() {
        // Harter (1960), and closed forms: d2(2) = 2 / sqrt(pi), d3(2) = sqrt(2 - 4 / pi), d2(3) = 3 / sqrt(pi).
        let pi = std::f64::consts::PI;
        for (found, wanted) in [
            (d2(2), 2.0 / pi.sqrt()),
            (d2(3), 3.0 / pi.sqrt()),
            (d2(5), 2.325_928_947),
            (d2(10), 3.077_505_462),
            (d3(2), (2.0 - 4.0 / pi).sqrt()),
            (d3(5), 0.864_081_941),
            (d3(10), 0.797_050_674),
            (c4(2), (2.0 / pi).sqrt()),
            (c4(5), 0.939_985_603),
        ] {
            assert!((found - wanted).abs() < 1e-8, "found {found}, wanted {wanted}");
        }
        // Montgomery, appendix VI.
        for (n, d2, d3, c4_) in [(2, 1.128, 0.853, 0.7979), (4, 2.059, 0.880, 0.9213), (25, 3.931, 0.708, 0.9896)] {
            assert_eq!(d2_printed(n), d2);
            assert!((super::d3(n) - d3).abs() < 6e-4 && (c4(n) - c4_).abs() < 6e-5, "{n}");
        }
        assert_eq!([d2(1), d3(0), c4(1)], [0.0; 3]);
    }

    #[test]
    fn large_subgroups_have_constants_too() {
        assert!((c4(1_000) - (1.0 - 1.0 / 4_000.0)).abs() < 1e-6);
        assert!((d2(1_000) - 6.4829).abs() < 1e-3 && d3(1_000) > 0.4);
    }
}
