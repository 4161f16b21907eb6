//! How far stated confidence and truth agree: the reliability table, calibration error and Brier's score with intervals.
//!
//! **Definition.** y is 1 for a right output, c its confidence, a_k the share of right ones and c_k the mean confidence of the
//! n_k outputs of a bin. Expected calibration error: sum of n_k |c_k - a_k| / n over ten bins (Naeini, Cooper & Hauskrecht
//! 2015). Its plug-in value is too large, since chance alone makes every |c_k - a_k| positive; what chance adds, E|d + s Z| -
//! |d| with d = c_k - a_k, s^2 = a_k (1 - a_k) / n_k, is taken off (Kumar, Liang & Ma 2019). Whatever the truth, chance adds
//! between nothing and sum of n_k s / n sqrt(2 / pi); the interval allows for all of that: from the plug-in value less
//! the most and 1.96 standard deviations to the plug-in value and 1.96 of them.
//! Brier's score (1950): the mean of (c - y)^2, with the normal interval of a
//! mean. Murphy (1973) takes it apart: reliability - resolution + uncertainty. CBPE (NannyML): mean(c), right where
//! confidence is calibrated.
//!
//! **Sums.** Thirty-two: they merge by addition, in any order.
//!
//! **Classical constants.** Ten bins of equal width, each with its upper end; intervals of 95 %.
//!
//! **Bad at.** CBPE: confident failures, which it cannot see. Errors that cancel within a bin. Where calibration is perfect the
//! corrected error still lies above 0, by half of what the plug-in does; its interval reaches down to 0 then.

use serde::{Deserialize, Serialize};

use super::design::interval::wilson;
use super::design::normal::normal_cdf;
use super::isotonic::Rung;
use crate::engine::units::{Counts, Estimate};

/// Bins of the table.
const BINS: usize = 10;
/// Level of the intervals.
const CONFIDENCE: f64 = 0.95;
/// Two-sided 95 % of a normal.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// The outputs of one bin of confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    n: u64,
    right: u64,
    c: f64,
}

impl Bin {
    /// Mean confidence less the share of right ones, and the variance that chance gives it.
    fn gap(self) -> (f64, f64) {
        let n = self.n as f64;
        // As if there were one case more that is as good as it says: a bin of one kind is not certain of itself.
        let share = ((self.right as f64 + self.c / n) / (n + 1.0)).clamp(0.0, 1.0);
        ((self.c - self.right as f64) / n, share * (1.0 - share) / n)
    }
}

/// A row of the reliability table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Lower end of the bin of confidence, not in it but for 0.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Labelled outputs in it.
    pub n: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share that was right, with Wilson's 95 % interval.
    pub accuracy: Estimate,
}

/// Brier's score taken apart: reliability - resolution + uncertainty, but for what confidence varies within bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decomposition {
    /// Mean squared distance of confidence from the share of right ones, bin by bin; 0 is calibrated.
    pub reliability: f64,
    /// Mean squared distance of the bins' shares from the share of all: what confidence knows.
    pub resolution: f64,
    /// Share of right ones times share of wrong ones: the score of whoever knows that share alone.
    pub uncertainty: f64,
}

/// How confidence and truth agree, over outputs whose verdict is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    bins: [Bin; BINS],
    /// Sum of (c - y)^2.
    squares: f64,
    /// Sum of their squares.
    fourths: f64,
}

impl Calibration {
    /// Outputs in rungs of nearly the same confidence, each taken at its rung's.
    pub fn of(rungs: &[Rung]) -> Self {
        let mut found = Self::default();
        for rung in rungs.iter().filter(|rung| rung.right <= rung.n) {
            found.put(rung.confidence, Counts { hits: rung.right, n: rung.n });
        }
        found
    }

    /// Adds an output. What is no finite number is left out.
    pub fn add(&mut self, confidence: f64, right: bool) {
        self.put(confidence, Counts { hits: u64::from(right), n: 1 });
    }

    /// Adds outputs of one confidence, `right.hits` of which were right.
    fn put(&mut self, confidence: f64, right: Counts) {
        if !confidence.is_finite() || right.n == 0 {
            return;
        }
        let above = (1..BINS).take_while(|edge| confidence > *edge as f64 * (1.0 / BINS as f64)).count();
        if let Some(bin) = self.bins.get_mut(above) {
            bin.n += right.n;
            bin.right += right.hits;
            bin.c += right.n as f64 * confidence;
        }
        for (miss, n) in [(confidence - 1.0, right.hits), (confidence, right.n - right.hits)] {
            let square = miss * miss;
            self.squares += n as f64 * square;
            self.fourths += n as f64 * square * square;
        }
    }

