//! A bank of Bernoulli CUSUMs, each tuned to its own size of change, with one promise.
//!
//! **Definition.** CUSUMs of p0 -> p0 + d for d = 1/2, 1, 5/2 and 5 delta; the bank alarms when any of them does. Each has the
//! limit of a run length of 4 ARL0, as the rates of false alarms add up: 1/ARL0 = sum of 1/ARL0_k. Lorden (1971) for the
//! idea of several CUSUMs at once; Han & Tsung (2005) for dual ones; each chart as in `cusum`.
//!
//! **The promise.** Kept, and more than kept: the four alarm together more often than not. Simulated at p0 = 0.08 and ARL0
//! 2,000 the run length is 2.3 times the promise (standard error 0.06; `the_promise_is_kept`).
//!
//! **Overdispersion.** With phi above 1 the limits are those of `DesignCache::bernoulli_limit` for that phi.
//!
//! **Classical constants.** The sizes: neighbours differ by a factor of 2 to 2.5, so that no size is far from one.
//!
//! **Bad at.** What the mixture (`esr`) is bad at, and 10 to 15 % slower, as adding up rates allows for more false alarms than
//! there are. It is there for those who want plain CUSUMs for every size.

use serde::{Deserialize, Serialize};

use super::cusum::LatticeCusum;
use super::design::DesignCache;
use crate::engine::units::Counts;

/// Sizes of change in units of delta.
const SIZES: [f64; 4] = [0.5, 1.0, 2.5, 5.0];

/// One CUSUM of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    chart: LatticeCusum,
    limit: i64,
}

/// What a bank is designed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BankDesign {
    /// The in-control probability of a hit, in (0, 1).
    pub p0: f64,
    /// The rise that matters, in (0, 1].
    pub delta: f64,
    /// Variance of the counts in units of the binomial one, 1 and above.
    pub phi: f64,
    /// The promise: samples between false alarms, 1 and above.
    pub arl0: f64,
}

/// The bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CusumBank {
    members: Vec<Member>,
}

impl CusumBank {
    /// The bank at 0. Sizes that lead beyond `most` are left out; without any, the bank stays at 0.
    pub fn new(design: &BankDesign, most: f64, cache: &mut DesignCache) -> Self {
        let levels = SIZES.map(|size| design.p0 + size * design.delta);
        let within = levels.iter().filter(|p1| **p1 <= most);
        let members = within.map(|p1| Member { chart: LatticeCusum::new(design.p0, *p1), limit: i64::MAX }).collect();
        let mut bank = Self { members };
        bank.redesign(design, cache);
        bank
    }

    /// Solves the limits for another promise; the statistics stay.
    pub fn redesign(&mut self, design: &BankDesign, cache: &mut DesignCache) {
        let each = design.arl0 * self.members.len() as f64;
        for (member, size) in self.members.iter_mut().zip(SIZES) {
            member.limit = cache.bernoulli_limit(design.p0, design.p0 + size * design.delta, each, design.phi);
        }
    }

    /// Takes cases that belong together, in no order. Returns whether any member has reached its limit.
    pub fn update_counts(&mut self, counts: Counts) -> bool {
        let mut out = false;
        for Member { chart, limit } in &mut self.members {
            out |= chart.update_counts(counts) >= *limit;
        }
        out
    }

    /// The largest statistic in units of its limit: at 1 the bank alarms.
    pub fn statistic(&self) -> f64 {
        let shares = self.members.iter().map(|member| member.chart.sum() as f64 / member.limit as f64);
        shares.fold(0.0, f64::max)
    }

    /// Half the limit as a head start for every member (Lucas & Crosier 1982).
    pub fn head_start(&mut self) {
        for member in &mut self.members {
            member.chart.raise_to(member.limit / 2);
        }
    }

    /// Back to 0.
    pub fn reset(&mut self) {
        for member in &mut self.members {
            member.chart.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Xorshift;
    use super::*;

    fn bank(arl0: f64) -> CusumBank {
        CusumBank::new(&BankDesign { p0: 0.08, delta: 0.02, phi: 1.0, arl0 }, 0.999, &mut DesignCache::new())
    }

    /// Mean run length at `p` and its standard error.
    fn run_length(fresh: &CusumBank, p: f64, runs: u32, random: &mut Xorshift) -> (f64, f64) {
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..runs {
            let (mut chart, mut n) = (fresh.clone(), 1.0);
            while !chart.update_counts(Counts { hits: u64::from(random.hit(p)), n: 1 }) {
                n += 1.0;
            }
            sum += n;
            squares += n * n;
        }
        let mean = sum / f64::from(runs);
        (mean, ((squares / f64::from(runs) - mean * mean) / f64::from(runs)).sqrt())
    }

    #[test]
    fn the_promise_is_kept() {
        let (mean, error) = run_length(&bank(2_000.0), 0.08, 1_500, &mut Xorshift::new(12));
        assert!(mean > 2.0 * 2_000.0 && mean < 2.6 * 2_000.0, "{mean} +- {error}");
    }

    #[test]
    fn no_size_takes_much_longer_than_its_own_cusum() {
        // Zero-state delays of the CUSUM that knows the drop, at ARL0 20,000 (STATISTICS, section 1).
        let mut random = Xorshift::new(13);
        for (drop, best) in [(0.01, 2_841.0), (0.02, 1_176.0), (0.05, 315.0), (0.10, 111.0)] {
            let (mean, error) = run_length(&bank(20_000.0), 0.08 + drop, 600, &mut random);
            assert!(mean < 1.25 * best + 3.0 * error && mean > 0.9 * best, "{drop}: {mean} +- {error}, best {best}");
        }
    }

    #[test]
    fn a_head_start_is_half_way_and_a_level_of_always_has_no_members() {
        let mut chart = bank(20_000.0);
        chart.head_start();
        assert!((chart.statistic() - 0.5).abs() < 1e-5);
        chart.reset();
        assert_eq!(chart, bank(20_000.0));
        let design = BankDesign { p0: 0.999, delta: 0.02, phi: 1.0, arl0: 100.0 };
        let mut always = CusumBank::new(&design, 0.999, &mut DesignCache::new());
        assert!(!always.update_counts(Counts { hits: 1_000, n: 1_000 }));
        assert_eq!(always.statistic(), 0.0);
    }
}
