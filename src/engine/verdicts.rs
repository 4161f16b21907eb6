//! When verdicts come: how old outputs are by then, and the verdicts that wait until their outputs have the age at which
//! all are judged.
//!
//! **Why they wait.** Where wrong answers are reported within the hour and right ones confirmed a day later, a chart in the order
//! of arrival sees only errors at first and is certain to alarm. So outputs are judged when they reach an age, the *wait*,
//! by the verdicts that came by then, and the baseline's share is that of the same verdicts. Later ones count in reports and never
//! rewrite what was judged. See docs/statistics.md, "Late labels".
//!
//! **The wait** is what the settings say, or what the baseline's own verdicts say: see [`Delays::wait`].

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::confidence::Place;
use super::sparse::Empty;
use super::units::{Counts, Span, Timestamp};

/// Ages of outputs that are told apart, youngest first; the last kind of verdict comes later than all of them.
pub const AGES: [Span; 15] = [
    Span::ZERO,
    Span::MINUTE.times(15),
    Span::HOUR,
    Span::HOUR.times(3),
    Span::HOUR.times(6),
    Span::HOUR.times(12),
    Span::DAY,
    Span::DAY.times(3),
    Span::DAY.times(7),
    Span::DAY.times(14),
    Span::DAY.times(30),
    Span::DAY.times(45),
    Span::DAY.times(90),
    Span::DAY.times(180),
    Span::DAY.times(365),
];

/// The wait where nothing else is known or said.
pub const USUAL_WAIT: Span = Span::DAY;
/// Share of the verdicts that must be in for a wait shorter than [`USUAL_WAIT`] ...
const NEARLY_ALL: f64 = 0.99;
/// ... and share of the right and of the wrong ones for a longer one.
const HALF: f64 = 0.5;

/// Which of [`AGES`] an age is at most; one more for what comes later.
pub(super) fn class(age: Span) -> u8 {
    AGES.iter().take_while(|limit| **limit < age).count() as u8
}

/// The shortest of [`AGES`] that an age does not exceed; twice the longest of them for all later ones.
pub fn at_most(age: Span) -> Span {
    longest(class(age))
}

/// An age of that class: the longest, where it has one.
pub(super) fn longest(class: u8) -> Span {
    let [.., last] = AGES;
    AGES.get(usize::from(class)).copied().unwrap_or(last.times(2))
}

/// How long verdicts are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The age at which outputs are judged.
    pub age: Span,
    /// Whether a verdict that comes with its output is judged at once.
    pub at_once: bool,
}

impl Default for Wait {
    fn default() -> Self {
        Self { age: USUAL_WAIT, at_once: true }
    }
}

/// Verdicts by the age of their outputs when they came, and by their outputs' place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delays {
    /// By age alone, right ones and wrong ones.
    ages: [[u64; AGES.len() + 1]; 2],
    /// By age, then place, in ascending order.
    cells: Vec<((u8, Place), Counts)>,
}

impl Empty for Delays {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<Delays> = LazyLock::new(Delays::default);
        &EMPTY
    }
}

impl Delays {
    /// Adds a verdict.
    pub fn add(&mut self, age: Span, place: Place, right: bool) {
        self.add_all(age, place, Counts { hits: u64::from(right), n: 1 });
    }

    /// Adds verdicts on outputs of one age and place: right ones of all.
    pub fn add_all(&mut self, age: Span, place: Place, counts: Counts) {
        self.merge_cell((class(age), place), counts);
    }

