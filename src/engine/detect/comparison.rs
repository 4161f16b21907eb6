//! Two histograms compared in all the usual ways: what a chart of shapes shows beside its PSI, and what tests say.
//!
//! **Definition.** With shares b and c of the same bins: PSI, Jensen-Shannon and Kolmogorov-Smirnov as in `distance`;
//! Jensen-Shannon distance, the square root of the divergence in bits (Endres & Schindelin 2003); Wasserstein, the sum of
//! the distances of the distribution functions, in bins (Earth mover's); Hellinger, sqrt(sum (sqrt b - sqrt c)^2 / 2); total
//! variation, half the sum of |b - c|. p-values without a change: Kolmogorov's (1933) limit for the binned statistic, and
//! Pearson's chi-square of homogeneity over the bins that hold anything.
//!
//! **Classical constants.** None that hold: a distance of two samples grows with the noise in both (see `distance`).
//!
//! **Bad at.** Kolmogorov's p-value of binned values is too large (the statistic is the largest gap at bin ends only); the
//! chi-square needs five and more expected in each bin.

use statrs::function::gamma::gamma_ur;

use super::distance::Distances;

/// Terms of Kolmogorov's series; four are enough.
const TERMS: i32 = 20;
/// Where one series of Kolmogorov's distribution is better than the other.
const MIDDLE: f64 = 1.0;

/// Distances of a histogram from another, and what chance says about them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The distances that charts know.
    pub distances: Distances,
    /// Chance of a Kolmogorov-Smirnov distance as large, without a change.
    pub kolmogorov_p: f64,
    /// Jensen-Shannon distance, base 2, in [0, 1].
    pub jensen_shannon_distance: f64,
    /// Wasserstein distance in bins.
    pub wasserstein: f64,
    /// Hellinger distance, in [0, 1].
    pub hellinger: f64,
    /// Total variation, in [0, 1].
    pub total_variation: f64,
    /// Pearson's chi-square of homogeneity.
    pub chi_square: f64,
    /// Its p-value; 1 where fewer than two bins hold anything.
    pub chi_square_p: f64,
}

impl Comparison {
    /// Of two histograms with the same bins; shares below `floor` count as that in PSI. Nothing where either is empty, or
    /// their bins are not as many.
    pub fn between(baseline: &[u64], current: &[u64], floor: f64) -> Option<Self> {
        let (m, n) = (baseline.iter().sum::<u64>() as f64, current.iter().sum::<u64>() as f64);
        if m <= 0.0 || n <= 0.0 || baseline.len() != current.len() {
            return None;
        }
        let distances = Distances::floored(baseline, current, floor);
        let (mut gap, mut wasserstein, mut squares, mut variation) = (0.0_f64, 0.0, 0.0, 0.0);
        let (mut chi_square, mut held) = (0.0, 0_u32);
        for (b, c) in baseline.iter().zip(current).map(|(b, c)| (*b as f64, *c as f64)) {
            let (share_b, share_c) = (b / m, c / n);
            squares += (share_b.sqrt() - share_c.sqrt()).powi(2);
            variation += (share_b - share_c).abs();
            gap += share_c - share_b;
            wasserstein += gap.abs();
            if b + c > 0.0 {
                held += 1;
                for (count, size) in [(b, m), (c, n)] {
                    let expected = (b + c) * size / (m + n);
                    chi_square += (count - expected).powi(2) / expected;
                }
            }
        }
        let chi_square_p =
            if held < 2 || chi_square <= 0.0 { 1.0 } else { gamma_ur(f64::from(held - 1) / 2.0, chi_square / 2.0) };
        Some(Self {
            distances,
            kolmogorov_p: kolmogorov_p((m * n / (m + n)).sqrt() * distances.kolmogorov_smirnov),
            jensen_shannon_distance: (distances.jensen_shannon / std::f64::consts::LN_2).max(0.0).sqrt(),
            wasserstein,
            hellinger: (squares / 2.0).sqrt(),
            total_variation: variation / 2.0,
            chi_square,
            chi_square_p,
        })
    }
}

/// The chance that Kolmogorov's limiting statistic exceeds x.
fn kolmogorov_p(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x < MIDDLE {
        // The other form of the same theta function, quick where x is small.
        let pi = std::f64::consts::PI;
        let below = (1..=TERMS).map(|k| (-f64::from(2 * k - 1).powi(2) * pi * pi / (8.0 * x * x)).exp()).sum::<f64>();
        return 1.0 - (2.0 * pi).sqrt() / x * below;
    }
    let sign = |k: i32| if k % 2 == 1 { 2.0 } else { -2.0 };
    (1..=TERMS).map(|k| sign(k) * (-2.0 * f64::from(k * k) * x * x).exp()).sum::<f64>().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= 1e-9 * wanted.abs(), "found {found}, wanted {wanted}");
    }

    #[test]
    fn equals_scipy() {
        let found = Comparison::between(&[500, 0, 300, 200], &[400, 100, 0, 500], 1e-4).unwrap();
        close(found.kolmogorov_p, 1.638_802_524_798_056_6e-39);
        close(found.jensen_shannon_distance, 0.501_919_888_104_146_8);
        close(found.wasserstein, 0.4);
        close(found.hellinger, 0.486_372_941_767_121_87);
        close(found.total_variation, 0.4);
        close(found.chi_square, 539.682_539_682_539_6);
        close(found.chi_square_p, 1.197_394_505_044_691e-116);
        let alike = Comparison::between(&[100, 200, 300, 250, 150], &[110, 190, 310, 240, 150], 1e-4).unwrap();
        close(alike.kolmogorov_p, 0.999_999_999_784_315_9);
        close(alike.chi_square_p, 0.894_174_332_871_962_7);
    }

    #[test]
    fn the_two_series_join() {
        // Smirnov's table: 1.36 has 0.0505, 0.5 has 0.9639.
        assert!((kolmogorov_p(1.36) - 0.0494).abs() < 2e-4 && (kolmogorov_p(0.5) - 0.9639).abs() < 1e-4);
        assert!((kolmogorov_p(MIDDLE - 1e-9) - kolmogorov_p(MIDDLE)).abs() < 1e-8);
    }

    #[test]
    fn the_same_and_nothing() {
        let same = Comparison::between(&[3, 0, 5], &[3, 0, 5], 1e-4).unwrap();
        assert_eq!((same.kolmogorov_p, same.chi_square_p, same.wasserstein, same.hellinger), (1.0, 1.0, 0.0, 0.0));
        assert_eq!(Comparison::between(&[7], &[3], 1e-4).unwrap().chi_square_p, 1.0);
        assert_eq!(Comparison::between(&[0, 0], &[1, 2], 1e-4), None);
        assert_eq!(Comparison::between(&[1, 2], &[1, 2, 3], 1e-4), None);
    }
}
