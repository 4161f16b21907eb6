//! The mixture Shiryaev-Roberts e-detector ("e-SR") for a proportion.
//!
//! **Definition.** R_k <- (1 + R_k) L_k from r_k, L_k the likelihood ratio of p1_k against p0; alarm when M, the weighted mean
//! of R_k, reaches A. M - n is a supermartingale under any sequence whose conditional rate is at most p0, so the average
//! run length is at least A - r, r the mean of r_k, with nothing to calibrate. A batch of n cases with x hits makes
//! R_k <- (n + R_k) L_k of all of them: M - n stays what it was, and order within the batch cannot matter. Shiryaev (1963), Roberts
//! (1966); mixtures: Pollak (1987); head starts r_k (SR-r): Moustakides, Polunchenko & Tartakovsky (2011); e-detectors: Shin,
//! Ramdas & Rinaldo (2022, arXiv 2203.03532).
//!
//! **The promise.** [`Mixture::guaranteed`] takes A = ARL0: at least the promise, in fact 1.1 to 3 times as much.
//! [`Mixture::designed`], the default alarm, takes the A whose ARL0 is the promise (`design::sr`), within 3 % for independent
//! cases of a known p0. For cases below p0, and for batches, the ARL is longer.
//!
//! **Overdispersion.** With phi above 1 every L_k is taken to the power 1 / phi ("tempered"). For batches whose shares vary phi
//! times as much as chance that is nearly a martingale again: with 100 to 2,000 cases a day and phi of 1.1 to 1.7 the
//! simulated ARL0 is 1.0 to 2 times the promise (`cargo bench --bench detection`).
//!
//! **Classical constants.** A, r_k, the arms and their weights: see `design::sr`. Within 10 % of the CUSUM that knows the drop,
//! for drops of half delta to 5 delta.
//!
//! **Bad at.** Batches whose rate wanders above p0 where phi is not given. Hits so rare that two make an alarm.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::design::DesignCache;
use super::design::sr::{CAP, MixtureDesign};
use crate::engine::units::Counts;

/// Where R_k stops growing: beyond every promise, and far from overflow.
const SATURATION: f64 = 1e15;

/// One size of change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Arm {
    on_hit: f64,
    on_miss: f64,
    weight: f64,
    start: f64,
    r: f64,
}

/// Those of the charts in use stand beside the statistic: every sample looks at all of them.
type Arms = SmallVec<[Arm; 4]>;

/// The mixture over several sizes of change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    arms: Arms,
    limit: f64,
    statistic: f64,
    /// What the limit was calibrated from; nothing where it is the promise itself.
    design: Option<MixtureDesign>,
}

impl Mixture {
    /// The alarm's mixture, calibrated, with head starts. At p0 = 0.999 and above no change is left to find: the mixture is
    /// empty and stays at 0.
    pub fn designed(design: &MixtureDesign, cache: &mut DesignCache) -> Self {
        let mut mixture = Self { arms: Arms::new(), limit: f64::INFINITY, statistic: 0.0, design: Some(*design) };
        mixture.redesign(design.arl0, cache);
        mixture.reset();
        mixture
    }

    /// The mixture of the changes from p0 to p0 + drop, equally weighted, from 0, with A = `arl0`: its promise is kept
    /// without calibration.
    pub fn guaranteed(p0: f64, drops: &[f64], arl0: f64) -> Self {
        let levels = drops.iter().filter(|drop| (p0 + **drop).min(CAP) > p0).count();
        let weight = 1.0 / levels.max(1) as f64;
        let arms: Vec<(f64, f64)> = drops.iter().map(|drop| (*drop, weight)).collect();
        Self::weighted(p0, &arms, arl0)
    }

    /// The same of changes with weights of their own, which should add up to 1: pairs of a drop and its weight.
    pub fn weighted(p0: f64, drops: &[(f64, f64)], arl0: f64) -> Self {
        let levels = drops.iter().map(|(drop, weight)| ((p0 + drop).min(CAP), *weight)).filter(|(p1, _)| *p1 > p0);
        let arm = |(p1, weight): (f64, f64)| Arm {
            on_hit: p1 / p0,
            on_miss: (1.0 - p1) / (1.0 - p0),
            weight,
            start: 0.0,
            r: 0.0,
        };
        Self { arms: levels.map(arm).collect(), limit: arl0, statistic: 0.0, design: None }
    }