    fn merge_cell(&mut self, key: (u8, Place), counts: Counts) {
        let [rights, wrongs] = &mut self.ages;
        if let (Some(right), Some(wrong)) = (rights.get_mut(usize::from(key.0)), wrongs.get_mut(usize::from(key.0))) {
            *right += counts.hits;
            *wrong += counts.n - counts.hits;
        }
        match self.cells.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => {
                if let Some((_, mine)) = self.cells.get_mut(at) {
                    mine.merge(counts);
                }
            }
            Err(at) => self.cells.insert(at, (key, counts)),
        }
    }

    /// Adds all verdicts of another.
    pub fn merge(&mut self, other: &Self) {
        other.cells.iter().for_each(|(key, counts)| self.merge_cell(*key, *counts));
    }

    /// Right ones of the verdicts that came within `age`, one of [`AGES`].
    pub fn within(&self, age: Span) -> Counts {
        self.first(usize::from(class(age)) + 1)
    }

    /// Right ones of all verdicts.
    pub fn all(&self) -> Counts {
        self.first(AGES.len() + 1)
    }

    fn first(&self, ages: usize) -> Counts {
        let [rights, wrongs] = &self.ages;
        let hits = rights.iter().take(ages).sum();
        Counts { hits, n: hits + wrongs.iter().take(ages).sum::<u64>() }
    }

    /// The same by place.
    pub fn places_within(&self, age: Span) -> BTreeMap<Place, Counts> {
        self.places_of(|at| at <= class(age))
    }

    /// Right ones of all verdicts, by place.
    pub fn places(&self) -> BTreeMap<Place, Counts> {
        self.places_of(|_| true)
    }

    fn places_of(&self, wanted: impl Fn(u8) -> bool) -> BTreeMap<Place, Counts> {
        let mut places: BTreeMap<Place, Counts> = BTreeMap::new();
        for ((_, place), counts) in self.cells.iter().filter(|((at, _), _)| wanted(*at)) {
            places.entry(*place).or_default().merge(*counts);
        }
        places
    }

    /// Verdicts by age, right ones and wrong ones: one number for each of [`AGES`], and one for what came later.
    pub const fn by_age(&self) -> &[[u64; AGES.len() + 1]; 2] {
        &self.ages
    }

    /// The age by which nearly all of these verdicts had come; the longest of [`AGES`] where they never have.
    pub fn nearly_all(&self) -> Span {
        let all = self.all().n as f64;
        let [.., longest] = AGES;
        AGES.into_iter().find(|age| self.within(*age).n as f64 >= NEARLY_ALL * all).unwrap_or(longest)
    }

    /// The wait that follows from these verdicts. Those that come with their outputs are judged at once where nearly all do.
    /// Others wait until nearly all are in, at most a day; where by then not half of the right and half of the wrong
    /// ones are in, until that is so.
    pub fn wait(&self) -> Wait {
        let all = self.all();
        let at_least = |counts: u64, of: u64, share: f64| counts as f64 >= share * of as f64;
        if at_least(self.within(Span::ZERO).n, all.n, NEARLY_ALL) {
            return Wait::default();
        }
        let half = |age: Span| {
            let within = self.within(age);
            at_least(within.hits, all.hits, HALF) && at_least(within.n - within.hits, all.n - all.hits, HALF)
        };
        let enough =
            |age: &Span| half(*age) && (*age >= USUAL_WAIT || at_least(self.within(*age).n, all.n, NEARLY_ALL));
        let [.., longest] = AGES;
        Wait { age: AGES.into_iter().find(enough).unwrap_or(longest), at_once: false }
    }
}

/// Verdicts on outputs of one stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Right ones of the verdicts, by the outputs' place.
    pub places: BTreeMap<Place, Counts>,
    /// Wrong ones of those on outputs within the baseline's coverage.
    pub covered: Counts,
}

impl Batch {
    /// A verdict on an output of that place, within the baseline's coverage or not.
    pub fn add(&mut self, place: Place, covered: bool, right: bool) {
        self.places.entry(place).or_default().add(right);
        if covered {
            self.covered.add(!right);
        }
    }

    /// Adds all verdicts of another.
    pub fn merge(&mut self, other: &Self) {
        for (place, counts) in &other.places {
            self.places.entry(*place).or_default().merge(*counts);
        }
        self.covered.merge(other.covered);
    }

    /// Wrong ones of all.
    pub fn wrong(&self) -> Counts {
        let mut all = Counts::default();
        self.places.values().for_each(|counts| all.merge(*counts));
        all.complement()
    }
}

/// Most stretches in which verdicts wait; beyond, neighbours are merged.
const SLOTS: usize = 256;
/// The same while verdicts are told apart by age as well.
const CELLS: usize = 1_024;

/// Verdicts that wait for their outputs to reach the age at which they are judged, by stretches of the outputs' time: inside
/// one, the order of arrival cannot matter. As long as the wait is not settled they are told apart by the age of their outputs
/// when they came, too: which of them came in time is not known before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    width: Span,
    /// By stretch, then by age as one of [`AGES`]; 0 where it is known to be short enough.
    slots: BTreeMap<(i64, u8), Batch>,
}

/// Verdicts on outputs of one stretch, by age as one of [`AGES`].
pub type Taken = Vec<(u8, Batch)>;

impl Default for Waiting {
    fn default() -> Self {
        Self { width: Span::MINUTE, slots: BTreeMap::new() }
    }
}

impl Waiting {
    /// Adds a verdict on an output of time `at` that came in time.
    pub fn add(&mut self, at: Timestamp, place: Place, covered: bool, right: bool) {
        self.slots.entry((self.slot_of(at), 0)).or_default().add(place, covered, right);
        self.widen(SLOTS);
    }

    /// Adds a verdict on an output of time `at` and that age, of which is not known yet whether it came in time.
    pub fn add_unsettled(&mut self, (at, age): (Timestamp, Span), place: Place, covered: bool, right: bool) {
        self.slots.entry((self.slot_of(at), class(age))).or_default().add(place, covered, right);
        self.widen(CELLS);
    }

