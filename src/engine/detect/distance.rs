//! The chart of a distribution's shape: PSI of tumbling windows against the baseline, with a sampling limit.
//!
//! **Definition.** PSI = sum of (c - b) ln(c / b) over bins, c the window's shares, b the baseline's, both at least 1e-4.
//! Without a change PSI n m / (n + m) is chi-square with bins - 1 degrees of freedom (n window, m baseline); alarm when
//! that has chance below 1 / ARL0 and PSI exceeds 0.02. Jensen-Shannon divergence and Kolmogorov-Smirnov distance are
//! computed beside it for display.
//!
//! **Sources.** Kullback & Leibler (1951; PSI is their symmetric divergence J), Lin (1991), Yurdakul (2018) for the
//! limit.
//!
//! **Classical constants.** 0.1 "some", 0.25 "much" drift: wrong both ways, as they know nothing of n and m. Ten bins by
//! the baseline's deciles, 25 or more expected in each.
//!
//! **Bad at.** Small or slow moves of the mean (`mean` finds those); saying which way; a baseline concentrated on one
//! value, which leaves a single bin and a chart that never signals.

use serde::{Deserialize, Serialize};

use super::design::interval::{psi_limit, psi_p_value};
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::Grade;
use crate::engine::units::{Estimate, SampleUnit, Timestamp};

/// Least share of a bin in PSI; part of the definition, as PSI of an empty bin depends on it.
pub const FLOOR: f64 = 1e-4;
/// Bins aimed at.
const BINS: f64 = 10.0;
/// Cases expected in a bin, in the window and in the baseline, for the chi-square limit to hold.
const EXPECTED: f64 = 25.0;
/// PSI below this is no change worth telling, however sure.
const EFFECT: f64 = 0.02;
/// Windows inside the limit, one after another, that end an alarm.
const CALM_WINDOWS: u32 = 3;
/// Smallest window: two bins of 25.
const MIN_WINDOW: u64 = 50;

/// What a distance chart is designed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistanceDesign {
    /// The baseline's histogram, in the order of the values.
    pub bins: Vec<u64>,
    /// Values in a window; at least 50.
    pub window: u64,
    /// The promise: windows between false alarms.
    pub arl0: f64,
}

/// Distances between a window and the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distances {
    /// Population stability index.
    pub psi: f64,
    /// Jensen-Shannon divergence in nats.
    pub jensen_shannon: f64,
    /// Kolmogorov-Smirnov distance of the binned values.
    pub kolmogorov_smirnov: f64,
    /// Mean bin of the window minus that of the baseline: which way the mass moved.
    pub shift: f64,
}

impl Distances {
    /// The distances of one histogram from another with the same bins; all 0 where either is empty.
    pub fn between(baseline: &[u64], current: &[u64]) -> Self {
        Self::floored(baseline, current, FLOOR)
    }

    /// The same with another least share of a bin in PSI.
    pub(super) fn floored(baseline: &[u64], current: &[u64], floor: f64) -> Self {
        let (m, n) = (baseline.iter().sum::<u64>() as f64, current.iter().sum::<u64>() as f64);
        let mut found = Self::default();
        if m == 0.0 || n == 0.0 {
            return found;
        }
        let mut gap = 0.0;
        for (i, (b, c)) in baseline.iter().zip(current).enumerate() {
            let (b, c) = (*b as f64 / m, *c as f64 / n);
            let middle = f64::midpoint(b, c);
            let (floored_b, floored_c) = (b.max(floor), c.max(floor));
            found.psi += (floored_c - floored_b) * (floored_c / floored_b).ln();
            found.jensen_shannon += 0.5 * (surprise(b, middle) + surprise(c, middle));
            gap += c - b;
            found.kolmogorov_smirnov = found.kolmogorov_smirnov.max(gap.abs());
            found.shift += i as f64 * (c - b);
        }
        found
    }
}

/// p ln(p / q) with 0 ln 0 = 0.
fn surprise(p: f64, q: f64) -> f64 {
    if p > 0.0 { p * (p / q).ln() } else { 0.0 }
}

