//! What a threshold on stated confidence would do: the share of outputs at or above it, how often these are right, and how
//! many would be handed to a person.
//!
//! **Accuracy** above a threshold is that of all outputs there, of which a sample is labelled. Labels are rarely spread evenly
//! over confidence: people look at doubtful cases first. So outputs are parted into strata, neighbouring bins of confidence
//! with at least 30 labels, those that were handed to a person apart from the others, and each stratum counts by its outputs
//! (post-stratification, Holt & Smith 1979). The interval is Wilson's (1927) on the effective number of labels p (1 - p) /
//! variance (Korn & Graubard 1998; Dean & Pagano 2015 for Wilson's); where strata differ much it is more than there are labels.
//! A stratum's own share is drawn to that of all by one imagined label, or thirty right ones would have no variance at all.
//!
//! **Coverage and escalation** are counted, not sampled; their interval is for other such times. Outputs come in waves, so it
//! rests on how much the hours (or days) differ: the linearised variance of a ratio (Cochran 1977, 6.4), Wilson's interval on
//! the effective number, at most the outputs. Below 20 batches outputs count as independent.
//!
//! **Bad at.** Which cases of one confidence get a label: where these are the suspicious ones, accuracy is too low. Choosing
//! among many thresholds: each interval holds for one, and the lowest that looks certain is a little luckier than that.

use std::collections::BTreeMap;

use serde::Serialize;

use super::confidence::{Cell, ConfidenceTable, Place, edges};
use super::detect::design::interval::{chi_squared_tail, normal_quantile, wilson_of};
use super::units::{Estimate, Span, Timestamp};

/// The level of all intervals.
pub const LEVEL: f64 = 0.95;
/// Labels of a stratum; below so many nothing is said to be reached.
pub const LABELS_MIN: u32 = 30;
/// Batches from which the spread of coverage is measured, and days from which they are the batches.
const BATCHES_MIN: usize = 20;
/// Groups in which label rates are compared, of either kind of outputs.
const GROUPS: u64 = 10;
/// Labels that a group must expect for the comparison.
const EXPECTED_MIN: f64 = 5.0;
/// Chance below which label rates count as different.
const CHANCE: f64 = 0.001;
/// Share of the escalated outputs below, and of the others at or above, from which a threshold counts as the one in force.
const AGREEMENT: f64 = 0.95;

/// One threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Outputs with at least this confidence are answered; the lower edge of a bin.
    pub threshold: f64,
    /// Outputs at or above it.
    pub outputs: u64,
    /// Their share of all outputs with a confidence.
    pub coverage: Estimate,
    /// The share of the others, which would be handed to a person.
    pub escalation: Estimate,
    /// How often outputs at or above are right; nothing without labels.
    pub accuracy: Option<Estimate>,
    /// Labelled outputs at or above.
    pub labels: u64,
    /// What these labels are worth: as many spread evenly would tell as much.
    pub effective_labels: f64,
}

/// Labels that are not spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Uneven {
    /// The lowest share of labelled outputs among groups of similar confidence ...
    pub least: f64,
    /// ... and the highest.
    pub most: f64,
    /// How often labelled outputs are right, each counting once.
    pub labels_alone: f64,
}

/// What an accuracy asks of the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// The accuracy asked for.
    pub accuracy: f64,
    /// The lowest threshold above which the estimate is at least that.
    pub likely: Option<Row>,
    /// The lowest threshold above which the whole interval is.
    pub certain: Option<Row>,
    /// Where none is certain: the threshold that could be soonest, or the best there is.
    pub nearest: Option<Row>,
    /// Labels at or above `nearest` with which its estimate would be certain; nothing where the estimate is too low.
    pub labels_needed: Option<u64>,
}

