//! Stated confidence: its bins, and outputs with their verdicts by bin.
//!
//! **Bins.** 271, with edges that people write: hundredths up to 0.9, thousandths up to 0.99, ten-thousandths up to 0.999, and
//! one beyond. Agents crowd towards 1, and the difference between 0.97 and 0.99 is one between 3 and 1 errors in a hundred.
//!
//! **The table.** Outputs, labelled ones and right ones by bin and by whether they were handed to a person. It merges by
//! addition, and everything that is told of confidence and verdicts together comes from it: calibration, accuracy from few
//! labels and many confidences, what a threshold would cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bins::{Counted, Halved, Sum};
use super::units::{Counts, nearest_rank};

/// Bins of confidence.
pub const BINS: u16 = 271;

/// The bin of a confidence in [0, 1]; its lower edge belongs to it.
pub fn bin(confidence: f64) -> u16 {
    // Edges are decimal fractions, which doubles miss by far less than this.
    let parts = (confidence.clamp(0.0, 1.0) * 10_000.0 + 1e-6) as u16;
    match parts {
        ..9_000 => parts / 100,
        9_000..9_900 => 90 + (parts - 9_000) / 10,
        9_900..9_990 => 180 + (parts - 9_900),
        _ => 270,
    }
}

/// The lower and the upper edge of a bin.
pub fn edges(bin: u16) -> (f64, f64) {
    let edge = |bin: u16| match bin {
        ..90 => f64::from(bin) / 100.0,
        90..180 => f64::from(900 + bin - 90) / 1_000.0,
        180..=270 => f64::from(9_900 + bin - 180) / 10_000.0,
        _ => 1.0,
    };
    (edge(bin), edge(bin.saturating_add(1)))
}

/// The middle of a bin, which stands for all its confidences.
pub fn middle(bin: u16) -> f64 {
    let (low, high) = edges(bin);
    f64::midpoint(low, high)
}

/// Where an output stands in the table: its bin, and whether it was handed to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place(u16);

impl Place {
    /// The place of an output without a confidence, or of one that nobody remembers.
    pub const NONE: Self = Self(u16::MAX);

    /// The place of an output.
    pub fn of(confidence: Option<f64>, escalated: Option<bool>) -> Self {
        confidence.map_or(Self::NONE, |confidence| Self::at(bin(confidence), escalated == Some(true)))
    }

    /// The place of a bin.
    pub const fn at(bin: u16, escalated: bool) -> Self {
        Self(bin * 2 + escalated as u16)
    }

    /// The bin, where there is a confidence.
    pub const fn bin(self) -> Option<u16> {
        if self.0 < 2 * BINS { Some(self.0 / 2) } else { None }
    }

    /// The middle of the bin, where there is a confidence.
    pub fn confidence(self) -> Option<f64> {
        self.bin().map(middle)
    }

    /// Whether the output was handed to a person.
    pub const fn escalated(self) -> bool {
        self.bin().is_some() && self.0 % 2 == 1
    }
}

/// Outputs of one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Outputs.
    pub outputs: u32,
    /// Those whose verdict came.
    pub labelled: u32,
    /// Those of them that were right.
    pub right: u32,
}

impl Cell {
    /// Adds another.
    pub const fn merge(&mut self, other: Self) {
        self.outputs = self.outputs.saturating_add(other.outputs);
        self.labelled = self.labelled.saturating_add(other.labelled);
        self.right = self.right.saturating_add(other.right);
    }
}

impl Sum for Cell {
    fn merge(&mut self, other: Self) {
        Self::merge(self, other);
    }
}

/// A cell of few outputs: the same three numbers.
#[derive(Clone, Copy, Debug)]
pub struct SmallCell([u16; 3]);

impl Sum for SmallCell {
    fn merge(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine = mine.saturating_add(theirs));
    }
}

impl Halved for Cell {
    type Half = SmallCell;

    fn cases(self) -> u64 {
        // Verdicts come in panes of their own, without their outputs.
        self.outputs.max(self.labelled).max(self.right).into()
    }

    fn halve(self) -> SmallCell {
        SmallCell([self.outputs, self.labelled, self.right].map(|n| n as u16))
    }

    fn whole(SmallCell(half): SmallCell) -> Self {
        let [outputs, labelled, right] = half.map(u32::from);
        Self { outputs, labelled, right }
    }
}

/// Outputs with a confidence, by place; only places that were seen are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfidenceTable {
    cells: Counted<Place, Cell>,
}

impl ConfidenceTable {
    /// Adds an output, its verdict left out. One without a confidence has no place here.
    pub fn output(&mut self, place: Place) {
        self.add(place, Cell { outputs: 1, ..Cell::default() });
    }