    /// Adds all outputs of another.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            mine.n += theirs.n;
            mine.right += theirs.right;
            mine.c += theirs.c;
        }
        self.squares += other.squares;
        self.fourths += other.fourths;
    }

    /// Outputs.
    pub fn n(&self) -> u64 {
        self.bins.iter().map(|bin| bin.n).sum()
    }

    /// The accuracy that confidence predicts (CBPE).
    pub fn predicted(&self) -> Option<f64> {
        self.mean(self.bins.iter().map(|bin| bin.c).sum())
    }

    /// The accuracy that there was.
    pub fn realised(&self) -> Option<f64> {
        self.mean(self.bins.iter().map(|bin| bin.right as f64).sum())
    }

    /// The rows of the reliability table that hold outputs, ascending.
    pub fn table(&self) -> Vec<Reliability> {
        let width = 1.0 / BINS as f64;
        let rows = self.bins.iter().enumerate().filter(|(_, bin)| bin.n > 0);
        rows.map(|(place, bin)| Reliability {
            low: place as f64 * width,
            high: (place + 1) as f64 * width,
            n: bin.n,
            confidence: bin.c / bin.n as f64,
            accuracy: wilson(Counts { hits: bin.right, n: bin.n }, CONFIDENCE),
        })
        .collect()
    }

    /// Expected calibration error, plugged in: the mean distance of confidence from the share of right ones, bin by bin.
    pub fn error(&self) -> Option<f64> {
        self.mean(self.bins.iter().map(|bin| (bin.c - bin.right as f64).abs()).sum())
    }

    /// Expected calibration error without what chance adds to it, with its 95 % interval, in [0, 1].
    pub fn error_estimate(&self) -> Option<Estimate> {
        let n = self.n() as f64;
        let plugged_in = self.error()?;
        let (mut bias, mut most, mut variance) = (0.0, 0.0, 0.0);
        for bin in self.bins.iter().filter(|bin| bin.n > 0) {
            let ((gap, square), share) = (bin.gap(), bin.n as f64 / n);
            bias += share * (folded_mean(gap, square.sqrt()) - gap.abs());
            most += share * folded_mean(0.0, square.sqrt());
            variance += share * share * square;
        }
        let half = NORMAL_95 * variance.sqrt();
        let ends = [plugged_in - bias, plugged_in - most - half, plugged_in + half];
        let [value, low, high] = ends.map(|x| x.clamp(0.0, 1.0));
        Some(Estimate { value, low, high })
    }

    /// Brier's score: the mean squared distance of confidence from 1 or 0.
    pub fn brier(&self) -> Option<f64> {
        self.mean(self.squares)
    }

    /// The same with its 95 % interval, in [0, 1] where confidence is; nothing of fewer than two outputs.
    pub fn brier_estimate(&self) -> Option<Estimate> {
        let (n, value) = (self.n() as f64, self.brier()?);
        let variance = (self.fourths / n - value * value).max(0.0) / (n - 1.0);
        let half = NORMAL_95 * variance.sqrt();
        (n > 1.0).then(|| Estimate { value, low: (value - half).max(0.0), high: value + half })
    }

    /// Brier's score taken apart.
    pub fn decomposition(&self) -> Option<Decomposition> {
        let all = self.realised()?;
        let bins = || self.bins.iter().filter(|bin| bin.n > 0).map(|bin| (bin.n as f64, bin));
        let distance = |(n, bin): (f64, &Bin)| n * (bin.gap().0).powi(2);
        let spread = |(n, bin): (f64, &Bin)| n * (bin.right as f64 / n - all).powi(2);
        Some(Decomposition {
            reliability: self.mean(bins().map(distance).sum())?,
            resolution: self.mean(bins().map(spread).sum())?,
            uncertainty: all * (1.0 - all),
        })
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        let n = self.n();
        (n > 0).then(|| sum / n as f64)
    }
}

