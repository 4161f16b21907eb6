//! The two-sided tabular CUSUM, in the measure's own unit.
//!
//! **Definition.** C+ <- max(0, C+ + x - target - k), C- <- max(0, C- + target - k - x); a signal when either reaches h
//! (Page 1954; the table of Montgomery, chapter 9). N is the number of observations since the sum was last 0: the
//! change lies after that, and target + k + C+ / N, or target - k - C- / N, estimates the new level. A head start, half
//! of h, finds a level that is wrong from the start in half the time (fast initial response: Lucas & Crosier 1982).
//!
//! **Classical constants.** k = sigma / 2, h = 4 or 5 sigma. The limit for a promise comes from `design::normal`.
//!
//! **Bad at.** Promises: h = 5 sigma is a false alarm every 465 observations.

use serde::{Deserialize, Serialize};

use super::Direction;

/// What the chart is designed from, all in the measure's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TabularDesign {
    /// The level in control.
    pub target: f64,
    /// Reference value: half the change that matters.
    pub k: f64,
    /// Signal at or above.
    pub h: f64,
    /// Where both sums start; 0 for none, h / 2 for a fast initial response.
    pub head_start: f64,
}

/// One of the two sums.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// The sum, at least 0.
    pub sum: f64,
    /// Observations since it was last 0; with a head start, since the start.
    pub since_zero: u64,
}

impl Arm {
    fn add(&mut self, step: f64) {
        self.sum = (self.sum + step).max(0.0);
        self.since_zero = if self.sum > 0.0 { self.since_zero.saturating_add(1) } else { 0 };
    }
}

/// A tabular CUSUM: its design and where it stands. It goes on after a signal until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TabularCusum {
    design: TabularDesign,
    upper: Arm,
    lower: Arm,
    seen: u64,
}

impl TabularCusum {
    /// A chart at its start.
    pub const fn new(design: TabularDesign) -> Self {
        let start = Arm { sum: design.head_start.max(0.0), since_zero: 0 };
        Self { design, upper: start, lower: start, seen: 0 }
    }

    /// Takes an observation and returns the side that signals; the larger sum where both do. What is no finite number
    /// says nothing.
    pub fn update(&mut self, x: f64) -> Option<Direction> {
        if x.is_finite() {
            let TabularDesign { target, k, .. } = self.design;
            self.upper.add(x - target - k);
            self.lower.add(target - k - x);
            self.seen = self.seen.saturating_add(1);
        }
        self.signal()
    }

    /// The side that signals.
    pub fn signal(&self) -> Option<Direction> {
        let (direction, arm) = self.larger();
        (self.seen > 0 && arm.sum > 0.0 && arm.sum >= self.design.h).then_some(direction)
    }

    /// The sum of what lies above the target.
    pub const fn upper(&self) -> Arm {
        self.upper
    }

    /// The sum of what lies below the target.
    pub const fn lower(&self) -> Arm {
        self.lower
    }

    /// Observations taken.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// The last observation before the change, counted from 1, by the sum that signals: where it was last 0.
    pub fn change_point(&self) -> Option<u64> {
        self.signal().map(|_| self.seen - self.larger().1.since_zero)
    }

    /// The level since the change, by the sum that signals.
    pub fn new_level(&self) -> Option<f64> {
        self.signal().map(|direction| {
            let arm = self.larger().1;
            let away = self.design.k + arm.sum / arm.since_zero.max(1) as f64;
            match direction {
                Direction::Up => self.design.target + away,
                Direction::Down => self.design.target - away,
            }
        })
    }

    /// Back to the start, head start and all.
    pub const fn reset(&mut self) {
        *self = Self::new(self.design);
    }

    const fn larger(&self) -> (Direction, Arm) {
        if self.upper.sum >= self.lower.sum { (Direction::Up, self.upper) } else { (Direction::Down, self.lower) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::design::normal::TwoSidedCusum;
    use super::super::testing::Xorshift;
    use super::*;

    #[test]
    fn follows_montgomery_example_9_1() {
        let x = [
            9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.2, 10.34, 9.03, 11.47, 10.51, 9.4, 10.08, 9.37,
            10.62, 10.31, 8.52, 10.84, 10.9, 9.33, 12.29, 11.5, 10.6, 11.08, 10.38, 11.62, 11.31, 10.52,
        ];
        let mut chart = TabularCusum::new(TabularDesign { target: 10.0, k: 0.5, h: 5.0, head_start: 0.0 });
        for (n, x) in (1..).zip(x) {
            assert_eq!(chart.update(x).is_some(), n >= 29, "{n}");
            if n == 29 {
                assert!((chart.upper().sum - 5.28).abs() < 1e-9 && chart.lower().sum == 0.0);
                assert_eq!((chart.signal(), chart.change_point()), (Some(Direction::Up), Some(22)));
                assert!((chart.new_level().unwrap() - 11.25).abs() < 0.005);
            }
        }
        chart.reset();
        assert_eq!((chart.signal(), chart.change_point(), chart.new_level(), chart.seen()), (None, None, None, 0));
    }

    #[test]
    fn a_fall_is_the_mirror_of_a_rise() {
        let design = TabularDesign { target: 10.0, k: 0.5, h: 5.0, head_start: 0.0 };
        let mut chart = TabularCusum::new(design);
        for x in [10.0, 10.0, 7.0, 7.0, 7.0] {
            chart.update(x);
        }
        assert_eq!((chart.signal(), chart.change_point()), (Some(Direction::Down), Some(2)));
        assert_eq!((chart.lower().sum, chart.new_level()), (7.5, Some(7.0)));
    }

    #[test]
    fn runs_as_long_as_it_is_designed_for() {
        let mut random = Xorshift::new(32);
        for (shift, head_start) in [(0.0, 0.0), (0.0, 1.5), (1.0, 1.5)] {
            let (k, h) = (0.5, 3.0);
            let mut total = 0;
            for _ in 0..4_000 {
                let mut chart = TabularCusum::new(TabularDesign { target: 0.0, k, h, head_start });
                while chart.update(shift + random.normal()).is_none() {}
                total += chart.seen();
            }
            let wanted = TwoSidedCusum { k, h }.arl_from(shift, head_start);
            assert!((total as f64 / 4_000.0 / wanted - 1.0).abs() < 0.05, "{total} {wanted}");
        }
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let mut chart = TabularCusum::new(TabularDesign { target: 0.0, k: 0.5, h: 0.0, head_start: f64::NAN });
        assert_eq!(chart.update(f64::NAN), None);
        assert_eq!(chart.update(0.4), None);
        assert_eq!((chart.update(0.6), chart.seen()), (Some(Direction::Up), 2));
    }
}