/// What every threshold would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Thresholds {
    /// Outputs with a confidence.
    pub outputs: u64,
    /// Those whose verdict came.
    pub labels: u64,
    /// Outputs that were handed to a person.
    pub escalated: u64,
    /// Set where labels are not spread evenly over confidence.
    pub uneven: Option<Uneven>,
    /// The threshold below which outputs are handed to a person already, where escalations follow one.
    pub in_force: Option<f64>,
    /// One row for each bin of confidence that was seen, from the lowest.
    pub rows: Vec<Row>,
}

impl Thresholds {
    /// Of outputs by batches of time, all of one length; nothing where no output has a confidence.
    pub fn of(batches: &[ConfidenceTable]) -> Option<Self> {
        let mut all = ConfidenceTable::default();
        for batch in batches {
            all.merge(batch);
        }
        let bins: Vec<u16> = all.bins().into_iter().filter(|(_, cell)| cell.outputs > 0).map(|(bin, _)| bin).collect();
        let total = all.total();
        if bins.is_empty() {
            return None;
        }
        let (waves, cells) = (Waves::of(batches, &bins), all.cells());
        let rows = bins.iter().enumerate().map(|(at, bin)| row(&cells, *bin, waves.effective(at), total.outputs));
        let escalated: Cell = sum(cells.iter().filter(|(place, _)| place.escalated()));
        Some(Self {
            outputs: u64::from(total.outputs),
            labels: u64::from(total.labelled),
            escalated: u64::from(escalated.outputs),
            uneven: uneven(&cells),
            in_force: in_force(&cells, &bins),
            rows: rows.collect(),
        })
    }

    /// Of outputs by hours; by days where there are enough of them: an hour resembles the one before it, a day does so less.
    pub fn by_hours(hours: BTreeMap<Timestamp, ConfidenceTable>) -> Option<Self> {
        let mut days: BTreeMap<Timestamp, ConfidenceTable> = BTreeMap::new();
        for (hour, table) in &hours {
            days.entry(hour.floor(Span::DAY)).or_default().merge(table);
        }
        let batches: Vec<_> =
            if days.len() >= BATCHES_MIN { days.into_values().collect() } else { hours.into_values().collect() };
        Self::of(&batches)
    }

    /// The rows where people would set a threshold: for each multiple of `step` of coverage the nearest, beside the one in
    /// force.
    pub fn at_coverages(&self, step: f64) -> Vec<Row> {
        let steps = (1.0 / step.clamp(1e-3, 1.0)).round() as u32;
        let mut chosen: Vec<usize> = (0..=steps)
            .filter_map(|at| {
                let wanted = 1.0 - f64::from(at) * step;
                let distance = |row: &Row| (row.coverage.value - wanted).abs();
                let nearest = self.rows.iter().enumerate().min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)));
                nearest.map(|(at, _)| at)
            })
            .chain(self.rows.iter().position(|row| Some(row.threshold) == self.in_force))
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.into_iter().filter_map(|at| self.rows.get(at).copied()).collect()
    }

    /// The thresholds above which outputs are right at least that often, in (0, 1).
    pub fn reaching(&self, accuracy: f64) -> Reached {
        let told = |row: &&Row| row.labels >= u64::from(LABELS_MIN) && row.accuracy.is_some();
        let is = |row: &&Row, of: fn(&Estimate) -> f64| row.accuracy.is_some_and(|found| of(&found) >= accuracy);
        let likely = self.rows.iter().filter(told).find(|row| is(row, |e| e.value)).copied();
        let certain = self.rows.iter().filter(told).find(|row| is(row, |e| e.low)).copied();
        let (mut nearest, mut labels_needed) = (None, None);
        if certain.is_none() {
            let share = |row: &Row| row.accuracy.map_or(0.0, |found| found.value);
            let factor = |row: &Row| needed(share(row), accuracy) / row.effective_labels;
            nearest = if likely.is_some() {
                self.rows
                    .iter()
                    .filter(told)
                    .filter(|row| share(row) > accuracy)
                    .min_by(|a, b| factor(a).total_cmp(&factor(b)))
            } else {
                self.rows.iter().filter(told).max_by(|a, b| share(a).total_cmp(&share(b)))
            }
            .copied();
            labels_needed =
                nearest.filter(|row| share(row) > accuracy).map(|row| (factor(&row) * row.labels as f64).ceil() as u64);
        }
        Reached { accuracy, likely, certain, nearest, labels_needed }
    }
}