    /// Adds the verdict of an output.
    pub fn verdict(&mut self, place: Place, right: bool) {
        self.add(place, Cell { outputs: 0, labelled: 1, right: u32::from(right) });
    }

    /// Adds outputs of one place.
    pub fn add(&mut self, place: Place, cell: Cell) {
        if place.bin().is_some() {
            self.cells.add(place, cell);
        }
    }

    /// Adds all outputs of another.
    pub fn merge(&mut self, other: &Self) {
        self.cells.merge(&other.cells);
    }

    /// Makes reading cheap.
    pub fn settle(&mut self) {
        self.cells.settle();
    }

    /// The places that were seen, from the lowest confidence to the highest.
    pub fn cells(&self) -> Vec<(Place, Cell)> {
        self.cells.sorted()
    }

    /// Whether no output had a confidence.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The bins that were seen, from the lowest to the highest, both kinds of outputs together.
    pub fn bins(&self) -> Vec<(u16, Cell)> {
        let mut bins: Vec<(u16, Cell)> = Vec::new();
        for (place, cell) in self.cells() {
            let Some(bin) = place.bin() else { continue };
            match bins.last_mut() {
                Some((last, mine)) if *last == bin => mine.merge(cell),
                _ => bins.push((bin, cell)),
            }
        }
        bins
    }

    /// All outputs together.
    pub fn total(&self) -> Cell {
        let mut total = Cell::default();
        self.cells.each_part(|_, cell| total.merge(cell));
        total
    }

    /// Those handed to a person: of all outputs, and of the labelled ones.
    pub fn escalated(&self) -> [Counts; 2] {
        let mut counts = [Counts::default(); 2];
        self.cells.each_part(|place, cell| {
            for (count, n) in counts.iter_mut().zip([cell.outputs, cell.labelled]) {
                let n = u64::from(n);
                count.merge(Counts { hits: if place.escalated() { n } else { 0 }, n });
            }
        });
        counts
    }

    /// The outputs that the agent was surest of: so large a `share` of all. Nothing where there are none.
    pub fn surest(&self, share: f64) -> Option<Surest> {
        let bins = self.bins();
        let mut left = share.clamp(0.0, 1.0) * bins.iter().map(|(_, cell)| f64::from(cell.outputs)).sum::<f64>();
        for (bin, cell) in bins.into_iter().rev().filter(|(_, cell)| cell.outputs > 0) {
            let outputs = f64::from(cell.outputs);
            if left <= outputs {
                return Some(Surest { bin, part: left / outputs });
            }
            left -= outputs;
        }
        None
    }

    /// The q-quantile of the stated confidences (nearest rank), as the middle of its bin; nothing where there are none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut outputs = 0;
        self.cells.each_part(|_, cell| outputs += u64::from(cell.outputs));
        let rank = nearest_rank(q, outputs);
        let mut seen = 0;
        let place = self.cells.find(|_, cell| {
            seen += u64::from(cell.outputs);
            seen >= rank
        });
        place.and_then(Place::confidence)
    }

    /// Outputs by hundredths of confidence: 100 counts.
    pub fn hundredths(&self) -> Vec<u64> {
        let mut counts = vec![0; 100];
        self.cells.each_part(|place, cell| {
            let at = place.confidence().map_or(99, |confidence| (confidence * 100.0) as usize);
            if let Some(count) = counts.get_mut(at.min(99)) {
                *count += u64::from(cell.outputs);
            }
        });
        counts
    }
}

/// The outputs above a bin of confidence, and a part of those within it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surest {
    bin: u16,
    part: f64,
}

impl Surest {
    /// Whether an output of that place is one of them; `draw` in [0, 1) decides within the bin.
    pub fn holds(self, place: Place, draw: f64) -> bool {
        place.bin().is_some_and(|bin| bin > self.bin || (bin == self.bin && draw < self.part))
    }

    /// The part of the outputs of a place that belongs to them, in [0, 1].
    pub fn part_of(self, place: Place) -> f64 {
        match place.bin() {
            Some(bin) if bin > self.bin => 1.0,
            Some(bin) if bin == self.bin => self.part,
            _ => 0.0,
        }
    }

    /// Verdicts on them: of all above the bin, and the part of those within it.
    pub fn counts(self, places: &BTreeMap<Place, Counts>) -> Counts {
        let (mut above, mut within) = (Counts::default(), Counts::default());
        for (place, counts) in places {
            match place.bin() {
                Some(bin) if bin > self.bin => above.merge(*counts),
                Some(bin) if bin == self.bin => within.merge(*counts),
                _ => {}
            }
        }
        let part = |n: u64| (n as f64 * self.part).round() as u64;
        above.merge(Counts { hits: part(within.hits), n: part(within.n).max(part(within.hits)) });
        above
    }
}

