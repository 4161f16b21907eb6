//! The Bernoulli CUSUM on an integer lattice.
//!
//! **Definition.** S <- max(0, S + a) on a hit, max(0, S - b) on a miss; a = ln(p1/p0), b = ln((1-p0)/(1-p1)). Page
//! (1954); for Bernoulli data Reynolds & Stoumbos (1999); minimax for its own p1 (Moustakides 1986). Weights are whole
//! multiples of 2^-20 nats, so the state is the same bit for bit on every machine and no order of additions matters.
//!
//! **Classical constants.** p1 = p0 + the change that matters; the limit comes from `design::bernoulli`.
//!
//! **Bad at.** Changes far larger than its own: 10 points with a 2-point chart takes 143 labels, the best possible 104.

use serde::{Deserialize, Serialize};

use super::design::bernoulli::{LATTICE, lattice_weights};
use crate::engine::units::Counts;

/// One CUSUM: its two weights and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatticeCusum {
    up: i64,
    down: i64,
    sum: i64,
}

impl LatticeCusum {
    /// The chart of p0 -> p1 at 0. With p1 <= p0 there is no such change, and the chart stays at 0.
    pub fn new(p0: f64, p1: f64) -> Self {
        let (up, down) = if p1 > p0 { lattice_weights(p0, p1) } else { (0, 0) };
        Self { up, down, sum: 0 }
    }

    /// Takes one case and returns the statistic in lattice units.
    pub const fn update(&mut self, hit: bool) -> i64 {
        let next = if hit { self.sum.saturating_add(self.up) } else { self.sum - self.down };
        self.sum = if next > 0 { next } else { 0 };
        self.sum
    }

    /// Takes cases that belong together, in no order, and returns the statistic in lattice units.
    pub fn update_counts(&mut self, counts: Counts) -> i64 {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (hits, misses) = (whole(counts.hits), whole(counts.n.saturating_sub(counts.hits)));
        let gain = self.up.saturating_mul(hits).saturating_sub(self.down.saturating_mul(misses));
        self.sum = self.sum.saturating_add(gain).max(0);
        self.sum
    }

    /// Raises the statistic to a head start, in lattice units, where it is below.
    pub fn raise_to(&mut self, start: i64) {
        self.sum = self.sum.max(start);
    }

    /// The statistic in lattice units.
    pub const fn sum(&self) -> i64 {
        self.sum
    }

    /// The statistic in nats.
    pub fn value(&self) -> f64 {
        self.sum as f64 / LATTICE
    }

    /// Back to 0.
    pub const fn reset(&mut self) {
        self.sum = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::lcg_errors;
    use super::*;

    #[test]
    fn follows_the_reference_trajectory() {
        // 6,000 cases at 8 %, then 10 %; values of a float recursion in another language.
        let mut chart = LatticeCusum::new(0.08, 0.10);
        let mut alarm = None;
        for (i, error) in lcg_errors(42, (6_000, 0.08), (6_000, 0.10)).enumerate() {
            chart.update(error);
            if chart.value() >= 3.869_091_025_352_479 && alarm.is_none() {
                alarm = Some(i + 1);
            }
            match i + 1 {
                1_000 => assert!((chart.value() - 0.339_747_053_161).abs() < 1e-3),
                6_000 => assert_eq!(chart.value(), 0.0),
                12_000 => assert!((chart.value() - 26.786_726_754_845).abs() < 5e-3),
                _ => {}
            }
        }
        assert_eq!(alarm, Some(6_449));
    }

    #[test]
    fn no_change_to_find_means_no_movement() {
        let mut chart = LatticeCusum::new(0.999, 0.999);
        assert_eq!((0..1_000).map(|_| chart.update(true)).max(), Some(0));
    }

    proptest! {
        #[test]
        fn a_batch_is_one_step_and_never_above_its_cases(
            start in 0_i64..5_000_000,
            batch in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let mut one_by_one = LatticeCusum::new(0.08, 0.10);
            one_by_one.raise_to(start);
            let mut at_once = one_by_one;
            let mut counts = Counts::default();
            for hit in batch {
                one_by_one.update(hit);
                counts.add(hit);
            }
            at_once.update_counts(counts);
            let hits = counts.hits as i64;
            let wanted = start + hits * at_once.up - (counts.n as i64 - hits) * at_once.down;
            prop_assert_eq!(at_once.sum(), wanted.max(0));
            prop_assert!(at_once.sum() <= one_by_one.sum());
        }
    }
}
