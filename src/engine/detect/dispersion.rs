//! How much more batches of cases differ than chance: overdispersion, and Laney's p' chart.
//!
//! **Definition.** z_i = (x_i / n_i - p) / sqrt(p q / n_i) with p the share over all batches; sigma_z = mean |z_i - z_(i-1)|
//! / 1.128, the moving range of neighbours, which a slow drift hardly touches; phi = sigma_z^2. Limits of the p' chart
//! are p +- 3 sigma_z sqrt(p q / n_i). Pearson's phi, the sum of z_i^2 / (k - 1), counts slow drift too.
//!
//! **Source.** Laney (2002), Improved control charts for attributes; Pearson's statistic: McCullagh & Nelder (1989), 4.5.
//!
//! **Classical constants.** d2 = 1.128 for ranges of two; 3 sigma.
//!
//! **Bad at.** Few batches: with 30, the estimate is off by a fifth either way. Batches that follow each other closely
//! in level (a drift, a daily cycle) differ little from their neighbours: sigma_z is then too small, Pearson's phi not.

use serde::{Deserialize, Serialize};
use statrs::function::gamma::gamma_ur;

use crate::engine::units::Counts;

/// Chance below which a spread is taken as more than chance. Small, as several widths of batches are looked at, and a spread
/// that is none slows every later alarm.
const SIGNIFICANT: f64 = 0.01;
/// Mean range of two standard normal values.
const D2: f64 = 1.128;

/// What batches say about their spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispersion {
    /// Share over all batches, in [0, 1].
    pub centre: f64,
    /// Spread of the standardised shares by moving ranges; 1 is binomial.
    pub sigma_z: f64,
    /// Variance of the standardised shares about the centre; 1 is binomial.
    pub pearson: f64,
    /// Correlation of the standardised shares of neighbouring batches, in [-1, 1].
    pub lag: f64,
    /// Batches that it rests on.
    pub batches: u64,
}

impl Dispersion {
    /// From batches in the order of time; empty ones say nothing. Nothing with fewer than two batches, or where all
    /// cases are alike (then nothing could differ).
    pub fn estimate(batches: &[Counts]) -> Option<Self> {
        let mut all = Counts::default();
        for batch in batches {
            all.merge(*batch);
        }
        let centre = all.share().filter(|p| *p > 0.0 && *p < 1.0)?;
        let (mut ranges, mut squares, mut products, mut count) = (0.0, 0.0, 0.0, 0_u64);
        let mut before: Option<f64> = None;
        for batch in batches.iter().filter(|batch| batch.n > 0) {
            let z = standardised(*batch, centre);
            squares += z * z;
            ranges += before.map_or(0.0, |before| (z - before).abs());
            products += before.map_or(0.0, |before| z * before);
            before = Some(z);
            count += 1;
        }
        let pairs = count.checked_sub(1).filter(|pairs| *pairs > 0)? as f64;
        let lag = if squares > 0.0 { (products / squares).clamp(-1.0, 1.0) } else { 0.0 };
        Some(Self { centre, sigma_z: ranges / pairs / D2, pearson: squares / pairs, lag, batches: count })
    }

    /// Whether chance alone would give batches that differ so much in fewer than 1 of 100 cases: Pearson's statistic against
    /// its chi-square distribution.
    pub fn is_significant(&self) -> bool {
        let freedom = self.batches.saturating_sub(1) as f64;
        let statistic = self.pearson * freedom;
        statistic > 0.0 && statistic.is_finite() && gamma_ur(freedom / 2.0, statistic / 2.0) < SIGNIFICANT
    }

    /// The correlation of neighbours where it exceeds what chance gives in 97.5 of 100 cases (2 / sqrt(batches)), else 0.
    pub fn significant_lag(&self) -> f64 {
        if self.lag > 2.0 / (self.batches as f64).sqrt() { self.lag } else { 0.0 }
    }

    /// Laney's limits for a batch of `n` cases at `width` sigmas, not cut to [0, 1].
    pub fn limits(&self, n: u64, width: f64) -> (f64, f64) {
        let half = width * self.sigma_z * (self.centre * (1.0 - self.centre) / n.max(1) as f64).sqrt();
        (self.centre - half, self.centre + half)
    }
}

/// The share of a batch in binomial standard deviations from `p`, which lies strictly between 0 and 1.
pub fn standardised(batch: Counts, p: f64) -> f64 {
    let n = batch.n as f64;
    (batch.hits as f64 - n * p) / (n * p * (1.0 - p)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Xorshift;
    use super::*;

    #[test]
    fn equals_the_definition_by_hand() {
        let batch = |hits, n| Counts { hits, n };
        let found = Dispersion::estimate(&[batch(5, 50), batch(0, 0), batch(15, 100), batch(5, 50)]).unwrap();
        // p = 25/200; z = -0.5345, 0.7559, -0.5345.
        assert_eq!((found.centre, found.batches), (0.125, 3));
        let z = [-1.25 / (50.0_f64 * 0.109_375).sqrt(), 2.5 / (100.0_f64 * 0.109_375).sqrt()];
        assert!((found.sigma_z - (z[1] - z[0]) / 1.128).abs() < 1e-12);
        assert!((found.pearson - (z[0] * z[0] + 0.5 * z[1] * z[1])).abs() < 1e-12);
        let (low, high) = found.limits(100, 3.0);
        assert!((f64::midpoint(low, high) - 0.125).abs() < 1e-12 && high > 0.125);
    }

    #[test]
    fn chance_is_rarely_taken_for_more_and_twice_chance_rarely_for_chance() {
        let mut random = Xorshift::new(4);
        let found = |day_sd: f64, random: &mut Xorshift| {
            let batches: Vec<Counts> = (0..60)
                .map(|_| {
                    let p = 0.1 + day_sd * random.normal();
                    let mut counts = Counts::default();
                    (0..200).for_each(|_| counts.add(random.hit(p)));
                    counts
                })
                .collect();
            Dispersion::estimate(&batches).unwrap().is_significant()
        };
        let by_chance = (0..2_000).filter(|_| found(0.0, &mut random)).count();
        // 20 are expected, with a standard deviation of 4.5.
        assert!((7..=33).contains(&by_chance), "{by_chance} of 2000");
        // phi = 1 + 199 * 0.0213^2 / 0.09 = 2.
        let real = (0..500).filter(|_| found(0.0213, &mut random)).count();
        assert!(real > 440, "{real} of 500");
    }

    #[test]
    fn says_nothing_where_nothing_could_differ() {
        let batch = |hits, n| Counts { hits, n };
        assert_eq!(Dispersion::estimate(&[]), None);
        assert_eq!(Dispersion::estimate(&[batch(3, 10), batch(0, 0)]), None);
        assert_eq!(Dispersion::estimate(&[batch(0, 10), batch(0, 10)]), None);
        assert_eq!(Dispersion::estimate(&[batch(10, 10), batch(10, 10)]), None);
    }
}
