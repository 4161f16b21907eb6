//! Rolling windows on event time: 60 panes of a minute, then 24 of an hour.
//!
//! A sample lies in exactly one pane. When a minute leaves the ring it is merged into its hour, so the 5-minute and 1-hour
//! views move by minutes and the 24-hour view's far end by an hour. Panes move on only when an event comes, so reading a
//! window never changes it.

use std::collections::{BTreeMap, BTreeSet};

use super::sketch::Pane;
use super::units::{Span, Timestamp};

/// How long minutes are kept as minutes.
const MINUTES: Span = Span::HOUR;
/// How long hours are kept.
const HOURS: Span = Span::DAY;

/// The rolling panes of one stream, and what of them still has to be written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    minutes: BTreeMap<Timestamp, Pane>,
    hours: BTreeMap<Timestamp, Pane>,
    newest: Option<Timestamp>,
    unwritten: Unwritten,
}

/// What changed since the last commit.
#[derive(Clone, Debug, Default, PartialEq)]
struct Unwritten {
    minutes: BTreeSet<Timestamp>,
    hours: BTreeSet<Timestamp>,
    left: Vec<Change>,
    late: Vec<Change>,
}

/// Which rollup a pane belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Panes of a minute.
    Minute,
    /// Panes of an hour.
    Hour,
}

/// A pane that has to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which rollup.
    pub level: Level,
    /// Start of the pane.
    pub start: Timestamp,
    /// Its content: the whole of the pane, or what must be added to its row.
    pub pane: Pane,
}

impl Window {
    /// A window restored from the panes that were written down.
    pub fn restore(
        minutes: BTreeMap<Timestamp, Pane>,
        hours: BTreeMap<Timestamp, Pane>,
        newest: Option<Timestamp>,
    ) -> Self {
        Self { minutes, hours, newest, ..Self::default() }
    }

    /// Changes the pane that holds `ts`, moving the window on first where `ts` is newer than everything seen. Returns
    /// whether the minute was still kept; a change to an older one is passed on as an addition to its row.
    pub fn update(&mut self, ts: Timestamp, change: impl Fn(&mut Pane)) -> bool {
        let minute = ts.floor(Span::MINUTE);
        let newest = self.newest.map_or(minute, |newest| newest.max(minute));
        if self.newest != Some(newest) {
            self.newest = Some(newest);
            self.roll(newest);
        }
        if minute > newest.minus(MINUTES) {
            change(self.minutes.entry(minute).or_default());
            self.unwritten.minutes.insert(minute);
            return true;
        }
        let mut pane = Pane::default();
        change(&mut pane);
        let hour = ts.floor(Span::HOUR);
        if hour > newest.minus(HOURS) {
            change(self.hours.entry(hour).or_default());
            self.unwritten.hours.insert(hour);
        } else {
            self.unwritten.late.push(Change { level: Level::Hour, start: hour, pane: pane.clone() });
        }
        // One addition for each event, never summed first: sums of floats must not depend on where a batch ends.
        self.unwritten.late.push(Change { level: Level::Minute, start: minute, pane });
        false
    }

    /// Merges minutes that left the ring into their hours and forgets hours that left theirs.
    fn roll(&mut self, newest: Timestamp) {
        let oldest = newest.minus(MINUTES);
        while let Some(first) = self.minutes.first_entry().filter(|entry| *entry.key() <= oldest) {
            let (start, pane) = first.remove_entry();
            let hour = start.floor(Span::HOUR);
            self.hours.entry(hour).or_default().merge(&pane);
            self.unwritten.hours.insert(hour);
            if self.unwritten.minutes.remove(&start) {
                self.unwritten.left.push(Change { level: Level::Minute, start, pane });
            }
        }
        let oldest = newest.minus(HOURS);
        while let Some(first) = self.hours.first_entry().filter(|entry| *entry.key() <= oldest) {
            let (start, pane) = first.remove_entry();
            if self.unwritten.hours.remove(&start) {
                self.unwritten.left.push(Change { level: Level::Hour, start, pane });
            }
        }
    }

    /// The minute of the newest event.
    pub const fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Everything in the `span` that ends with the minute of `now`. Spans above an hour begin on the hour.
    pub fn view(&self, now: Timestamp, span: Span) -> Pane {
        let mut view = Pane::default();
        self.panes(now, span).for_each(|(_, pane)| view.merge(pane));
        view
    }

    /// The panes of [`Window::view`] with their starts, in the order of time, for those who need little of them.
    pub fn panes(&self, now: Timestamp, span: Span) -> impl Iterator<Item = (Timestamp, &Pane)> {
        let from = now.floor(Span::MINUTE).plus(Span::MINUTE).minus(span);
        // An hour's pane begins before the minutes that are still kept of it.
        let hours = (span > MINUTES).then(|| self.hours.range(from.floor(Span::HOUR)..));
        hours.into_iter().flatten().chain(self.minutes.range(from..)).map(|(start, pane)| (*start, pane))
    }

    /// What happened since `from`, and from when on that counts: from the pane that holds `from`, or from the oldest one
    /// where that is later. Nothing before the first event.
    pub fn since(&self, from: Timestamp) -> Option<(Pane, Timestamp)> {
        let newest = self.newest?;
        let minute = from.floor(Span::MINUTE);
        let mut view = Pane::default();
        let mut counted = minute;
        if minute <= newest.minus(MINUTES) {
            counted = from.floor(Span::HOUR).max(newest.minus(HOURS).floor(Span::HOUR).plus(Span::HOUR));
            self.hours.range(counted..).for_each(|(_, pane)| view.merge(pane));
        }
        self.minutes.range(counted..).for_each(|(_, pane)| view.merge(pane));
        Some((view, counted))
    }