/// The mean of the distance from 0 of a normal with this mean and standard deviation.
fn folded_mean(mean: f64, deviation: f64) -> f64 {
    const ROOT_2_BY_PI: f64 = 0.797_884_560_802_865_4;
    if deviation <= 0.0 {
        return mean.abs();
    }
    let z = mean / deviation;
    deviation * ROOT_2_BY_PI * (-0.5 * z * z).exp() + mean * (1.0 - 2.0 * normal_cdf(-z))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Xorshift;
    use super::*;

    #[test]
    fn equals_the_definition_by_hand() {
        let mut found = Calibration::default();
        for (c, right) in [(0.95, true), (0.9, false), (0.3, false), (0.25, true)] {
            found.add(c, right);
        }
        // 0.9 is the upper end of its bin, 0.3 lies in one bin with 0.25.
        assert!((found.error().unwrap() - (0.05 + 0.9 + 0.45) / 4.0).abs() < 1e-12);
        assert!((found.brier().unwrap() - (0.0025 + 0.81 + 0.09 + 0.5625) / 4.0).abs() < 1e-12);
        assert!((found.predicted().unwrap() - 0.6).abs() < 1e-12);
        assert_eq!((found.realised(), found.n()), (Some(0.5), 4));
        let table = found.table();
        assert_eq!(
            table.iter().map(|row| (row.n, row.accuracy.value)).collect::<Vec<_>>(),
            [(2, 0.5), (1, 0.0), (1, 1.0)]
        );
        assert!((table[0].confidence - 0.275).abs() < 1e-12 && (table[0].high - 0.3).abs() < 1e-12);
        let empty = Calibration::default();
        assert_eq!([empty.predicted(), empty.realised(), empty.error(), empty.brier()], [None; 4]);
        assert_eq!((empty.error_estimate(), empty.brier_estimate(), empty.decomposition()), (None, None, None));
        assert!(empty.table().is_empty());
    }

    #[test]
    fn the_folded_normal_equals_its_table() {
        // Leone, Nelson & Nottingham (1961): the half normal has mean sqrt(2 / pi); scipy.stats.foldnorm(1.5).mean().
        assert!((folded_mean(0.0, 1.0) - 0.797_884_560_8).abs() < 1e-9);
        assert!((folded_mean(-3.0, 2.0) - 2.0 * 1.558_613_587_525_209_2).abs() < 1e-9);
        assert_eq!(folded_mean(-3.0, 0.0), 3.0);
    }

    #[test]
    fn the_parts_add_up_where_confidence_does_not_vary_within_bins() {
        let rungs = [(0.35, 40, 20), (0.75, 100, 60), (0.95, 300, 291)];
        let rungs = rungs.map(|(confidence, n, right)| Rung { confidence, n, right });
        let found = Calibration::of(&rungs);
        let parts = found.decomposition().unwrap();
        assert!((parts.reliability - parts.resolution + parts.uncertainty - found.brier().unwrap()).abs() < 1e-12);
    }

    /// How often, in 1,000 draws, the intervals of error and score hold the truth, and the means of the plugged-in and of
    /// the corrected error; right with probability `truth`(c).
    fn coverage(n: u32, truth: impl Fn(f64) -> f64) -> (u32, u32, f64, f64) {
        let mut random = Xorshift::new(20_261_126);
        let draw = |random: &mut Xorshift| 1.0 - random.uniform() * random.uniform();
        let mut large = Xorshift::new(1);
        let (mut bins, mut score, many) = ([(0.0, 0.0); BINS], 0.0, 2_000_000);
        for _ in 0..many {
            let c = draw(&mut large);
            let bin = &mut bins[((c * BINS as f64).ceil() as usize).clamp(1, BINS) - 1];
            (bin.0, bin.1) = (bin.0 + c, bin.1 + truth(c));
            score += truth(c) * (1.0 - c).powi(2) + (1.0 - truth(c)) * c * c;
        }
        let error = bins.iter().map(|(c, right)| (c - right).abs()).sum::<f64>() / f64::from(many);
        let score = score / f64::from(many);
        let (mut of_error, mut of_score, mut plain, mut corrected) = (0, 0, 0.0, 0.0);
        for _ in 0..1_000 {
            let mut found = Calibration::default();
            for _ in 0..n {
                let c = draw(&mut random);
                found.add(c, random.hit(truth(c)));
            }
            let holds = |found: Estimate, truth: f64| u32::from(found.low <= truth && truth <= found.high);
            let estimate = found.error_estimate().unwrap();
            of_error += holds(estimate, error);
            of_score += holds(found.brier_estimate().unwrap(), score);
            plain += found.error().unwrap() / 1_000.0;
            corrected += estimate.value / 1_000.0;
        }
        (of_error, of_score, plain - error, corrected - error)
    }

    #[test]
    fn intervals_cover_and_the_correction_takes_the_bias() {
        for n in [200, 2_000] {
            let (error, score, plain, corrected) = coverage(n, |c| c * c);
            assert!(error >= 940 && (925..=970).contains(&score), "{n}: {error} {score}");
            assert!(corrected.abs() < 0.01, "{n}: {plain} {corrected}");
            // Calibrated: all of the plugged-in error is bias.
            let (error, score, plain, corrected) = coverage(n, |c| c);
            assert!(error >= 940 && (925..=970).contains(&score), "{n}: {error} {score}");
            assert!(corrected < 0.65 * plain, "{n}: {plain} {corrected}");
        }
    }

    proptest! {
        #[test]
        fn rungs_are_many_single_outputs_and_merge(
            of in prop::collection::vec((0.0..1.0_f64, 0_u64..9, 0_u64..9), 0..20),
            cut in 0_usize..20,
        ) {
            let rungs: Vec<Rung> =
                of.iter().map(|(confidence, n, right)| Rung { confidence: *confidence, n: n + right, right: *right }).collect();
            let (one, other) = rungs.split_at(cut.min(rungs.len()));
            let mut merged = Calibration::of(one);
            merged.merge(&Calibration::of(other));
            let mut single = Calibration::default();
            for rung in &rungs {
                (0..rung.n).for_each(|i| single.add(rung.confidence, i < rung.right));
            }
            prop_assert_eq!((merged.n(), merged.realised()), (single.n(), single.realised()));
            for (x, y) in [(merged.error(), single.error()), (merged.brier(), single.brier())] {
                prop_assert!((x.unwrap_or(0.0) - y.unwrap_or(0.0)).abs() < 1e-9);
            }
            let interval = |found: &Calibration| found.brier_estimate().map_or(0.0, |found| found.high);
            // The root of a variance that may be nothing but rounding.
            prop_assert!((interval(&merged) - interval(&single)).abs() < 1e-6);
        }
    }
}
