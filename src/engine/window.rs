//! Rolling windows on event time: 60 panes of a minute, then 24 of an hour.
//!
//! A sample lies in exactly one pane. When a minute leaves the ring it is merged into its hour, so the 5-minute and 1-hour
//! views move by minutes and the 24-hour view's far end by an hour. Panes move on only when an event comes, so reading a
//! window never changes it.
//!
//! What is written down is a rollup by minute, hour and day. A day is kept nowhere in memory: an hour is added to its day once it
//! is *whole*, when its last minute has left the ring, and what comes later for it is added on its own.

use std::collections::BTreeMap;

use super::ring::Ring;
use super::sketch::Pane;
use super::units::{Counts, Span, Timestamp};
use super::verdicts;

/// How long minutes are kept as minutes.
const MINUTES: Span = Span::HOUR;
/// How long hours are kept.
const HOURS: Span = Span::DAY;
/// From the beginning of an hour until its last minute has left the ring.
const WHOLE: Span = Span::MINUTE.times(119);

/// Whether the last minute of an hour has left the ring of a stream whose newest minute that is: its pane is whole then.
pub fn is_whole(hour: Timestamp, newest: Timestamp) -> bool {
    hour.plus(WHOLE) <= newest
}

/// The rolling panes of one stream, and what of them still has to be written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    minutes: Ring,
    hours: Ring,
    newest: Option<Timestamp>,
    unwritten: Unwritten,
}

/// What changed since the last commit and is in no ring.
#[derive(Clone, Debug, Default, PartialEq)]
struct Unwritten {
    left: Vec<Change>,
    /// Outputs and whole hours, one by one: sums of floats must not depend on where a batch ends.
    late: Vec<Change>,
    /// Verdicts on older outputs. They are whole numbers, so those of one row are added together.
    labels: BTreeMap<(Level, Timestamp), Pane>,
    arrivals: BTreeMap<Arrival, Counts>,
}

/// When a verdict came, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// The hour of event time in which it came.
    pub hour: Timestamp,
    /// The day of its output; of the verdict, where the output is not remembered.
    pub day: Timestamp,
    /// How old its output was at most, one of [`verdicts::AGES`], or twice the longest of them for all later ones; nothing where
    /// the output is not remembered.
    pub within: Option<Span>,
}

/// What has to be written down of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Panes that replace their rows, in the order in which they must be written.
    pub whole: Vec<Change>,
    /// What must be added to rows of panes that are not here, after those, in this order.
    pub late: Vec<Change>,
    /// Verdicts that came, right ones of all.
    pub arrivals: Vec<(Arrival, Counts)>,
}

/// Which rollup a pane belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Panes of a minute.
    Minute,
    /// Panes of an hour.
    Hour,
    /// Panes of a day, in UTC.
    Day,
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
        Self { minutes: Ring::restore(minutes), hours: Ring::restore(hours), newest, ..Self::default() }
    }

    /// Changes the pane that holds `ts`, moving the window on first where `ts` is newer than everything seen. Returns
    /// whether the minute was still kept; a change to an older one is passed on as an addition to its row.
    pub fn update(&mut self, ts: Timestamp, change: impl Fn(&mut Pane)) -> bool {
        let minute = ts.floor(Span::MINUTE);
        let newest = self.newest.map_or(minute, |newest| newest.max(minute));
        if self.newest != Some(newest) {
            let before = self.newest.replace(newest);
            self.roll(before, newest);
        }
        if minute > newest.minus(MINUTES) {
            change(self.minutes.change(minute));
            return true;
        }
        let mut pane = Pane::default();
        change(&mut pane);
        let hour = ts.floor(Span::HOUR);
        if is_whole(hour, newest) {
            self.unwritten.add(Level::Day, ts, pane.clone());
        }
        if hour > newest.minus(HOURS) {
            change(self.hours.change(hour));
        } else {
            self.unwritten.add(Level::Hour, ts, pane.clone());
        }
        self.unwritten.add(Level::Minute, ts, pane);
        false
    }

    /// Notes that a verdict came at `now` on an output of `at`, where that is remembered.
    pub fn arrived(&mut self, at: Option<Timestamp>, now: Timestamp, right: bool) {
        let arrival = Arrival {
            hour: now.floor(Span::HOUR),
            day: at.unwrap_or(now).floor(Span::DAY),
            within: at.map(|at| verdicts::at_most(now.since(at))),
        };
        self.unwritten.arrivals.entry(arrival).or_default().add(right);
    }

    /// Merges minutes that left the ring into their hours, adds hours that became whole to their days, and forgets hours that
    /// left their ring.
    fn roll(&mut self, before: Option<Timestamp>, newest: Timestamp) {
        let oldest = newest.minus(MINUTES);
        while let Some((start, pane, changed)) = self.minutes.leave(oldest) {
            self.hours.change(start.floor(Span::HOUR)).merge(&pane);
            if changed {
                self.unwritten.left.push(Change { level: Level::Minute, start, pane });
            }
        }
        let known = before.map_or(Timestamp::MIN, |before| before.minus(WHOLE));
        let whole = self.hours.since(known).filter(|(start, _)| *start > known);
        for (start, pane) in whole.take_while(|(start, _)| *start <= newest.minus(WHOLE)) {
            self.unwritten.add(Level::Day, start, pane.clone());
        }
        let oldest = newest.minus(HOURS);
        while let Some((start, pane, changed)) = self.hours.leave(oldest) {
            if changed {
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
        let hours = (span > MINUTES).then(|| self.hours.since(from.floor(Span::HOUR)));
        hours.into_iter().flatten().chain(self.minutes.since(from))
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
            self.hours.since(counted).for_each(|(_, pane)| view.merge(pane));
        }
        self.minutes.since(counted).for_each(|(_, pane)| view.merge(pane));
        Some((view, counted))
    }

    /// All that is kept in stretches of `width`, a divisor or a multiple of an hour, oldest first: the last hour only where
    /// they are shorter than one.
    pub fn buckets(&self, width: Span) -> Vec<(Timestamp, Pane)> {
        let mut buckets: BTreeMap<Timestamp, Pane> = BTreeMap::new();
        let hours = self.hours.since(Timestamp::MIN).filter(|_| width >= Span::HOUR);
        for (start, pane) in hours.chain(self.minutes.since(Timestamp::MIN)) {
            buckets.entry(start.floor(width)).or_default().merge(pane);
        }
        buckets.into_iter().collect()
    }

    /// Whether anything changed since the last commit.
    pub fn is_unwritten(&self) -> bool {
        self.unwritten != Unwritten::default() || self.minutes.is_changed() || self.hours.is_changed()
    }

    /// Takes what changed since the last commit.
    pub fn take_unwritten(&mut self) -> Changes {
        let Unwritten { left, late, labels, arrivals } = std::mem::take(&mut self.unwritten);
        let mut changes = Changes { whole: left, late, arrivals: arrivals.into_iter().collect() };
        let change = |level| move |(start, pane)| Change { level, start, pane };
        changes.whole.extend(self.minutes.take_changed().map(change(Level::Minute)));
        changes.whole.extend(self.hours.take_changed().map(change(Level::Hour)));
        changes.late.extend(labels.into_iter().map(|((level, start), pane)| Change { level, start, pane }));
        changes
    }
}

