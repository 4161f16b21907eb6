//! Two classical statistics of a row of cases, without limits and without an end: for drawing and for comparison.
//!
//! **Definition.** Shiryaev-Roberts: R <- (1 + R) L, L the likelihood ratio of p1 against p0 (Shiryaev 1963, Roberts 1966); the
//! charts' [`Mixture`](super::Mixture) is a mean of such, cut off where no limit lies any more. GLR: the largest, over all
//! times of a change to any level above p0, of n KL(share since then, p0) (Siegmund & Venkatraman 1995); the stored
//! counts of `history` give nearly the same from bounded memory.
//!
//! **Classical constants.** Shiryaev-Roberts: alarm at ARL0 itself, which is then a lower bound.
//!
//! **Bad at.** Alarms by the GLR: four hits in a row give ten nats, so its limit must be high and the delay doubles.

/// The Shiryaev-Roberts statistic of one change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiryaevRoberts {
    on_hit: f64,
    on_miss: f64,
    statistic: f64,
}

impl ShiryaevRoberts {
    /// From p0 to p1, both in (0, 1), at 0.
    pub fn new(p0: f64, p1: f64) -> Self {
        Self { on_hit: p1 / p0, on_miss: (1.0 - p1) / (1.0 - p0), statistic: 0.0 }
    }

    /// Takes a case and returns the statistic.
    pub fn update(&mut self, hit: bool) -> f64 {
        self.statistic = (1.0 + self.statistic) * if hit { self.on_hit } else { self.on_miss };
        self.statistic
    }
}

/// The generalised likelihood ratio of a rise above p0 at any time of `cases`, which are in order, in nats; 0 where no
/// stretch up to the last one lies above p0.
pub fn glr_rise(cases: &[bool], p0: f64) -> f64 {
    let (mut hits, mut n, mut most) = (0.0, 0.0, 0.0_f64);
    for hit in cases.iter().rev() {
        n += 1.0;
        hits += f64::from(u8::from(*hit));
        let p: f64 = hits / n;
        if p > p0 {
            let misses = n - hits;
            let rest = if misses > 0.0 { misses * ((1.0 - p) / (1.0 - p0)).ln() } else { 0.0 };
            most = most.max(hits * (p / p0).ln() + rest);
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::super::Mixture;
    use super::super::testing::lcg_errors;
    use super::*;

    #[test]
    fn follow_the_reference_trajectory() {
        let cases: Vec<bool> = lcg_errors(42, (6_000, 0.08), (6_000, 0.10)).collect();
        let mut chart = ShiryaevRoberts::new(0.08, 0.10);
        let last = cases.iter().fold(0.0, |_, hit| chart.update(*hit));
        assert!((last / 94_553_401_362_926.39 - 1.0).abs() < 1e-9, "{last}");
        for (n, wanted) in [(1_000, 0.717_808_307_417_048), (6_000, 0.0), (12_000, 28.830_365_641_178_93)] {
            assert!((glr_rise(&cases[..n], 0.08) - wanted).abs() < 1e-9, "{n}");
        }
    }

    #[test]
    fn is_the_mixture_of_one() {
        let (mut one, mut mixture) = (ShiryaevRoberts::new(0.05, 0.07), Mixture::guaranteed(0.05, &[0.02], 1e4));
        for hit in lcg_errors(5, (2_000, 0.05), (0, 0.0)) {
            assert!((one.update(hit) / mixture.update(hit) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn four_hits_in_a_row_and_none() {
        assert!((glr_rise(&[false, true, true, true, true], 0.08) - 4.0 * (1.0 / 0.08_f64).ln()).abs() < 1e-12);
        assert_eq!([glr_rise(&[], 0.08), glr_rise(&[false; 9], 0.08), glr_rise(&[true], 1.0)], [0.0; 3]);
        assert_eq!(glr_rise(&[true], 0.0), f64::INFINITY);
    }
}
