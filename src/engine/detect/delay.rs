//! How long a chart takes to see a change: seeded simulation of the very chart.
//!
//! **Definition.** A fresh chart, the change there from its first sample on (zero state); the run length is the number of
//! samples up to and including the one at which the grade asked for is reached. Mean and 90 % quantile over the runs.
//!
//! **Source.** Zero-state run lengths: Page (1954). Exact values exist for single CUSUMs only (`design`), the charts
//! combine several statistics.
//!
//! **Classical constants.** 200 runs: the mean's standard error is about 5 %.
//!
//! **Bad at.** Changes that the chart hardly ever sees: runs are cut, and said to be.

use super::proportion::ProportionChart;
use super::{Detector, MeanChart};
use crate::engine::rule::Grade;
use crate::engine::units::{Counts, Timestamp};

/// Runs in a simulation.
const RUNS: usize = 200;
/// Samples after which a run is cut: cases, and batches or buckets.
const LONGEST: u64 = 100_000;
const LONGEST_BATCHES: u64 = 5_000;
/// Samples after which no further run begins.
const BUDGET: u64 = 2_000_000;
/// Every simulation begins with this seed, so that the same question has the same answer.
const SEED: u64 = 20_261_125;
/// The time that simulated samples carry; nothing of the result depends on it.
const AT: Timestamp = Timestamp::from_millis(0);

/// Run lengths in samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// The mean; at least so many where runs were cut.
    pub mean: f64,
    /// The 90 % quantile; infinite where more than a tenth of the runs were cut.
    pub q90: f64,
    /// Share of runs that reached the grade before they were cut, in [0, 1].
    pub reached: f64,
}

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// The bad outcome has this probability now.
    Share(f64),
    /// The mean lies so many standard deviations of buckets further in the direction watched.
    Shift(f64),
}

impl Detector {
    /// How long this chart, fresh, takes to reach `grade` after a change; nothing for charts of shapes.
    pub fn delay(&self, change: Change, grade: Grade) -> Option<Delay> {
        let mut random = Source(SEED);
        let mut lengths = Vec::with_capacity(RUNS);
        let mut spent = 0;
        while lengths.len() < RUNS && spent < BUDGET {
            let run = match (self, change) {
                (Self::Proportion(chart), Change::Share(p)) => of_share(chart, p, grade, &mut random),
                (Self::Mean(chart), Change::Shift(shift)) => of_mean(chart, shift, &mut random),
                (Self::Volume(chart), Change::Shift(shift)) => of_mean(chart.mean(), shift, &mut random),
                _ => return None,
            };
            spent += run.length;
            lengths.push(run);
        }
        let runs = lengths.len() as f64;
        let reached = lengths.iter().filter(|run| run.reached).count() as f64 / runs;
        let mean = lengths.iter().map(|run| run.length as f64).sum::<f64>() / runs;
        lengths.sort_by_key(|run| (!run.reached, run.length));
        let at = ((runs * 0.9).ceil() as usize).clamp(1, lengths.len()) - 1;
        let q90 = lengths.get(at).filter(|run| run.reached).map_or(f64::INFINITY, |run| run.length as f64);
        Some(Delay { mean, q90, reached })
    }
}

/// One simulated run.
#[derive(Clone, Copy)]
struct Run {
    /// Samples that it took, or after which it was cut.
    length: u64,
    /// Whether it got there.
    reached: bool,
}

fn of_share(fresh: &ProportionChart, p: f64, grade: Grade, random: &mut Source) -> Run {
    let mut chart = fresh.clone();
    let design = *chart.design();
    let batches = chart.takes_batches();
    let longest = if batches { LONGEST_BATCHES } else { LONGEST };
    // Levels of batches wander as much as the baseline's did.
    let n = design.batch.max(1.0).round();
    let excess = (design.spread.phi - 1.0).max(0.0) * p * (1.0 - p) / (n - 1.0).max(1.0);
    for length in 1..=longest {
        if batches {
            let level = excess.sqrt().mul_add(random.normal(), p).clamp(0.0, 1.0);
            let hits = (n * level * (1.0 - level)).sqrt().mul_add(random.normal(), n * level);
            chart.update_counts(Counts { hits: hits.round().clamp(0.0, n) as u64, n: n as u64 }, AT);
        } else {
            chart.update(random.uniform() < p, AT);
        }
        if chart.grade().is_some_and(|found| found >= grade) {
            return Run { length, reached: true };
        }
    }
    Run { length: longest, reached: false }
}

fn of_mean(fresh: &MeanChart, shift: f64, random: &mut Source) -> Run {
    let mut chart = fresh.clone();
    for length in 1..=LONGEST_BATCHES {
        chart.update_standardised(shift + random.normal(), AT);
        if chart.is_out() {
            return Run { length, reached: true };
        }
    }
    Run { length: LONGEST_BATCHES, reached: false }
}

/// Marsaglia's xorshift64*: enough for a few million draws, the same everywhere.
struct Source(u64);

impl Source {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller's normal deviate.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::super::proportion::{Alarm, ProportionDesign};
    use super::super::{DesignCache, Direction, MeanDesign, Method};
    use super::*;

    #[test]
    fn a_cusum_is_as_slow_as_its_exact_run_length() {
        // p0 0.08, ARL0 20,000, 2 points: 1,176 labels exactly (STATISTICS, section 1).
        let design = ProportionDesign { alarm: Alarm::Cusum, ..ProportionDesign::fixed(0.08, 0.02, 20_000.0) };
        let chart = Detector::Proportion(Box::new(ProportionChart::new(&design, &mut DesignCache::new())));
        let found = chart.delay(Change::Share(0.10), Grade::Drifting).unwrap();
        assert!((1_000.0..1_350.0).contains(&found.mean) && found.reached == 1.0, "{found:?}");
        assert!(found.q90 > 1.5 * found.mean && found.q90 < 2.5 * found.mean);
        assert_eq!(chart.delay(Change::Share(0.10), Grade::Drifting), Some(found));
        assert_eq!(chart.delay(Change::Shift(1.0), Grade::Drifting), None);
    }

    #[test]
    fn a_chart_of_means_is_as_slow_as_its_exact_run_length() {
        let design = MeanDesign {
            mu: 0.0,
            sigma: 1.0,
            buckets: u64::MAX,
            delta: 1.0,
            direction: Direction::Up,
            arl0: 930.9,
            guarantee: 0.5,
            method: Method::Cusum,
            known: false,
        };
        // h = 5: 10.4 at one standard deviation (Montgomery, table 9.3).
        let chart = Detector::Mean(Box::new(MeanChart::new(&design, &mut DesignCache::new())));
        let found = chart.delay(Change::Shift(1.0), Grade::Confirmed).unwrap();
        assert!((9.4..11.4).contains(&found.mean), "{found:?}");
    }

    #[test]
    fn what_is_never_seen_is_said_to_be() {
        let design = ProportionDesign::fixed(0.08, 0.02, 1e9);
        let chart = Detector::Proportion(Box::new(ProportionChart::new(&design, &mut DesignCache::new())));
        let found = chart.delay(Change::Share(0.08), Grade::Confirmed).unwrap();
        assert!(found.reached < 0.1 && found.q90.is_infinite(), "{found:?}");
    }
}
