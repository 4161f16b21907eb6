//! The calibration map: what accuracy a stated confidence has stood for.
//!
//! **Definition.** Isotonic regression of right (1) or wrong (0) on confidence: the non-decreasing function nearest to the
//! labels in squared distance, by pool-adjacent-violators: neighbours whose shares fall are pooled until none do. It
//! is a step function; a block reaches half way to its neighbour, and the outer ones for ever. The share of a block is
//! drawn to that of all by two imagined cases, so no block says 0 or 1: the likelihoods of `adjusted` need that.
//!
//! **Sources.** Ayer, Brunk, Ewing, Reid & Silverman (1955); Barlow, Bartholomew, Bremner & Brunk (1972); for calibration
//! Zadrozny & Elkan (2002). The imagined cases: m-estimate, Cestnik (1990).
//!
//! **The promise.** None of its own. The mean over the labelled is their accuracy to within two cases a block.
//!
//! **Classical constants.** 100 labels at least; neighbouring rungs are joined to 25 labels each before pooling, since
//! isotonic regression over-fits its ends, where a handful of labels make a block.
//!
//! **Bad at.** Confidence that falls where accuracy rises: all is pooled to one block, which says the same of every
//! confidence; there is no map then.

use serde::{Deserialize, Serialize};

use crate::engine::units::Counts;

/// Labels below which there is no map.
const NEEDED: u64 = 100;
/// Labels that neighbouring rungs are joined to.
const LEAST: u64 = 25;
/// Imagined cases that draw a block to the share of all.
const IMAGINED: f64 = 2.0;

/// Validated outputs of nearly the same confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Their mean confidence, or its middle.
    pub confidence: f64,
    /// Labelled ones.
    pub n: u64,
    /// Those of them that were right.
    pub right: u64,
}

/// A step of the map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Least confidence that it answers for: half way to the block below, or the lowest that was seen.
    pub low: f64,
    /// The highest: where the next block begins, or the highest that was seen.
    pub high: f64,
    /// What it says, in (0, 1).
    pub accuracy: f64,
    /// Labels that it rests on.
    pub labelled: u64,
    /// Those of them that were right.
    pub right: u64,
}

/// Confidence to accuracy, non-decreasing. At least two blocks; as many as a few dozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationMap {
    blocks: Vec<Block>,
}

/// Rungs that were pooled.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pool {
    low: f64,
    high: f64,
    n: u64,
    right: u64,
}

impl Pool {
    const fn take(&mut self, other: Self) {
        self.high = other.high;
        self.n += other.n;
        self.right += other.right;
    }

    /// The share of right ones, drawn to `share` by so many imagined cases.
    fn value(self, share: f64, imagined: f64) -> f64 {
        (self.right as f64 + imagined * share) / (self.n as f64 + imagined)
    }
}

/// Pool-adjacent-violators over rungs, each with at least `least` labels where there are as many.
fn pooled(rungs: &[Rung], least: u64, imagined: f64) -> Vec<Pool> {
    let sound = |rung: &&Rung| rung.n > 0 && rung.right <= rung.n && rung.confidence.is_finite();
    let mut rungs: Vec<Rung> = rungs.iter().filter(sound).copied().collect();
    rungs.sort_by(|one, other| one.confidence.total_cmp(&other.confidence));
    let mut joined: Vec<Pool> = Vec::with_capacity(rungs.len());
    for rung in rungs {
        let pool = Pool { low: rung.confidence, high: rung.confidence, n: rung.n, right: rung.right };
        match joined.last_mut() {
            Some(before) if before.n < least || before.high >= pool.low => before.take(pool),
            _ => joined.push(pool),
        }
    }
    // What is left over at the upper end joins its neighbour.
    if let Some(rest) = joined.pop_if(|pool| pool.n < least) {
        match joined.last_mut() {
            Some(before) => before.take(rest),
            None => joined.push(rest),
        }
    }
    let share = share(&joined);
    let mut pools: Vec<Pool> = Vec::with_capacity(joined.len());
    for mut pool in joined {
        while let Some(mut before) = pools.pop_if(|last| last.value(share, imagined) >= pool.value(share, imagined)) {
            before.take(pool);
            pool = before;
        }
        pools.push(pool);
    }
    pools
}

/// The share of right ones of all, never 0 or 1.
fn share(pools: &[Pool]) -> f64 {
    let (n, right) = pools.iter().fold((0, 0), |(n, right), pool| (n + pool.n, right + pool.right));
    (right as f64).clamp(0.5, (n as f64 - 0.5).max(0.5)) / (n as f64).max(1.0)
}