/// Which merged bin each bin belongs to: neighbours together until each has a tenth of the baseline and 25 expected.
fn merge_bins(bins: &[u64], window: u64) -> Vec<u16> {
    let total = bins.iter().sum::<u64>() as f64;
    let least = (total / BINS).max(EXPECTED).max(EXPECTED * total / window as f64);
    let mut merged = Vec::with_capacity(bins.len());
    let (mut group, mut held, mut left): (u16, f64, f64) = (0, 0.0, total);
    for count in bins {
        // A group closes when it is full and what is left fills another; the slack is for sums of rounded tenths.
        if held >= least * (1.0 - 1e-9) && left >= least * (1.0 - 1e-9) {
            group += 1;
            held = 0.0;
        }
        merged.push(group);
        held += *count as f64;
        left -= *count as f64;
    }
    merged
}

/// A chart of the shape of one measure of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistanceChart {
    arl0: f64,
    window: u64,
    merged: Vec<u16>,
    baseline: Vec<u64>,
    limit: f64,
    current: Vec<u64>,
    seen: u64,
    window_start: Option<Timestamp>,
    last: Distances,
    changed_at: Option<Timestamp>,
    since: u64,
    calm: u32,
}

impl DistanceChart {
    /// A chart that has seen nothing.
    pub fn new(design: &DistanceDesign) -> Self {
        let window = design.window.max(MIN_WINDOW);
        let merged = merge_bins(&design.bins, window);
        let mut baseline = vec![0; merged.last().map_or(0, |last| usize::from(*last) + 1)];
        for (count, group) in design.bins.iter().zip(&merged) {
            if let Some(sum) = baseline.get_mut(usize::from(*group)) {
                *sum += count;
            }
        }
        let mut chart = Self {
            arl0: design.arl0,
            window,
            current: vec![0; baseline.len()],
            merged,
            baseline,
            limit: f64::INFINITY,
            seen: 0,
            window_start: None,
            last: Distances::default(),
            changed_at: None,
            since: 0,
            calm: 0,
        };
        chart.redesign(design.arl0);
        chart
    }

    /// Changes the promise; what was counted stays.
    pub fn redesign(&mut self, arl0: f64) {
        self.arl0 = arl0.max(1.0);
        self.limit = psi_limit(1.0 / self.arl0, self.baseline.len(), self.window, self.baseline_n()).max(EFFECT);
    }

    fn baseline_n(&self) -> u64 {
        self.baseline.iter().sum()
    }

    /// Takes one value, as the index of its bin in the baseline's histogram; an index beyond the last counts as the last.
    /// Returns whether it filled a window, which was judged.
    pub fn update(&mut self, bin: usize, at: Timestamp) -> bool {
        let Some(last) = self.merged.last().copied() else { return false };
        let group = self.merged.get(bin).copied().unwrap_or(last);
        if let Some(count) = self.current.get_mut(usize::from(group)) {
            *count += 1;
        }
        self.seen += 1;
        let start = *self.window_start.get_or_insert(at);
        if self.changed_at.is_some() {
            self.since += 1;
        }
        let full = self.current.iter().sum::<u64>() >= self.window;
        if full {
            self.close(start);
        }
        full
    }

    /// Judges a full window and begins the next.
    fn close(&mut self, start: Timestamp) {
        self.last = Distances::between(&self.baseline, &self.current);
        let outside = self.last.psi > self.limit;
        if outside && self.changed_at.is_none() {
            self.changed_at = Some(start);
            self.since = self.window;
        }
        self.calm = if outside { 0 } else { self.calm.saturating_add(1) };
        if self.calm >= CALM_WINDOWS {
            self.changed_at = None;
            self.since = 0;
        }
        self.current.fill(0);
        self.window_start = None;
    }

    /// What the chart says now.
    pub fn verdict(&self) -> Verdict {
        let baseline_n = self.baseline_n();
        if baseline_n < MIN_WINDOW {
            return Verdict::Learning { seen: baseline_n, needed: MIN_WINDOW };
        }
        let Some(changed_at) = self.changed_at else { return Verdict::InControl };
        Verdict::OutOfControl(Evidence {
            grade: Grade::Degraded,
            method: "PSI of windows".to_owned(),
            statistic: self.last.psi,
            limit: self.limit,
            arl0: self.arl0,
            estimate: None,
            baseline: Estimate { value: 0.0, low: 0.0, high: self.limit },
            baseline_n,
            changed_at,
            // A window is judged as a whole: the change lies in the first one outside, or the one before.
            changed_between: (changed_at, changed_at),
            samples: self.since,
            unit: SampleUnit::Window,
            direction: if self.last.shift < 0.0 { Direction::Down } else { Direction::Up },
            parts: Vec::new(),
        })
    }