    /// The wait is settled: what came later than that is dropped, and of the rest ages are forgotten. Returns what is judged at
    /// once by it, in the order of time.
    pub fn settle(&mut self, wait: Wait) -> Vec<(Timestamp, Batch)> {
        let mut at_once = Vec::new();
        // What has waited since long ago made stretches wide; from here on they begin narrow again, and a wide one waits for its
        // last output.
        let before = std::mem::take(self);
        for ((slot, age), batch) in &before.slots {
            let last = before.start(slot + 1).minus(Span::from_millis(1));
            if *age == 0 && wait.at_once {
                at_once.push((before.start(*slot), batch.clone()));
            } else if *age <= class(wait.age) {
                self.slots.entry((self.slot_of(last), 0)).or_default().merge(batch);
            }
        }
        self.widen(SLOTS);
        at_once
    }

    fn slot_of(&self, at: Timestamp) -> i64 {
        at.as_millis().div_euclid(self.width.as_millis())
    }

    fn widen(&mut self, most: usize) {
        while self.slots.len() > most {
            self.width = self.width.times(2);
            for ((at, age), batch) in std::mem::take(&mut self.slots) {
                self.slots.entry((at.div_euclid(2), age)).or_default().merge(&batch);
            }
        }
    }

    /// When the first stretch is old enough.
    pub fn due(&self, wait: Wait) -> Option<Timestamp> {
        let ((slot, _), _) = self.slots.first_key_value()?;
        Some(self.start(*slot + 1).plus(wait.age))
    }

    /// Takes what came in time of the first stretch, with its beginning, where all of it is old enough at stream time `now`.
    pub fn take(&mut self, now: Timestamp, wait: Wait) -> Option<(Timestamp, Taken)> {
        if self.due(wait).is_none_or(|due| now < due) {
            return None;
        }
        let ((slot, _), _) = self.slots.first_key_value()?;
        let (slot, mut taken) = (*slot, Vec::new());
        while let Some(first) = self.slots.first_entry().filter(|first| first.key().0 == slot) {
            let ((_, age), batch) = first.remove_entry();
            if age <= class(wait.age) {
                taken.push((age, batch));
            }
        }
        let start = self.start(slot);
        if self.slots.is_empty() {
            *self = Self::default();
        }
        Some((start, taken))
    }