    /// All that is kept in stretches of `width`, a divisor or a multiple of an hour, oldest first: the last hour only where
    /// they are shorter than one.
    pub fn buckets(&self, width: Span) -> Vec<(Timestamp, Pane)> {
        let mut buckets: BTreeMap<Timestamp, Pane> = BTreeMap::new();
        let hours = self.hours.iter().filter(|_| width >= Span::HOUR);
        for (start, pane) in hours.chain(&self.minutes) {
            buckets.entry(start.floor(width)).or_default().merge(pane);
        }
        buckets.into_iter().collect()
    }

    /// Whether anything changed since the last commit.
    pub fn is_unwritten(&self) -> bool {
        let Unwritten { minutes, hours, left, late } = &self.unwritten;
        !(minutes.is_empty() && hours.is_empty() && left.is_empty() && late.is_empty())
    }

    /// Takes what changed since the last commit: whole panes that replace their rows, then additions to rows of panes
    /// that are no longer here, both in the order in which they must be written.
    pub fn take_unwritten(&mut self) -> (Vec<Change>, Vec<Change>) {
        let Unwritten { minutes, hours, mut left, late } = std::mem::take(&mut self.unwritten);
        let kept = |level, start: Timestamp, panes: &BTreeMap<Timestamp, Pane>| {
            panes.get(&start).map(|pane| Change { level, start, pane: pane.clone() })
        };
        left.extend(minutes.into_iter().filter_map(|start| kept(Level::Minute, start, &self.minutes)));
        left.extend(hours.into_iter().filter_map(|start| kept(Level::Hour, start, &self.hours)));
        (left, late)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outputs(pane: &Pane) -> u64 {
        pane.outputs
    }

    proptest! {
        /// The ring equals a brute-force sum over all samples, whatever the order within what is kept, and rows written at
        /// random commits add up to the same.
        #[test]
        fn a_window_is_the_sum_of_its_samples(steps in proptest::collection::vec((0_i64..400, 0_i64..90, any::<bool>()), 1..200)) {
            let start = Timestamp::from_millis(1_767_571_200_000);
            let mut window = Window::default();
            let mut rows: BTreeMap<(Level, Timestamp), u64> = BTreeMap::new();
            let mut now = start;
            let mut all = Vec::new();
            for (seconds, back_minutes, commit) in steps {
                now = now.plus(Span::from_secs(seconds));
                let ts = now.minus(Span::MINUTE.times(back_minutes * i64::from(back_minutes > 60)));
                window.update(ts, |pane| pane.outputs += 1);
                all.push(ts);
                if commit {
                    write(&mut window, &mut rows);
                }
            }
            write(&mut window, &mut rows);
            prop_assert!(!window.is_unwritten());
            let newest = window.newest().unwrap();
            for span in [Span::MINUTE.times(5), Span::HOUR] {
                let from = newest.plus(Span::MINUTE).minus(span);
                prop_assert_eq!(outputs(&window.view(newest, span)), all.iter().filter(|ts| **ts >= from).count() as u64);
            }
            let from = newest.plus(Span::MINUTE).minus(Span::DAY).floor(Span::HOUR);
            let day = outputs(&window.view(newest, Span::DAY));
            prop_assert!(day <= all.iter().filter(|ts| **ts >= from).count() as u64);
            let written: u64 = rows.iter().filter(|((level, _), _)| *level == Level::Minute).map(|(_, n)| n).sum();
            prop_assert_eq!(written, all.len() as u64);
        }
    }

    #[test]
    fn what_happened_since_is_counted_from_a_pane_and_in_buckets() {
        let start = Timestamp::from_millis(1_767_571_200_000);
        let mut window = Window::default();
        assert_eq!(window.since(start), None);
        let at = |minute: i64| start.plus(Span::MINUTE.times(minute));
        for minute in 0..30 * 60 {
            window.update(at(minute), |pane| pane.outputs += 1);
        }
        let newest = 30 * 60 - 1;
        let since = |minute: i64| window.since(at(minute)).map(|(pane, from)| (pane.outputs, from)).unwrap();
        assert_eq!(since(newest - 9), (10, at(newest - 9)));
        // The pane of the hour that holds it.
        assert_eq!(since(20 * 60 + 17), (10 * 60, at(20 * 60)));
        // Older than what is kept: from the oldest pane on.
        let (outputs, from) = since(60);
        assert_eq!((outputs, from), ((newest + 1 - 6 * 60) as u64, at(6 * 60)));
        let buckets = |width| window.buckets(width).iter().map(|(_, pane)| pane.outputs).collect::<Vec<_>>();
        assert_eq!(buckets(Span::MINUTE.times(5)), [5; 12]);
        assert!(buckets(Span::HOUR).len() >= 24 && buckets(Span::HOUR).iter().all(|n| *n == 60));
    }

    fn write(window: &mut Window, rows: &mut BTreeMap<(Level, Timestamp), u64>) {
        let (whole, late) = window.take_unwritten();
        for change in whole {
            rows.insert((change.level, change.start), change.pane.outputs);
        }
        for change in late {
            *rows.entry((change.level, change.start)).or_default() += change.pane.outputs;
        }
    }
}
