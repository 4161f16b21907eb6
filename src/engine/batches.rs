//! Counts by hour during Phase I: what says how much a share wanders between batches, and the rhythm of outputs.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::detect::in_time;
use super::event::{Output, Status};
use super::rule::{Detect, Measure};
use super::sketch::{Histogram, entry, latency};
use super::units::{Counts, Span, Timestamp};

/// Most batches that are kept; beyond, neighbours are merged and a batch lasts longer.
const MOST: usize = 128;

/// The next wider batches, in hours: 1, 2, 4, 8, 24, 48 and so on. What days have in common is seen whole in days only.
pub const fn wider(hours: u32) -> u32 {
    if hours == 8 { 24 } else { hours.saturating_mul(2) }
}

type Cells = Vec<(i64, (u32, u32))>;

/// Exported baselines have a map.
fn as_map<S: Serializer>(cells: &Cells, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(cells.iter().map(|(at, counts)| (at, counts)))
}

fn of_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cells, D::Error> {
    BTreeMap::deserialize(deserializer).map(|cells| cells.into_iter().collect())
}

/// Bad outcomes of all, by stretches of event time of equal width, in any order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batches {
    /// Hours that one batch lasts, one of the steps of [`wider`].
    hours: u32,
    /// Bad outcomes and all by the number of the batch, in its order: in one piece of memory, for most streams have one or two.
    #[serde(serialize_with = "as_map", deserialize_with = "of_map")]
    cells: Cells,
}

impl Default for Batches {
    fn default() -> Self {
        Self { hours: 1, cells: Vec::new() }
    }
}

impl Batches {
    /// Adds one case.
    pub fn add(&mut self, ts: Timestamp, bad: bool) {
        self.count(self.cell_of(ts), (u32::from(bad), 1));
        while self.cells.len() > MOST {
            self.widen();
        }
    }

    /// Adds the batches of another part of Phase I.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.hours < other.hours {
            self.widen();
        }
        while other.hours < self.hours {
            other.widen();
        }
        other.cells.into_iter().for_each(|(at, counts)| self.count(at, counts));
        while self.cells.len() > MOST {
            self.widen();
        }
    }

    /// Good outcomes in place of bad ones.
    #[must_use]
    pub fn complement(&self) -> Self {
        let cells = self.cells.iter().map(|(at, (hits, n))| (*at, (n.saturating_sub(*hits), *n))).collect();
        Self { hours: self.hours, cells }
    }

    fn cell_of(&self, ts: Timestamp) -> i64 {
        let (ms, width) = (ts.as_millis(), Span::HOUR.times(i64::from(self.hours)).as_millis());
        let holds = |at: &i64| (at.saturating_mul(width)..at.saturating_add(1).saturating_mul(width)).contains(&ms);
        // Nearly always the last one, and that takes no division.
        self.cells.last().map(|(at, _)| *at).filter(holds).unwrap_or_else(|| ms.div_euclid(width))
    }

    fn widen(&mut self) {
        let before = self.hours;
        self.hours = wider(before);
        for (at, counts) in std::mem::take(&mut self.cells) {
            self.count(at.div_euclid(i64::from(self.hours / before)), counts);
        }
    }

    /// Adds to a batch. Nearly always it is the last one.
    fn count(&mut self, at: i64, (hits, n): (u32, u32)) {
        let place = match self.cells.last() {
            Some((last, _)) if *last == at => self.cells.len() - 1,
            Some((last, _)) if *last > at => self.cells.partition_point(|(other, _)| *other < at),
            _ => self.cells.len(),
        };
        if self.cells.get(place).is_none_or(|(other, _)| *other != at) {
            self.cells.reserve_exact(1);
            self.cells.insert(place, (at, (0, 0)));
        }
        if let Some((_, (all_hits, all))) = self.cells.get_mut(place) {
            *all_hits = all_hits.saturating_add(hits);
            *all = all.saturating_add(n);
        }
    }

    /// Hours that one batch lasts.
    pub const fn hours(&self) -> u32 {
        self.hours
    }

    /// Batches of at least `hours` hours, a multiple of [`Batches::hours`], and at least `least` cases, in the order of
    /// time. The last one, which may be short, is left out.
    pub fn grouped(&self, hours: u32, least: u64) -> Vec<Counts> {
        let factor = i64::from((hours / self.hours).max(1));
        let mut groups = Vec::new();
        let mut open: Option<(i64, Counts)> = None;
        for (at, (hits, n)) in &self.cells {
            let block = at.div_euclid(factor);
            if let Some((start, counts)) = open
                && block > start
                && counts.n >= least
            {
                groups.push(counts);
                open = None;
            }
            let (_, counts) = open.get_or_insert((block, Counts::default()));
            counts.merge(Counts { hits: (*hits).into(), n: (*n).into() });
        }
        groups
    }
}