    fn start(&self, slot: i64) -> Timestamp {
        Timestamp::from_millis(slot.saturating_mul(self.width.as_millis()))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delays(verdicts: &[(Span, u32, u32)]) -> Delays {
        let mut delays = Delays::default();
        for (age, right, wrong) in verdicts {
            (0..*right).for_each(|_| delays.add(*age, Place::NONE, true));
            (0..*wrong).for_each(|_| delays.add(*age, Place::NONE, false));
        }
        delays
    }

    #[test]
    fn the_wait_is_what_the_verdicts_need() {
        let hours = |n| Span::HOUR.times(n);
        let days = |n| Span::DAY.times(n);
        let wait = |verdicts: &[(Span, u32, u32)]| delays(verdicts).wait();
        assert_eq!(wait(&[]), Wait::default());
        assert_eq!(wait(&[(Span::ZERO, 99, 0), (days(5), 1, 0)]), Wait { age: Span::DAY, at_once: true });
        assert_eq!(wait(&[(hours(1), 90, 10)]), Wait { age: hours(1), at_once: false });
        // Errors within the hour, confirmations after a day: not before a day.
        assert_eq!(wait(&[(hours(1), 0, 10), (hours(20), 90, 0)]).age, Span::DAY);
        // A tenth comes after weeks: a day is enough for most.
        assert_eq!(wait(&[(hours(2), 80, 10), (days(20), 10, 0)]).age, Span::DAY);
        assert_eq!(wait(&[(days(30), 90, 10)]).age, days(30));
        // Half of each kind.
        assert_eq!(wait(&[(days(10), 60, 4), (days(40), 10, 3), (days(100), 20, 3)]).age, days(45));
        assert_eq!(wait(&[(days(4_000), 60, 4)]).age, days(365));
    }

    #[test]
    fn counts_are_those_that_came_by_an_age() {
        let delays = delays(&[(Span::HOUR, 3, 1), (Span::DAY, 5, 2), (Span::HOUR.times(25), 7, 0)]);
        assert_eq!(delays.within(Span::HOUR), Counts { hits: 3, n: 4 });
        assert_eq!(delays.within(Span::DAY), Counts { hits: 8, n: 11 });
        assert_eq!(delays.all(), Counts { hits: 15, n: 18 });
        assert_eq!(delays.by_age()[0][2], 3);
        assert_eq!(delays.by_age()[1].iter().sum::<u64>(), 3);
        assert_eq!(delays.places_within(Span::HOUR).get(&Place::NONE), Some(&Counts { hits: 3, n: 4 }));
    }

    #[test]
    fn verdicts_are_taken_in_the_order_of_their_outputs_when_all_of_a_stretch_is_old_enough() {
        let minute = |n: i64| Timestamp::from_millis(n * 60_000 + 30_000);
        let wait = Wait { age: Span::HOUR, at_once: false };
        let mut waiting = Waiting::default();
        assert_eq!(waiting.due(wait), None);
        for n in [5, 3, 5] {
            waiting.add(minute(n), Place::NONE, true, n == 3);
        }
        assert_eq!(waiting.due(wait), Some(Timestamp::from_millis(64 * 60_000)));
        assert_eq!(waiting.take(Timestamp::from_millis(64 * 60_000 - 1), wait), None);
        let (at, taken) = waiting.take(Timestamp::from_millis(66 * 60_000), wait).unwrap();
        let [(0, batch)] = taken.as_slice() else { panic!("{taken:?}") };
        assert_eq!(
            (at, batch.wrong(), batch.covered),
            (Timestamp::from_millis(180_000), Counts { hits: 0, n: 1 }, Counts { hits: 0, n: 1 })
        );
        assert_eq!(waiting.take(minute(66), wait).unwrap().1[0].1.wrong(), Counts { hits: 2, n: 2 });
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_came_in_time_is_decided_when_the_wait_is_settled() {
        let at = Timestamp::from_millis(30_000);
        let mut waiting = Waiting::default();
        for (hours, right) in [(0, false), (2, false), (20, true), (21, true), (60, true)] {
            waiting.add_unsettled((at, Span::HOUR.times(hours)), Place::NONE, false, right);
        }
        let wrong = |waiting: &mut Waiting, wait: Wait| {
            let mut all = Batch::default();
            while let Some((_, taken)) = waiting.take(Timestamp::MAX, wait) {
                for (_, batch) in &taken {
                    all.merge(batch);
                }
            }
            all.wrong()
        };
        // Not settled yet: each wait takes those that came within it.
        let wait = |age: Span| Wait { age, at_once: false };
        assert_eq!(wrong(&mut waiting.clone(), wait(Span::HOUR.times(3))), Counts { hits: 2, n: 2 });
        assert_eq!(wrong(&mut waiting.clone(), wait(Span::DAY.times(3))), Counts { hits: 2, n: 5 });
        let mut settled = waiting.clone();
        assert_eq!(settled.settle(wait(Span::DAY)), []);
        assert_eq!(wrong(&mut settled, wait(Span::DAY)), Counts { hits: 2, n: 4 });
        // Those that came with their outputs need not wait.
        let at_once = waiting.settle(Wait::default());
        assert_eq!(at_once.iter().map(|(_, batch)| batch.wrong()).collect::<Vec<_>>(), [Counts { hits: 1, n: 1 }]);
        assert_eq!(wrong(&mut waiting, Wait::default()), Counts { hits: 1, n: 3 });
    }

    #[test]
    fn stretches_that_grew_wide_while_a_baseline_was_open_are_narrow_afterwards() {
        let wait = Wait { age: Span::DAY, at_once: false };
        let mut waiting = Waiting::default();
        let day = |n: i64| Timestamp::from_millis(n * 86_400_000);
        for n in 0..3_000 {
            waiting.add_unsettled((day(n), Span::HOUR), Place::NONE, false, true);
        }
        assert!(waiting.width > Span::DAY);
        assert_eq!(waiting.settle(wait), []);
        while waiting.take(day(2_999), wait).is_some() {}
        while waiting.take(day(3_100), wait).is_some() {}
        assert!(waiting.is_empty());
        waiting.add(day(3_101), Place::NONE, false, true);
        assert_eq!(waiting.due(wait), Some(day(3_102).plus(Span::MINUTE)));
    }

    proptest! {
        /// Whatever the order of arrival, the same batches are judged.
        #[test]
        fn the_order_of_arrival_does_not_matter(minutes in proptest::collection::vec((0_i64..2_000, any::<bool>()), 0..600)) {
            let fold = |verdicts: &[(i64, bool)]| {
                let mut waiting = Waiting::default();
                for (minute, right) in verdicts {
                    waiting.add(Timestamp::from_millis(minute * 60_000), Place::NONE, false, *right);
                }
                let mut taken = Vec::new();
                while let Some(batch) = waiting.take(Timestamp::MAX, Wait::default()) {
                    taken.push(batch);
                }
                taken
            };
            let mut reversed = minutes.clone();
            reversed.reverse();
            let taken = fold(&minutes);
            prop_assert_eq!(&taken, &fold(&reversed));
            prop_assert!(taken.len() <= SLOTS);
            let counted = taken.iter().flat_map(|(_, taken)| taken).map(|(_, batch)| batch.wrong().n).sum::<u64>();
            prop_assert_eq!(counted, minutes.len() as u64);
        }
    }
}