impl Unwritten {
    /// Adds to the row of the pane that holds `ts`.
    fn add(&mut self, level: Level, ts: Timestamp, mut pane: Pane) {
        pane.settle();
        let start = ts.floor(level.span());
        if pane.outputs == 0 {
            self.labels.entry((level, start)).or_default().merge(&pane);
        } else {
            self.late.push(Change { level, start, pane });
        }
    }
}

impl Level {
    /// How long a pane is.
    pub const fn span(self) -> Span {
        match self {
            Self::Minute => Span::MINUTE,
            Self::Hour => Span::HOUR,
            Self::Day => Span::DAY,
        }
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
            let written = |level| rows.range((level, Timestamp::MIN)..).take_while(move |((l, _), _)| *l == level);
            prop_assert_eq!(written(Level::Minute).map(|(_, n)| n).sum::<u64>(), all.len() as u64);
            // A day has the hours that are whole, however they came about.
            for ((_, day), n) in written(Level::Day) {
                let whole = |ts: &&Timestamp| ts.floor(Span::DAY) == *day && ts.floor(Span::HOUR).plus(WHOLE) <= newest;
                prop_assert_eq!(*n, all.iter().filter(whole).count() as u64);
            }
            let days: u64 = written(Level::Day).map(|(_, n)| n).sum();
            let whole = all.iter().filter(|ts| ts.floor(Span::HOUR).plus(WHOLE) <= newest).count();
            prop_assert_eq!(days, whole as u64);
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

    #[test]
    fn late_verdicts_reach_every_level_and_are_written_once_for_a_row() {
        let start = Timestamp::from_millis(1_767_571_200_000);
        let at = |minute: i64| start.plus(Span::MINUTE.times(minute));
        let mut window = Window::default();
        for minute in 0..50 * 60 {
            window.update(at(minute), |pane| pane.outputs += 1);
        }
        drop(window.take_unwritten());
        // Twice on a minute of the first day, once on one of the last whole hour, once on one that is still kept.
        for minute in [5, 5, 48 * 60 - 1, 50 * 60 - 1] {
            window.update(at(minute), |pane| pane.correct.add(true));
            window.arrived(Some(at(minute)), at(50 * 60 - 1), minute == 5);
        }
        window.arrived(None, at(50 * 60 - 1), true);
        let Changes { whole, late, arrivals } = window.take_unwritten();
        let told = |changes: &[Change]| -> Vec<(Level, i64, u64)> {
            let of = |c: &Change| (c.level, c.start.since(start).as_millis() / 60_000, c.pane.correct.n);
            changes.iter().map(of).collect()
        };
        let (minute, hour, day) = (Level::Minute, Level::Hour, Level::Day);
        assert_eq!(told(&whole), [(minute, 50 * 60 - 1, 1), (hour, 47 * 60, 1)]);
        let last = 48 * 60 - 1;
        assert_eq!(told(&late), [(minute, 5, 2), (minute, last, 1), (hour, 0, 2), (day, 0, 2), (day, 1_440, 1)]);
        let (hour, days) = (at(49 * 60), |n: i64| at(n * 1_440));
        let arrival = |day, within| Arrival { hour, day, within };
        let counted = [
            (arrival(days(0), Some(Span::DAY.times(3))), Counts { hits: 2, n: 2 }),
            (arrival(days(1), Some(Span::HOUR.times(3))), Counts { hits: 0, n: 1 }),
            (arrival(days(2), None), Counts { hits: 1, n: 1 }),
            (arrival(days(2), Some(Span::ZERO)), Counts { hits: 0, n: 1 }),
        ];
        assert_eq!(arrivals, counted);
    }

    fn write(window: &mut Window, rows: &mut BTreeMap<(Level, Timestamp), u64>) {
        let Changes { whole, late, .. } = window.take_unwritten();
        for change in whole {
            rows.insert((change.level, change.start), change.pane.outputs);
        }
        for change in late {
            *rows.entry((change.level, change.start)).or_default() += change.pane.outputs;
        }
    }
}
