//! Run lengths of the mixture where hits are rare, for an octave of limits at once.
//!
//! **Definition.** Where a few hits make an alarm, the change of measure of [`super::sr`] is taken at the finite limit A:
//! 1 = r E_0[1/M_T] + ARL E[1/M_T], the first mean over changes at the start, the second over changes at a random time of
//! control, after which arm k with probability w_k is true. Both are integrals over gaps between hits, summed over a fixed
//! sequence of gaps, within 2 %. One pass gives the ARLs of sixteen limits, 2^(n/16), which serve every promise between
//! them that starts alike; it costs milliseconds, so [`Octaves`] keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::CAPACITY;
use super::draws::Draws;
use super::sr::ArmDesign;

/// Limits that one pass looks at side by side.
const LIMITS: usize = 16;

/// Hits simulated in a pass.
const HITS: u32 = 90_000;

/// Every which of them meets which arm: the first arm takes longest to its alarm, and overshoots least.
const TURNS: [u32; 3] = [4, 2, 1];

/// Two neighbouring limits whose ARLs differ by this factor and more have a step between them.
const JUMP: f64 = 1.1;

/// Hits between two times of change, on average.
const SPACING: f64 = 4.0;

/// Hits after which a path is left. It counts as if M were at the limit by then, the least that it can be at an alarm: so the
/// ARL comes out too short, and the limit too high. Paths of rare hits never come near.
const LONGEST: u32 = 10_000;

/// A mixture whose hits are rare.
pub(super) struct Rare {
    pub(super) p0: f64,
    pub(super) delta: f64,
    pub(super) arms: [ArmDesign; 3],
    /// The mean of the arms' starts.
    pub(super) head: f64,
}

/// Run lengths already computed: of p0, delta and head start, by octaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Octaves(BTreeMap<([u64; 3], i64), [f64; LIMITS]>);

impl Octaves {
    /// The least limit within these bounds whose ARL is `arl0`; the upper one is known to keep it.
    pub(super) fn limit(&mut self, rare: &Rare, arl0: f64, (low, high): (f64, f64)) -> f64 {
        if low >= high {
            return high;
        }
        // The n-th limit is 2^(n/16); the ARL grows with it.
        let (mut first, mut found) = ((nth(low)).floor() as i64, (nth(high)).ceil() as i64);
        let (mut below, mut reached) = (None, None);
        while first < found {
            // Rounded down, also below zero.
            let middle = first + (found - first) / 2;
            let arl = self.arl(rare, middle);
            if arl < arl0 {
                (first, below) = (middle + 1, Some(arl));
            } else {
                (found, reached) = (middle, Some(arl));
            }
        }
        // Where the ARL jumps from one limit to the next there is nothing between them to interpolate.
        let part = match (below, reached) {
            (Some(below), Some(reached)) if reached < JUMP * below => (arl0 - below) / (reached - below),
            _ => 1.0,
        };
        let (before, after) = (limit(found - 1), limit(found));
        (before + part * (after - before)).clamp(low, high)
    }

    fn arl(&mut self, rare: &Rare, n: i64) -> f64 {
        let (octave, place) = (n.div_euclid(LIMITS as i64), n.rem_euclid(LIMITS as i64));
        if self.0.len() >= CAPACITY {
            self.0.clear();
        }
        let key = ([rare.p0, rare.delta, rare.head].map(f64::to_bits), octave);
        let arls = self.0.entry(key).or_insert_with(|| {
            let limits = std::array::from_fn(|i| limit(octave * LIMITS as i64 + i as i64));
            Paths::new(rare.p0, &rare.arms, limits).arls(rare.head)
        });
        arls.get(place as usize).copied().unwrap_or(f64::INFINITY)
    }

    /// Octaves held.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn limit(n: i64) -> f64 {
    (n as f64 / LIMITS as f64).exp2()
}

fn nth(limit: f64) -> f64 {
    limit.log2() * LIMITS as f64
}