/// A number in [0, 1) that follows from the key of an output: uniform, unless an agent searches for ids.
pub fn draw(key: u64) -> f64 {
    (key >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_are_the_numbers_that_people_write_and_belong_to_the_bin_above() {
        let mut last = 0.0;
        for at in 0..BINS {
            let (low, high) = edges(at);
            assert_eq!((low, bin(low), bin(middle(at))), (last, at, at));
            assert!(high > low);
            last = high;
        }
        assert_eq!((last, bin(1.0)), (1.0, BINS - 1));
        for (confidence, low) in [(0.57, 0.57), (0.959, 0.959), (0.9597, 0.959), (0.9987, 0.9987), (0.99999, 0.999)] {
            assert_eq!(edges(bin(confidence)).0, low, "{confidence}");
        }
    }

    #[test]
    fn a_place_knows_its_bin_and_who_answered() {
        let place = Place::of(Some(0.999_9), Some(true));
        assert_eq!((place.bin(), place.escalated()), (Some(270), true));
        assert_eq!((Place::of(Some(0.0), None).bin(), Place::of(Some(0.0), None).escalated()), (Some(0), false));
        assert_eq!(
            (Place::of(None, Some(true)), Place::NONE.bin(), Place::NONE.escalated()),
            (Place::NONE, None, false)
        );
    }

    #[test]
    fn the_surest_are_as_many_as_asked() {
        let mut table = ConfidenceTable::default();
        let of = |confidence| Place::of(Some(confidence), None);
        for (confidence, outputs) in [(0.5, 10), (0.8, 60), (0.95, 30)] {
            (0..outputs).for_each(|_| table.output(of(confidence)));
        }
        let surest = table.surest(0.6).unwrap();
        assert_eq!(surest, Surest { bin: bin(0.8), part: 0.5 });
        assert!(surest.holds(of(0.95), 0.99) && surest.holds(of(0.8), 0.49));
        assert!(!surest.holds(of(0.8), 0.5) && !surest.holds(of(0.5), 0.0) && !surest.holds(Place::NONE, 0.0));
        let counts = |hits, n| Counts { hits, n };
        let places = BTreeMap::from([(of(0.5), counts(1, 9)), (of(0.8), counts(3, 20)), (of(0.95), counts(0, 7))]);
        assert_eq!(surest.counts(&places), counts(2, 17));
        let quantile = |q| table.quantile(q).map(bin);
        assert_eq!(
            [0.0, 0.1, 0.11, 0.7, 0.71, 1.0].map(quantile),
            [0.5, 0.5, 0.8, 0.8, 0.95, 0.95].map(|c| Some(bin(c)))
        );
        assert_eq!(ConfidenceTable::default().quantile(0.5), None);
        assert_eq!((table.surest(1.0).unwrap().bin, ConfidenceTable::default().surest(0.5)), (bin(0.5), None));
    }

    #[test]
    fn a_table_of_many_verdicts_counts_on() {
        let place = Place::at(100, true);
        let mut table = ConfidenceTable::default();
        (0..70_000).for_each(|nth| table.verdict(place, nth % 4 != 0));
        table.output(place);
        assert_eq!(table.cells(), [(place, Cell { outputs: 1, labelled: 70_000, right: 52_500 })]);
        // Of two that are small, too.
        let mut half = ConfidenceTable::default();
        half.add(place, Cell { outputs: 40_000, labelled: 3, right: 2 });
        let mut whole = half.clone();
        whole.merge(&half);
        assert_eq!(whole.cells(), [(place, Cell { outputs: 80_000, labelled: 6, right: 4 })]);
    }

    proptest! {
        #[test]
        fn tables_merge_in_any_order(cases in proptest::collection::vec((0.0..1.0_f64, any::<bool>(), any::<Option<bool>>()), 0..200), cut in 0_usize..200) {
            let fold = |cases: &[(f64, bool, Option<bool>)]| {
                let mut table = ConfidenceTable::default();
                for (confidence, escalated, right) in cases {
                    let place = Place::of(Some(*confidence), Some(*escalated));
                    table.output(place);
                    if let Some(right) = right { table.verdict(place, *right); }
                }
                table
            };
            let all = fold(&cases);
            let (a, b) = cases.split_at(cut.min(cases.len()));
            let mut merged = fold(b);
            merged.merge(&fold(a));
            prop_assert_eq!(&merged, &all);
            prop_assert_eq!(all.total().outputs as usize, cases.len());
            prop_assert_eq!(all.hundredths().iter().sum::<u64>() as usize, cases.len());
            prop_assert!(all.bins().windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