/// Evenly spread labels with which a share of `found` has an interval wholly above `accuracy`: Wilson's is the inversion of the
/// test with the spread of `accuracy`.
pub fn needed(found: f64, accuracy: f64) -> f64 {
    let z = normal_quantile(f64::midpoint(1.0, LEVEL));
    z * z * accuracy * (1.0 - accuracy) / (found - accuracy).powi(2)
}

fn row(cells: &[(Place, Cell)], bin: u16, effective: f64, total: u32) -> Row {
    let from = cells.partition_point(|(place, _)| *place < Place::at(bin, false));
    let above = cells.get(from..).unwrap_or_default();
    let outputs = sum(above.iter()).outputs;
    let coverage = wilson_of(f64::from(outputs) / f64::from(total.max(1)), effective, LEVEL);
    let (accuracy, labels, effective_labels) = accuracy(above);
    let (threshold, _) = edges(bin);
    let outputs = u64::from(outputs);
    Row { threshold, outputs, coverage, escalation: coverage.complement(), accuracy, labels, effective_labels }
}

fn sum<'c>(cells: impl Iterator<Item = &'c (Place, Cell)>) -> Cell {
    cells.fold(Cell::default(), |mut sum, (_, cell)| {
        sum.merge(*cell);
        sum
    })
}

/// Neighbouring bins together until they are `enough`, from the highest confidence down, for either kind of outputs; what is
/// left over joins its neighbour.
fn strata(cells: &[(Place, Cell)], enough: impl Fn(&Cell) -> bool) -> Vec<Cell> {
    let (mut closed, mut over): (Vec<Cell>, Cell) = (Vec::new(), Cell::default());
    for escalated in [false, true] {
        let before = closed.len();
        let mut open = Cell::default();
        for (_, cell) in cells.iter().rev().filter(|(place, _)| place.escalated() == escalated) {
            open.merge(*cell);
            if enough(&open) {
                closed.push(std::mem::take(&mut open));
            }
        }
        match closed.get_mut(before..).and_then(<[Cell]>::last_mut) {
            Some(last) => last.merge(open),
            None => over.merge(open),
        }
    }
    match closed.last_mut() {
        Some(last) => last.merge(over),
        None => closed.push(over),
    }
    closed
}

/// How often these outputs are right, their labels, and what the labels are worth.
fn accuracy(cells: &[(Place, Cell)]) -> (Option<Estimate>, u64, f64) {
    let strata = strata(cells, |cell| cell.labelled >= LABELS_MIN);
    let labels: u64 = strata.iter().map(|cell| u64::from(cell.labelled)).sum();
    let outputs: f64 = strata.iter().map(|cell| f64::from(cell.outputs)).sum();
    if labels == 0 || outputs <= 0.0 {
        return (None, labels, 0.0);
    }
    let parts = || {
        strata.iter().map(|cell| (f64::from(cell.outputs) / outputs, f64::from(cell.labelled), f64::from(cell.right)))
    };
    let p: f64 = parts().map(|(weight, n, right)| weight * right / n).sum();
    // Weights add up to 1 but for rounding.
    let p = if strata.iter().all(|cell| cell.right == cell.labelled) { 1.0 } else { p.clamp(0.0, 1.0) };
    let drawn = |n: f64, right: f64| (right + p) / (n + 1.0);
    let variance: f64 =
        parts().map(|(weight, n, right)| weight * weight * drawn(n, right) * (1.0 - drawn(n, right)) / n).sum();
    let spread: f64 = parts().map(|(weight, n, _)| weight * weight / n).sum();
    // Where all or none are right there is no variance, and only the weights tell.
    let worth = if variance > 0.0 && p * (1.0 - p) > 0.0 { p * (1.0 - p) / variance } else { 1.0 / spread };
    (Some(wilson_of(p, worth, LEVEL)), labels, worth)
}