/// One arm, as paths need it.
#[derive(Clone, Copy)]
struct Strand {
    weight: f64,
    start: f64,
    on_hit: f64,
    ln_on_miss: f64,
    rest: f64,
    /// Logarithm of the probability of a miss where this arm is true.
    ln_miss: f64,
}

/// R of the three arms.
type State = [f64; 3];

/// The mixture from hit to hit, looked at with several limits side by side.
struct Paths {
    p0: f64,
    arms: [Strand; 3],
    limits: [f64; LIMITS],
    draws: Draws,
    hits: u32,
}

impl Paths {
    fn new(p0: f64, arms: &[ArmDesign; 3], limits: [f64; LIMITS]) -> Self {
        let arms = arms.map(|arm| Strand {
            weight: arm.weight,
            start: arm.start,
            on_hit: arm.on_hit,
            ln_on_miss: arm.on_miss.ln(),
            rest: arm.rest(),
            ln_miss: (-arm.p1).ln_1p(),
        });
        Self { p0, arms, limits, draws: Draws::new(), hits: 0 }
    }

    /// The ARL of every limit, where the arms' starts are `head` in the mean.
    fn arls(mut self, head: f64) -> [f64; LIMITS] {
        let start: State = self.arms.map(|arm| arm.start);
        let mut first = [0.0; LIMITS];
        let mut starts = 0;
        while head > 0.0 && self.hits < HITS / 8 {
            self.change((start, 0, starts), |arm| arm.weight * arm.start / head, &mut first);
            starts += 1;
        }
        let (sums, counts) = self.control(start);
        let mut arls = [0.0; LIMITS];
        for (((arl, first), sum), count) in arls.iter_mut().zip(first).zip(sums).zip(counts) {
            let first = first / f64::from(starts.max(1));
            // A limit below every state that was met was never alive: its ARL is shorter than any.
            *arl = if count > 0.0 { (1.0 - head * first) * count / sum } else { 0.0 };
        }
        arls
    }

    /// Lets the chart run in control and changes the level at random times: for every limit the sum of 1/M at its alarm,
    /// and how many changes met a chart that had not alarmed.
    fn control(&mut self, start: State) -> ([f64; LIMITS], [f64; LIMITS]) {
        let (mut sums, mut counts) = ([0.0; LIMITS], [0.0; LIMITS]);
        let ln_miss = (-self.p0).ln_1p();
        let (mut state, mut passed, mut turn) = (start, 0, 0);
        let mut next = self.pause();
        while self.hits < HITS {
            let gap = self.draws.misses(ln_miss);
            while next <= gap && self.hits < HITS {
                let mut at = state;
                self.misses(&mut at, next);
                self.change((at, passed, turn), |arm| arm.weight, &mut sums);
                counts.iter_mut().skip(passed).for_each(|count| *count += 1.0);
                turn += 1;
                next += 1.0 + self.pause();
            }
            next -= gap + 1.0;
            self.misses(&mut state, gap);
            let reached = self.hit(&mut state);
            passed += self.limits.iter().skip(passed).take_while(|limit| reached >= **limit).count();
            if passed == LIMITS {
                (state, passed) = (start, 0);
            }
        }
        (sums, counts)
    }

    /// Cases until the next time of change.
    fn pause(&mut self) -> f64 {
        (2.0 * SPACING / self.p0 * self.draws.uniform()).floor()
    }

    /// Changes the level to that of the arms whose turn it is, and adds 1/M at the alarm of every limit not yet `passed`.
    fn change(
        &mut self,
        (from, passed, turn): (State, usize, u32),
        share: impl Fn(&Strand) -> f64,
        sums: &mut [f64; LIMITS],
    ) {
        for (arm, every) in self.arms.into_iter().zip(TURNS).filter(|(_, every)| turn.is_multiple_of(*every)) {
            let (mut state, mut passed, weight) = (from, passed, share(&arm) * f64::from(every));
            for _ in 0..LONGEST {
                let gap = self.draws.misses(arm.ln_miss);
                self.misses(&mut state, gap);
                let reached = self.hit(&mut state);
                for (sum, _) in sums.iter_mut().zip(&self.limits).skip(passed).take_while(|(_, l)| reached >= **l) {
                    *sum += weight / reached;
                    passed += 1;
                }
                if passed == LIMITS {
                    break;
                }
            }
            sums.iter_mut().zip(&self.limits).skip(passed).for_each(|(sum, limit)| *sum += weight / limit);
        }
    }