    /// The distances of the last full window.
    pub const fn distances(&self) -> Distances {
        self.last
    }

    /// The chance of the last window's PSI without a change.
    pub fn p_value(&self) -> f64 {
        psi_p_value(self.last.psi, self.baseline.len(), self.window, self.baseline_n())
    }

    /// PSI of the last full window.
    pub const fn statistic(&self) -> f64 {
        self.last.psi
    }

    /// The limit of PSI: from the sampling distribution, at least 0.02.
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    /// Values taken.
    pub const fn samples_seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Xorshift, second};
    use super::*;

    #[test]
    fn distances_equal_scipy() {
        let found = Distances::between(&[500, 0, 300, 200], &[400, 100, 0, 500]);
        assert!((found.psi - 3.388_395_960_602_292).abs() < 1e-12);
        assert!((found.jensen_shannon - 0.174_620_115_086_309_8).abs() < 1e-12);
        assert!((found.kolmogorov_smirnov - 0.3).abs() < 1e-12);
        assert_eq!(Distances::between(&[], &[1]), Distances::default());
    }

    #[test]
    fn bins_are_merged_to_deciles_that_can_carry_the_limit() {
        assert_eq!(merge_bins(&[100; 20], 1_000).last(), Some(&9));
        assert_eq!(merge_bins(&[100; 20], 100).last(), Some(&3));
        assert_eq!(merge_bins(&[10_000, 0, 0, 1, 0], 1_000), [0, 0, 0, 0, 0]);
        assert_eq!(merge_bins(&[0, 0, 500, 500, 0], 1_000), [0, 0, 0, 1, 1]);
        assert_eq!(merge_bins(&[], 1_000), [0_u16; 0]);
    }

    /// Squares of uniform numbers, in twenty bins.
    fn draw(random: &mut Xorshift, power: i32) -> usize {
        (random.uniform().powi(power) * 20.0) as usize
    }

    #[test]
    fn false_windows_are_no_more_often_than_promised_and_a_change_is_seen() {
        let mut random = Xorshift::new(31);
        let mut alarms = 0;
        let windows = 4_000_u64;
        for _ in 0..windows / 100 {
            let mut bins = vec![0; 20];
            for _ in 0..5_000 {
                bins[draw(&mut random, 2)] += 1;
            }
            let design = DistanceDesign { bins, window: 500, arl0: 50.0 };
            let mut chart = DistanceChart::new(&design);
            for _ in 0..100 {
                for n in 0..500 {
                    chart.update(draw(&mut random, 2), second(n));
                }
                alarms += u32::from(chart.statistic() > chart.limit());
            }
        }
        // 80 expected at chance 1/50; the chi-square limit is right to a third with 25 expected in a bin.
        assert!((40..=115).contains(&alarms), "{alarms}");
    }

    #[test]
    fn a_new_shape_alarms_and_three_calm_windows_end_it() {
        let mut random = Xorshift::new(32);
        let mut bins = vec![0; 20];
        for _ in 0..10_000 {
            bins[draw(&mut random, 2)] += 1;
        }
        let mut chart = DistanceChart::new(&DistanceDesign { bins, window: 500, arl0: 2_000.0 });
        for n in 0..5_000 {
            let power = if (1_000..2_000).contains(&n) { 1 } else { 2 };
            chart.update(draw(&mut random, power), second(n));
            match chart.verdict() {
                Verdict::OutOfControl(found) => {
                    assert!((1_499..3_499).contains(&n), "{n}");
                    assert_eq!((found.changed_at, found.direction), (second(1_000), Direction::Up));
                    assert_eq!(found.samples, n - 999);
                }
                other => {
                    assert_eq!(other, Verdict::InControl);
                    assert!(!(1_499..3_499).contains(&n), "{n}");
                }
            }
        }
    }

    #[test]
    fn no_baseline_is_learning_and_one_value_is_blind() {
        let mut chart = DistanceChart::new(&DistanceDesign { bins: vec![], window: 500, arl0: 100.0 });
        chart.update(3, second(0));
        assert_eq!(chart.verdict(), Verdict::Learning { seen: 0, needed: 50 });
        let mut chart = DistanceChart::new(&DistanceDesign { bins: vec![0, 900, 0], window: 50, arl0: 100.0 });
        for n in 0..200 {
            chart.update(2, second(n));
        }
        assert_eq!((chart.verdict(), chart.limit()), (Verdict::InControl, f64::INFINITY));
    }
}