impl CalibrationMap {
    /// The map of validated outputs; rungs may come in any order. Nothing below 100 labelled, and nothing where only one block
    /// is left, as with one rung or a confidence that means nothing: a map that says the same of every confidence
    /// moves with none, and a chart of it would promise what it cannot see.
    pub fn fit(rungs: &[Rung]) -> Option<Self> {
        let pools = pooled(rungs, LEAST, IMAGINED);
        let (labelled, share) = (pools.iter().map(|pool| pool.n).sum::<u64>(), share(&pools));
        if labelled < NEEDED || pools.len() < 2 {
            return None;
        }
        let mut blocks: Vec<Block> = Vec::with_capacity(pools.len());
        for (pool, next) in pools.iter().zip(pools.iter().skip(1).map(Some).chain([None])) {
            let low = blocks.last().map_or(pool.low, |before| before.high);
            let high = next.map_or(pool.high, |next| f64::midpoint(pool.high, next.low));
            let accuracy = pool.value(share, IMAGINED);
            blocks.push(Block { low, high, accuracy, labelled: pool.n, right: pool.right });
        }
        Some(Self { blocks })
    }

    /// The number of the block that answers for a confidence; of one that is no number, nothing.
    pub(super) fn place(&self, confidence: f64) -> Option<usize> {
        let reached = self.blocks.partition_point(|block| block.low <= confidence);
        // Below the lowest the lowest answers.
        (!confidence.is_nan()).then(|| reached.saturating_sub(1))
    }

    /// The accuracy that a confidence stands for, in (0, 1). One that is no number is taken as any: that is the share of
    /// all labelled.
    pub fn accuracy(&self, confidence: f64) -> f64 {
        let block = self.place(confidence).and_then(|place| self.blocks.get(place));
        block.map_or_else(|| self.share(), |block| block.accuracy)
    }

    /// The same of many: pairs of a confidence and how often it was stated, to pairs of accuracy and how often it was said,
    /// ascending.
    pub fn values(&self, confidences: &[(f64, u64)]) -> Vec<(f64, u64)> {
        let mut values: Vec<(f64, u64)> = self.blocks.iter().map(|block| (block.accuracy, 0)).collect();
        for (confidence, n) in confidences {
            if let Some((_, sum)) = self.place(*confidence).and_then(|place| values.get_mut(place)) {
                *sum += n;
            }
        }
        values.retain(|(_, n)| *n > 0);
        values
    }

    /// Labels that it rests on.
    pub fn labelled(&self) -> u64 {
        self.counts().n
    }

    /// The accuracy of the labelled.
    pub fn share(&self) -> f64 {
        self.counts().share().unwrap_or(0.5)
    }

    /// Its steps, ascending.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.blocks.iter().for_each(|block| all.merge(Counts { hits: block.right, n: block.labelled }));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Xorshift;
    use super::*;

    fn rungs(of: &[(f64, u64, u64)]) -> Vec<Rung> {
        of.iter().map(|(confidence, n, right)| Rung { confidence: *confidence, n: *n, right: *right }).collect()
    }

    #[test]
    fn pooling_equals_scikit_learn() {
        // scikit-learn: IsotonicRegression().fit(x, right / n, sample_weight=n).predict(x).
        let rungs = rungs(&[
            (0.31, 12, 5),
            (0.42, 20, 7),
            (0.5, 9, 4),
            (0.55, 31, 11),
            (0.61, 40, 25),
            (0.66, 25, 12),
            (0.7, 60, 41),
            (0.74, 44, 26),
            (0.8, 80, 60),
            (0.83, 71, 58),
            (0.87, 120, 90),
            (0.9, 150, 127),
            (0.93, 210, 170),
            (0.96, 300, 280),
            (0.99, 420, 411),
        ]);
        let wanted = [
            0.375,
            0.375,
            0.375,
            0.375,
            0.569_230_769_230_769_2,
            0.569_230_769_230_769_2,
            0.644_230_769_230_769_3,
            0.644_230_769_230_769_3,
            0.75,
            0.774_869_109_947_644,
            0.774_869_109_947_644,
            0.825,
            0.825,
            0.933_333_333_333_333_3,
            0.978_571_428_571_428_5,
        ];
        let pools = pooled(&rungs, 1, 0.0);
        for (rung, wanted) in rungs.iter().zip(wanted) {
            let pool = pools.iter().find(|pool| rung.confidence <= pool.high).unwrap();
            assert!((pool.value(0.0, 0.0) - wanted).abs() < 1e-12, "{}", rung.confidence);
        }
    }

    #[test]
    fn pooling_equals_the_published_example() {
        // De Leeuw, Hornik & Mair (2009): 3 7 5 9 8 7 10 becomes 3 6 6 8 8 8 10; here as tenths of right ones.
        let y = [3, 7, 5, 9, 8, 7, 10];
        let rungs: Vec<Rung> =
            y.iter().zip(1..).map(|(y, x)| Rung { confidence: f64::from(x), n: 10, right: *y }).collect();
        let found: Vec<(u64, u64)> = pooled(&rungs, 1, 0.0).iter().map(|pool| (pool.n, pool.right)).collect();
        assert_eq!(found, [(10, 3), (20, 12), (30, 24), (10, 10)]);
    }