/// Outputs after which the bars of latency, for counting slow ones by batches, are set: a share that wanders can only
/// be counted against something that stands still.
const BARS_AFTER: u64 = 500;

/// Slow outputs by batches, against the quantiles of the phase's first outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Slow {
    /// Bins above which an output is slow: p50, p95, p99.
    bars: [u16; 3],
    batches: [Batches; 3],
}

/// Bad outcomes of every share by batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareBatches {
    /// Wrong, of labelled outputs.
    pub wrong: Batches,
    /// Overridden, of outputs of which that is known later.
    pub overridden: Batches,
    escalated: Batches,
    errors: Batches,
    unavailable: Batches,
    flags: BTreeMap<String, Batches>,
    /// Latency as a whole, then of the components.
    slow: [Option<Box<Slow>>; 5],
}

impl ShareBatches {
    /// Adds one output, whose latencies the histograms (the whole, then the components) already hold.
    pub fn absorb<'h>(&mut self, output: &Output<'_>, histograms: impl Iterator<Item = &'h Histogram>) {
        let ts = output.ts;
        if let Some(escalated) = output.escalated {
            self.escalated.add(ts, escalated);
        }
        if let Some(status) = output.status {
            self.errors.add(ts, status != Status::Ok);
            self.unavailable.add(ts, matches!(status, Status::Error | Status::Timeout));
        }
        for (name, value) in &output.flags {
            if name == "overridden" {
                self.overridden.add(ts, *value);
            } else if let Some(batches) = entry(&mut self.flags, name) {
                batches.add(ts, *value);
            }
        }
        let latencies = std::iter::once(output.latency.total).chain(output.latency.components);
        for ((slow, nanos), histogram) in self.slow.iter_mut().zip(latencies).zip(histograms) {
            let Some(nanos) = nanos else { continue };
            if slow.is_none() && histogram.n() >= BARS_AFTER {
                let bar = |q| histogram.quantile_bin(q).unwrap_or(u16::MAX);
                *slow = Some(Box::new(Slow { bars: [bar(0.5), bar(0.95), bar(0.99)], ..Slow::default() }));
            }
            if let Some(slow) = slow {
                let bin = latency::bin(nanos);
                for (bar, batches) in slow.bars.iter().zip(&mut slow.batches) {
                    batches.add(ts, bin > *bar);
                }
            }
        }
    }

    /// The batches of a measure's bad outcomes; nothing for measures that are no shares, and for flags and latency.
    pub const fn of_measure(&self, measure: &Measure) -> Option<&Batches> {
        match measure {
            Measure::Accuracy | Measure::AccuracyAtCoverage => Some(&self.wrong),
            Measure::OverrideRate => Some(&self.overridden),
            Measure::EscalationRate => Some(&self.escalated),
            Measure::ErrorRate => Some(&self.errors),
            Measure::Availability => Some(&self.unavailable),
            _ => None,
        }
    }

    /// The batches of what a rule watches; nothing for measures that are no shares, or were never seen.
    pub fn of(&self, detect: &Detect) -> Option<Batches> {
        let batches = match &detect.measure {
            Measure::Flag(name) => {
                let batches = self.flags.get(name)?;
                if detect.counts_good() { batches.complement() } else { batches.clone() }
            }
            Measure::Latency { per_mille, component } => {
                let at = component.map_or(0, |component| component.index() + 1);
                let bar = [500, 950, 990].iter().position(|q| q == per_mille)?;
                self.slow.get(at)?.as_ref()?.batches.get(bar)?.clone()
            }
            measure => self.of_measure(measure)?.clone(),
        };
        (!batches.cells.is_empty()).then_some(batches)
    }
}