    fn misses(&self, state: &mut State, count: f64) {
        for (r, arm) in state.iter_mut().zip(&self.arms) {
            *r = (*r - arm.rest) * (count * arm.ln_on_miss).exp() + arm.rest;
        }
    }

    fn hit(&mut self, state: &mut State) -> f64 {
        self.hits += 1;
        let mut sum = 0.0;
        for (r, arm) in state.iter_mut().zip(&self.arms) {
            *r = (1.0 + *r) * arm.on_hit;
            sum += arm.weight * *r;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Xorshift;
    use super::super::sr::MixtureDesign;
    use super::*;

    /// The ARL by simulation of the chart itself, from hit to hit, with its standard error.
    fn simulated(design: &MixtureDesign, limit: f64, hits: f64, random: &mut Xorshift) -> (f64, f64) {
        let arms = design.arms().unwrap();
        let (mut n, mut sum, mut squares, mut seen) = (0.0, 0.0, 0.0, 0.0);
        while seen < hits {
            let (mut r, mut length) = (arms.map(|arm| arm.start), 0.0);
            loop {
                let gap = (random.uniform().ln() / (-design.p0).ln_1p()).floor();
                let mut m = 0.0;
                for (r, arm) in r.iter_mut().zip(&arms) {
                    let rest = arm.on_miss / (1.0 - arm.on_miss);
                    *r = (1.0 + (*r - rest) * arm.on_miss.powf(gap) + rest) * arm.on_hit;
                    m += arm.weight * *r;
                }
                (length, seen) = (length + gap + 1.0, seen + 1.0);
                if m >= limit {
                    break;
                }
            }
            (n, sum, squares) = (n + 1.0, sum + length, squares + length * length);
        }
        let mean = sum / n;
        (mean, ((squares / n - mean * mean) / n).sqrt())
    }

    #[test]
    fn charts_keep_promises_that_share_their_octaves() {
        let (mut octaves, mut random) = (Octaves::default(), Xorshift::new(20_261_128));
        for p0 in [0.005_377, 0.010_21, 0.015_5] {
            for delta in [0.02, 0.05] {
                for arl0 in [5_000.0, 7_300.0, 31_000.0] {
                    let design = MixtureDesign { p0, delta, phi: 1.0, arl0 };
                    let (arl, error) = simulated(&design, design.limit(&mut octaves), 4e6, &mut random);
                    let (kept, error) = (arl / arl0, 3.0 * error / arl0);
                    // Run lengths go by steps of up to a tenth here; the next one up is taken.
                    assert!(kept > 0.97 - error && kept < 1.1 + error, "{design:?}: {kept} +- {error}");
                }
            }
        }
        // A mixture of rarer hits, whose run length goes by steps, keeps at least what it promised.
        let design = MixtureDesign { p0: 0.000_437_3, delta: 0.02, phi: 1.0, arl0: 31_000.0 };
        let (arl, error) = simulated(&design, design.limit(&mut octaves), 1e6, &mut random);
        assert!(arl > 0.97 * design.arl0 - 3.0 * error, "{arl} +- {error}");
        // Another promise between two of them, or a share that differs in its fourth digit, costs nothing.
        let held = octaves.len();
        MixtureDesign { p0: 0.010_22, delta: 0.05, phi: 1.3, arl0: 6_100.0 }.limit(&mut octaves);
        assert_eq!(octaves.len(), held);
    }
}