    #[test]
    fn blocks_meet_half_way_and_answer_for_everything() {
        let map = CalibrationMap::fit(&rungs(&[(0.5, 50, 20), (0.7, 50, 30), (0.9, 100, 95)])).unwrap();
        let ends: Vec<(f64, f64)> = map.blocks().iter().map(|block| (block.low, block.high)).collect();
        assert_eq!(ends, [(0.5, 0.6), (0.6, 0.8), (0.8, 0.9)]);
        let all = 145.0 / 200.0;
        let said = [22.0 / 52.0, 32.0 / 52.0, 97.0 / 102.0].iter().zip([20.0, 30.0, 95.0]);
        let said: Vec<f64> =
            said.map(|(_, right)| (right + 2.0 * all) / if right > 90.0 { 102.0 } else { 52.0 }).collect();
        for (confidence, block) in
            [(f64::NEG_INFINITY, 0), (-1.0, 0), (0.55, 0), (0.65, 1), (0.81, 2), (7.0, 2), (f64::INFINITY, 2)]
        {
            assert!((map.accuracy(confidence) - said[block]).abs() < 1e-12, "{confidence}");
        }
        assert_eq!((map.accuracy(f64::NAN), map.labelled()), (all, 200));
        let values = map.values(&[(0.5, 3), (0.95, 4), (0.99, 1), (f64::NAN, 9)]);
        assert_eq!(values, [(map.accuracy(0.5), 3), (map.accuracy(0.9), 5)]);
    }

    #[test]
    fn there_is_no_map_without_labels_or_order() {
        let none = |of: &[(f64, u64, u64)]| CalibrationMap::fit(&rungs(of)).is_none();
        assert!(none(&[]));
        assert!(none(&[(0.5, 40, 20), (0.9, 59, 55)]), "99 labels");
        assert!(none(&[(0.9, 5_000, 4_600)]), "one rung");
        assert!(none(&[(0.5, 500, 480), (0.9, 500, 450)]), "upside down");
        assert!(none(&[(0.5, 500, 500), (0.9, 500, 500)]), "all right");
        assert!(none(&[(f64::NAN, 500, 100), (0.9, 500, 450), (0.5, 3, 9)]), "what is no number does not count");
    }

    #[test]
    fn small_ends_are_joined() {
        let map = CalibrationMap::fit(&rungs(&[(0.1, 3, 0), (0.2, 30, 12), (0.8, 200, 180), (0.99, 2, 2)])).unwrap();
        assert_eq!(map.blocks().iter().map(|block| block.labelled).collect::<Vec<u64>>(), [33, 202]);
        assert_eq!((map.blocks()[0].low, map.blocks()[1].high), (0.1, 0.99));
    }

    #[test]
    fn learns_a_known_curve() {
        let mut random = Xorshift::new(7);
        let mut rungs: Vec<Rung> =
            (0..100).map(|i| Rung { confidence: (f64::from(i) + 0.5) / 100.0, n: 0, right: 0 }).collect();
        for _ in 0..100_000 {
            let confidence = random.uniform();
            let rung = &mut rungs[(confidence * 100.0) as usize];
            rung.n += 1;
            rung.right += u64::from(random.hit(confidence.sqrt()));
        }
        let map = CalibrationMap::fit(&rungs).unwrap();
        for i in 5..95 {
            let confidence = f64::from(i) / 100.0;
            assert!((map.accuracy(confidence) - confidence.sqrt()).abs() < 0.05, "{confidence}");
        }
    }

    proptest! {
        #[test]
        fn is_monotone_inside_and_keeps_the_mean(
            of in prop::collection::vec((0.0..1.0_f64, 1_u64..200, 0.0..=1.0_f64), 1..60),
            asked in prop::collection::vec(-0.5..1.5_f64, 2..20),
        ) {
            let rungs: Vec<Rung> = of
                .iter()
                .map(|(confidence, n, part)| Rung { confidence: *confidence, n: *n, right: (part * *n as f64) as u64 })
                .collect();
            let Some(map) = CalibrationMap::fit(&rungs) else { return Ok(()) };
            let mut asked = asked;
            asked.sort_by(f64::total_cmp);
            let said: Vec<f64> = asked.iter().map(|confidence| map.accuracy(*confidence)).collect();
            prop_assert!(said.is_sorted() && said.iter().all(|g| *g > 0.0 && *g < 1.0));
            let sum: f64 = map.blocks().iter().map(|block| block.labelled as f64 * block.accuracy).sum();
            let n = map.labelled() as f64;
            prop_assert!((sum / n - map.share()).abs() <= 2.0 * map.blocks().len() as f64 / n);
            prop_assert_eq!(map.labelled(), rungs.iter().map(|rung| rung.n).sum::<u64>());
            let bytes = postcard::to_stdvec(&map).unwrap();
            prop_assert_eq!(postcard::from_bytes::<CalibrationMap>(&bytes).unwrap(), map);
        }
    }
}
