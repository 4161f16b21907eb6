//! Accuracy from few labels and many confidences: prediction-powered inference.
//!
//! **Definition.** y is 1 for a right output, c its stated confidence. PPI++ (Angelopoulos, Duchi & Zrnic 2023): theta =
//! mean(y) + lambda (mean of c without labels - mean of c with), variance lambda^2 Var(c) / N + Var(y - lambda c) / n. With
//! lambda 0 it is the labels alone, with 1 plain PPI (Angelopoulos et al. 2023); tuned, lambda = Cov(c, y) / ((1 + n / N)
//! Var(c)), cut to [0, 1], Cov over the labelled, Var over all. It is right whatever the confidence is worth; what confidence
//! says alone is in `reliability`.
//!
//! **Sums.** Eight: they merge by addition, in any order.
//!
//! **Classical constants.** Intervals of 90 %.
//!
//! **Bad at.** Alarms (the reported accuracy and its interval gain, a chart of it hardly does); fewer than some thirty labels,
//! as the interval is a normal one.

use serde::{Deserialize, Serialize};

use super::design::interval::normal_quantile;
use crate::engine::units::Estimate;

/// The sums that prediction-powered inference needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Powered {
    /// Labelled outputs.
    pub labelled: u64,
    /// Those of them that were right.
    pub right: u64,
    /// Sum of the labelled outputs' confidence.
    pub c: f64,
    /// Sum of its squares.
    pub cc: f64,
    /// Sum of the confidence of the labelled outputs that were right.
    pub cy: f64,
    /// Outputs without a label.
    pub unlabelled: u64,
    /// Sum of their confidence.
    pub free_c: f64,
    /// Sum of its squares.
    pub free_cc: f64,
}

impl Powered {
    /// Adds an output: its confidence, and whether it was right where that is known. What is no finite number is left out.
    pub fn add(&mut self, confidence: f64, right: Option<bool>) {
        if !confidence.is_finite() {
            return;
        }
        let square = confidence * confidence;
        match right {
            None => {
                self.unlabelled += 1;
                self.free_c += confidence;
                self.free_cc += square;
            }
            Some(right) => {
                self.labelled += 1;
                self.c += confidence;
                self.cc += square;
                if right {
                    self.right += 1;
                    self.cy += confidence;
                }
            }
        }
    }

    /// Adds all outputs of another.
    pub fn merge(&mut self, other: &Self) {
        self.labelled += other.labelled;
        self.right += other.right;
        self.c += other.c;
        self.cc += other.cc;
        self.cy += other.cy;
        self.unlabelled += other.unlabelled;
        self.free_c += other.free_c;
        self.free_cc += other.free_cc;
    }