/// Outputs at or above each bin, and how much batches of time differ in it.
struct Waves {
    /// Outputs of each batch.
    outputs: Vec<f64>,
    /// By bin, those of each batch that lie below.
    below: Vec<Vec<f64>>,
}

impl Waves {
    fn of(batches: &[ConfidenceTable], bins: &[u16]) -> Self {
        let seen: Vec<Vec<(u16, Cell)>> = batches.iter().map(ConfidenceTable::bins).collect();
        let outputs: Vec<f64> =
            seen.iter().map(|bins| bins.iter().map(|(_, cell)| f64::from(cell.outputs)).sum()).collect();
        let below = |bin: &u16| {
            let of = |cells: &Vec<(u16, Cell)>| {
                cells.iter().filter(|(at, _)| at < bin).map(|(_, cell)| f64::from(cell.outputs)).sum()
            };
            seen.iter().map(of).collect()
        };
        Self { outputs, below: bins.iter().map(below).collect() }
    }

    /// Independent outputs that would tell the coverage of a bin as well.
    fn effective(&self, at: usize) -> f64 {
        let n: f64 = self.outputs.iter().sum();
        let batches = self.outputs.iter().filter(|n| **n > 0.0).count();
        let Some(below) = self.below.get(at).filter(|_| batches >= BATCHES_MIN) else { return n };
        let share = below.iter().sum::<f64>() / n;
        let squares: f64 = below.iter().zip(&self.outputs).map(|(below, n)| (below - share * n).powi(2)).sum();
        let m = batches as f64;
        let variance = squares * m / (m - 1.0) / (n * n);
        if variance > 0.0 { n.min(share * (1.0 - share) / variance) } else { n }
    }
}

/// Whether labels are spread evenly, by Pearson's chi-square over groups of similar confidence: what differs so much by chance
/// once in a thousand times counts as even.
fn uneven(cells: &[(Place, Cell)]) -> Option<Uneven> {
    let total = sum(cells.iter());
    let groups = strata(cells, |cell| u64::from(cell.outputs) * GROUPS >= u64::from(total.outputs));
    let rate = f64::from(total.labelled) / f64::from(total.outputs);
    let (mut statistic, mut compared, mut least, mut most) = (0.0_f64, 0_usize, 1.0_f64, 0.0_f64);
    for group in groups {
        let (n, labelled) = (f64::from(group.outputs), f64::from(group.labelled));
        if n * rate < EXPECTED_MIN || n * (1.0 - rate) < EXPECTED_MIN {
            continue;
        }
        statistic += (labelled - n * rate).powi(2) / (n * rate * (1.0 - rate));
        compared += 1;
        (least, most) = (least.min(labelled / n), most.max(labelled / n));
    }
    let labels_alone = f64::from(total.right) / f64::from(total.labelled);
    let chance = chi_squared_tail(statistic, compared.saturating_sub(1));
    (chance < CHANCE).then_some(Uneven { least, most, labels_alone })
}