    /// Every likelihood ratio to the power 1 / `phi`, for batches that differ so many times as much as chance.
    #[must_use]
    pub fn tempered(mut self, phi: f64) -> Self {
        for arm in &mut self.arms {
            arm.on_hit = arm.on_hit.powf(phi.max(1.0).recip());
            arm.on_miss = arm.on_miss.powf(phi.max(1.0).recip());
        }
        self
    }

    /// Changes the promise: the limit, and where the next restart begins. What was learnt stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        let Some(design) = &mut self.design else {
            self.limit = arl0;
            return;
        };
        design.arl0 = arl0;
        self.limit = cache.mixture_limit(design);
        let Some(arms) = design.arms() else { return };
        let mut old = self.arms.iter().map(|arm| arm.r);
        self.arms = arms
            .iter()
            .map(|arm| Arm {
                on_hit: arm.on_hit,
                on_miss: arm.on_miss,
                weight: arm.weight,
                start: arm.start,
                r: old.next().unwrap_or(arm.start),
            })
            .collect();
    }

    /// Takes one case and returns the statistic.
    pub fn update(&mut self, hit: bool) -> f64 {
        let mut sum = 0.0;
        for arm in &mut self.arms {
            let ratio = if hit { arm.on_hit } else { arm.on_miss };
            arm.r = ((1.0 + arm.r) * ratio).min(SATURATION);
            sum += arm.weight * arm.r;
        }
        self.statistic = sum;
        sum
    }

    /// Takes cases that belong together, in no order, and returns the statistic.
    pub fn update_counts(&mut self, counts: Counts) -> f64 {
        match counts.n {
            0 => return self.statistic,
            1 => return self.update(counts.hits > 0),
            _ => {}
        }
        let (hits, misses) = (counts.hits as f64, counts.n.saturating_sub(counts.hits) as f64);
        let mut sum = 0.0;
        for arm in &mut self.arms {
            let log = hits * arm.on_hit.ln() + misses * arm.on_miss.ln();
            // As a logarithm, because the product of many likelihood ratios overflows long before the statistic should.
            arm.r = ((arm.r + counts.n as f64).ln() + log).exp().min(SATURATION);
            sum += arm.weight * arm.r;
        }
        self.statistic = sum;
        sum
    }

    /// The statistic M.
    pub const fn statistic(&self) -> f64 {
        self.statistic
    }

    /// The limit A.
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    /// Whether the statistic has reached its limit.
    pub const fn is_out(&self) -> bool {
        self.statistic >= self.limit
    }

    /// Back to the head start.
    pub fn reset(&mut self) {
        self.statistic = 0.0;
        for arm in &mut self.arms {
            arm.r = arm.start;
            self.statistic += arm.weight * arm.r;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Xorshift, lcg_errors};
    use super::*;

    const DROPS: [f64; 6] = [0.01, 0.02, 0.03, 0.05, 0.08, 0.12];

    fn designed(p0: f64, delta: f64, phi: f64, arl0: f64) -> Mixture {
        Mixture::designed(&MixtureDesign { p0, delta, phi, arl0 }, &mut DesignCache::new())
    }

    #[test]
    fn one_arm_follows_the_reference_trajectory() {
        let mut chart = Mixture::guaranteed(0.08, &[0.02], 20_000.0);
        let mut alarm = None;
        for (i, error) in lcg_errors(42, (6_000, 0.08), (6_000, 0.10)).enumerate() {
            chart.update(error);
            if chart.is_out() && alarm.is_none() {
                alarm = Some(i + 1);
            }
            let wanted = match i + 1 {
                1_000 => 357.895_004_933_580_3,
                6_000 => 109.777_681_996_405_46,
                12_000 => 94_553_401_362_926.39,
                _ => continue,
            };
            assert!((chart.statistic() / wanted - 1.0).abs() < 1e-9, "{}", chart.statistic());
        }
        assert_eq!(alarm, Some(6_461));
    }

    /// Mean run length over `runs` runs at `p`, and its standard error.
    fn run_length(fresh: &Mixture, p: f64, runs: u32, random: &mut Xorshift) -> (f64, f64) {
        let (mut total, mut squares) = (0.0, 0.0);
        for _ in 0..runs {
            let mut chart = fresh.clone();
            let mut n = 0.0;
            while !chart.is_out() {
                chart.update(random.hit(p));
                n += 1.0;
            }
            total += n;
            squares += n * n;
        }
        let runs = f64::from(runs);
        let mean = total / runs;
        (mean, ((squares / runs - mean * mean) / runs).sqrt())
    }

    #[test]
    fn simulated_run_lengths_equal_the_reference() {
        // (p0, A, true p, published mean): a Monte Carlo of 20,000 runs elsewhere; here 2,000, so 4 standard errors.
        let mut random = Xorshift::new(20_260_101);
        for (p0, limit, p, wanted) in
            [(0.08, 1_000.0, 0.08, 1_173.547_2), (0.08, 1_000.0, 0.13, 176.915_1), (0.03, 5_000.0, 0.05, 528.470_2)]
        {
            let (mean, error) = run_length(&Mixture::guaranteed(p0, &DROPS, limit), p, 2_000, &mut random);
            assert!((mean - wanted).abs() < 4.0 * error, "{p0} {limit} {p}: {mean} +- {error}, wanted {wanted}");
        }
    }

    #[test]
    fn calibrated_run_lengths_are_the_promise() {
        // E[T] = E[M_T] - r holds exactly, and M_T varies far less than T: 300 runs tell 2 %. Where a hit multiplies by
        // a lot, M_T varies as much as T.
        let mut random = Xorshift::new(20_261_124);
        for (p0, delta, arl0, runs, tolerance) in [
            (0.08, 0.02, 20_000.0, 200, 0.03),
            (0.08, 0.005, 2_000.0, 200, 0.03),
            (0.3, 0.05, 2_000.0, 1_000, 0.03),
            (0.02, 0.02, 1_000.0, 2_000, 0.04),
            (0.01, 0.05, 2_000.0, 10_000, 0.05),
            (0.005, 0.1, 2_000.0, 3_000, 0.05),
        ] {
            let fresh = designed(p0, delta, 1.0, arl0);
            let mut sum = 0.0;
            for _ in 0..runs {
                let mut chart = fresh.clone();
                while !chart.is_out() {
                    chart.update(random.hit(p0));
                }
                sum += chart.statistic();
            }
            let mean = sum / f64::from(runs) - fresh.statistic();
            assert!((mean / arl0 - 1.0).abs() < tolerance, "{p0} {delta} {arl0}: {mean}");
        }
    }

    #[test]
    fn batches_keep_the_promise() {
        let mut random = Xorshift::new(6);
        let fresh = designed(0.08, 0.02, 1.0, 2_000.0);
        let mut total = 0;
        for _ in 0..1_000 {
            let mut chart = fresh.clone();
            while !chart.is_out() {
                let mut counts = Counts::default();
                (0..20).for_each(|_| counts.add(random.hit(0.08)));
                chart.update_counts(counts);
                total += counts.n;
            }
        }
        assert!(total > 2_000 * 1_000, "{total}");
    }

    #[test]
    fn a_new_promise_keeps_what_was_learnt() {
        let mut cache = DesignCache::new();
        let mut random = Xorshift::new(1);
        let mut chart = designed(0.08, 0.02, 1.0, 1_000.0);
        (0..300).for_each(|_| _ = chart.update(random.hit(0.1)));
        let (before, limit) = (chart.clone(), chart.limit());
        chart.redesign(50_000.0, &mut cache);
        assert_eq!(chart.statistic(), before.statistic());
        assert!(chart.limit() > 40.0 * limit);
        chart.redesign(1_000.0, &mut cache);
        assert_eq!(chart, before);
        let mut plain = Mixture::guaranteed(0.08, &DROPS, 1_000.0);
        plain.redesign(2_000.0, &mut cache);
        assert_eq!(plain.limit(), 2_000.0);
    }

    #[test]
    fn a_restart_begins_with_the_head_start() {
        let fresh = designed(0.08, 0.02, 1.0, 20_000.0);
        assert!(fresh.statistic() > 100.0 && fresh.statistic() < 2_000.0, "{}", fresh.statistic());
        let mut chart = fresh.clone();
        (0..100).for_each(|n| _ = chart.update(n % 3 == 0));
        chart.reset();
        assert_eq!(chart, fresh);
    }

    #[test]
    fn a_tempered_chart_is_slower_in_both_directions() {
        let (plain, tempered) = (designed(0.08, 0.02, 1.0, 2_000.0), designed(0.08, 0.02, 1.5, 2_000.0));
        let mut random = Xorshift::new(9);
        let (found, _) = run_length(&tempered, 0.08, 300, &mut random);
        assert!(found > 2_000.0, "{found}");
        let (slow, _) = run_length(&tempered, 0.13, 300, &mut random);
        let (fast, _) = run_length(&plain, 0.13, 300, &mut random);
        assert!(slow > fast && slow < 2.0 * fast, "{slow} {fast}");
    }

    #[test]
    fn what_was_rounded_is_forgotten() {
        // Two charts that differ by far more than rounding ever adds are one after a while: errors of a billion updates do
        // not add up, only those of the last few thousand are there.
        let mut random = Xorshift::new(77);
        let mut chart = designed(0.08, 0.02, 1.0, 1e9);
        (0..500).for_each(|_| _ = chart.update(random.hit(0.08)));
        let mut off = chart.clone();
        off.arms.iter_mut().for_each(|arm| arm.r *= 1.0 + 1e-6);
        for _ in 0..100_000 {
            let hit = random.hit(0.08);
            chart.update(hit);
            off.update(hit);
        }
        assert!((off.statistic() / chart.statistic() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn saturates_and_recovers() {
        for mut chart in [Mixture::guaranteed(1e-6, &DROPS, 20_000.0), designed(1e-6, 0.02, 1.0, 20_000.0)] {
            for _ in 0..100_000 {
                assert!(chart.update(true).is_finite());
            }
            assert!(chart.statistic() <= SATURATION * 1.000_001);
            for _ in 0..100_000 {
                chart.update(false);
            }
            assert!(chart.statistic() < 1_000.0);
            let flood = Counts { hits: u64::MAX / 2, n: u64::MAX };
            assert!(chart.update_counts(flood).is_finite());
            let calm = Counts { hits: 0, n: u64::MAX };
            assert!(chart.update_counts(calm) < 1.0);
        }
    }

    proptest! {
        #[test]
        fn order_within_a_batch_does_not_matter(
            (batch, shuffled) in prop::collection::vec(any::<bool>(), 1..60)
                .prop_flat_map(|batch| (Just(batch.clone()), Just(batch).prop_shuffle())),
        ) {
            let counts = |batch: &[bool]| {
                let mut counts = Counts::default();
                for hit in batch {
                    counts.add(*hit);
                }
                counts
            };
            let fresh = designed(0.08, 0.02, 1.2, 20_000.0);
            let (mut one, mut other) = (fresh.clone(), fresh.clone());
            one.update_counts(counts(&batch));
            other.update_counts(counts(&shuffled));
            prop_assert_eq!(&one, &other);
            // By the definition: (n + R) times the likelihood ratios one after the other.
            let mut wanted = 0.0;
            for arm in &fresh.arms {
                let product = shuffled.iter().fold(1.0, |product, hit| product * if *hit { arm.on_hit } else { arm.on_miss });
                wanted += arm.weight * (arm.r + shuffled.len() as f64) * product;
            }
            prop_assert!((one.statistic() / wanted - 1.0).abs() < 1e-9);
        }
    }
}