    /// The tuning as the authors' program has it, in [0, 1]: Cov with n, Var of all with n + N - 1 in the denominator. 0
    /// where confidence does not vary or labels are missing: then it says nothing.
    pub fn tuning(&self) -> f64 {
        let all = (self.labelled + self.unlabelled) as f64;
        let found = self.ratio() * (all - 1.0) / all;
        if found.is_finite() { found.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The tuning before it is cut, Cov with n - 1 and Var of all with n + N in the denominator; nothing where confidence does
    /// not vary or fewer than two outputs are labelled.
    pub fn tuning_uncut(&self) -> Option<f64> {
        let n = self.labelled as f64;
        let found = self.ratio() * n / (n - 1.0);
        found.is_finite().then_some(found)
    }

    /// Cov(c, y) / ((1 + n / N) Var(c)), both with their own number in the denominator.
    fn ratio(&self) -> f64 {
        let (n, free) = (self.labelled as f64, self.unlabelled as f64);
        let all = n + free;
        let mean = (self.c + self.free_c) / all;
        let variance = (self.cc + self.free_cc) / all - mean * mean;
        // What is left of a variance of 0 is rounding.
        if variance <= 1e-14 * mean * mean {
            return f64::NAN;
        }
        let covariance = self.cy / n - self.c / n * (self.right as f64 / n);
        covariance / ((1.0 + n / free) * variance)
    }

    /// Accuracy with its interval, with this weight of confidence; nothing without labels, or without confidences of others
    /// where these have a weight.
    pub fn estimate(&self, lambda: f64, confidence: f64) -> Option<Estimate> {
        let (value, variance) = self.mean_and_variance(lambda)?;
        let half = normal_quantile(f64::midpoint(1.0, confidence)) * variance.sqrt();
        Some(Estimate { value, low: value - half, high: value + half })
    }

    /// Accuracy and the variance of that, under the same conditions.
    pub fn mean_and_variance(&self, lambda: f64) -> Option<(f64, f64)> {
        let (n, free) = (self.labelled as f64, self.unlabelled as f64);
        if self.labelled == 0 || (self.unlabelled == 0 && lambda != 0.0) {
            return None;
        }
        let (y, c) = (self.right as f64 / n, self.c / n);
        let (free_c, free_variance) = if self.unlabelled == 0 {
            (0.0, 0.0)
        } else {
            let mean = self.free_c / free;
            (mean, (self.free_cc / free - mean * mean).max(0.0))
        };
        let covariance = self.cy / n - c * y;
        let rest = y * (1.0 - y) - 2.0 * lambda * covariance + lambda * lambda * (self.cc / n - c * c);
        let imputed = if lambda == 0.0 { 0.0 } else { lambda * lambda * free_variance / free };
        Some((y + lambda * (free_c - c), imputed + rest.max(0.0) / n))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Xorshift;
    use super::*;

    /// Labelled outputs first, then others, as good as they say less `shift`.
    fn outputs(n: u64, free: u64, shift: f64, random: &mut Xorshift) -> Powered {
        let mut sums = Powered::default();
        for i in 0..n + free {
            let c = 1.0 - 0.6 * random.uniform() * random.uniform();
            let right = random.uniform() < c - shift;
            sums.add(c, (i < n).then_some(right));
        }
        sums
    }

    #[test]
    fn equals_the_definition_by_hand() {
        let mut sums = Powered::default();
        for (c, right) in [(0.9, Some(true)), (0.6, Some(false)), (0.8, Some(true)), (0.7, None), (0.5, None)] {
            sums.add(c, right);
        }
        // mean y 2/3, mean c 2.3/3, of the others 0.6; Cov = 1.7/3 - 2.3/3 2/3; Var of all 0.02 with 5 in the denominator.
        let covariance = 1.7 / 3.0 - 2.3 / 3.0 * 2.0 / 3.0;
        let lambda: f64 = covariance / (2.5 * 0.02);
        assert!((sums.tuning_uncut().unwrap() - lambda * 1.5).abs() < 1e-12);
        assert!((sums.tuning() - (lambda * 0.8).min(1.0)).abs() < 1e-12);
        let found = sums.estimate(1.0, 0.9).unwrap();
        assert!((found.value - (2.0 / 3.0 + 0.6 - 2.3 / 3.0)).abs() < 1e-12);
        let labels = sums.estimate(0.0, 0.9).unwrap();
        let half = 1.644_853_626_951_472_2 * (2.0 / 9.0 / 3.0_f64).sqrt();
        assert!((labels.high - 2.0 / 3.0 - half).abs() < 1e-12 && (labels.low - 2.0 / 3.0 + half).abs() < 1e-12);
    }

    #[test]
    fn intervals_cover_and_confidence_narrows_them() {
        let mut random = Xorshift::new(41);
        let (mut covered, mut narrower) = (0, 0);
        for _ in 0..400 {
            let sums = outputs(500, 5_000, 0.05, &mut random);
            let tuned = sums.estimate(sums.tuning(), 0.9).unwrap();
            let labels = sums.estimate(0.0, 0.9).unwrap();
            // The mean of 1 - 0.6 u v is 0.85, less the shift.
            covered += u32::from(tuned.low <= 0.8 && tuned.high >= 0.8);
            narrower += u32::from(tuned.high - tuned.low <= labels.high - labels.low + 1e-12);
        }
        assert!((340..=380).contains(&covered), "{covered} of 400");
        assert!(narrower > 395, "{narrower} of 400");
    }

    #[test]
    fn says_nothing_without_what_it_needs() {
        let mut sums = Powered::default();
        assert_eq!((sums.estimate(0.0, 0.9), sums.tuning(), sums.tuning_uncut()), (None, 0.0, None));
        sums.add(f64::NAN, Some(true));
        assert_eq!(sums, Powered::default());
        sums.add(0.9, Some(true));
        assert_eq!(sums.estimate(1.0, 0.9), None);
        assert_eq!(sums.estimate(0.0, 0.9), Some(Estimate { value: 1.0, low: 1.0, high: 1.0 }));
        // Confidence that never varies has no weight.
        (0..10).for_each(|i| sums.add(0.9, (i < 5).then_some(i < 3)));
        assert_eq!((sums.tuning(), sums.tuning_uncut()), (0.0, None));
    }

    proptest! {
        #[test]
        fn sums_merge_in_any_grouping(
            outputs in prop::collection::vec((0.0..1.0_f64, prop::option::of(any::<bool>())), 0..60),
            cuts in (0_usize..60, 0_usize..60),
        ) {
            let (low, high) = (cuts.0.min(cuts.1).min(outputs.len()), cuts.0.max(cuts.1).min(outputs.len()));
            let make = |part: &[(f64, Option<bool>)]| {
                let mut sums = Powered::default();
                for (c, right) in part { sums.add(*c, *right); }
                sums
            };
            let (a, b, c) = (make(&outputs[..low]), make(&outputs[low..high]), make(&outputs[high..]));
            let (mut left, mut right) = (a, b);
            left.merge(&b); left.merge(&c);
            right.merge(&c);
            let mut tail = a;
            tail.merge(&right);
            for (one, other) in [(left, tail), (left, make(&outputs))] {
                prop_assert_eq!((one.labelled, one.right, one.unlabelled), (other.labelled, other.right, other.unlabelled));
                for (x, y) in [(one.c, other.c), (one.cc, other.cc), (one.cy, other.cy), (one.free_c, other.free_c), (one.free_cc, other.free_cc)] {
                    prop_assert!((x - y).abs() < 1e-9);
                }
            }
        }
    }
}