/// Most hours of outputs that are kept, 12 weeks: enough for weekday factors. They are 8 kB in memory, in the set of baselines
/// and in each stream; written down, counts below 128 take a byte.
const HOURS_KEPT: i64 = 12 * 7 * 24;

/// Outputs by whole hours of event time (UTC), the newest 12 weeks of them, as far as they came in time. Hours without
/// outputs between the first and the last count as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputHours {
    /// The first hour, counted from 1970.
    first: i64,
    counts: VecDeque<u32>,
}

impl OutputHours {
    /// Counts one output that came at stream time `now`, unless it came too late for a chart to count it.
    pub fn add(&mut self, ts: Timestamp, now: Timestamp) {
        if !in_time(ts, now) {
            return;
        }
        let hour = ts.as_millis().div_euclid(Span::HOUR.as_millis());
        let end = self.first + self.counts.len() as i64;
        if self.counts.is_empty() || hour >= end + HOURS_KEPT {
            (self.first, self.counts) = (hour, VecDeque::from([0]));
        } else if hour >= end {
            self.counts.extend((end..=hour).map(|_| 0));
            let over = (self.counts.len() as i64 - HOURS_KEPT).max(0);
            self.counts.drain(..over as usize);
            self.first += over;
        } else if end - hour > HOURS_KEPT {
            return;
        }
        while hour < self.first {
            self.counts.push_front(0);
            self.first -= 1;
        }
        if let Some(count) = self.counts.get_mut((hour - self.first) as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// The whole days from midnight to midnight UTC that lie between the first and the last hour, which may have been seen in
    /// part and are left out: the number of the first day, counted from 1970, and the outputs of every day by the hour.
    pub fn days(&self) -> (i64, Vec<[u32; 24]>) {
        let day = (self.first + 24).div_euclid(24);
        let whole = self.counts.iter().take(self.counts.len().saturating_sub(1));
        let hours = whole.skip((day * 24 - self.first) as usize).copied().collect::<Vec<u32>>();
        (day, hours.as_chunks().0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hour(n: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_400_000 + n * 3_600_000)
    }

    #[test]
    fn groups_close_on_time_and_size() {
        let mut batches = Batches::default();
        for n in 0..6 {
            for i in 0..10 {
                batches.add(hour(n), i == 0);
            }
        }
        assert_eq!(batches.grouped(1, 1), [Counts { hits: 1, n: 10 }; 5]);
        assert_eq!(batches.grouped(1, 20), [Counts { hits: 2, n: 20 }; 2]);
        assert_eq!(batches.grouped(2, 1).iter().map(|c| c.n).sum::<u64>() % 10, 0);
        assert_eq!(Batches::default().grouped(1, 1), []);
        assert_eq!(batches.complement().grouped(1, 1), [Counts { hits: 9, n: 10 }; 5]);
    }

    #[test]
    fn many_hours_make_wider_batches_and_nothing_is_lost() {
        let mut batches = Batches::default();
        (0..1_000).for_each(|n| batches.add(hour(n), n % 3 == 0));
        assert_eq!(batches.hours(), 8);
        assert!(batches.cells.len() <= MOST);
        assert_eq!(batches.cells.iter().map(|(_, (_, n))| n).sum::<u32>(), 1_000);
        (1_000..1_440).for_each(|n| batches.add(hour(n), n % 3 == 0));
        // Sixty days, each in one batch from midnight to midnight, but for the first and the last.
        assert_eq!((batches.hours(), batches.cells.len()), (24, 61));
        assert_eq!(batches.cells.iter().filter(|(_, (_, n))| *n == 24).count(), 59);
    }

    #[test]
    fn batches_come_in_any_order_and_are_written_as_a_map() {
        let (mut batches, mut other) = (Batches::default(), Batches::default());
        for (one, two) in [(5, 2), (2, 2), (9, 5), (2, 5), (5, 9)] {
            batches.add(hour(one), one == 2);
            other.add(hour(two), two == 2);
        }
        assert_eq!(batches, other);
        let map: BTreeMap<i64, (u32, u32)> = batches.cells.iter().copied().collect();
        let json = serde_json::to_string(&batches).unwrap();
        assert_eq!(json, format!(r#"{{"hours":1,"cells":{}}}"#, serde_json::to_string(&map).unwrap()));
        assert_eq!(serde_json::from_str::<Batches>(&json).unwrap(), batches);
        assert_eq!(postcard::to_allocvec(&batches).unwrap(), postcard::to_allocvec(&(1_u32, map)).unwrap());
    }

    fn count(hours: impl IntoIterator<Item = i64>) -> OutputHours {
        let mut all = OutputHours::default();
        let at = |n: i64| Timestamp::from_millis(n * 3_600_000 + 1);
        hours.into_iter().for_each(|n| all.add(at(n), at(n)));
        all
    }

    #[test]
    fn outputs_are_counted_by_whole_days() {
        // From 23:00 of day 0 to 0:00 of day 3, with a pause. A stretch that ends within the last hour of a day, or begins within
        // the first, lacks a part of it.
        let hours = count([23, 30, 30, 71, 72]);
        let (first, days) = hours.days();
        assert_eq!((first, days.len(), days[0][6], days[0][7], days[1][23]), (1, 2, 2, 0, 1));
        assert_eq!(count([23, 71]).days().1.len(), 1);
        assert_eq!(count([24, 72]).days().1.len(), 1);
        assert_eq!(OutputHours::default().days().1.len(), 0);
        // Twelve weeks are kept, whatever came before.
        let (first, days) = count(0..24 * 100).days();
        assert_eq!((first, days.len()), (17, 82));
        assert_eq!(count([0, 24 * 1_000_000]).counts.len(), 1);
    }

    #[test]
    fn what_comes_too_late_for_a_chart_is_not_counted() {
        let of = |minutes: i64| {
            let mut hours = OutputHours::default();
            let start = |n| hour(n).floor(Span::HOUR);
            (0..3).for_each(|n| hours.add(start(n), start(n + 1).plus(Span::MINUTE.times(minutes))));
            hours.counts.iter().sum::<u32>()
        };
        assert_eq!((of(14), of(15)), (3, 0));
    }

    proptest! {
        #[test]
        fn the_order_of_outputs_does_not_matter(hours in proptest::collection::vec(-3_000_i64..3_000, 1..200)) {
            let newest = hours.iter().copied().max().unwrap();
            let kept: Vec<i64> = hours.iter().copied().filter(|hour| newest - hour < HOURS_KEPT).collect();
            let mut sorted = kept.clone();
            sorted.sort_unstable();
            prop_assert_eq!(count(hours.iter().copied()).counts.iter().sum::<u32>() as usize, kept.len());
            let (all, oldest) = (count(hours), *sorted.first().unwrap());
            let counted = count(sorted);
            prop_assert!(all.first <= oldest);
            let common: Vec<u32> = all.counts.iter().skip((oldest - all.first) as usize).copied().collect();
            prop_assert_eq!(counted.counts, common);
        }

        #[test]
        fn neither_order_nor_grouping_matters(cases in proptest::collection::vec((0_i64..400, any::<bool>()), 0..300), cut in 0_usize..300) {
            let fold = |cases: &[(i64, bool)]| {
                let mut batches = Batches::default();
                for (n, bad) in cases {
                    batches.add(hour(*n), *bad);
                }
                batches
            };
            let all = fold(&cases);
            let (a, b) = cases.split_at(cut.min(cases.len()));
            let mut merged = fold(b);
            merged.merge(&fold(a));
            let mut reversed = cases.clone();
            reversed.reverse();
            prop_assert_eq!(&fold(&reversed), &all);
            prop_assert_eq!(merged, all);
        }
    }
}