/// The threshold that escalations follow, where they follow one.
fn in_force(cells: &[(Place, Cell)], bins: &[u16]) -> Option<f64> {
    let count = |escalated: bool, bin: u16, below: bool| -> f64 {
        let wanted =
            |(place, _): &&(Place, Cell)| place.escalated() == escalated && (*place < Place::at(bin, false)) == below;
        f64::from(sum(cells.iter().filter(wanted)).outputs)
    };
    let agreement = |bin: u16| {
        let (caught, missed) = (count(true, bin, true), count(true, bin, false));
        let (kept, lost) = (count(false, bin, false), count(false, bin, true));
        let share = |right: f64, wrong: f64| if right + wrong > 0.0 { right / (right + wrong) } else { 0.0 };
        share(caught, missed).min(share(kept, lost))
    };
    let best = bins.iter().map(|bin| (agreement(*bin), *bin)).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= AGREEMENT).then(|| edges(best.1).0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::confidence::{bin, middle};
    use super::super::detect::design::interval::wilson;
    use super::super::units::Counts;
    use super::*;

    /// Outputs of one confidence: so many, labelled and right.
    fn cell(
        table: &mut ConfidenceTable,
        confidence: f64,
        escalated: bool,
        (outputs, labelled, right): (u32, u32, u32),
    ) {
        table.add(Place::of(Some(confidence), Some(escalated)), Cell { outputs, labelled, right });
    }

    #[test]
    fn labels_on_doubtful_cases_do_not_move_the_accuracy() {
        let mut table = ConfidenceTable::default();
        cell(&mut table, 0.6, false, (1_000, 800, 480));
        cell(&mut table, 0.95, false, (9_000, 100, 98));
        let found = Thresholds::of(&[table]).unwrap();
        let accuracy = found.rows[0].accuracy.unwrap();
        assert!((accuracy.value - (0.1 * 0.6 + 0.9 * 0.98)).abs() < 1e-12);
        let uneven = found.uneven.unwrap();
        assert!((uneven.least - 100.0 / 9_000.0).abs() < 1e-12 && (uneven.most - 0.8).abs() < 1e-12);
        assert!((uneven.labels_alone - 578.0 / 900.0).abs() < 1e-12);
        // Nearly all rests on the hundred labels of the confident ones: they are worth little more.
        assert!(found.rows[0].effective_labels < 400.0, "{:?}", found.rows[0]);
        assert!(accuracy.low < accuracy.value - 0.02 && accuracy.high > accuracy.value + 0.005, "{accuracy:?}");
    }

    #[test]
    fn evenly_labelled_outputs_are_as_their_labels_and_have_wilsons_interval() {
        let mut table = ConfidenceTable::default();
        cell(&mut table, 0.6, false, (1_000, 100, 80));
        cell(&mut table, 0.9, false, (3_000, 300, 240));
        let found = Thresholds::of(&[table]).unwrap();
        let (accuracy, plain) = (found.rows[0].accuracy.unwrap(), wilson(Counts { hits: 320, n: 400 }, LEVEL));
        assert!(
            (accuracy.value - plain.value).abs() < 1e-12 && (accuracy.low - plain.low).abs() < 1e-6,
            "{accuracy:?}"
        );
        assert_eq!((found.uneven, found.in_force, found.rows[0].labels), (None, None, 400));
        assert_eq!(found.rows[0].coverage.value, 1.0);
    }

    #[test]
    fn escalated_outputs_with_all_the_labels_do_not_speak_for_the_others() {
        let mut table = ConfidenceTable::default();
        cell(&mut table, 0.9, true, (1_000, 1_000, 500));
        cell(&mut table, 0.9, false, (9_000, 450, 441));
        let found = Thresholds::of(&[table]).unwrap();
        assert!((found.rows[0].accuracy.unwrap().value - (0.1 * 0.5 + 0.9 * 0.98)).abs() < 1e-12);
    }

    #[test]
    fn the_threshold_in_force_is_found_and_shown() {
        let mut table = ConfidenceTable::default();
        for at in 50..100 {
            cell(&mut table, f64::from(at) / 100.0, at < 83, (100, 0, 0));
        }
        let found = Thresholds::of(&[table.clone()]).unwrap();
        assert_eq!((found.in_force, found.escalated), (Some(0.83), 3_300));
        assert!(found.at_coverages(0.5).iter().any(|row| row.threshold == 0.83));
        assert!(found.rows.iter().all(|row| row.accuracy.is_none()));
        cell(&mut table, 0.95, true, (2_000, 0, 0));
        assert_eq!(Thresholds::of(&[table]).unwrap().in_force, None);
    }

    #[test]
    fn batches_that_differ_widen_the_interval_of_the_escalation_rate() {
        let batch = |doubtful: u32| {
            let mut table = ConfidenceTable::default();
            cell(&mut table, 0.5, false, (doubtful, 0, 0));
            cell(&mut table, 0.9, false, (100 - doubtful, 0, 0));
            table
        };
        let width = |batches: Vec<ConfidenceTable>| {
            let row = Thresholds::of(&batches).unwrap().rows[1];
            assert!((row.escalation.value - 0.2).abs() < 1e-12, "{row:?}");
            row.escalation.high - row.escalation.low
        };
        let (steady, waves) = ((0..40).map(|_| batch(20)).collect(), (0..40).map(|at| batch(at % 2 * 40)).collect());
        let (steady, waves) = (width(steady), width(waves));
        // Of batches of 0 and 40: variance 400 of the batch's 100, over 40 batches a standard error of 3.2 points.
        assert!((steady - 2.0 * 1.96 * (0.2 * 0.8 / 4_000.0_f64).sqrt()).abs() < 1e-3, "{steady}");
        assert!((waves - 2.0 * 1.96 * 0.2 / 39.0_f64.sqrt()).abs() < 5e-3, "{waves}");
    }

    #[test]
    fn what_an_accuracy_asks_is_told_even_where_nothing_gives_it() {
        let mut table = ConfidenceTable::default();
        cell(&mut table, 0.5, false, (1_000, 1_000, 600));
        cell(&mut table, 0.8, false, (1_000, 1_000, 970));
        cell(&mut table, 0.95, false, (1_000, 1_000, 999));
        let found = Thresholds::of(&[table]).unwrap();
        let reached = found.reaching(0.98);
        assert_eq!((reached.likely.unwrap().threshold, reached.certain.unwrap().threshold), (0.8, 0.95));
        let reached = found.reaching(0.9985);
        assert_eq!((reached.likely.unwrap().threshold, reached.certain), (0.95, None));
        // With so many labels of the same kind it is certain, with fewer it is not.
        let labels = reached.labels_needed.unwrap() as f64;
        assert!(labels > 1_000.0 && wilson_of(0.999, labels, LEVEL).low >= 0.9985);
        assert!(wilson_of(0.999, labels * 0.99, LEVEL).low < 0.9985);
        let reached = found.reaching(0.9995);
        assert_eq!((reached.likely, reached.nearest.unwrap().threshold, reached.labels_needed), (None, 0.95, None));
    }

    /// Labels are drawn anew, ten times as often for doubtful outputs, and the truth is known.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        // Confidence, outputs, the share of right ones, labels in a thousand outputs.
        const KINDS: [(f64, u32, f64, u32); 6] = [
            (0.55, 1_000, 0.58, 200),
            (0.7, 1_500, 0.75, 200),
            (0.85, 2_500, 0.9, 60),
            (0.95, 4_000, 0.965, 20),
            (0.985, 5_000, 0.99, 20),
            (0.9995, 6_000, 0.998, 20),
        ];
        let truth = |from: f64| {
            let above = || KINDS.iter().filter(|(confidence, ..)| *confidence >= from);
            above().map(|(_, n, right, _)| f64::from(*n) * right).sum::<f64>()
                / above().map(|(_, n, ..)| f64::from(*n)).sum::<f64>()
        };
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut chance = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let (mut held, mut of, mut certain, mut wrong) = ([0_u32; 6], 0_u32, 0_u32, 0_u32);
        for _ in 0..600 {
            let mut table = ConfidenceTable::default();
            for (confidence, n, share, labels) in KINDS {
                let labelled = (0..n).filter(|_| chance() < f64::from(labels) / 1_000.0).count() as u32;
                let right = (0..labelled).filter(|_| chance() < share).count() as u32;
                cell(&mut table, confidence, false, (n, labelled, right));
            }
            let found = Thresholds::of(&[table]).unwrap();
            for (held, row) in held.iter_mut().zip(&found.rows) {
                let accuracy = row.accuracy.unwrap();
                *held += u32::from(accuracy.low <= truth(row.threshold) && truth(row.threshold) <= accuracy.high);
            }
            of += 1;
            if let Some(row) = found.reaching(0.975).certain {
                certain += 1;
                wrong += u32::from(truth(row.threshold) < 0.975);
            }
        }
        println!("held {held:?} of {of}; certain {certain}, wrongly {wrong}");
        // Two standard errors of 95 % over 600 are 1.8 points; Wilson's interval is not exact at shares near 1.
        assert!(held.iter().all(|held| (0.92..=0.995).contains(&(f64::from(*held) / f64::from(of)))), "{held:?}");
        assert!(certain > 250 && f64::from(wrong) < 0.05 * f64::from(of), "{certain} {wrong}");
    }

    /// An output: its confidence, whether it was escalated, its verdict where there is one.
    type Case = (f64, bool, Option<bool>);

    fn table(cases: &[Case]) -> ConfidenceTable {
        let mut table = ConfidenceTable::default();
        for (confidence, escalated, right) in cases {
            let place = Place::of(Some(*confidence), Some(*escalated));
            table.output(place);
            if let Some(right) = right {
                table.verdict(place, *right);
            }
        }
        table
    }

    proptest! {
        /// Counts equal those over the single cases, coverage falls and escalation rises with the threshold, and intervals hold
        /// their estimates.
        #[test]
        fn rows_equal_a_count_of_cases(cases in proptest::collection::vec((0.5..1.0_f64, any::<bool>(), any::<Option<bool>>()), 1..400), cut in 0_usize..400) {
            let (a, b) = cases.split_at(cut.min(cases.len()));
            let found = Thresholds::of(&[table(a), table(b)]).unwrap();
            prop_assert_eq!(found.outputs as usize, cases.len());
            for row in &found.rows {
                let above: Vec<&Case> = cases.iter().filter(|(c, ..)| middle(bin(*c)) >= row.threshold).collect();
                prop_assert_eq!(row.outputs as usize, above.len());
                prop_assert_eq!(row.labels as usize, above.iter().filter(|(.., right)| right.is_some()).count());
                prop_assert!((row.coverage.value + row.escalation.value - 1.0).abs() < 1e-12);
                if let Some(e) = row.accuracy {
                    prop_assert!(e.low <= e.value + 1e-12 && e.value <= e.high + 1e-12);
                    prop_assert!(row.effective_labels > 0.0);
                }
            }
            prop_assert!(found.rows.windows(2).all(|pair| pair[0].threshold < pair[1].threshold && pair[0].coverage.value > pair[1].coverage.value && pair[0].escalation.value < pair[1].escalation.value));
            prop_assert_eq!(found.rows[0].coverage.value, 1.0);
            let shown = found.at_coverages(0.05);
            prop_assert!(shown.len() <= 22 && shown.iter().all(|row| found.rows.contains(row)));
        }

        /// Where every output is labelled, accuracy is the plain share whatever the strata.
        #[test]
        fn a_census_is_a_plain_share(cases in proptest::collection::vec((0.5..1.0_f64, any::<bool>(), any::<bool>().prop_map(Some)), 1..400)) {
            let found = Thresholds::of(&[table(&cases)]).unwrap();
            let right = cases.iter().filter(|(.., right)| *right == Some(true)).count();
            prop_assert!((found.rows[0].accuracy.unwrap().value - right as f64 / cases.len() as f64).abs() < 1e-9);
            prop_assert_eq!(found.uneven, None);
        }
    }
}
